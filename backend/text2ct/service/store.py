"""What the service must never forget, behind one small interface.

The embedded store is SQLite (`sqlite_store`); a cluster may bring another. All
methods are called from any thread of the HTTP process and return quickly. Order is
by numbers that only grow, never by the clock, which an administrator may set back.

The life of a job:

    queued -> running -> saving -> done
       |         |  \\-> queued again (worker died, server was killed), attempt + 1
       |         \\--> failed (one sentence, an error id)
       \\-> cancelled <- running

`saving` means: the worker has written and synced all parts into a folder of its own,
and the server is renaming it to its final name. Found so after a crash, a job is done
when the final folder is there, and run again otherwise. Each change of state writes
its event in the same transaction; a job in a final state never changes again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .wire import ErrorView, Event, EventKind, JobView, State


@dataclass(frozen=True)
class Job:
    """A job as the server keeps it. `volumes` maps voxel digests to blob names of `owner`."""

    id: str
    number: int
    owner: str
    state: State
    task: str
    engine: str
    request: str
    volumes: Mapping[str, str]
    created: float
    started: float | None = None
    finished: float | None = None
    stage: str = ""
    step: int = 0
    total: int = 0
    attempt: int = 0
    crashes: int = 0
    cancel_asked: bool = False
    error: ErrorView | None = None


class Store(Protocol):
    """Jobs and their events. `owner` is the name of a key; one owner never sees another's jobs."""

    def add(self, owner: str, task: str, engine: str, request: str, volumes: Mapping[str, str], key: str,
            most_queued: int, most_queued_by_owner: int) -> Job:
        """A new queued job, or the one that this idempotency key and body made before.

        Raises Refused("conflict") for the same key with another body, Refused("busy") over a limit.
        """

    def get(self, job_id: str, owner: str | None = None) -> Job | None:
        """The job, when there is one and it is this owner's (None: anyone's)."""

    def jobs(self, owner: str | None, states: Sequence[State] = (), limit: int = 100,
             before: int | None = None) -> list[Job]:
        """Newest first; `before` is the number of the last one seen."""

    def place(self, job: Job) -> int | None:
        """How soon a queued job comes: 1 for the next. None when it is not queued."""

    def next(self) -> Job | None:
        """Take the next queued job and make it running: owners in turn, within an owner the oldest first."""

    def progress(self, job_id: str, stage: str, step: int, total: int, seconds: float) -> None:
        """Note how far a running job is. Only the newest progress event of a job is kept."""

    def event(self, job_id: str, kind: EventKind, data: Mapping[str, Any]) -> None:
        """Add an event (preview: only the newest is kept; log: at most some thousands a job)."""

    def saving(self, job_id: str) -> bool:
        """running -> saving; False when the job is no longer running."""

    def finish(self, job_id: str, state: State, error: ErrorView | None = None) -> bool:
        """To a final state, with the event "end"; False when it already is in one."""

    def requeue(self, job_id: str, note: str, crashed: bool) -> None:
        """running or saving -> queued, in its old place of the line; attempt (and crashes) count up."""

    def ask_cancel(self, job_id: str) -> State:
        """Queued: cancelled at once. Running: remembered for the supervisor. The state after it."""

    def unfinished(self) -> list[Job]:
        """Jobs found running or saving when the server starts."""

    def events(self, job_id: str, after: int, limit: int = 500) -> list[Event]:
        """Events with a number above `after`, in order."""

    def finished(self) -> list[Job]:
        """Jobs in a final state, the oldest first: what retention looks at."""

    def forget(self, job_ids: Iterable[str]) -> None:
        """Remove jobs in a final state and all their events."""

    def counts(self) -> Mapping[State, int]:
        """How many jobs are in each state."""

    def blobs_in_use(self, owner: str) -> set[str]:
        """Names of blobs that this owner's unfinished jobs need."""

    def close(self) -> None:
        """Let go of the file."""


def view(job: Job, place: int | None) -> JobView:
    """What the owner of a job may see of it."""
    return JobView(job.id, job.state, job.task, job.engine, moment(job.created), moment(job.started),
                   moment(job.finished), job.stage, job.step, job.total, place, job.attempt, job.error)


def moment(seconds: float | None) -> str:
    """Seconds since 1970 as ISO 8601."""
    from datetime import datetime, timezone
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds") if seconds else ""
