"""The supervisor's end of a worker: a process started, spoken to, listened to, and ended.

`Link` is all that the supervisor knows of a worker, so that something else than a local
process can stand behind it (see docs/scale-out.md). A link never blocks its caller: a
worker that has stopped reading must not stop the supervisor. Four threads of its own
write, read, keep what is printed, and wait for the end; all that they learn they
`post`, the end last.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from ..errors import BadInput
from .log import LOG, masked, one_block, words_of
from .messages import Order, Report, RunJob, report_of, to_line

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_LAST_WORDS_WITHIN = 5.0


@dataclass(frozen=True)
class Gone:
    """The worker has ended. `code` is its exit status, below 0 for a signal; `said` its last printed line."""

    code: int
    said: str = ""


class Link(Protocol):
    """One worker. Its reports come by the `post` that it was made with; after `Gone` nothing comes."""

    def send(self, order: Order) -> None:
        """Tell it; returns at once."""

    def end(self) -> None:
        """End it at once, with all that it began; returns when it is gone."""


Post: TypeAlias = Callable[["Link", "Report | Gone"], None]
Hire: TypeAlias = Callable[[str, Post], Link]


class LocalWorker:
    """A worker process on this machine."""

    def __init__(self, device: str, post: Post, *, beat: float = 10.0, loader: str = "",
                 python: str = sys.executable) -> None:
        self._device, self._post = device, post
        self._said: deque[str] = deque(maxlen=1)
        self._private = ""
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        self._gone, self._burying = threading.Event(), threading.Lock()
        command = [python, "-m", "text2ct.service.worker", "--device", device, "--beat", str(beat)]
        if loader:
            command += ["--loader", loader]
        self._process = _start(command)
        reading = [threading.Thread(target=work, name=f"worker {device} {work.__name__}", daemon=True)
                   for work in (self._read, self._keep_printed)]
        for thread in [*reading, threading.Thread(target=self._write, daemon=True),
                       threading.Thread(target=self._wait, args=(reading,), daemon=True)]:
            thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, order: Order) -> None:
        if isinstance(order, RunJob):
            self._private = words_of(order.request)
        self._orders.put(order)

    def end(self) -> None:
        self._kill()
        self._gone.wait(10)

    def _kill(self) -> None:
        with self._burying:
            if self._process.returncode is None:
                _kill(self._process)

    def _write(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError), self._process.stdin as pipe:
            while (order := self._orders.get()) is not None:
                pipe.write(to_line(order))
                pipe.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            for line in pipe:
                try:
                    report = report_of(line)
                except BadInput as error:
                    LOG.error("worker %s: %s", self._device, error)
                    return self._kill()
                self._post(self, report)

    def _keep_printed(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as pipe:
            for raw in pipe:
                line = masked(raw.decode("utf-8", "replace").rstrip(), self._private)
                if line.strip():
                    self._said.append(line)
                    LOG.info("worker %s printed:\n%s", self._device, one_block(line))

    def _wait(self, reading: Sequence[threading.Thread]) -> None:
        """Its group is ended before it is buried: until then nobody else can have its number."""
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
            self._kill()
            with self._burying:
                code = self._process.wait()
        else:
            code = self._process.wait()
        for thread in reading:
            thread.join(_LAST_WORDS_WITHIN)
        self._orders.put(None)
        self._gone.set()
        self._post(self, Gone(code, self._said[0] if self._said else ""))


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """In a group of its own, so that all its children end with it and Ctrl-C is the server's alone."""
    apart: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=_environment(), **apart)


def _environment() -> dict[str, str]:
    """This package is found by the worker where it was found by us, also when it is not installed."""
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if _PACKAGE_ROOT.name not in ("site-packages", "dist-packages"):
        paths.append(str(_PACKAGE_ROOT))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
