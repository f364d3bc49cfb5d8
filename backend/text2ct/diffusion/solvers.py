"""Solvers: each takes a sample one step along the flow, with one common signature.

A solver is a small pure function (velocity, sample, step, before) -> Move. `velocity`
asks the network at a sample and a time; `before` is the previous move, which multistep
solvers use, and which is all that must be kept beside the sample to stop and go on later.

* euler: one evaluation a step, first order; with the published grid it is the published sampler.
* heun: two evaluations a step (one at the last), second order.
* multistep: one evaluation a step, second order by the slope since the step before
  (Adams-Bashforth of order 2 for steps of unequal length).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from .rectified_flow import Step

if TYPE_CHECKING:
    from torch import Tensor

Velocity: TypeAlias = "Callable[[Tensor, float], Tensor]"
Solver: TypeAlias = "Callable[[Velocity, Tensor, Step, Move | None], Move]"


@dataclass(frozen=True)
class Move:
    """The sample after a step, the velocity it was asked with, and that step's length."""

    sample: Tensor
    velocity: Tensor
    length: float


def euler(velocity: Velocity, sample: Tensor, step: Step, before: Move | None) -> Move:
    """Straight ahead."""
    v = velocity(sample, step.time)
    return Move(sample + v * step.length, v, step.length)


def heun(velocity: Velocity, sample: Tensor, step: Step, before: Move | None) -> Move:
    """Ahead, look again there, and take the mean of both velocities; at time 0 there is nothing to look at."""
    v = velocity(sample, step.time)
    if step.next_time <= 0:
        return Move(sample + v * step.length, v, step.length)
    there = velocity(sample + v * step.length, step.next_time)
    return Move(sample + (v + there) * (step.length / 2), v, step.length)


def multistep(velocity: Velocity, sample: Tensor, step: Step, before: Move | None) -> Move:
    """Ahead along the velocity expected in the middle of the step, by its change since the step before.

    A step of no length, as the published grid has them where its rounded times repeat, changes nothing, nor is it
    the step before for the next one.
    """
    v = velocity(sample, step.time)
    if before is not None and step.length == 0:
        return before
    if before is None or before.length == 0:
        return Move(sample + v * step.length, v, step.length)
    slope = (v - before.velocity) / before.length
    return Move(sample + (v + slope * (step.length / 2)) * step.length, v, step.length)


SOLVERS: Mapping[str, Solver] = {"euler": euler, "heun": heun, "multistep": multistep}
EVALUATIONS: Mapping[str, int] = {"euler": 1, "heun": 2, "multistep": 1}


