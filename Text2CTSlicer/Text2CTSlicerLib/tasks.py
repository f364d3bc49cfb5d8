"""Work that must not stop Slicer: done in threads, told on the main thread.

A thread never touches Qt or MRML. What it has to say goes into a queue that one timer
empties. While Slicer idles in C++, Python threads hardly get a turn; the timer gives
them some by sleeping a moment each time, as long as any work is under way.
"""

from __future__ import annotations

import queue
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import qt

T = TypeVar("T")
EVERY_MS = 20
_YIELD_S = 0.002
_SLICE_S = 0.010  # for callbacks at one turn; the rest waits for the next, so that the window stays alive


@dataclass(eq=False)
class Task:
    """One piece of work, and whom to tell of it; `forget` tells nobody any more."""

    on_told: Callable[[Any], None]
    on_done: Callable[[Any], None]
    on_failed: Callable[[Exception, str], None]
    forgotten: bool = False

    def forget(self) -> None:
        self.forgotten = True


class Tasks:
    """Starts work in threads and brings what they say to the main thread."""

    def __init__(self) -> None:
        self._said: queue.SimpleQueue[tuple[Task, str, Any]] = queue.SimpleQueue()
        self._live: set[Task] = set()
        self._timer = qt.QTimer()
        self._timer.setInterval(EVERY_MS)
        self._timer.connect("timeout()", self._turn)

    def start(self, work: Callable[[Callable[[Any], None]], T], on_done: Callable[[T], None],
              on_failed: Callable[[Exception, str], None], on_told: Callable[[Any], None] = lambda said: None) -> Task:
        """Do `work(tell)` in a thread. `on_failed` gets the error and, for the log, where it came from."""
        task = Task(on_told, on_done, on_failed)
        self._live.add(task)
        threading.Thread(target=self._run, args=(task, work), name="Text2CT", daemon=True).start()
        self._timer.start()
        return task

    def close(self) -> None:
        """Tell nobody of anything any more: the panel is gone."""
        for task in self._live:
            task.forget()
        self._live.clear()
        self._timer.stop()

    def _run(self, task: Task, work: Callable[[Callable[[Any], None]], Any]) -> None:
        try:
            self._said.put((task, "done", work(lambda said: self._said.put((task, "told", said)))))
        except Exception as error:  # whatever went wrong belongs to the one who asked, on his thread
            self._said.put((task, "failed", (error, traceback.format_exc())))

    def _turn(self) -> None:
        time.sleep(_YIELD_S)
        end = time.monotonic() + _SLICE_S
        while time.monotonic() < end:
            try:
                task, what, value = self._said.get_nowait()
            except queue.Empty:
                break
            if what != "told":
                self._live.discard(task)
            if not task.forgotten:
                self._tell(task, what, value)
        if not self._live and self._said.empty():
            self._timer.stop()

    def _tell(self, task: Task, what: str, value: Any) -> None:
        if what == "told":
            task.on_told(value)
        elif what == "done":
            task.on_done(value)
        else:
            task.on_failed(*value)
