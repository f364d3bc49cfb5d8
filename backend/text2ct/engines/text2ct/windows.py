"""Decoding in overlapping windows, as the published program does above 80^3 latent voxels.

Each window has its own norm statistics, so the result differs from decoding at once; that
is why the published rule is kept for parity, and why it is not our default. Windows overlap
by 40 %, weighted by a Gaussian (sigma an eighth of the window, never below 0.001 of it).
How a window is decoded (in one call or in slabs) is the caller's business.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

WINDOW = 80
OVERLAP = 0.4
_SIGMA = 0.125
_FLOOR = 1e-3
Decode = Callable[[Tensor, int, int], Tensor]  # a latent, which window it is, and of how many


def window_of(size: Sequence[int]) -> tuple[int, ...]:
    """What is decoded in one piece: the latent when it has at most 80^3 voxels, else a window of it."""
    return tuple(size) if math.prod(size) <= WINDOW**3 else tuple(min(WINDOW, n) for n in size)


def blending_bytes(size: Sequence[int], factor: int, element: int) -> int:
    """What blending holds beside the decoding of a window: sum and weights of the CT, and three of a window."""
    window = window_of(size)
    return 0 if window == tuple(size) else (2 * math.prod(size) + 3 * math.prod(window)) * factor**3 * element


def decoded_as_published(decode: Decode, latent: Tensor) -> Tensor:
    """In one piece when the latent has at most 80^3 voxels, else in windows."""
    window = window_of(latent.shape[2:])
    return decode(latent, 0, 1) if window == tuple(latent.shape[2:]) else windowed(decode, latent, window, OVERLAP)


def windowed(decode: Decode, latent: Tensor, window: Sequence[int], overlap: float) -> Tensor:
    """Windows decoded one by one, blended; a window larger than the latent is cut to it."""
    size = latent.shape[2:]
    window = tuple(min(w, n) for w, n in zip(window, size, strict=True))
    corners = list(itertools.product(*[starts(n, w, overlap) for n, w in zip(size, window, strict=True)]))
    total: Tensor | None = None
    weights = share = latent.new_zeros(0)
    for done, corner in enumerate(corners):
        i, j, k = (slice(a, a + w) for a, w in zip(corner, window, strict=True))
        part = decode(latent[:, :, i, j, k], done, len(corners))
        factor = part.shape[-1] // window[-1]
        if total is None:
            total = part.new_zeros((*part.shape[:2], *(n * factor for n in size)))
            weights = torch.zeros_like(total[:1, :1])
            share = functional.interpolate(importance(window).to(part), part.shape[2:], mode="nearest-exact")
        i, j, k = (slice(s.start * factor, s.stop * factor) for s in (i, j, k))
        total[:, :, i, j, k] += part * share
        weights[:, :, i, j, k] += share
    return latent if total is None else total.div_(weights)


def starts(size: int, window: int, overlap: float) -> list[int]:
    """Where windows begin along an axis; the last one is moved back to end with the axis."""
    if size <= window:
        return [0]
    stride = max(1, int(window * (1 - overlap)))
    count = math.ceil((size - window) / stride) + 1
    return [min(i * stride, size - window) for i in range(count)]


def importance(window: Sequence[int]) -> Tensor:
    """A Gaussian over the window, as (1, 1, X, Y, Z)."""
    weight = torch.ones(())
    for n in window:
        place = torch.arange(-(n - 1) / 2, (n - 1) / 2 + 1)
        weight = weight[..., None] * torch.exp(place**2 / (-2 * (n * _SIGMA) ** 2))
    return weight.clamp(min=max(_FLOOR, float(weight.min())))[None, None]
