"""The embedded store against a model of a few lines: whatever is called in whatever order, both say the same."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from text2ct.service import sqlite_store
from text2ct.service.refusal import Refused
from text2ct.service.sqlite_store import SqliteStore
from text2ct.service.wire import FINAL, ErrorView, Event

MOST, MOST_BY_OWNER = 9, 4
OWNERS = st.sampled_from(["ann", "bob", "cyd"])
ANY_JOB = st.integers(0, 30)


@dataclass
class Known:
    """What the model knows of a job, and what a client who follows it has seen."""

    id: str
    number: int
    owner: str
    state: str = "queued"
    attempt: int = 0
    crashes: int = 0
    cancel_asked: bool = False
    step: int | None = None
    told: list[str] = field(default_factory=lambda: ["queued"])
    seen: list[Event] = field(default_factory=list)

    def become(self, state: str) -> None:
        self.state = state
        self.told.append(state)


class StoreAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.synced, sqlite_store.LASTING = sqlite_store.LASTING, "OFF"
        self.now = 1_000.0
        self.store = self.opened()
        self.known: list[Known] = []
        self.keys: dict[tuple[str, str], tuple[str, Known]] = {}
        self.turns: dict[str, int] = {}

    def opened(self) -> SqliteStore:
        return SqliteStore(self.folder / "jobs.sqlite", clock=lambda: self.now)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)
        sqlite_store.LASTING = self.synced

    def pick(self, which: int) -> Known:
        """Any job, but more often one that runs."""
        running = [job for job in self.known if job.state == "running"]
        return running[which % len(running)] if running and which % 2 else self.known[which // 2 % len(self.known)]

    def line(self) -> list[Known]:
        """The queue in the order in which it will be taken."""
        waiting, turns, order = [job for job in self.known if job.state == "queued"], dict(self.turns), []
        while waiting:
            first = min(waiting, key=lambda job: (turns.get(job.owner, 0), oldest(waiting, job.owner), job.number))
            waiting.remove(first)
            turns[first.owner] = max(turns.values(), default=0) + 1
            order.append(first)
        return order

    @rule(owner=OWNERS, key=st.sampled_from(["", "", "k1", "k2"]), text=st.sampled_from(["a", "b"]))
    def add(self, owner: str, key: str, text: str) -> None:
        def ask() -> str:
            return self.store.add(owner, "generate", "phantom", text, {"d": "blob-" + text}, key,
                                  MOST, MOST_BY_OWNER).id
        if key and (owner, key) in self.keys:
            body, job = self.keys[owner, key]
            if body == text:
                assert ask() == job.id
            else:
                refused(ask, "conflict")
            return
        waiting = [job.owner for job in self.known if job.state == "queued"]
        if len(waiting) >= MOST or waiting.count(owner) >= MOST_BY_OWNER:
            refused(ask, "busy")
            return
        made = self.store.get(ask())
        assert made is not None
        assert made.request == text
        assert all(made.number > job.number for job in self.known)
        job = Known(made.id, made.number, owner)
        self.known.append(job)
        if key:
            self.keys[owner, key] = (text, job)

    @rule()
    def take(self) -> None:
        line, job = self.line(), self.store.next()
        assert (job.id if job else None) == (line[0].id if line else None)
        if line:
            self.turns[line[0].owner] = max(self.turns.values(), default=0) + 1
            line[0].become("running")

    @precondition(lambda self: self.known)
    @rule(which=ANY_JOB, step=st.integers(0, 5))
    def progress(self, which: int, step: int) -> None:
        job = self.pick(which)
        self.store.progress(job.id, "drawing", step, 5, 0.5)
        job.step = step if job.state == "running" else job.step

    @precondition(lambda self: self.known)
    @rule(which=ANY_JOB, kind=st.sampled_from(["log", "preview"]))
    def event(self, which: int, kind: str) -> None:
        self.store.event(self.pick(which).id, kind, {"line": "x"})  # type: ignore[arg-type]

    @precondition(lambda self: self.known)
    @rule(which=ANY_JOB)
    def saving(self, which: int) -> None:
        job = self.pick(which)
        assert self.store.saving(job.id) == (job.state == "running")
        if job.state == "running":
            job.become("saving")

    @precondition(lambda self: self.known)
    @rule(which=ANY_JOB, state=st.sampled_from(FINAL))
    def finish(self, which: int, state: str) -> None:
        job = self.pick(which)
        error = ErrorView("failed", "It broke.", "e-1") if state == "failed" else None
        assert self.store.finish(job.id, state, error) == (job.state not in FINAL)  # type: ignore[arg-type]
        if job.state not in FINAL:
            job.become(state)

    @precondition(lambda self: self.known)
    @rule(which=ANY_JOB, crashed=st.booleans())
    def requeue(self, which: int, crashed: bool) -> None:
        job = self.pick(which)
        self.store.requeue(job.id, "once more", crashed)
        if job.state not in ("running", "saving"):
            return
        if job.cancel_asked:
            job.become("cancelled")
            return
        job.become("queued")
        job.attempt, job.crashes, job.step = job.attempt + 1, job.crashes + crashed, None
        if not crashed:
            self.turns.pop(job.owner, None)

    @precondition(lambda self: self.known)
    @rule(which=ANY_JOB)
    def cancel(self, which: int) -> None:
        job = self.pick(which)
        if job.state == "queued":
            job.become("cancelled")
        job.cancel_asked = job.cancel_asked or job.state in ("running", "saving")
        asked = self.store.ask_cancel(job.id)
        assert asked == job.state

    @precondition(lambda self: self.known)
    @rule(which=ANY_JOB)
    def forget(self, which: int) -> None:
        job = self.pick(which)
        self.store.forget([job.id])
        if job.state in FINAL:
            assert self.store.get(job.id) is None
            assert self.store.events(job.id, 0) == []
            self.known.remove(job)
            self.keys = {k: v for k, v in self.keys.items() if v[1] is not job}

    @rule(by=st.floats(-1e6, 1e6))
    def set_clock(self, by: float) -> None:
        self.now += by

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.opened()

    @invariant()
    def every_job_is_as_the_model_says(self) -> None:
        for job in self.known:
            kept = self.store.get(job.id, job.owner)
            assert kept is not None
            assert (kept.state, kept.attempt, kept.crashes, kept.cancel_asked) == (
                job.state, job.attempt, job.crashes, job.cancel_asked)
            assert (kept.finished is not None) == (job.state in FINAL)
            assert kept.step == (job.step or 0)
            assert self.store.get(job.id, "someone else") is None
        counts = self.store.counts()
        assert dict(counts) == {state: sum(job.state == state for job in self.known) for state in counts}

    @invariant()
    def lists_agree(self) -> None:
        newest = [job.id for job in reversed(self.known)]
        assert [job.id for job in self.store.jobs(None)] == newest
        assert {job.id for job in self.store.unfinished()} == {
            job.id for job in self.known if job.state in ("running", "saving")}
        assert {job.id for job in self.store.finished()} == {job.id for job in self.known if job.state in FINAL}
        line = self.line()
        for job in self.store.jobs(None):
            expected = next((at for at, other in enumerate(line, 1) if other.id == job.id), None)
            assert self.store.place(job) == expected

    @invariant()
    def a_follower_sees_every_state_once_in_order(self) -> None:
        for job in self.known:
            last = job.seen[-1].number if job.seen else 0
            job.seen += self.store.events(job.id, last)
            numbers = [event.number for event in job.seen]
            assert numbers == sorted(set(numbers))
            assert [e.data["state"] for e in job.seen if e.kind in ("state", "end")] == job.told
            assert [e.kind for e in job.seen].count("end") == (job.state in FINAL)
            assert (job.seen[-1].kind == "end") == (job.state in FINAL)
            kept = self.store.events(job.id, 0)
            assert [e.data["step"] for e in kept if e.kind == "progress"] == [job.step] * (job.step is not None)
            assert [event.kind for event in kept].count("preview") <= 1


def oldest(waiting: list[Known], owner: str) -> int:
    return min(job.number for job in waiting if job.owner == owner)


def refused(ask: object, code: str) -> None:
    with pytest.raises(Refused) as said:
        ask()  # type: ignore[operator]
    assert said.value.code == code


StoreAgainstModel.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
TestStoreAgainstModel = StoreAgainstModel.TestCase
