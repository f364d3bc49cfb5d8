"""The best of several CTs of one report: their seeds begun in batches, most of them given up early.

All samples of a batch go through the network together, each with the noise of its own seed, so
that each ends where it would have ended alone, up to rounding.

The best of many, in three looks. Every seed is walked a part of the way; the clean latent that
it is heading for is judged (decoded small and measured against the report); the best few are
taken up from where they stand and walked to the end, and judged once more in full. The judges
come from outside: `look` gives a score, higher is better, None where nothing could be told;
`finish` gives a score and whatever is to be kept of a finished latent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ...diffusion.rectified_flow import Step
from ...diffusion.solvers import Move, Velocity
from ...speed.plan import Plan, free_bytes, unet_bytes
from .config import ModelSizes
from .pipeline import Sampler, walked
from .state import SamplerState

T = TypeVar("T")
Each = Callable[[SamplerState, Tensor], None]
_MOST_AT_ONCE = 16


@dataclass(frozen=True)
class Way:
    """All of a walk but its seed. `field` makes the velocity anew, for a step cache belongs to one walk."""

    field: Callable[[], Velocity]
    start: Callable[[int], Tensor]
    schedule: Sequence[Step]
    sampler: Sampler
    at_once: int = 1


@dataclass(frozen=True)
class Glimpse:
    """A seed on its way: where it stands, and the clean latent that it is heading for."""

    seed: int
    state: SamplerState
    clean: Tensor


@dataclass(frozen=True)
class Trial:
    """A seed and how it was judged, part of the way and at the end; None where it was not, or could not be told."""

    seed: int
    early: float | None = None
    final: float | None = None
    finished: bool = False


@dataclass(frozen=True)
class Best(Generic[T]):
    """What was kept of the best seed, and how all of them were judged."""

    seed: int
    kept: T
    trials: tuple[Trial, ...]

    def said(self) -> str:
        """For people: how many were tried and how they were judged."""
        each = "; ".join(f"seed {one.seed}: {_words(one)}" for one in self.trials)
        return (f"Best of {len(self.trials)} by the ledger, as shares of the findings that could be decided: {each}. "
                f"Seed {self.seed} was kept.")


def at_once(plan: Plan, sizes: ModelSizes, latent_shape: Sequence[int], guided: bool, free: int | None = None) -> int:
    """How many samples may share an evaluation: what fits into half of the free memory."""
    free = free_bytes(plan.device) if free is None else free
    if free is None:
        return 1
    pair = 2 if guided and plan.one_batch else 1
    fitting = [count for count in range(2, _MOST_AT_ONCE + 1)
               if unet_bytes(sizes.unet, latent_shape, plan.flow, count * pair) <= free // 2]
    return max(fitting, default=1)


def glimpses(way: Way, seeds: Sequence[int], steps: int, each: Each | None = None) -> list[Glimpse]:
    """Each seed after the first `steps` steps, in batches; `each` is told the states of a whole batch."""
    found: list[Glimpse] = []
    for first in range(0, len(seeds), way.at_once):
        group = seeds[first:first + way.at_once]
        last: list[tuple[SamplerState, Tensor]] = []

        def after(state: SamplerState, clean: Tensor, last: list[tuple[SamplerState, Tensor]] = last) -> None:
            last[:] = [(state, clean)]
            if each is not None:
                each(state, clean)

        start = torch.cat([way.start(seed) for seed in group])
        walked(way.field(), start, way.schedule[:steps], way.sampler.solver, None, after)
        state, clean = last[0]
        found += map(Glimpse, group, _apart(state), clean.chunk(len(group)))
    return found


def pruned_at(sampler: Sampler, steps: int) -> int:
    """After how many steps seeds are given up: a third of the way, where a run may be taken up again."""
    return next((done for done in range(max(1, steps // 3), steps) if sampler.begins_anew(done)), steps)


def kept_of(count: int) -> int:
    """How many seeds are walked to the end."""
    return min(count, max(2, -(-count // 4)))


def steps_in_all(sampler: Sampler, steps: int, count: int) -> int:
    """How many steps of one sample the search takes."""
    early = pruned_at(sampler, steps) if kept_of(count) < count else steps
    return count * early + kept_of(count) * (steps - early)


def best_of(way: Way, seeds: Sequence[int], look: Callable[[Tensor], float | None],
            finish: Callable[[Tensor], tuple[float | None, T]], each: Each | None = None) -> Best[T]:
    """The best of these seeds; among equals the first."""
    keep, steps = kept_of(len(seeds)), len(way.schedule)
    early = pruned_at(way.sampler, steps) if keep < len(seeds) else steps
    seen = glimpses(way, seeds, early, each)
    trials = {one.seed: Trial(one.seed, look(one.clean) if early < steps else None) for one in seen}
    chosen = sorted(seen, key=lambda one: _rank(trials[one.seed].early))[:keep] if early < steps else seen
    best: tuple[float, int, T] | None = None
    for one in chosen:
        sample = one.state.move.sample
        latent = walked(way.field(), sample, way.schedule, way.sampler.solver, one.state, each)
        score, made = finish(latent)
        trials[one.seed] = replace(trials[one.seed], final=score, finished=True)
        if best is None or _rank(score) < best[0]:
            best = _rank(score), one.seed, made
    if best is None:
        raise ValueError("the best of no seeds was asked for")
    return Best(best[1], best[2], tuple(trials.values()))


def _rank(score: float | None) -> float:
    """Sorted by this, the best stands first and what could not be judged last."""
    return 1.0 if score is None else -score


def _apart(state: SamplerState) -> Iterator[SamplerState]:
    """The state of each sample of a batch."""
    move = state.move
    for i in range(len(move.sample)):
        yield SamplerState(state.done, Move(move.sample[i:i + 1], move.velocity[i:i + 1], move.length))


def _words(trial: Trial) -> str:
    """One trial's scores."""
    early = f"{_share(trial.early)} early" if trial.early is not None or not trial.finished else ""
    final = f"{_share(trial.final)} at the end" if trial.finished else "given up"
    return ", ".join(part for part in (early, final) if part)


def _share(score: float | None) -> str:
    return "not to be told" if score is None else f"{score:.2f}"
