"""A supervisor with its real store, blobs, results and worker processes, and questions to put to them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from text2ct.requests import GenerateCT, Request, to_json
from text2ct.service import parcels
from text2ct.service.blobs import Blobs
from text2ct.service.link import Hire
from text2ct.service.log import close_log, open_log
from text2ct.service.options import Options, Patience
from text2ct.service.results import Results
from text2ct.service.sqlite_store import SqliteStore
from text2ct.service.store import Job
from text2ct.service.supervisor import Supervisor
from text2ct.service.wire import FINAL
from text2ct.volume import CTVolume

SHAPE = (24, 20, 16)


def play(report: str, seed: int = 1) -> GenerateCT:
    return GenerateCT(report, seed=seed, preset="draft", shape=SHAPE)


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for something that must happen; far longer than it takes."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether there is such a process, and not only its tombstone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Playhouse:
    def __init__(self, folder: Path, patience: Patience | None = None, loader: str = "acting:load",
                 devices: tuple[str, ...] = ("auto",), hire: Hire | None = None) -> None:
        self.folder = folder
        self.options = Options(folder, patience=patience or Patience(), devices=devices)
        open_log(folder)
        self.store = SqliteStore(folder / "jobs.sqlite")
        self.blobs = Blobs(folder / "blobs", self.options.limits)
        self.results = Results(folder / "results")
        self.rung: set[str] = set()
        self.supervisor = Supervisor(self.options, self.store, self.blobs, self.results, self.rung.add, loader=loader,
                                     hire=hire)

    def __enter__(self) -> Playhouse:
        self.supervisor.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.supervisor.stop()
        self.store.close()
        close_log()

    def add(self, request: Request | str, volumes: dict[str, str] | None = None) -> str:
        if isinstance(request, str):
            request = play(request)
        job = self.store.add("local", request.task, request.engine, to_json(request), volumes or {}, "", 1000, 1000)
        self.supervisor.wake()
        return job.id

    def job(self, job_id: str) -> Job:
        found = self.store.get(job_id)
        assert found is not None
        return found

    def ended(self, job_id: str) -> Job:
        until(lambda: self.job(job_id).state in FINAL)
        return self.job(job_id)

    def do(self, request: Request | str) -> Job:
        return self.ended(self.add(request))

    def running(self, request: Request | str) -> str:
        """A job whose engine has begun."""
        id_ = self.add(request)
        until(lambda: self.job(id_).stage != "")
        return id_

    def cancel(self, job_id: str) -> None:
        if self.store.ask_cancel(job_id) == "running":
            self.supervisor.cancel(job_id)

    def ct(self, job_id: str) -> CTVolume:
        found = self.results.part(job_id, "ct")
        assert found is not None
        return parcels.read_ct(found[0], 1 << 30)

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        return children_of(None)

    def log(self) -> str:
        return (self.folder / "logs" / "server.log").read_text()

    def said(self, job_id: str, kind: str) -> list[dict[str, object]]:
        return [event.data for event in self.store.events(job_id, 0) if event.kind == kind]


def children_of(pid: int | None) -> list[int]:
    """The workers that this process, or another, has started."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == (pid or os.getpid()) and b"text2ct.service.worker" in (entry / "cmdline").read_bytes() \
                    and runs(int(entry.name)):
                found.append(int(entry.name))
    return found
