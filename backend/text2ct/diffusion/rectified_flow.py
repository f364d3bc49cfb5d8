"""Rectified flow: straight lines from noise to data, and the grids of times on which they are walked.

At time t (1000 is noise, 0 is data) a sample is (1 - t/1000) * data + (t/1000) * noise, and
the network predicts the velocity data - noise. Larger volumes need more steps near the
noise, so times are shifted by r = (voxels / 32^3)^(1/3):

    t = 1000 * r*s / (1 + (r - 1)*s),   s = 1, 1 - 1/N, ..., 1/N

`published_grid` repeats what the published sampler does with these times, rounding
included; `exact_grid` is the same schedule with true step lengths. Tensors are only ever
added and multiplied here, so torch need not be imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

TRAIN_TIMES = 1000
_BASE_VOXELS = 32**3
GridName = Literal["published", "exact"]


@dataclass(frozen=True)
class Step:
    """One step: the network is asked at `time`, and the sample moves by `length` times its answer."""

    time: float
    next_time: float
    length: float


def shift_ratio(latent_shape: Sequence[int]) -> float:
    """How much later (noisier) the times of a volume of this size are than those of 32^3."""
    return float((prod(latent_shape) / _BASE_VOXELS) ** (1 / 3))


def shifted(share: float, ratio: float) -> float:
    """The time of a share of the way, 1 at the noise."""
    return TRAIN_TIMES * ratio * share / (1 + (ratio - 1) * share)


def published_grid(steps: int, latent_shape: Sequence[int]) -> tuple[Step, ...]:
    """The steps of the published sampler.

    upstream quirk: the ratio is float32 and times are rounded to float16; each step goes to
    the *whole-number part* of the next time, its length being a float16 difference, so that
    the lengths add up to a little more than one.
    """
    ratio = np.float32(np.float32(prod(latent_shape) / _BASE_VOXELS) ** np.float32(1 / 3))
    times = []
    for i in range(steps):
        share = np.float32((1.0 - i / steps) * TRAIN_TIMES / TRAIN_TIMES)
        shifted_share = ratio * share / (np.float32(1) + (ratio - np.float32(1)) * share)
        times.append(np.float16(shifted_share * np.float32(TRAIN_TIMES)))
    floors = [int(time) for time in times[1:]] + [0]
    return tuple(Step(float(time), float(floor), float(np.float16(time - np.float16(floor))) / TRAIN_TIMES)
                 for time, floor in zip(times, floors, strict=True))


def exact_grid(steps: int, latent_shape: Sequence[int]) -> tuple[Step, ...]:
    """The same schedule without rounding; the lengths add up to one."""
    ratio = shift_ratio(latent_shape)
    times = [shifted(1 - i / steps, ratio) for i in range(steps)] + [0.0]
    return tuple(Step(now, then, (now - then) / TRAIN_TIMES)
                 for now, then in pairwise(times))


GRIDS = {"published": published_grid, "exact": exact_grid}


def noised(data: Tensor, noise: Tensor, times: Tensor) -> Tensor:
    """Samples on the line between data and noise, one time for each of the batch."""
    share = (1 - times.float() / TRAIN_TIMES).reshape(-1, *[1] * (data.ndim - 1))
    return share * data + (1 - share) * noise


def velocity_target(data: Tensor, noise: Tensor) -> Tensor:
    """What the network learns to predict."""
    return data - noise


def clean_estimate(sample: Tensor, velocity: Tensor, time: float) -> Tensor:
    """The data that the sample is heading for, were the velocity right to the end."""
    return sample + velocity * time / TRAIN_TIMES


def training_times(uniform: Tensor, latent_shape: Sequence[int]) -> Tensor:
    """Uniform draws in [0, 1) as training times, shifted like those of sampling."""
    ratio = shift_ratio(latent_shape)
    return TRAIN_TIMES * ratio * uniform / (1 + (ratio - 1) * uniform)
