"""Where a lane gets its next job, and where it is written what became of it.

The lane knows workers and time, the desk knows the store, the blobs and the results.
Whatever ended a job (`Ending`), `conclude` brings it to its next state in steps that can
be repeated: when the disk is full and a step fails, the lane calls again later.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import Text2CTError
from .blobs import Blobs
from .failing import DEFECT, FULL, disk_full
from .log import LOG, log_account, report_defect, words_of
from .messages import Failed, Image, Note, Preview, RunJob, Step
from .options import Options
from .refusal import Refused
from .results import Results
from .store import Job, Store
from .wire import ErrorView, State


@dataclass(frozen=True)
class Ending:
    """How a try of a job ended.

    saved: the result lies in the workspace. failed: the worker says why. died: the worker
    ended by itself or was killed from outside; `why` says how. hung: it was ended by us.
    cancelled: before it began, or ended by us because it did not stop in time. stopped: the
    server stops. `begun` is False when the worker had not even taken the job up: then its
    death is not held against the job. `left` says that the worker is gone or going.
    """

    kind: Literal["saved", "failed", "died", "hung", "cancelled", "stopped"]
    why: str = ""
    failed: Failed | None = None
    begun: bool = True
    left: bool = False


class Desk:
    """The books of all lanes. Called from their threads."""

    def __init__(self, options: Options, store: Store, blobs: Blobs, results: Results,
                 ring: Callable[[str], None]) -> None:
        self._limits, self._crashes = options.limits, options.patience.crashes
        self._store, self._blobs, self._results, self._ring = store, blobs, results, ring
        self._checkpoints = options.folder / "checkpoints"
        self._checkpoints.mkdir(mode=0o700, parents=True, exist_ok=True)

    def recover(self) -> None:
        """Jobs that a server before us left unfinished: done if their result is public, else run again."""
        for job in self._store.unfinished():
            if self._results.view(job.id) is not None:
                self._end(job, "done")
            else:
                self._again(job, "The server was started anew; the job is run again.", crashed=False)
        waiting = {job.id for job in self._store.jobs(None, ("queued",), limit=1_000_000)}
        for path in self._checkpoints.iterdir():
            if path.stem not in waiting:
                path.unlink(missing_ok=True)

    def next(self) -> Job | None:
        """The next job, now running."""
        job = self._store.next()
        if job is not None:
            self._ring(job.id)
        return job

    def order(self, job: Job) -> RunJob:
        """What the worker is told. The last try trusts no kept state: that may be what killed the others."""
        images = tuple(Image(digest, str(self._blobs.path(job.owner, name))) for digest, name in job.volumes.items())
        workspace = self._results.workspace(job.id, job.attempt)
        return RunJob(job.id, job.request, images, str(workspace), str(self._checkpoint(job)),
                      job.crashes == 0 or job.crashes < self._crashes, self._limits.voxels)

    def cancel_asked(self, job: Job) -> bool:
        found = self._store.get(job.id)
        return found is None or found.cancel_asked

    def tell(self, job: Job, report: Step | Preview | Note) -> None:
        """Pass on what a worker says of its running job."""
        if isinstance(report, Step):
            self._store.progress(job.id, report.stage, report.step, report.total, report.seconds)
        elif isinstance(report, Preview):
            self._store.event(job.id, "preview", {"part": report.part})
        else:
            self._store.event(job.id, "log", {"line": report.line})
        self._ring(job.id)

    def conclude(self, job: Job, order: RunJob | None, ending: Ending) -> None:
        """Bring the job to its next state; what is no longer needed of this try is dropped."""
        now = self._store.get(job.id)
        if now is not None and now.state in ("running", "saving"):
            self._settle(now, order, ending)
        if order is not None:
            shutil.rmtree(order.workspace, ignore_errors=True)

    def _settle(self, job: Job, order: RunJob | None, ending: Ending) -> None:
        cancelled = ending.kind == "cancelled" or (ending.failed is not None and ending.failed.code == "cancelled")
        if job.state == "running" and (job.cancel_asked or cancelled):
            self._end(job, "cancelled")
        elif ending.kind == "saved" and order is not None:
            self._publish(job, Path(order.workspace))
        elif ending.kind == "failed" and ending.failed is not None:
            self._end(job, "failed", self._error_of(job, ending.failed))
        elif ending.kind == "stopped":
            self._again(job, "The server was stopped; the job is run again.", crashed=False)
        elif ending.kind == "died" and (job.crashes < self._crashes or not ending.begun):
            self._again(job, f"{ending.why} The job is run again.", crashed=ending.begun)
        else:
            tries = f" It was tried {job.crashes + 1} times." if ending.kind == "died" and job.crashes else ""
            error = ErrorView("failed", f"{ending.why}{tries}", log_account(f"job {job.id}", ending.why))
            self._end(job, "failed", error)

    def _publish(self, job: Job, workspace: Path) -> None:
        """Only here does a result become public, and only once."""
        if job.state == "running" and not self._store.saving(job.id):
            return
        try:
            if self._results.view(job.id) is None:
                self._results.publish(job.id, workspace)
        except (Text2CTError, OSError) as error:
            self._end(job, "failed", self._unpublished(job, error))
        else:
            self._end(job, "done")

    def _unpublished(self, job: Job, error: Text2CTError | OSError) -> ErrorView:
        id_ = report_defect(f"job {job.id}: its result could not be made public", error, words_of(job.request))
        if disk_full(error):
            return ErrorView("full", FULL, id_)
        if isinstance(error, Refused):
            return ErrorView(error.code, str(error), id_)
        return ErrorView("defect", DEFECT, id_)

    def _error_of(self, job: Job, failed: Failed) -> ErrorView:
        id_ = log_account(f"job {job.id}: {failed.code}", failed.account) if failed.account else ""
        return ErrorView(failed.code, failed.message, id_)

    def _again(self, job: Job, note: str, crashed: bool) -> None:
        if job.cancel_asked:
            self._end(job, "cancelled")
            return
        self._store.requeue(job.id, note, crashed)
        LOG.info("job %s: %s", job.id, note)
        self._ring(job.id)

    def _end(self, job: Job, state: State, error: ErrorView | None = None) -> None:
        self._store.finish(job.id, state, error)
        for kept in self._checkpoints.glob(f"*{job.id}.bin"):  # also what a killed worker was just writing
            kept.unlink(missing_ok=True)
        LOG.info("job %s: %s", job.id, state)
        self._ring(job.id)

    def _checkpoint(self, job: Job) -> Path:
        return self._checkpoints / f"{job.id}.bin"
