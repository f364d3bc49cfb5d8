"""How a thread that changed a job wakes the event streams that wait for it.

Threads (supervisor, workers' readers) call `ring`; streams live on the event loop of
the HTTP process. A stream listens first and reads the store second, so no change can
fall between the two. A bell rung twice before anybody looked rings once: the store
holds what happened, the bell only says "look again".
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Listener:
    """One waiting stream. `wait` is for the event loop that made it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._rung = asyncio.Event()
        self._told = False

    def ring(self) -> None:
        """From any thread. At most one call stands in the loop's line, however often the bell rings."""
        if not self._told:
            self._told = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, timeout: float) -> bool:
        """Whether the bell rang since the last wait, or rings within `timeout` seconds."""
        try:
            await asyncio.wait_for(self._rung.wait(), timeout)
        except (asyncio.TimeoutError, TimeoutError):
            return False
        self._rung.clear()
        self._told = False
        return True


class Bell:
    """One for the whole server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str, set[Listener]] = {}
        self._closed = False

    @property
    def closed(self) -> bool:
        return self._closed

    def ring(self, job_id: str) -> None:
        """Wake all who wait for this job; from any thread."""
        with self._lock:
            listeners = list(self._listeners.get(job_id, ()))
        for listener in listeners:
            listener.ring()

    def close(self) -> None:
        """The server ends: wake everybody, and let nobody wait again."""
        with self._lock:
            self._closed = True
            listeners = [one for several in self._listeners.values() for one in several]
        for listener in listeners:
            listener.ring()

    @contextmanager
    def listening(self, job_id: str) -> Iterator[Listener]:
        """A listener for this job, from now to the end of the block."""
        listener = Listener(asyncio.get_running_loop())
        with self._lock:
            self._listeners.setdefault(job_id, set()).add(listener)
        try:
            yield listener
        finally:
            with self._lock:
                self._listeners[job_id].discard(listener)
                if not self._listeners[job_id]:
                    del self._listeners[job_id]

    async def wait(self, job_id: str, timeout: float) -> bool:
        """Wait once; who waits again and again listens instead, and so misses nothing in between."""
        with self.listening(job_id) as listener:
            return await listener.wait(timeout)
