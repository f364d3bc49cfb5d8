"""A service of our own on this machine: a child process that is there while we are, and no longer.

    with LocalService() as local:
        result = local.service.run(GenerateCT("Small right pleural effusion."))

How the two hold together:

- The child listens on a free port of 127.0.0.1 and opens to a key made for this one start.
  The key goes through the child's stdin, where no list of processes shows it.
- The child says on stdout, in one line, where it listens. Its stderr goes into a file, so
  no pipe can fill and stop it.
- Our end of its stdin stays open as long as we live. However we end, by SIGKILL too, the
  system closes it, and the child ends when it reads that end. This needs no process id,
  so it also reaches the real Python behind a launcher such as PythonSlicer: the launcher
  hands stdin on. When the launcher alone is killed, a thread here sees it end and
  closes stdin, and so the real one ends too.
- The end of the child's stdout is the sign that it is gone: every process that served
  has it open.

A child that died is started again by the next question, on another port with another
key. Jobs are kept in `folder` and go on; whoever follows one just waits a little longer.

A folder serves one program at a time. Where none is named, the first program of a user
has the usual folder, a second one at the same time its neighbour, and so on: whoever
starts takes the first that is free, and so finds the jobs of the last time again.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from . import children
from .client import Service
from .errors import Unavailable
from .remote.connection import Address, Connection, Patience
from .remote.failures import Unreachable
from .service.disk import InUse, locked, private_folder

_TO_START = 90.0
_TO_END = 10.0
_MOST_LOG = 1 << 20
_MOST_FOLDERS = 20
_LOCK = "parent.lock"


class LocalService:
    """A service in a child process.

    `folder` keeps its jobs (None: the first usual one that is free at the start); `python`
    is the interpreter, or a launcher of one; `arguments` go to `text2ct serve`;
    `environment` is added to ours, for the child and its workers.
    """

    def __init__(self, python: str = sys.executable, folder: Path | None = None, arguments: Sequence[str] = (),
                 environment: Mapping[str, str] | None = None, patience: Patience | None = None) -> None:
        self._folders = [folder] if folder else _usual_folders()
        self._held: contextlib.ExitStack | None = None
        self.folder = self._folders[0]
        self._python, self._arguments = python, arguments
        self._environment = {**os.environ, **(environment or {})}
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._wanted = False
        self._service = Service.over(Connection(self.address, patience or Patience()))

    @property
    def log(self) -> Path:
        """What the child said besides its answers."""
        return self.folder / "local-service.log"

    @property
    def service(self) -> Service:
        """The service; whatever it is asked, it is first started if it is not running."""
        self._wanted = True
        return self._service

    def start(self) -> Service:
        """The service, ready to answer."""
        service = self.service
        self.address()
        return service

    def stop(self) -> None:
        """End the child and wait until it is gone; a running job is run again at the next start."""
        with self._lock:
            self._wanted = False
            self._service.close()
            if self._child is not None:
                self._child.end()
                self._child = None
            if self._held is not None:
                self._held.close()
                self._held = None

    def __enter__(self) -> LocalService:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def address(self) -> Address:
        """Where the child listens now, and its key; it is started when there is none alive."""
        with self._lock:
            if not self._wanted:
                raise Unreachable("The local service was stopped; start it again.")
            if self._child is None or not self._child.alive:
                if self._child is not None:
                    self._child.end()
                    self._child = None
                self._child = self._started()
            return self._child.address

    def _started(self) -> _Child:
        """A child in our folder; a first one that cannot start leaves the folder to others."""
        with contextlib.ExitStack() as held:
            if self._held is None:
                self.folder = held.enter_context(_first_free([self.folder, *self._folders]))
            child = _Child.started(self._command(), self._environment, self.log)
            self._held = self._held or held.pop_all()
            return child

    def _command(self) -> list[str]:
        return [self._python, "-m", "text2ct", "serve", "--with-parent", "--announce", "json", "--host", "127.0.0.1",
                "--port", "0", "--folder", str(self.folder), *self._arguments]


class _Child:
    """One child process, from its start to its end."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._key = secrets.token_urlsafe(32)
        self._gone = threading.Event()
        self._said: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.address = Address("", self._key)
        with log.open("ab") as stderr:
            self._process = children.begin(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr,
                                           bufsize=0, env=environment)
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it died at once: the end of its stdout will say so
            self._process.stdin.write(f"{self._key}\n".encode())
        for what in (self._listen, self._mourn):
            threading.Thread(target=what, name=f"text2ct local {what.__name__[1:]}", daemon=True).start()

    @classmethod
    def started(cls, command: Sequence[str], environment: Mapping[str, str], log: Path) -> _Child:
        """A child that answers, or one sentence that says why there is none."""
        try:
            log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if log.exists() and log.stat().st_size > _MOST_LOG:
                log.unlink()
            begin = log.stat().st_size if log.exists() else 0
            child = cls(command, environment, log)
        except OSError as error:
            raise Unavailable(f"The local service could not be started with {command[0]} in {log.parent}: "
                              f"{error.strerror or error}; check both.") from error
        try:
            child._wait_until_ready()
        except BaseException as error:
            child.end()
            if isinstance(error, Unreachable):
                raise Unreachable(f"{error} {_last_line(log, begin)} (its log: {log})") from None
            raise
        return child

    @property
    def alive(self) -> bool:
        return not self._gone.is_set() and self._process.poll() is None

    def end(self) -> None:
        """Close its stdin, and wait; what has not ended by then is killed."""
        self._close_stdin()
        if not self._gone.wait(_TO_END):
            children.kill(self._process)
        try:
            self._process.wait(_TO_END)
        except subprocess.TimeoutExpired:
            children.kill(self._process)
            self._process.wait()
        assert self._process.stdout is not None
        if self._gone.wait(_TO_END):
            self._process.stdout.close()

    def _wait_until_ready(self) -> None:
        try:
            said = self._said.get(timeout=_TO_START)
        except queue.Empty:
            raise Unreachable(f"The local service was not ready within {_TO_START:.0f} s.") from None
        if said is None:
            raise Unreachable("The local service ended before it was ready.")
        self.address = Address.checked(str(said.get("url")), self._key)

    def _listen(self) -> None:
        """Hear the line that says ready, and read on so that stdout never fills; its end means that all are gone."""
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout:
                with contextlib.suppress(ValueError, RecursionError):
                    said = json.loads(line)
                    if isinstance(said, dict) and said.get("ready") is True:
                        self._said.put(said)
        self._gone.set()
        self._said.put(None)

    def _mourn(self) -> None:
        """When the process that was started has ended, let any that it left behind see the end of stdin."""
        self._process.wait()
        self._close_stdin()

    def _close_stdin(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()


def _usual_folders() -> list[Path]:
    from .weights.home import home
    first = home() / "local-service"
    return [first, *(first.with_name(f"{first.name}-{number}") for number in range(2, _MOST_FOLDERS + 1))]


@contextlib.contextmanager
def _first_free(folders: Sequence[Path]) -> Iterator[Path]:
    """The first of these folders that no other live program has; it is ours to the end of the block.

    This is the parent's lock. The server has one of its own, which an orphan may hold for
    some seconds after its parent died; the next server waits for that.
    """
    with contextlib.ExitStack() as held:
        for folder in folders:
            try:
                held.enter_context(locked(private_folder(folder) / _LOCK))
            except InUse:
                if folder == folders[-1]:
                    raise
                continue
            except OSError as error:
                raise Unavailable(f"The folder {folder} can't be used: {error.strerror}; give another one.") from error
            yield folder
            return


def _last_line(log: Path, begin: int) -> str:
    """The last thing that a child said since `begin`; a server says there why it cannot run."""
    try:
        with log.open("rb") as stream:
            stream.seek(begin)
            lines = stream.read(_MOST_LOG).decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:500] for line in reversed(lines) if line.strip()), "It said nothing.")
