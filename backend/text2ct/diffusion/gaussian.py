"""Gaussian diffusion with a network that predicts the noise: its schedule, its steps, and two ways to sample.

x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) e, where a_t is the running product of (1 - beta). A
`Schedule` holds the numbers; `ddim_plan` and `dpm_plan` turn it into a list of steps;
`sample` walks the list. Everything but `sample` is a formula on plain numbers or on
any array, so this file needs no torch. Noise comes from the caller, who thereby
decides what a seed means.

DDIM: Song et al. 2021, equation 12. DPM-Solver++(2M): Lu et al. 2022, algorithm 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import BadRequest

Array: TypeAlias = Any  # a torch tensor or a numpy array; only + - * are used on it
Numbers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Schedule:
    """`betas` of the forward process. Products are rounded to float32, as checkpoints store them."""

    betas: Numbers

    @classmethod
    def scaled_linear(cls, steps: int, start: float, end: float) -> Schedule:
        """Betas whose square roots rise evenly from sqrt(start) to sqrt(end)."""
        return cls(np.linspace(math.sqrt(start), math.sqrt(end), steps) ** 2)

    @property
    def alphas_cumprod(self) -> Numbers:
        return np.cumprod(1 - self.betas).astype(np.float32).astype(np.float64)

    def __len__(self) -> int:
        return len(self.betas)


def noised(schedule: Schedule, x0: Array, noise: Array, t: int) -> Array:
    """A draw of x_t given x_0."""
    a = float(schedule.alphas_cumprod[t])
    return math.sqrt(a) * x0 + math.sqrt(1 - a) * noise


def posterior(schedule: Schedule, x0: Array, x: Array, t: int) -> tuple[Array, float, float]:
    """Mean, variance and log variance (not below log 1e-20) of x_{t-1} given x_0 and x_t."""
    exact = np.cumprod(1 - schedule.betas)
    a, before = float(exact[t]), float(exact[t - 1]) if t else 1.0
    beta = float(schedule.betas[t])
    mean = (beta * math.sqrt(before) / (1 - a)) * x0 + ((1 - before) * math.sqrt(1 - beta) / (1 - a)) * x
    variance = beta * (1 - before) / (1 - a)
    return mean, variance, math.log(max(variance, 1e-20))


def bound_weights(schedule: Schedule) -> Numbers:
    """Each step's weight of its squared error in the variational bound; the first, infinite, takes the second's."""
    exact = np.cumprod(1 - schedule.betas)
    before = np.append(1.0, exact[:-1])
    variance = schedule.betas * (1 - before) / (1 - exact)
    weights = np.empty_like(exact)
    weights[1:] = schedule.betas[1:] ** 2 / (2 * variance[1:] * (1 - schedule.betas[1:]) * (1 - exact[1:]))
    weights[0] = weights[1]
    return weights


@dataclass(frozen=True)
class Step:
    """One step from the product `a` (at time `t`) to `a_next`; `sigma` is the noise put back."""

    t: int
    a: float
    a_next: float
    sigma: float = 0.0


def ddim_times(steps: int, trained: int = 1000) -> list[int]:
    """The rising times that the published sampler visits: 1, 1 + c, 1 + 2c ... with c = trained // steps.

    There are ceil(trained / c) of them, which may be more than asked for.
    """
    if not 1 <= steps <= trained:
        raise BadRequest(f"{steps} steps are impossible; give between 1 and {trained}.")
    stride = trained // steps
    times = [t + 1 for t in range(0, trained, stride)]
    if times[-1] >= trained:
        good = next(s for s in range(steps, 0, -1) if (trained - 1) % (trained // s))
        raise BadRequest(f"{steps} steps would begin at time {trained}, past the end of the noise schedule "
                         f"(0 to {trained - 1}); {good} steps work.")
    return times


def ddim_plan(schedule: Schedule, steps: int, eta: float = 1.0) -> list[Step]:
    """Steps of DDIM, noisiest first. Upstream quirk: the last one goes to the product of time 0, not to 1."""
    times = ddim_times(steps, len(schedule))
    a = schedule.alphas_cumprod[times]
    a_next = np.append(schedule.alphas_cumprod[0], a[:-1])
    sigma = eta * np.sqrt((1 - a_next) / (1 - a) * (1 - a / a_next))
    return [Step(times[j], float(a[j]), float(a_next[j]), float(sigma[j])) for j in reversed(range(len(times)))]


def dpm_plan(schedule: Schedule, steps: int) -> list[Step]:
    """Steps of DPM-Solver++(2M), noisiest first: times evenly spaced in log signal to noise; the last gives x_0."""
    if not 2 <= steps <= len(schedule):
        raise BadRequest(f"{steps} steps are impossible for this solver; give between 2 and {len(schedule)}.")
    a = schedule.alphas_cumprod
    level = _level(a)
    wanted = np.linspace(level[-1], level[0], steps)
    times = np.unique(np.searchsorted(-level, -wanted[::-1]).clip(0, len(schedule) - 1))[::-1]
    products = [*(float(a[t]) for t in times), 1.0]
    return [Step(int(t), now, after) for t, now, after in zip(times, products, products[1:], strict=False)]


def ddim_step(x: Array, predicted: Array, step: Step, noise: Array) -> tuple[Array, Array]:
    """The next x and the guess of x_0."""
    x0 = (x - math.sqrt(1 - step.a) * predicted) / math.sqrt(step.a)
    onward = math.sqrt(max(1 - step.a_next - step.sigma**2, 0.0))
    return math.sqrt(step.a_next) * x0 + onward * predicted + step.sigma * noise, x0


def dpm_step(x: Array, predicted: Array, step: Step, before: tuple[Step, Array] | None) -> tuple[Array, Array]:
    """The next x and the guess of x_0; `before` is the last step and its guess, for the second order."""
    x0 = (x - math.sqrt(1 - step.a) * predicted) / math.sqrt(step.a)
    if step.a_next >= 1:
        return x0, x0
    length = _log_ratio(step.a_next) - _log_ratio(step.a)
    guess = x0
    if before is not None:
        ratio = (_log_ratio(step.a) - _log_ratio(before[0].a)) / length
        guess = x0 + (x0 - before[1]) / (2 * ratio)
    shrink = math.sqrt((1 - step.a_next) / (1 - step.a))
    return shrink * x - math.sqrt(step.a_next) * math.expm1(-length) * guess, x0


Predict: TypeAlias = Callable[[Array, int], Array]


def sample(predict: Predict, x: Array, plan: Sequence[Step], draw: Callable[[], Array] | None = None,
           keep: Callable[[Array], Array] | None = None,
           each: Callable[[int, Array, Array], None] | None = None,
           begun: tuple[int, Array, Array] | None = None) -> Array:
    """Walk the plan from noise `x`: DDIM when `draw` gives noise for every step, else DPM-Solver++(2M).

    `keep` is applied before every step and at the end (an inpainting keeps its surroundings
    there); `each` is told the number of the step, x after it and the guess of x_0. With
    `begun` (steps done, x after them, the last guess) the walk goes on from there: the
    noise of the steps done is drawn and thrown away, so the rest is what it would have been.
    """
    before: tuple[Step, Array] | None = None
    done = 0
    if begun is not None:
        done, x, last = begun
        before = (plan[done - 1], last)
    for number, step in enumerate(plan):
        if number < done:
            _ = draw() if draw is not None else None
            continue
        x = keep(x) if keep else x
        predicted = predict(x, step.t)
        if draw is not None:
            x, x0 = ddim_step(x, predicted, step, draw())
        else:
            x, x0 = dpm_step(x, predicted, step, before)
        before = (step, x0)
        if each is not None:
            each(number, x, x0)
    return keep(x) if keep else x


def _level(a: Numbers) -> Numbers:
    """Half the log of signal to noise."""
    level: Numbers = 0.5 * np.log(a / (1 - a))
    return level


def _log_ratio(a: float) -> float:
    return 0.5 * math.log(a / (1 - a))
