"""The supervisor: it keeps a worker for each device at work, and loses no job.

    queue (store) -> desk -> lane -> link -> worker process
                      |                         |
                  results <-- publishes -- workspace <-- writes

One lane a device follows its worker; the desk writes down what became of each job. A
result is made public here alone, by a rename: a worker that outlives its server can
write into its workspace, which the next server throws away, and nowhere else.

A job whose server or worker died is run again with the same request and so the same
seed and voxels, from its last kept state where the engine gave one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from .blobs import Blobs
from .desk import Desk
from .lane import Lane, WorkerView
from .link import Hire, LocalWorker
from .options import Options
from .results import Results
from .store import Store

__all__ = ["Supervisor", "WorkerView"]
_STOP_WITHIN = 10.0


class Supervisor:
    """All workers of one server. Its methods may be called from any thread and return quickly.

    `loader` and `hire` are for Python code alone, never for a request: the first names
    the function that gives a worker the code of an engine, the second puts something
    else than local processes behind the lanes.
    """

    def __init__(self, options: Options, store: Store, blobs: Blobs, results: Results, ring: Callable[[str], None],
                 *, loader: str = "", python: str = sys.executable, hire: Hire | None = None) -> None:
        beat = options.patience.beat / 6
        self._desk = Desk(options, store, blobs, results, ring)
        local: Hire = lambda device, post: LocalWorker(device, post, beat=beat, loader=loader, python=python)  # noqa: E731
        self._lanes: Sequence[Lane] = [Lane(device, hire or local, self._desk, options.patience)
                                       for device in options.devices]

    def start(self) -> None:
        """Put unfinished jobs back into the queue, then start the workers."""
        self._desk.recover()
        for lane in self._lanes:
            lane.start()

    def stop(self) -> None:
        """End all workers; jobs that ran go back into the queue. Slower than its name only when a disk is."""
        for lane in self._lanes:
            lane.stop()
        deadline = time.monotonic() + _STOP_WITHIN
        for lane in self._lanes:
            lane.join(max(0.0, deadline - time.monotonic()))

    def wake(self) -> None:
        """There is a new job."""
        for lane in self._lanes:
            lane.wake()

    def cancel(self, job_id: str) -> None:
        """Stop a running job; to be called after `store.ask_cancel` has noted it."""
        for lane in self._lanes:
            lane.cancel(job_id)

    def workers(self) -> list[WorkerView]:
        """What each worker does."""
        return [lane.view() for lane in self._lanes]

    @property
    def idle(self) -> bool:
        """Whether no job is being run."""
        return all(lane.idle for lane in self._lanes)
