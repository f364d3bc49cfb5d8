"""A child process that never blocks the application: started, heard, cancelled, ended."""

from __future__ import annotations

from collections.abc import Callable

import qt

GRACE_MS = 5000  # longer than the worker gives itself


class ChildProcess:
    """Runs a program; tells what it writes on standard error, and its exit code when it is over."""

    def __init__(self, on_output: Callable[[bytes], None], on_end: Callable[[int], None]) -> None:
        self._on_output = on_output
        self._on_end = on_end
        self._process = qt.QProcess()
        self._process.connect("readyReadStandardError()", self._read)
        self._process.connect("finished(int,QProcess::ExitStatus)", self._finished)
        self._patience = qt.QTimer()
        self._patience.singleShot = True
        self._patience.connect("timeout()", self._process.kill)

    def start(self, program: str, arguments: list[str]) -> bool:
        """Whether the program could be started."""
        self._process.start(program, arguments)
        return bool(self._process.waitForStarted(10_000))

    def cancel(self) -> None:
        """Ask the child to end by closing its standard input, and kill it when it does not."""
        self._process.closeWriteChannel()
        self._patience.start(GRACE_MS)

    def abandon(self) -> None:
        """End it now and tell nobody: the one who asked is gone."""
        self._on_output = lambda data: None
        self._on_end = lambda code: None
        self._patience.stop()
        self._process.closeWriteChannel()
        self._process.kill()
        self._process.waitForFinished(2_000)

    def _read(self) -> None:
        self._on_output(self._process.readAllStandardError().data())

    def _finished(self, exit_code: int) -> None:
        self._patience.stop()
        self._read()
        # Later, so that nobody lets go of the process while it is still telling that it finished.
        qt.QTimer.singleShot(0, lambda: self._on_end(int(exit_code)))
