"""Jobs go through a real server while its workers and the server itself are killed at random moments.

    python tests/chaos/chaos.py --jobs 200 --seed 1

Everything is real and on loopback: HTTP, SQLite, worker processes, the client. Jobs are
reports for the phantom engine, lesions painted into a CT that is sent first, and plays
of a sampler whose state is kept. Each request is asked several times. Clients submit,
listen and fetch, and know nothing of the killing; the more they hear, the more is killed.

What must hold at the end stands in `check`. It prints what was killed and exits with 1,
and one sentence, when anything was lost, differs, or is half.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from victim import Broken, Host, demand, environment, hosted, processes

from text2ct.client import Patience, RemoteJob, Service
from text2ct.geometry import Box
from text2ct.plain import to_plain
from text2ct.requests import GenerateCT, InsertLesion, Request, Result
from text2ct.service.parcels import file_sha256
from text2ct.service.results import RESULT_FILE, Results, file_name
from text2ct.service.sqlite_store import SqliteStore
from text2ct.volume import CTVolume

SHAPE = (24, 20, 16)
TIMES_ASKED = 3
CLIENTS = 4
PATIENCE = Patience(connect=5, silence=30, gone=300, first=60)


def request_of(number: int) -> Request:
    """One of three kinds, each with a seed and so with voxels of its own."""
    if number % 3 == 0:
        return GenerateCT("Small nodule in the left lower lobe.", seed=number, preset="draft", shape=SHAPE)
    if number % 3 == 1:
        return GenerateCT("Samples.", seed=number, preset="draft", shape=SHAPE)
    noise = np.random.default_rng(number).integers(-1000, 400, (64, 60, 40), dtype=np.int16)
    return InsertLesion(CTVolume(noise, np.diag([3.0, 3.0, 4.0, 1.0])), Box.between((60, 60, 60), (90, 90, 90)),
                        seed=number)


@dataclass
class Counted:
    """How much the clients have heard; the killer waits for more."""

    events: int = 0
    more: threading.Condition = field(default_factory=threading.Condition)

    def heard(self) -> None:
        with self.more:
            self.events += 1
            self.more.notify_all()

    def wait(self, events: int, seconds: float) -> None:
        """Until so many more have been heard, or so long."""
        with self.more:
            goal = self.events + events
            self.more.wait_for(lambda: self.events >= goal, seconds)


@dataclass(frozen=True)
class Told:
    """What a client saw of one job when it fetched it first."""

    request: int
    job: str
    voxels: str
    account: str
    files: dict[str, tuple[str, int]]


class Client:
    """Submits, listens, fetches; what it sees must be right at once."""

    def __init__(self, host: Host, counted: Counted, distinct: int) -> None:
        self._host, self._counted, self._distinct = host, counted, distinct

    def job(self, number: int) -> Told:
        service = Service(self._host.url, patience=PATIENCE)
        request, name = request_of(number % self._distinct), f"chaos-{number}"
        job = service.submit(request, name)
        demand(service.submit(request, name).id == job.id, f"The request {name} sent twice became two jobs.")
        self._listen(job)
        seen = fetched(job)
        service.close()
        return Told(number % self._distinct, job.id, *seen, files_of(Results(self._host.folder / "results"), job.id))

    def _listen(self, job: RemoteJob) -> None:
        last, ends = 0, []
        for event in job.events():
            if event.kind == "log" and event.data["line"].startswith("The connection to the server was lost"):
                continue
            self._counted.heard()
            demand(event.number > last, f"The job {job.id} told event {event.number} after event {last}.")
            demand(not ends, f"The job {job.id} told something after its end.")
            last = event.number
            ends += [event.data] if event.kind == "end" else []
        demand(ends == [{"state": "done"}], f"The job {job.id} ended as {ends}.")


def fetched(job: RemoteJob) -> tuple[str, str]:
    """A digest of all voxels of a result, and one of all it says; the client has compared each part with its hash."""
    result: Result = job.result()
    volumes = [v for v in (result.ct, *result.labels) if v is not None]
    voxels = hashlib.sha256(json.dumps([to_plain(volume) for volume in volumes]).encode()).hexdigest()
    said = [to_plain(result.provenance), to_plain(result.ledger), result.score, result.notes]
    return voxels, hashlib.sha256(json.dumps(said).encode()).hexdigest()


def files_of(results: Results, job: str) -> dict[str, tuple[str, int]]:
    """Each file of a public result, its sha256 and when it was written; all that its list names must be whole."""
    view = results.view(job)
    demand(view is not None, f"The job {job} is done and has no result.")
    assert view is not None
    for part in view.parts:
        found = results.part(job, part.name)
        demand(found is not None and file_sha256(found[0]) == part.sha256, f"The part {part.name} of {job} is damaged.")
    folder = results.part(job, "result")
    assert folder is not None
    files = {path.name: (file_sha256(path), path.stat().st_mtime_ns) for path in folder[0].parent.iterdir()}
    expected = {RESULT_FILE, *(file_name(part) for part in view.parts)}
    demand(set(files) == expected, f"The result of {job} holds {sorted(set(files) ^ expected)} too much or too little.")
    return files


class Killer:
    """Kills a worker, the server, or a server that is just starting."""

    def __init__(self, host: Host, counted: Counted, chance: random.Random, every: int) -> None:
        self._host, self._counted, self._chance, self._every = host, counted, chance, every
        self.kills: Counter[str] = Counter()

    def kill_until(self, over: Sequence[Future[Told]], deadline: float) -> None:
        while not all(one.done() for one in over):
            demand(time.monotonic() < deadline, "The jobs did not end in time.")
            failed = next((one for one in over if one.done() and one.exception() is not None), None)
            if failed is not None:
                failed.result()
            self._counted.wait(self._chance.randint(1, 2 * self._every), 10.0)
            time.sleep(self._chance.uniform(0, 0.3))
            if not all(one.done() for one in over):
                self._kill_one()

    def _kill_one(self) -> None:
        if self._chance.random() < 0.5:
            for pid in self._host.workers():
                os.kill(pid, signal.SIGKILL)
                self.kills["worker"] += 1
            return
        self._host.kill()
        self.kills["server"] += 1
        self._seen_whole()
        while self._chance.random() < 0.25:
            self._host.start(until_ready=False)
            time.sleep(self._chance.uniform(0, 2.0))
            self._host.kill()
            self.kills["server as it started"] += 1
        self._host.start()

    def _seen_whole(self) -> None:
        """While the server is dead: whatever is public is whole."""
        results = Results(self._host.folder / "results")
        for folder in (self._host.folder / "results" / "final").iterdir():
            files_of(results, folder.name)


def check(host: Host, told: Sequence[Told]) -> dict[str, int]:
    """Nothing lost, nothing twice, nothing half, nothing left over. The server was stopped."""
    store, results = SqliteStore(host.folder / "jobs.sqlite"), Results(host.folder / "results")
    try:
        jobs = {job.id: job for job in store.jobs(None, limit=1_000_000)}
        demand(set(jobs) == {one.job for one in told} and len(jobs) == len(told), "Jobs were lost or made twice.")
        demand(all(job.state == "done" for job in jobs.values()), f"Not all jobs are done: {store.counts()}.")
        for one in told:
            events = store.events(one.job, 0, 1_000_000)
            numbers = [event.number for event in events]
            demand(numbers == sorted(set(numbers)), f"The numbers of {one.job} do not grow: {numbers}.")
            ends = [event for event in events if event.kind == "end"]
            demand(ends == events[-1:], f"The job {one.job} has not one end: {ends}.")
            demand(files_of(results, one.job) == one.files, f"The result of {one.job} was written again.")
    finally:
        store.close()
    made: dict[int, set[tuple[str, ...]]] = {}
    for one in told:
        parts = sorted(f"{name} {sha}" for name, (sha, _) in one.files.items() if name != RESULT_FILE)
        made.setdefault(one.request, set()).add((one.voxels, *parts))
    demand(all(len(ways) == 1 for ways in made.values()), "The same request gave different bytes.")
    demand(len({way for ways in made.values() for way in ways}) == len(made), "Different requests gave the same bytes.")
    with sqlite3.connect(host.folder / "jobs.sqlite") as raw:
        demand(raw.execute("PRAGMA integrity_check").fetchone() == ("ok",), "The job table is damaged.")
    raw.close()
    nothing_left(host)
    return {"jobs": len(jobs), "requests": len(made), "run again": sum(job.attempt for job in jobs.values()),
            "workers lost": sum(job.crashes for job in jobs.values())}


def nothing_left(host: Host) -> None:
    """No workspace, kept state, piece of an upload, process or port."""
    left = [path.name for folder in ("results/work", "checkpoints") for path in (host.folder / folder).iterdir()]
    left += [path.name for path in host.folder.rglob("*") if path.name.startswith(".") or path.suffix == ".part"]
    demand(not left, f"Left behind: {left}.")
    with socket.socket() as probe:
        demand(probe.connect_ex(("127.0.0.1", host.port)) != 0, "The port is still open.")
    mine, deadline = f"ACTING_FOLDER={host.folder.parent}".encode(), time.monotonic() + 20
    while any(mine in environment(pid) for pid, _ in processes()):
        demand(time.monotonic() < deadline, "Workers were left behind.")
        time.sleep(0.1)


def run(folder: Path, jobs: int, seed: int, every: int, minutes: float) -> dict[str, int]:
    """All jobs through the killing; what was done, or Broken."""
    deadline, counted = time.monotonic() + 60 * minutes, Counted()
    with hosted(folder) as host:
        host.start()
        killer = Killer(host, counted, random.Random(seed), every)
        client = Client(host, counted, max(1, jobs // TIMES_ASKED))
        with ThreadPoolExecutor(CLIENTS) as pool:
            futures = [pool.submit(client.job, number) for number in range(jobs)]
            try:
                killer.kill_until(futures, deadline)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                host.close()
                raise
        told = [future.result() for future in futures]
        again = Service(host.url, patience=PATIENCE)
        for one in told:
            same = fetched(again.attach(one.job)) == (one.voxels, one.account)
            demand(same, f"The job {one.job} changed after it was fetched.")
        again.close()
        host.stop()
        return {**check(host, told), **killer.kills}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=8, help="kill about every so many events that the clients hear")
    parser.add_argument("--minutes", type=float, default=60, help="give up after so long")
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="text2ct-chaos-") as folder:
        try:
            done = run(Path(folder), args.jobs, args.seed, args.every, args.minutes)
        except Broken as error:
            print(f"BROKEN (seed {args.seed}): {error}")
            return 1
    print(f"kept, in {time.monotonic() - began:.0f} s (seed {args.seed}): " + json.dumps(done))
    return 0


if __name__ == "__main__":
    sys.exit(main())
