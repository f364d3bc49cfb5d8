"""What may go, and letting it go: results by age and by space, images that nobody needs.

Only jobs that have ended are ever looked at. Age is counted from a job's end on the
wall clock, and is never below 0: after the clock was set back, results stay longer,
none goes early. For space the oldest go first, in the order in which jobs ended (not
by the clock); the newest result stays even when it alone is too large, because
someone is about to fetch it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .blobs import Blobs
from .options import Retention
from .results import Results
from .store import Store

DAY = 86400.0
HOUR = 3600.0


@dataclass(frozen=True)
class Ended:
    """A job that has ended, and how much its result takes."""

    id: str
    finished: float
    bytes: int


@dataclass(frozen=True)
class Sweep:
    """What was dropped."""

    jobs: tuple[str, ...]
    result_bytes: int
    blob_bytes: int


def overdue(ended: Sequence[Ended], retention: Retention, now: float) -> list[Ended]:
    """Which of the jobs, given oldest first, are kept no longer."""
    old = [job for job in ended if max(0.0, now - job.finished) > retention.days * DAY]
    gone = {job.id for job in old}
    large = [job for job in ended if job.bytes and job.id not in gone]
    excess = sum(job.bytes for job in large) - retention.bytes
    for job in large[:-1]:
        if excess <= 0:
            break
        old.append(job)
        excess -= job.bytes
    return old


def sweep(store: Store, results: Results, blobs: Blobs, retention: Retention, now: float) -> Sweep:
    """Drop what is overdue. A result goes before its job: stopped between, the next sweep finds the job again."""
    ended = [Ended(job.id, job.finished or 0.0, results.bytes_of(job.id)) for job in store.finished()]
    going = overdue(ended, retention, now)
    for job in going:
        results.discard(job.id)
    store.forget(job.id for job in going)
    freed = blobs.drop_unused(store.blobs_in_use, retention.unused_blob_hours * HOUR, now)
    return Sweep(tuple(job.id for job in going), sum(job.bytes for job in going), freed)
