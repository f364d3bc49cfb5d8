"""One device: its worker, and the jobs that go through it one after the other.

A lane is a thread with an inbox. Whatever happens (a worker's report or its end, a new
job in the queue, a cancel, the server's stop) comes through the inbox or is seen within a
second; nothing else changes the lane's state, so that there is nothing to lock but what
others look at.

    hire -> wait until ready -> take a job -> follow it to its ending -> conclude -> ...

A worker that cannot start is tried again after a pause that doubles, and takes no job
meanwhile: a broken installation costs no jobs. Time is that of a clock that nobody can
set; a pause of the whole server (a laptop asleep) is not held against the worker.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .desk import Desk, Ending
from .failing import failure_of
from .link import Gone, Hire, Link
from .log import LOG, report_defect, without_folders, words_of
from .messages import Beat, CancelJob, Failed, Note, Preview, Ready, Report, RunJob, Saved, Step
from .options import Patience
from .store import Job

_LOOK_EVERY = 1.0
_LONGEST_PAUSE = 60.0
_ASLEEP = 10.0
Call: TypeAlias = Literal["wake", "cancel", "stop"]


@dataclass(frozen=True)
class WorkerView:
    """A worker as the administrator may see it. `trouble` says why it is not there; "" when it is."""

    device: str
    alive: bool
    job: str = ""
    memory: int = 0
    restarts: int = 0
    trouble: str = ""


class Lane:
    """The thread of one device."""

    def __init__(self, device: str, hire: Hire, desk: Desk, patience: Patience) -> None:
        self._device, self._hire_worker, self._desk, self._patience = device, hire, desk, patience
        self._inbox: queue.SimpleQueue[tuple[Link | None, Report | Gone | Call]] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._job, self._cancelled = "", False
        self._alive, self._memory, self._hired, self._trouble = False, 0, 0, ""
        self._failures = 0
        self._thread = threading.Thread(target=self._live, name=f"lane {device}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There may be a job."""
        self._inbox.put((None, "wake"))

    def cancel(self, job_id: str) -> None:
        """Stop this job if it is the one here."""
        with self._lock:
            if self._job != job_id:
                return
            self._cancelled = True
        self._inbox.put((None, "cancel"))

    def stop(self) -> None:
        """End the worker and the lane; `join` waits for it."""
        self._stopping.set()
        self._inbox.put((None, "stop"))

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    @property
    def idle(self) -> bool:
        return not self._job

    def view(self) -> WorkerView:
        with self._lock:
            return WorkerView(self._device, self._alive, self._job, self._memory if self._alive else 0,
                              max(0, self._hired - 1), self._trouble)

    def _live(self) -> None:
        while not self._stopping.is_set():
            link: Link | None = None
            try:
                link = self._hire()
                if link is not None:
                    self._serve(link)
            except Exception as error:  # the lane must outlive whatever its surroundings do
                self._lost(f"{type(error).__name__}, {report_defect(f'lane {self._device}', error)}")
            finally:
                self._set(alive=False)
                if link is not None:
                    link.end()
            self._stopping.wait(_pause(self._failures))

    def _hire(self) -> Link | None:
        """A worker that is ready for jobs, or None and a trouble."""
        self._set(hired=self._hired + 1)
        try:
            link = self._hire_worker(self._device, lambda source, report: self._inbox.put((source, report)))
        except OSError as error:
            self._lost(f"it could not be started: {error.strerror}")
            return None
        deadline = time.monotonic() + self._patience.start
        while not self._stopping.is_set() and time.monotonic() < deadline:
            report = self._heard(link)
            if isinstance(report, Ready):
                self._set(alive=True, trouble="")
                return link
            if isinstance(report, Gone):
                self._lost(f"it ended as it started, {_last_words(report)}")
                return None
        link.end()
        if not self._stopping.is_set():
            self._lost("it was not ready in time")
        return None

    def _lost(self, why: str) -> None:
        """There is no worker for a while, and that is no job's fault."""
        self._failures += 1
        trouble = f"The worker for {self._device} is away ({without_folders(why)}); it is tried again, and jobs wait."
        LOG.error("%s", trouble)
        self._set(trouble=trouble)

    def _serve(self, link: Link) -> None:
        """Jobs, until this worker is of no use any more."""
        now = heard = time.monotonic()
        while not self._stopping.is_set():
            if self._inbox.empty() and (job := self._next()) is not None:
                if self._work(job, link).left:
                    return
                now = heard = time.monotonic()
                continue
            before, report = now, self._heard(link)
            now = time.monotonic()
            if report is not None or now - before > _ASLEEP:
                heard = now
            if isinstance(report, Gone):
                return self._lost(f"it ended while it had nothing to do, {_last_words(report)}")
            if now - heard > self._patience.beat:
                return self._lost("it gave no sign of life")

    def _next(self) -> Job | None:
        try:
            return self._desk.next()
        except Exception as error:
            report_defect(f"lane {self._device}: no job could be taken", error)
            self._stopping.wait(_LOOK_EVERY)
            return None

    def _work(self, job: Job, link: Link) -> Ending:
        """One job from queue to ending."""
        with self._lock:
            self._job, self._cancelled = job.id, False
        order: RunJob | None = None
        try:
            order = self._desk.order(job)
            ending = Ending("cancelled") if self._desk.cancel_asked(job) else self._follow(order, link, job)
        except Exception as error:  # whatever it is, it is this job's end, not the lane's
            ending = Ending("failed", failed=failure_of(error, job.id, job.request), left=order is not None)
        self._insist(lambda: self._desk.conclude(job, order, ending))
        with self._lock:
            self._job = ""
        if not ending.left:
            self._failures = 0
        elif not ending.begun:
            self._failures += 1
        return ending

    def _follow(self, order: RunJob, link: Link, job: Job) -> Ending:
        """Give the job to the worker and listen until it has ended one way or the other."""
        now = heard = stepped = time.monotonic()
        cancelled: float | None = None
        begun = False
        link.send(order)
        while True:
            before, report = now, self._heard(link)
            now = time.monotonic()
            if now - before > _ASLEEP:
                heard = stepped = now
            if isinstance(report, Gone):
                return Ending("died", _death(report), begun=begun, left=True)
            if report is not None:
                heard = now
            if isinstance(report, (Step, Preview, Note, Saved, Failed)) and report.job == order.job:
                begun, stepped = True, now
                if isinstance(report, Saved):
                    return Ending("saved")
                if isinstance(report, Failed):
                    return Ending("failed", failed=report, left=report.leaving)
                self._tell(job, report)
            if self._cancelled and cancelled is None:
                cancelled = now
                link.send(CancelJob(order.job))
            late = Ending("stopped", left=True) if self._stopping.is_set() else _late(
                self._patience, now - heard, now - stepped, now - cancelled if cancelled is not None else 0.0)
            if late is not None:
                link.end()
                return late

    def _tell(self, job: Job, report: Step | Preview | Note) -> None:
        """What cannot be noted for want of disk is not worth a job."""
        try:
            self._desk.tell(job, report)
        except Exception as error:
            report_defect(f"job {job.id}: a step could not be noted", error, words_of(job.request))

    def _insist(self, conclude: Callable[[], None]) -> None:
        """Until it is written, or the server stops: the next one finds the job unfinished."""
        while True:
            try:
                return conclude()
            except Exception as error:
                report_defect(f"lane {self._device}: the end of a job could not be written yet", error)
                if self._stopping.wait(_LOOK_EVERY):
                    return

    def _heard(self, link: Link) -> Report | Gone | None:
        """The next report of this worker; None when there was none for a while, or something else happened."""
        try:
            source, item = self._inbox.get(timeout=_LOOK_EVERY)
        except queue.Empty:
            return None
        if source is not link or isinstance(item, str):
            return None
        if isinstance(item, Beat):
            self._set(memory=item.memory)
        return item

    def _set(self, *, alive: bool | None = None, memory: int | None = None, hired: int | None = None,
             trouble: str | None = None) -> None:
        """Change what `view` shows."""
        with self._lock:
            self._alive = self._alive if alive is None else alive
            self._memory = self._memory if memory is None else memory
            self._hired = self._hired if hired is None else hired
            self._trouble = self._trouble if trouble is None else trouble


def _late(patience: Patience, silent: float, unmoved: float, cancelling: float) -> Ending | None:
    """Whether our patience with a running worker is over."""
    if cancelling > patience.cancel:
        return Ending("cancelled", left=True)
    if silent > patience.beat:
        why = f"The worker gave no sign of life for {patience.beat:g} seconds and was ended."
        return Ending("hung", why, left=True)
    if unmoved > patience.stall:
        return Ending("hung", f"The job made no step for {patience.stall:g} seconds and was ended.", left=True)
    return None


def _death(gone: Gone) -> str:
    if gone.code == -9:
        return "The worker was killed while it ran this job, probably because the server lacks memory for it."
    if gone.code < 0:
        return f"The worker crashed while it ran this job (signal {-gone.code})."
    return f"The worker ended while it ran this job (exit code {gone.code})."


def _last_words(gone: Gone) -> str:
    return f"{gone.said[:200]} (exit code {gone.code})" if gone.said else f"exit code {gone.code}"


def _pause(failures: int) -> float:
    """Half a second after the first failure in a row, doubling up to a minute."""
    return min(_LONGEST_PAUSE, 0.25 * 2 ** min(failures, 10)) if failures else 0.0
