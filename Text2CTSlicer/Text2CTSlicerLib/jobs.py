"""Requests under way: their progress, their log, cancelling them, and finding them again after a crash.

Each request is followed by a task of its own; all that is told arrives on the main
thread. A job of a service is remembered in the settings until its result was delivered,
so that it is found again after Slicer, or the service, was gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from slicer.i18n import tr as _

from . import weights
from .backends import HERE, PROCESS, Backend, Running
from .settings import RememberedJob, Settings
from .tasks import Task, Tasks

if TYPE_CHECKING:
    from text2ct.requests import CancelToken, Progress, Request, Result
    from text2ct.volume import CTVolume

RUNNING, DONE, FAILED, CANCELLED = "running", "done", "failed", "cancelled"
Work = Callable[[Callable[[Any], None], "CancelToken"], Any]
_MOST_LINES = 500


@dataclass(frozen=True)
class Job:
    """How a job stands, for the list of jobs."""

    key: int
    title: str
    backend: str
    state: str = RUNNING
    stage: str = ""
    step: int = 0
    total: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    sentence: str = ""


@dataclass(frozen=True)
class Delivery:
    """Who gets what comes of a job. All are called on the main thread."""

    on_result: Callable[[Any], str]  # a Result, or what `do` made; returns what it did with it, in a sentence
    on_preview: Callable[[CTVolume], None] = lambda ct: None
    on_end: Callable[[], None] = lambda: None


@dataclass
class _Entry:
    view: Job
    token: CancelToken
    delivery: Delivery
    backend: Backend | None
    task: Task | None = None
    remembered: str = ""
    stage_began: float = 0.0
    log: list[str] = field(default_factory=list)


class Jobs:
    """All jobs of this session, the newest last. `changed` is called after each change."""

    def __init__(self, tasks: Tasks, settings: Settings) -> None:
        self._tasks, self._settings = tasks, settings
        self._entries: dict[int, _Entry] = {}
        self._undeliverable: set[str] = set()
        self.changed: list[Callable[[], None]] = []

    def rows(self) -> list[Job]:
        return [entry.view for entry in self._entries.values()]

    def running(self) -> bool:
        return any(job.state == RUNNING for job in self.rows())

    def uses(self, backend: Backend) -> bool:
        """Whether a job of this backend is under way."""
        return any(entry.backend is backend and entry.view.state == RUNNING for entry in self._entries.values())

    def log(self, key: int) -> str:
        return "\n".join(self._entries[key].log) if key in self._entries else ""

    def submit(self, backend: Backend, request: Request, title: str, delivery: Delivery) -> int:
        """Hand a request to a backend and follow it."""
        memory = RememberedJob("", backend.key, title, request.task, getattr(request, "report", ""))

        def work(tell: Callable[[Any], None], token: CancelToken) -> Result:
            running = backend.start(request, tell, token)
            return self._followed(running, memory, tell, token)

        return self._begin(title, backend.title, delivery, work, backend)

    def do(self, title: str, where: str, work: Work, delivery: Delivery) -> int:
        """Follow work that is no request: it has its line, its log and its cancelling, and is not found again."""
        return self._begin(title, where, delivery, work)

    def recover(self, backend: Backend, delivery_for: Callable[[RememberedJob], Delivery]) -> list[int]:
        """Follow again what this backend was asked in an earlier session and what was never delivered.

        A result that could not be loaded is not tried again in this session: it would fail each time.
        """
        passed = self._followed_ids() | self._undeliverable
        return [self._begin(job.title, backend.title, delivery_for(job), self._attached(backend, job), backend, job.id)
                for job in self._settings.jobs() if job.backend == backend.key and job.id not in passed]

    def cancel(self, key: int) -> None:
        """Ask a job to stop; it ends when it has."""
        entry = self._entries.get(key)
        if entry is not None and entry.view.state == RUNNING:
            entry.token.cancel()
            self._show(entry, stage=_("cancelling"))

    def forget_ended(self) -> None:
        """Clear the list of what is over."""
        self._entries = {key: entry for key, entry in self._entries.items() if entry.view.state == RUNNING}
        self._tell()

    def close(self) -> None:
        """The panel goes: jobs inside Slicer stop, those of a service go on and are found again."""
        for entry in self._entries.values():
            if entry.task is not None:
                entry.task.forget()
            if not entry.remembered:
                entry.token.cancel()
        self.changed.clear()

    def _begin(self, title: str, where: str, delivery: Delivery, work: Work, backend: Backend | None = None,
               remembered: str = "") -> int:
        from text2ct.requests import CancelToken

        key = max(self._entries, default=0) + 1
        entry = _Entry(Job(key, title, where, stage=_("starting")), CancelToken(), delivery, backend,
                       remembered=remembered, stage_began=time.monotonic())
        self._entries[key] = entry
        began = time.monotonic()
        entry.task = self._tasks.start(
            lambda tell: work(tell, entry.token), lambda result: self._done(entry, result),
            lambda error, trace: self._failed(entry, error, trace), lambda said: self._told(entry, said, began))
        self._tell()
        return key

    def _attached(self, backend: Backend, job: RememberedJob) -> Callable[..., Result]:
        return lambda tell, token: self._followed(backend.attach(job.id), job, tell, token)

    @staticmethod
    def _followed(running: Running, memory: RememberedJob, tell: Callable[[Any], None], token: CancelToken) -> Result:
        if running.id:
            tell(replace(memory, id=running.id))
        return running.follow(tell, token)

    def _followed_ids(self) -> set[str]:
        return {entry.remembered for entry in self._entries.values() if entry.view.state == RUNNING}

    def _told(self, entry: _Entry, said: RememberedJob | Progress, began: float) -> None:
        if isinstance(said, RememberedJob):
            entry.remembered = said.id
            self._settings.remember_job(said)
            entry.log.append(_("job {id} on {backend}").format(id=said.id, backend=entry.view.backend))
            return
        if said.preview is not None:
            entry.delivery.on_preview(said.preview)
        now = time.monotonic()
        if said.stage != entry.view.stage:
            entry.stage_began = now
            entry.log.append(f"{now - began:8.1f} s  {said.stage}")
            del entry.log[:-_MOST_LINES]
        if not entry.token.cancelled:
            self._show(entry, stage=said.stage, step=said.step, total=said.total, seconds=now - began,
                       seconds_left=_left(now - entry.stage_began, said.step, said.total))

    def _done(self, entry: _Entry, result: Result) -> None:
        try:
            sentence, state = entry.delivery.on_result(result), DONE
            self._forget(entry)
        except Exception as error:  # the result stays on the service; the panel must become free again
            self._undeliverable.add(entry.remembered)
            sentence, state = _("The result could not be loaded: {error}").format(error=error), FAILED
        self._end(entry, state, sentence)

    def _failed(self, entry: _Entry, error: Exception, trace: str) -> None:
        from text2ct.client import Unreachable
        from text2ct.errors import Cancelled, Text2CTError

        if not isinstance(error, Unreachable):
            self._forget(entry)
        if not isinstance(error, Text2CTError):
            entry.log.append(trace)
            sentence = _("A defect of Text2CT: {error}. Copy the log and report it.").format(
                error=f"{type(error).__name__}: {error}")
        elif entry.backend is None or entry.backend.key in (HERE, PROCESS):
            sentence = weights.for_slicer(str(error))
        else:
            sentence = str(error)
        self._end(entry, CANCELLED if isinstance(error, Cancelled) else FAILED, sentence)

    def _forget(self, entry: _Entry) -> None:
        if entry.remembered:
            self._settings.forget_job(entry.remembered)

    def _end(self, entry: _Entry, state: str, sentence: str) -> None:
        entry.log.append(sentence)
        entry.delivery.on_end()
        self._show(entry, state=state, sentence=sentence, seconds_left=None)

    def _show(self, entry: _Entry, **changes: Any) -> None:
        entry.view = replace(entry.view, **changes)
        self._tell()

    def _tell(self) -> None:
        for listener in list(self.changed):
            listener()


def _left(seconds: float, step: int, total: int) -> float | None:
    """Seconds until the end of a stage, when enough of it has passed to tell."""
    return seconds * (total - step) / step if step > 0 and seconds > 1 and total > 1 else None
