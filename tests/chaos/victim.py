"""The server that is killed, from outside: a process with a folder and a port, and the workers that it has."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLAYS = HERE.parent / "service"  # where `acting` is


class Broken(Exception):
    """The service did not keep a promise."""


def demand(kept: bool, said: str) -> None:
    if not kept:
        raise Broken(said)


class Host:
    """The server process: started, killed, started again, always on the same port and folder."""

    def __init__(self, folder: Path, within: Sequence[str] = (), arguments: Sequence[str] = ()) -> None:
        self.folder, self.port = folder / "server", free_port()
        self._within, self._arguments = within, arguments
        (folder / "marks").mkdir(parents=True)
        self._environment = {**os.environ, "ACTING_FOLDER": str(folder / "marks"), "PYTHONPATH": os.pathsep.join(
            [str(PLAYS), os.environ.get("PYTHONPATH", "")])}
        self._log = (folder / "server.err").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, until_ready: bool = True) -> None:
        self._process = subprocess.Popen(
            [*self._within, sys.executable, str(HERE / "patient_server.py"), str(self.folder), str(self.port),
             *self._arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=self._environment)
        assert self._process.stdout is not None
        if until_ready:
            demand(bool(self._process.stdout.readline()), f"The server did not start: {self._last_words()}")

    def kill(self) -> None:
        """No goodbye."""
        assert self._process is not None
        self._process.kill()
        self._buried()

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._buried()
        demand(code == 0, f"The server ended with {code}: {self._last_words()}")

    def workers(self) -> list[int]:
        assert self._process is not None
        return [pid for pid, parent in processes() if parent == self._process.pid]

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self._log.close()

    def _last_words(self) -> str:
        return Path(self._log.name).read_text("utf-8", "replace")[-2000:]

    def _buried(self) -> int:
        assert self._process is not None
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return self._process.wait(60)


@contextmanager
def hosted(folder: Path, within: Sequence[str] = (), arguments: Sequence[str] = ()) -> Iterator[Host]:
    """A host to the end of the block; `within` is a command that runs the server's in other surroundings."""
    host = Host(folder, within, arguments)
    try:
        yield host
    finally:
        host.close()


def free_port() -> int:
    """A free port below those that the system gives to clients: one of ours must not take it while the server is
    away, nor reach itself."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def processes() -> Iterator[tuple[int, int]]:
    """Each worker on this machine and its parent, tombstones left out."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX" and b"text2ct.service.worker" in (entry / "cmdline").read_bytes():
                yield int(entry.name), int(parent)
        except OSError:
            continue


def environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
