"""What goes wrong in a stand-in, and where it is noted.

A real Slicer forgives much: an exception in a slot is printed and forgotten, a thread
that touches Qt works until it does not. Here each such slip is kept, and the fixture
of the test that made it fails with it.
"""

from __future__ import annotations

import sys
import threading
from types import TracebackType


class StandInError(RuntimeError):
    """The module asked for something that this stand-in has no model of, or that would fail in a real Slicer."""


class Slips:
    """Exceptions that Slicer would only have printed."""

    def __init__(self) -> None:
        self.exceptions: list[BaseException] = []

    def note(self, error: BaseException) -> None:
        self.exceptions.append(error)

    def take(self) -> list[BaseException]:
        """The exceptions since the last call; a test that expects some takes them away."""
        taken, self.exceptions = self.exceptions, []
        return taken

    def listen(self) -> None:
        """Also hear of exceptions in event handlers that Qt calls, and in destructors."""
        sys.excepthook = self._raised
        sys.unraisablehook = lambda args: self._unraisable(args.exc_value)
        threading.excepthook = lambda args: self._unraisable(args.exc_value)

    def _unraisable(self, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, Warning):
            self.note(error)

    def _raised(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        self.note(error)


slips = Slips()


def require_main_thread(what: str) -> None:
    """Qt and the scene belong to the main thread."""
    if threading.current_thread() is not threading.main_thread():
        error = StandInError(f"{what} was used in the thread {threading.current_thread().name}: "
                             "Qt and the scene belong to the main thread")
        slips.note(error)
        raise error
