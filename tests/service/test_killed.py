"""A real process is killed at random moments while it writes; nothing acknowledged is lost, nothing half is seen."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import doomed
from kept_files import sha

from text2ct.service.blobs import Blobs
from text2ct.service.options import Limits
from text2ct.service.results import Results
from text2ct.service.sqlite_store import SqliteStore
from text2ct.service.wire import FINAL

ROUNDS = 8


def killed_after(seconds: float, *arguments: str, watch: Results | None = None) -> list[list[str]]:
    """Run doomed.py until so long after its first word, kill it, and give back all that it said."""
    child = subprocess.Popen([sys.executable, doomed.__file__, *arguments], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = child.stdout.readline()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for folder in list(watch._final.iterdir()) if watch else []:
            assert_whole(watch, folder.name)
        time.sleep(0.005)
    child.kill()
    said += child.communicate(timeout=60)[0]
    return [line.split() for line in said.splitlines(keepends=True) if line.endswith("\n")]


def assert_whole(results: Results, job_id: str) -> None:
    found = results.part(job_id, "ct")
    assert found is not None
    assert sha(found[0].read_bytes()) == found[1].sha256 == sha(doomed.voxels(job_id))


def test_a_killed_server_loses_no_job_and_shows_no_half_result(tmp_path: Path) -> None:
    chance, added, ended = random.Random(4), set[str](), dict[str, str]()
    results = Results(tmp_path / "results")
    for _ in range(ROUNDS):
        for word, job_id, *state in killed_after(chance.uniform(0.01, 0.25), "jobs", str(tmp_path), watch=results):
            added.add(job_id)
            ended.update({job_id: state[0]} if word == "ended" else {})
        with sqlite3.connect(tmp_path / "jobs.sqlite") as raw:
            assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        raw.close()
        store = SqliteStore(tmp_path / "jobs.sqlite")
        check(store, results, added, ended)
        results.sweep()
        for job in store.unfinished():
            if results.view(job.id):
                assert store.finish(job.id, "done")
            else:
                store.requeue(job.id, "The server was restarted.", crashed=False)
        assert store.unfinished() == []
        check(store, results, added, ended)
        store.close()
    assert len(ended) > ROUNDS


def check(store: SqliteStore, results: Results, added: set[str], ended: dict[str, str]) -> None:
    """What was said is so; each job is in one state, its events in order, its result whole."""
    jobs = {job.id: job for job in store.jobs(None, limit=100_000)}
    assert added <= set(jobs)
    assert {job_id: jobs[job_id].state for job_id in ended} == ended
    assert sum(store.counts().values()) == len(jobs)
    for job in jobs.values():
        events = store.events(job.id, 0)
        numbers = [event.number for event in events]
        assert numbers == sorted(set(numbers))
        assert [event.kind for event in events].count("end") == (job.state in FINAL)
        assert (events[-1].kind == "end") == (job.state in FINAL)
        if job.state == "done":
            assert_whole(results, job.id)


def test_a_killed_upload_goes_on_where_it_was(tmp_path: Path) -> None:
    size, chance, acknowledged = 24 << 20, random.Random(9), 0
    name = sha(doomed.contents(size))
    for _ in range(5):
        words = killed_after(chance.uniform(0.0, 0.05), "blob", str(tmp_path), "ann", str(size))
        acknowledged = max([acknowledged, *(int(offset) for _, offset in words)])
        blobs = Blobs(tmp_path, Limits())
        assert blobs.offset("ann", name) >= acknowledged
        assert blobs.complete("ann", name) in (None, size)
    assert acknowledged > 0
    subprocess.run([sys.executable, doomed.__file__, "blob", str(tmp_path), "ann", str(size)], check=True,
                   stdout=subprocess.DEVNULL, timeout=60)
    assert sha(blobs.path("ann", name).read_bytes()) == name
