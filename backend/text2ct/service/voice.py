"""The worker's voice: whole lines to the supervisor, often enough to be believed and no more.

`Pace` holds back what is costly to tell (previews, kept states) by what it cost last time.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NoReturn

from ..errors import Text2CTError
from ..memory import own_bytes
from .messages import Beat, Ready, Report, Step, to_line

_STEP_EVERY = 0.1


class Voice:
    """Reports from any thread. A newer step replaces one that has not been told yet."""

    def __init__(self, stream: BinaryIO, beat: float) -> None:
        self._stream, self._beat = stream, beat
        self._lock = threading.RLock()
        self._step: Step | None = None
        self._news = threading.Event()

    def start(self) -> None:
        """Say that we are ready, and from now on that we live."""
        self._wind_up()
        self.say(Ready())
        self.say(Beat(own_bytes()))
        threading.Thread(target=self._run, name="voice", daemon=True).start()

    def say(self, report: Report) -> None:
        """Tell at once, after the last step; when nobody listens any more, there is nothing left to do."""
        with self._lock:
            self._tell_step()
            try:
                self._stream.write(to_line(report))
            except OSError:
                end_now()

    def step(self, step: Step) -> None:
        """Tell soon."""
        self._step = step
        self._news.set()

    def _run(self) -> None:
        beaten = time.monotonic()
        while True:
            if self._news.wait(max(0.0, beaten + self._beat - time.monotonic())):
                self._news.clear()
                with self._lock:
                    self._tell_step()
                time.sleep(_STEP_EVERY)
            if time.monotonic() >= beaten + self._beat:
                beaten = time.monotonic()
                self._wind_up()
                self.say(Beat(own_bytes()))

    def _wind_up(self) -> None:
        """Without this for nine beats, the process ends: the server has given us up long before, or is gone."""
        faulthandler.dump_traceback_later(9 * self._beat, exit=True)

    def _tell_step(self) -> None:
        step, self._step = self._step, None
        if step is not None:
            self.say(step)


class Pace:
    """At most every so many seconds, and never for more than a share of the time."""

    def __init__(self, at_least: float, share: float) -> None:
        self._at_least, self._share = at_least, share
        self._due = time.monotonic()

    @contextmanager
    def turn(self) -> Iterator[bool]:
        """Whether it is time. What fails inside for want of disk is left undone: it was an extra."""
        began = time.monotonic()
        due = began >= self._due
        try:
            yield due
        except (OSError, Text2CTError) as error:
            print(f"left out: {type(error).__name__}", file=sys.stderr)
        finally:
            if due:
                ended = time.monotonic()
                self._due = ended + max(self._at_least, (ended - began) / self._share)


def end_now() -> NoReturn:
    """End this process and all that it began, whatever it is doing."""
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
