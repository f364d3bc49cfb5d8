"""The embedded store: what it promises to owners, on a full disk and under a wrong clock."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from text2ct.errors import Unavailable
from text2ct.service import disk, sqlite_store
from text2ct.service.refusal import Refused
from text2ct.service.schema import MIGRATIONS
from text2ct.service.sqlite_store import SqliteStore
from text2ct.service.store import Job, view
from text2ct.service.wire import ErrorView


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "kept" / "jobs.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of thousands of jobs that are not about the disk, which may be slow."""
    monkeypatch.setattr(sqlite_store, "LASTING", "OFF")


def added(store: SqliteStore, owner: str = "ann", key: str = "", text: str = "{}", **more: object) -> Job:
    return store.add(owner, "generate", "phantom", text, more.get("volumes", {}), key, 5000, 5000)  # type: ignore[arg-type]


def refusal(call: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as said:
        call()
    return said.value


def test_a_job_keeps_all_that_was_given(store: SqliteStore) -> None:
    text = '{"report": "Knötchen \\u0000 ' + "x" * 200_000 + '"}'
    made = added(store, text=text, volumes={"d1": "b1", "d2": "b2"})
    kept = store.get(made.id, "ann")
    assert kept == made
    assert (kept.request, dict(kept.volumes), kept.state) == (text, {"d1": "b1", "d2": "b2"}, "queued")
    assert store.get(made.id, "bob") is None
    assert view(kept, store.place(kept)).place == 1


def test_lists_leave_the_texts_out_and_a_taken_job_has_its_text(store: SqliteStore) -> None:
    added(store, text="long", volumes={"d": "b"})
    assert [(job.request, job.volumes) for job in store.jobs("ann")] == [("", {"d": "b"})]
    taken = store.next()
    assert taken is not None
    assert taken.request == "long"
    assert [job.request for job in store.unfinished()] == [""]


def test_the_same_key_and_body_give_the_same_job_in_whatever_state(store: SqliteStore) -> None:
    first = added(store, key="k", text="a")
    assert added(store, key="k", text="a").id == first.id
    assert added(store, owner="bob", key="k", text="b").id != first.id
    store.next()
    store.finish(first.id, "done")
    assert added(store, key="k", text="a").state == "done"
    assert refusal(lambda: added(store, key="k", text="b")).code == "conflict"
    assert refusal(lambda: added(store, key="k", text="a", volumes={"d": "b"})).code == "conflict"
    assert added(store, text="a").id != added(store, text="a").id


def test_a_full_queue_says_how_many_wait(store: SqliteStore) -> None:
    for owner in ("ann", "ann", "bob"):
        store.add(owner, "generate", "phantom", "{}", {}, "", 3, 2)
    mine = refusal(lambda: store.add("ann", "generate", "phantom", "{}", {}, "", 9, 2))
    everyone = refusal(lambda: store.add("cyd", "generate", "phantom", "{}", {}, "", 3, 2))
    assert (mine.code, everyone.code) == ("busy", "busy")
    assert "2 of your jobs" in str(mine)
    assert "3 jobs" in str(everyone)
    store.next()
    assert store.add("ann", "generate", "phantom", "{}", {}, "", 3, 2).state == "queued"


@pytest.mark.usefixtures("unsynced")
@pytest.mark.parametrize("late", [False, True])
def test_a_thousand_jobs_of_five_owners_are_taken_in_turn(store: SqliteStore, late: bool) -> None:
    """One owner sends most of them, and first; whoever has jobs left gets his fifth, within one job."""
    sizes = {"a": 600, "b": 100, "c": 100, "d": 100, "e": 100}
    for owner, size in sizes.items():
        if late and owner == "a":
            continue
        for _ in range(size):
            added(store, owner)
    if late:
        for _ in range(sizes["a"]):
            added(store, "a")
    taken = [job.owner for job in iter(store.next, None)]
    assert Counter(taken) == sizes
    for end in range(5, 501):
        shares = Counter(taken[:end])
        assert max(shares.values()) - min(shares[owner] for owner in sizes) <= 1
    numbers = {owner: [job.number for job in reversed(store.jobs(owner, limit=1000))] for owner in sizes}
    assert all(numbers[owner] == sorted(numbers[owner]) for owner in sizes)


@pytest.mark.usefixtures("unsynced")
def test_an_owner_who_comes_later_does_not_wait_for_the_thousand_before(store: SqliteStore) -> None:
    for _ in range(1000):
        added(store, "heavy")
    store.next()
    light = added(store, "light")
    assert store.place(light) == 1
    assert [event.data["place"] for event in store.events(light.id, 0)] == [1]
    assert store.next() == store.get(light.id)


def test_a_job_taken_back_by_a_stop_comes_first_again_but_not_one_that_crashed(store: SqliteStore) -> None:
    mine, other = added(store, "ann"), added(store, "bob")
    store.next()
    store.requeue(mine.id, "The server was restarted.", crashed=False)
    assert [store.place(job) for job in (mine, other)] == [1, 2]
    store.next()
    store.requeue(mine.id, "The worker died.", crashed=True)
    assert [store.place(job) for job in (mine, other)] == [2, 1]
    again = store.get(mine.id)
    assert again is not None
    assert (again.attempt, again.crashes, again.started, again.step) == (2, 1, None, 0)


def test_a_cancel_that_was_asked_survives_the_death_of_the_worker(store: SqliteStore) -> None:
    job = added(store)
    store.next()
    assert store.ask_cancel(job.id) == "running"
    store.requeue(job.id, "The worker died.", crashed=True)
    assert [event.kind for event in store.events(job.id, 0)][-1] == "end"
    assert store.next() is None
    assert refusal(lambda: store.ask_cancel("f" * 32)).code == "not_found"


def test_nothing_is_told_after_the_end(store: SqliteStore) -> None:
    job = added(store)
    store.next()
    assert store.finish(job.id, "failed", ErrorView("failed", "The disk broke.", "e-1"))
    before = store.events(job.id, 0)
    store.progress(job.id, "late", 1, 2, 0.1)
    store.event(job.id, "log", {"line": "late"})
    store.requeue(job.id, "late", crashed=True)
    assert store.finish(job.id, "done") is False
    assert store.saving(job.id) is False
    assert store.ask_cancel(job.id) == "failed"
    assert store.events(job.id, 0) == before
    error = {"code": "failed", "message": "The disk broke.", "id": "e-1"}
    assert before[-1].data == {"state": "failed", "error": error}
    assert store.finished()[0].error == ErrorView("failed", "The disk broke.", "e-1")


def test_the_file_itself_refuses_to_change_a_final_state(store: SqliteStore, tmp_path: Path) -> None:
    job = added(store)
    store.finish(job.id, "done")
    with sqlite3.connect(tmp_path / "kept" / "jobs.sqlite") as raw, pytest.raises(sqlite3.IntegrityError):
        raw.execute("UPDATE jobs SET state = 'queued'")
    raw.close()


def test_only_the_newest_progress_and_preview_are_kept_and_none_of_an_earlier_attempt(store: SqliteStore) -> None:
    job = added(store)
    store.next()
    for step in range(4):
        store.progress(job.id, "drawing", step, 4, 0.5)
        store.event(job.id, "preview", {"part": f"preview-{step}"})
    kept = store.events(job.id, 0)
    assert [(event.kind, event.data) for event in kept[2:]] == [
        ("progress", {"stage": "drawing", "step": 3, "total": 4, "seconds": 0.5}), ("preview", {"part": "preview-3"})]
    now = store.get(job.id)
    assert now is not None
    assert (now.stage, now.step, now.total) == ("drawing", 3, 4)
    store.requeue(job.id, "The worker died.", crashed=True)
    assert {event.kind for event in store.events(job.id, 0)} == {"state"}


def test_of_many_log_lines_the_first_thousands_are_kept(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "MOST_LOG_LINES", 4)
    job = added(store)
    store.next()
    for line in range(9):
        store.event(job.id, "log", {"line": str(line)})
    lines = [event.data["line"] for event in store.events(job.id, 0) if event.kind == "log"]
    assert lines == ["0", "1", "2", "Further lines are left out."]
    with pytest.raises(ValueError, match="end"):
        store.event(job.id, "end", {})


def test_events_come_in_pieces_and_jobs_in_pages(store: SqliteStore) -> None:
    ids = [added(store).id for _ in range(7)]
    page = store.jobs("ann", limit=3)
    rest = store.jobs("ann", limit=100, before=page[-1].number)
    assert [job.id for job in page + rest] == ids[::-1]
    store.next()
    for line in range(9):
        store.event(ids[0], "log", {"line": line})
    pieces, after = [], 0
    while piece := store.events(ids[0], after, limit=2):
        pieces.append(piece)
        after = piece[-1].number
    assert [event for piece in pieces for event in piece] == store.events(ids[0], 0)
    assert [job.id for job in store.jobs(None, ("running",))] == ids[:1]


@pytest.mark.parametrize("odd", [-1, 0, 2**63, 10**30, -(10**30)])
def test_numbers_from_outside_may_be_of_any_size(store: SqliteStore, odd: int) -> None:
    job = added(store)
    assert len(store.jobs("ann", before=odd)) == (odd > 1)
    assert len(store.jobs("ann", limit=odd)) == (odd > 0)
    assert len(store.events(job.id, odd)) == (odd < 1)
    for name in ("", "../x", "\ud800", "x" * 10_000, job.id + "\n"):
        assert store.get(name) is None
        assert store.events(name, 0) == []
    assert refusal(lambda: added(store, text="\ud800")).code == "bad_request"
    assert len(store.jobs(None)) == 1


def test_blobs_are_in_use_until_the_last_job_that_needs_them_ends(store: SqliteStore) -> None:
    first, second = added(store, volumes={"d": "b1", "e": "b2"}), added(store, volumes={"d": "b2"})
    added(store, owner="bob", volumes={"d": "b3"})
    assert store.blobs_in_use("ann") == {"b1", "b2"}
    store.ask_cancel(first.id)
    assert store.blobs_in_use("ann") == {"b2"}
    store.finish(second.id, "done")
    assert store.blobs_in_use("ann") == set()


def test_the_past_and_the_future_change_no_order(tmp_path: Path) -> None:
    times = iter([5e9, 5e9, 1.0, 1.0, 2e9, 3.0, 4e9, 2.0])
    store = SqliteStore(tmp_path / "jobs.sqlite", clock=lambda: next(times))
    ids = [added(store).id for _ in range(3)]
    taken = [store.next() for _ in ids]
    assert [job.id for job in taken if job] == ids
    for job_id in (ids[2], ids[0]):
        store.finish(job_id, "done")
    assert [job.id for job in store.finished()] == [ids[2], ids[0]]
    assert [job.id for job in store.jobs("ann")] == ids[::-1]
    store.close()


def test_numbers_seen_before_a_power_failure_are_never_given_again(tmp_path: Path) -> None:
    """The unsynced tail is lost: a copy of the files from before it stands for the disk after the failure."""
    path = tmp_path / "jobs.sqlite"
    store = SqliteStore(path)
    job, waiting = added(store), added(store)
    store.next()
    shutil.copytree(tmp_path, tmp_path / "survived")
    for step in range(50):
        store.progress(job.id, "drawing", step, 50, 0.1)
    seen = store.events(job.id, 0)[-1].number
    seen_waiting = store.events(waiting.id, 0)[-1].number
    store.close()
    store = SqliteStore(tmp_path / "survived" / "jobs.sqlite")
    store.requeue(job.id, "The server was restarted.", crashed=False)
    store.ask_cancel(waiting.id)
    assert [event.data["state"] for event in store.events(job.id, seen)] == ["queued"]
    assert [event.data["state"] for event in store.events(waiting.id, seen_waiting)] == ["cancelled"]
    store.close()


def test_what_was_promised_is_synced_and_progress_is_not(store: SqliteStore) -> None:
    """SQLite says itself with which setting the last change was made: 2 syncs each commit, 1 does not."""
    def last() -> int:
        return int(store._writer.execute("PRAGMA synchronous").fetchone()[0])
    job = added(store)
    assert last() == 2
    store.next()
    store.progress(job.id, "drawing", 1, 2, 0.1)
    assert last() == 1
    store.ask_cancel(job.id)
    assert last() == 2
    store.event(job.id, "log", {"line": ""})
    assert last() == 1
    store.finish(job.id, "cancelled")
    assert last() == 2


def test_a_full_disk_refuses_the_change_and_leaves_all_as_it_was(store: SqliteStore) -> None:
    """SQLite is told that its file may not grow, which fails like a disk without room."""
    job = added(store)
    (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
    store._writer.execute(f"PRAGMA max_page_count = {pages}")
    assert refusal(lambda: added(store, text="x" * 100_000)).code == "full"
    assert [kept.id for kept in store.jobs(None)] == [job.id]
    assert dict(store.counts())["queued"] == 1
    store._writer.execute("PRAGMA max_page_count = 1000000")
    assert added(store, text="x" * 100_000).number > job.number


def test_taking_in_stops_before_the_disk_is_full_so_that_jobs_can_still_end(
        store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    job = added(store)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=disk.RESERVE - 1))
    assert refusal(lambda: added(store)).code == "full"
    assert store.next() is not None
    assert store.finish(job.id, "done")


def test_a_damaged_or_newer_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "noise.sqlite").write_bytes(os.urandom(9000))
    with pytest.raises(Unavailable, match=r"noise\.sqlite is damaged"):
        SqliteStore(tmp_path / "noise.sqlite")
    SqliteStore(tmp_path / "new.sqlite").close()
    with sqlite3.connect(tmp_path / "new.sqlite") as raw:
        raw.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    raw.close()
    with pytest.raises(Unavailable, match="newer text2ct"):
        SqliteStore(tmp_path / "new.sqlite")


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_the_file_is_for_its_own_user_only(store: SqliteStore, tmp_path: Path) -> None:
    added(store)
    files = list((tmp_path / "kept").iterdir())
    assert len(files) == 3
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "kept").stat().st_mode) == 0o700


def test_the_text_of_a_forgotten_job_is_not_left_in_the_file(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "jobs.sqlite")
    job = added(store, text="Private words of a report. " * 400)
    store.finish(job.id, "done")
    store.forget([job.id])
    store.close()
    assert b"Private words" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_lists_and_the_queue_are_read_from_an_index(store: SqliteStore) -> None:
    """Whatever grows with the table is found by an index, so that 10,000 jobs cost no more than 100."""
    asked: list[str] = []
    store._reader.set_trace_callback(asked.append)
    job = added(store)
    store.jobs(None)
    store.jobs("ann")
    store.jobs("ann", ("running", "saving"))
    store.place(job)
    store.events(job.id, 0)
    store.finished()
    store.blobs_in_use("ann")
    store._reader.set_trace_callback(None)
    selects = [query for query in asked if query.startswith("SELECT")]
    assert len(selects) >= 8
    for query in selects:
        plan = [row["detail"] for row in store._reader.execute("EXPLAIN QUERY PLAN " + query)]
        assert not [line for line in plan if line in ("SCAN j", "SCAN jobs", "SCAN e", "SCAN events", "SCAN t")], query
