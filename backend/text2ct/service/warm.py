"""Engines that stay loaded between jobs, and go when memory is short.

Reading a checkpoint takes longer than many a job. A worker therefore keeps the runner
of each engine and weight set that it has used, and before a run lets the least
recently used ones go until the run fits, or none is left.
"""

from __future__ import annotations

import gc
import sys
from collections import OrderedDict
from collections.abc import Callable

from ..engines.run import Runner, load
from ..engines.terms import Engine
from ..memory import available_bytes


class Warm:
    """The runners of one worker. Used from one thread."""

    def __init__(self, load: Callable[[Engine], Runner] = load,
                 free: Callable[[], int | None] = available_bytes) -> None:
        self._load, self._free = load, free
        self._runners: OrderedDict[tuple[str, str], Runner] = OrderedDict()

    @property
    def kept(self) -> tuple[tuple[str, str], ...]:
        """Engine and weight set of each runner, the least recently used first."""
        return tuple(self._runners)

    def runner(self, entry: Engine, weights: str = "") -> Runner:
        """The runner of this engine with these weights, loaded at most once while it is kept."""
        key = _key(entry, weights)
        if key not in self._runners:
            self._runners[key] = self._load(entry)
        self._runners.move_to_end(key)
        return self._runners[key]

    def make_room(self, needed: int, entry: Engine, weights: str = "") -> None:
        """Let others go, and at last even this engine's own runner, until `needed` bytes are free."""
        wanted = _key(entry, weights)
        for key in [*(k for k in self._runners if k != wanted), *(k for k in self._runners if k == wanted)]:
            free = self._free()
            if free is None or free >= needed:
                return
            del self._runners[key]
            _give_back()

    def drop(self, entry: Engine, weights: str = "") -> None:
        """Forget a runner that may no longer be whole."""
        self._runners.pop(_key(entry, weights), None)
        _give_back()


def _key(entry: Engine, weights: str) -> tuple[str, str]:
    return entry.id, entry.weight_set(weights).id if entry.weight_sets else ""


def _give_back() -> None:
    """Memory that Python or torch still holds on to goes back to the system."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
