"""What the routes work with: the parts of a running server, and whose request this is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, ParamSpec, TypeVar

import anyio
import anyio.to_thread
from fastapi import Depends, Request

from .bell import Bell
from .blobs import Blobs
from .capabilities import Abilities
from .door import Door, KeyRing
from .options import Options
from .refusal import Refused
from .results import Results
from .store import Job, Store
from .supervisor import Supervisor
from .tally import Tally

P = ParamSpec("P")
T = TypeVar("T")
_JUDGES = 2  # a posted job may cost some megabytes while it is judged


class Streams:
    """How many event streams each owner has open. Used from the event loop alone."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: dict[str, int] = {}

    @property
    def total(self) -> int:
        return sum(self._open.values())

    @contextmanager
    def one(self, owner: str) -> Iterator[None]:
        """One stream more, to the end of the block, or Refused."""
        if self._open.get(owner, 0) >= self._most:
            raise Refused("busy", f"This key has {self._most} event streams open, which is the limit; close one first.")
        self._open[owner] = self._open.get(owner, 0) + 1
        try:
            yield
        finally:
            self._open[owner] -= 1
            if not self._open[owner]:
                del self._open[owner]


@dataclass(frozen=True)
class Running:
    """The parts of one running server."""

    options: Options
    store: Store
    blobs: Blobs
    results: Results
    keys: KeyRing
    supervisor: Supervisor
    bell: Bell
    door: Door
    streams: Streams
    abilities: Abilities
    tally: Tally
    judges: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_JUDGES))

    def job(self, job_id: str, owner: str) -> Job:
        """The job, when it is this owner's; anybody else's is as if it were not there."""
        job = self.store.get(job_id, owner)
        if job is None:
            raise Refused("not_found", "There is no such job for this key.")
        return job


def running(request: Request) -> Running:
    server: Running = request.app.state.running
    return server


def owner_of(request: Request) -> str:
    """Whom the guard let in."""
    owner: str = request.state.owner
    return owner


At = Annotated[Running, Depends(running)]
Owner = Annotated[str, Depends(owner_of)]


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Disk and store work, off the event loop."""
    return await anyio.to_thread.run_sync(lambda: work(*args, **kwargs))
