"""What is done to the HU of a small decoder, whose errors are known: a curve of tones, and even soft tissue.

Such a decoder flattens what is rare: the darkest lung comes out too bright. So HU go through
a curve that was measured once, on reports that no score is made of. And it leaves blotches of
15 to 25 HU in soft tissue, as much as fluid differs from muscle, where a CT has grain. So each
voxel of soft tissue becomes the mean of those around it that are like it (a bilateral filter,
with the likeness taken in steps of HU). What is not soft tissue stays as it is, and so do its
borders: lung, fat, bone and air have no say. Published weights need neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SOFT_HU = (-60.0, 120.0)
_STEP_HU, _LIKE_HU = 30.0, 35.0


@dataclass(frozen=True)
class Finish:
    """`tones` are pairs of HU, before and after, between which the curve is straight; ends stay ends. `even_mm` is how
    far around a voxel of soft tissue others are asked. Without either nothing is done."""

    tones: tuple[tuple[float, float], ...] = ()
    even_mm: float = 0.0

    def said(self) -> tuple[str, ...]:
        """For the account."""
        return tuple(words for words, done in (
            ("HU by a measured curve", self.tones),
            (f"soft tissue evened over {self.even_mm:g} mm", self.even_mm > 0)) if done)


def finished(hu: NDArray[np.int16], spacing: Sequence[float], finish: Finish) -> NDArray[np.int16]:
    return evened(toned(hu, finish.tones), spacing, finish.even_mm)


def toned(hu: NDArray[np.int16], tones: Sequence[tuple[float, float]]) -> NDArray[np.int16]:
    """Each HU as the curve says."""
    if not tones:
        return hu
    low, high = int(hu.min()), int(hu.max())
    before, after = zip(*sorted(tones), strict=True)
    table = np.rint(np.interp(np.arange(low, high + 1), before, after)).astype(np.int16)
    out: NDArray[np.int16] = table[hu.astype(np.int32) - low]
    return out


def evened(hu: NDArray[np.int16], spacing: Sequence[float], mm: float) -> NDArray[np.int16]:
    """The same CT with soft tissue evened over about `mm`; 0 changes nothing."""
    low, high = SOFT_HU
    soft = (hu > low) & (hu < high)
    where = ndimage.find_objects(soft.view(np.uint8))
    if mm <= 0 or not where:
        return hu
    box, sigma = where[0], [mm / s for s in spacing]
    inside, values = soft[box], hu[box].astype(np.float32)
    total, share = np.zeros_like(values), np.zeros_like(values)
    for level in np.arange(low, high + 1, _STEP_HU, dtype=np.float32):
        like = inside * np.exp(-0.5 * ((values - level) / _LIKE_HU) ** 2, dtype=np.float32)
        mean = _blurred(like * values, sigma) / np.maximum(_blurred(like, sigma), 1e-6)
        near = np.maximum(1 - np.abs(values - level) / _STEP_HU, 0)
        total += near * mean
        share += near
    out: NDArray[np.int16] = hu.copy()
    out[box][inside] = np.rint(total[inside] / share[inside]).astype(np.int16)
    return out


def _blurred(values: NDArray[np.float32], sigma: Sequence[float]) -> NDArray[np.float32]:
    return np.asarray(ndimage.gaussian_filter(values, sigma, mode="constant", truncate=3.0), np.float32)
