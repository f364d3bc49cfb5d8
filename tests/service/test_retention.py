"""What is dropped, and above all what is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kept_files import put, sha, write_result

from text2ct.service.blobs import Blobs
from text2ct.service.options import Limits, Retention
from text2ct.service.results import Results
from text2ct.service.retention import DAY, HOUR, Ended, overdue, sweep
from text2ct.service.sqlite_store import SqliteStore

JOBS = st.lists(st.tuples(st.floats(-1e10, 1e10), st.integers(0, 100)), max_size=20).map(
    lambda made: [Ended(str(n), finished, size) for n, (finished, size) in enumerate(made)])


@given(JOBS, st.floats(0.01, 1000), st.integers(1, 500), st.floats(-1e10, 1e10))
def test_what_is_left_is_young_and_small_enough_and_the_newest(
        jobs: list[Ended], days: float, space: int, now: float) -> None:
    gone = {job.id for job in overdue(jobs, Retention(days, space), now)}
    left = [job for job in jobs if job.id not in gone]
    assert all(now - job.finished <= days * DAY for job in left)
    heavy = [job for job in left if job.bytes]
    assert sum(job.bytes for job in heavy) <= space or len(heavy) == 1
    young = [job for job in jobs if now - job.finished <= days * DAY]
    young_heavy = [job for job in young if job.bytes]
    assert heavy == young_heavy[len(young_heavy) - len(heavy):]
    assert [job for job in young if not job.bytes] == [job for job in left if not job.bytes]
    if heavy != young_heavy:
        one_more = young_heavy[len(young_heavy) - len(heavy) - 1:]
        assert sum(job.bytes for job in one_more) > space


def test_what_just_fits_stays() -> None:
    ended = [Ended("a", 0.0, 5), Ended("b", 0.0, 5), Ended("c", 0.0, 5)]
    assert overdue(ended, Retention(days=1.0, bytes=15), now=0.0) == []
    assert overdue(ended, Retention(days=1.0, bytes=10), now=0.0) == ended[:1]
    assert overdue(ended, Retention(days=1.0, bytes=14), now=1.0 + DAY) == ended


def test_after_the_clock_was_set_back_nothing_goes_early() -> None:
    ended = [Ended("future", 4e9, 5), Ended("now", 1000.0, 5)]
    assert overdue(ended, Retention(days=1.0, bytes=100), now=1000.0) == []
    assert overdue(ended, Retention(days=1.0, bytes=100), now=-5.0) == []


class Kept:
    """A server's folder with a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.now = 1e9
        self.store = SqliteStore(folder / "jobs.sqlite", clock=lambda: self.now)
        self.results, self.blobs = Results(folder / "results"), Blobs(folder / "blobs", Limits())

    def job(self, size: int, state: str = "done") -> str:
        job = self.store.add("ann", "generate", "phantom", "{}", {}, "", 99, 99)
        if state != "queued":
            self.store.next()
        if state == "done":
            workspace = self.results.workspace(job.id, 0)
            write_result(workspace, b"v" * size)
            self.results.publish(job.id, workspace)
        if state not in ("queued", "running"):
            self.store.finish(job.id, state)  # type: ignore[arg-type]
        self.now += 10
        return job.id


@pytest.fixture
def kept(tmp_path: Path) -> object:
    made = Kept(tmp_path)
    yield made
    made.store.close()


def test_old_results_go_with_their_jobs_and_events_and_unended_jobs_never(kept: Kept) -> None:
    running = kept.job(0, "running")
    queued = kept.job(0, "queued")
    old = kept.store.add("bob", "generate", "phantom", "{}", {}, "", 99, 99).id
    kept.store.finish(old, "failed")
    kept.now += 2 * DAY
    workspace = kept.results.workspace(running, 0)
    done = sweep(kept.store, kept.results, kept.blobs, Retention(days=1.0), kept.now)
    assert done.jobs == (old,)
    assert {job.id for job in kept.store.jobs(None)} == {running, queued}
    assert kept.store.events(old, 0) == []
    assert workspace.is_dir()


def test_for_space_the_oldest_results_go_first(kept: Kept) -> None:
    ids = [kept.job(size) for size in (5000, 5000, 5000, 5000)]
    one = kept.results.bytes_of(ids[0])
    done = sweep(kept.store, kept.results, kept.blobs, Retention(bytes=2 * one + 100), kept.now)
    assert done.jobs == tuple(ids[:2])
    assert done.result_bytes == 2 * one
    assert [kept.results.view(job_id) is None for job_id in ids] == [True, True, False, False]
    assert sweep(kept.store, kept.results, kept.blobs, Retention(bytes=1), kept.now).jobs == (ids[2],)
    assert sweep(kept.store, kept.results, kept.blobs, Retention(bytes=1), kept.now).jobs == ()


def test_a_sweep_that_was_stopped_between_result_and_job_is_made_good_by_the_next(kept: Kept) -> None:
    job_id = kept.job(500)
    kept.results.discard(job_id)
    kept.now += 2 * DAY
    assert sweep(kept.store, kept.results, kept.blobs, Retention(days=1.0), kept.now).jobs == (job_id,)
    assert kept.store.get(job_id) is None


def test_an_image_goes_when_no_job_needs_it_and_it_is_old(kept: Kept) -> None:
    needed, idle, fresh = (put(kept.blobs, "ann", data) for data in (b"needed", b"idle", b"fresh"))
    job = kept.store.add("ann", "score", "phantom", "{}", {"d": needed}, "", 99, 99)
    for name, age in ((needed, 30 * HOUR), (idle, 25 * HOUR), (fresh, 23 * HOUR)):
        os.utime(kept.blobs.path("ann", name), (kept.now - age, kept.now - age))
    assert sweep(kept.store, kept.results, kept.blobs, Retention(), kept.now).blob_bytes == len(b"idle")
    assert [kept.blobs.path("ann", name).is_file() for name in (needed, fresh)] == [True, True]
    kept.store.finish(job.id, "done")
    assert sweep(kept.store, kept.results, kept.blobs, Retention(), kept.now).blob_bytes == len(b"needed")
    assert kept.blobs.complete("ann", sha(b"idle")) is None
