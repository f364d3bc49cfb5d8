"""One worker: a process that owns the models of one device and runs one job after the other.

    python -m text2ct.service.worker --device cuda:0

It is started by a supervisor and speaks with it as `messages` says. Three threads:

- the listener reads orders. A cancel reaches the running job through its token; the end
  of the orders means that the server is gone, and ends this process at once.
- the voice tells that we are alive, and of steps never more than ten a second. When native
  code lets none of our threads run for long, a clock outside Python ends the process.
- the main thread runs jobs: request and images in, `engines.run` as everywhere else,
  the result into the workspace that the order names. It never makes a result public.

Engines may print, and libraries do. What they print goes to stderr and so into the
server's log; the pipe that was stdout belongs to the messages alone.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from ..engines import catalog
from ..engines.run import Runner, load, memory_needed, run, settled
from ..engines.terms import Engine
from ..errors import BadInput, Text2CTError
from ..requests import CancelToken, Progress
from . import checkpoint
from .failing import failure_of
from .inputs import request_of
from .messages import CancelJob, Note, Preview, RunJob, Saved, Step, order_of
from .saving import drop_previews, save, save_preview
from .voice import Pace, Voice, end_now
from .warm import Warm

Loader = Callable[[Engine], Runner]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run jobs until told to end."""
    parser = argparse.ArgumentParser(description="A worker of the text2ct service; started by the server only.")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--beat", type=float, default=10.0, help="tell that we are alive so often, in seconds")
    parser.add_argument("--loader", default="", help="MODULE:FUNCTION that gives the code of an engine, for tests")
    args = parser.parse_args(arguments)
    orders, reports = _pipes()
    _settle()
    voice = Voice(reports, args.beat)
    worker = Worker(args.device, voice, _loader(args.loader))
    threading.Thread(target=worker.listen, args=(orders,), name="listener", daemon=True).start()
    voice.start()
    worker.work()
    return 0


class Worker:
    """The jobs of one device, in the order in which they come."""

    def __init__(self, device: str, voice: Voice, loader: Loader = load) -> None:
        self._device, self._voice, self._warm = device, voice, Warm(loader)
        self._jobs: queue.Queue[tuple[RunJob, CancelToken]] = queue.Queue()

    def listen(self, orders: BinaryIO) -> None:
        """Take orders until there can be no more, then end this process."""
        token = CancelToken()
        job = ""
        try:
            for line in orders:
                order = order_of(line)
                if isinstance(order, RunJob):
                    job, token = order.job, CancelToken()
                    self._jobs.put((order, token))
                elif isinstance(order, CancelJob) and order.job == job:
                    token.cancel()
        except BadInput as error:
            print(error, file=sys.stderr)
        finally:
            end_now()

    def work(self) -> None:
        """Run jobs; returns when the memory can no longer be trusted."""
        leaving = False
        while not leaving:
            order, token = self._jobs.get()
            try:
                self._run(order, token)
            except (Exception, SystemExit) as error:
                failed = failure_of(error, order.job, order.request)
                leaving = failed.leaving
                self._voice.say(failed)
            else:
                self._voice.say(Saved(order.job))

    def _run(self, order: RunJob, token: CancelToken) -> None:
        self._voice.say(Step(order.job, "reading the request", 0, 1, 0.0))
        asked = request_of(order)
        entry = catalog.ready_engine(asked.engine, asked.task)
        request = settled(entry, asked)
        self._warm.make_room(memory_needed(entry, request), entry, request.weights)
        telling = _Telling(order, self._voice)
        resume = checkpoint.read(Path(order.checkpoint), order.request) if order.resume else None
        if resume is not None:
            self._voice.say(Note(order.job, "Gone on from the last state that was kept."))
        try:
            result = run(request, telling.progress, token, device_for(entry, self._device), keep=telling.keep,
                         resume=resume, loaded=lambda _: self._warm.runner(entry, request.weights))
        except Exception as error:
            if not isinstance(error, Text2CTError):
                self._warm.drop(entry, request.weights)  # nobody foresaw this: the runner may be damaged
            raise
        drop_previews(Path(order.workspace))
        token.check()
        telling.saving()
        save(result, Path(order.workspace))


class _Telling:
    """What a run tells of itself, no more often than it is worth."""

    def __init__(self, order: RunJob, voice: Voice) -> None:
        self._order, self._voice, self._began = order, voice, time.monotonic()
        self._previews, self._states = Pace(at_least=1.0, share=0.1), Pace(at_least=3.0, share=0.05)
        self._number = 0

    def progress(self, progress: Progress) -> None:
        self._voice.step(Step(self._order.job, progress.stage, progress.step, progress.total,
                              round(progress.seconds, 3)))
        ct = progress.preview
        if ct is None:
            return
        with self._previews.turn() as due:
            if due:
                self._number += 1
                name = save_preview(ct, Path(self._order.workspace), self._number)
                self._voice.say(Preview(self._order.job, name))

    def saving(self) -> None:
        self._voice.step(Step(self._order.job, "saving", 0, 1, round(time.monotonic() - self._began, 3)))

    def keep(self, state: bytes) -> None:
        """A state that cannot be kept costs time after a crash, never the job."""
        with self._states.turn() as due:
            if due:
                checkpoint.write(Path(self._order.checkpoint), state, self._order.request)


def device_for(entry: Engine, device: str) -> str:
    """The worker's device, or the processor for engines that know no other."""
    kind = device.partition(":")[0]
    return "cpu" if kind != "auto" and kind not in entry.devices and entry.devices == ("cpu",) else device


def _loader(name: str) -> Loader:
    module, _, function = name.partition(":")
    return cast(Loader, getattr(importlib.import_module(module), function)) if name else load


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """The two pipes for messages, out of reach of what engines print and read."""
    orders, reports = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    return orders, cast(BinaryIO, reports)


def _settle() -> None:
    """Leave Ctrl-C to the server, tell of crashes in native code, and go first when memory runs out."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("800")


if __name__ == "__main__":
    sys.exit(main())
