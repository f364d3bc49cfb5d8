"""What the scanner adds: blur of the kernel and of the slice, and noise that is correlated in the plane.

Noise comes slice by slice from its own stream and depends on the patient's outline
only, so that a finding never changes a voxel that it does not reach.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import ndimage

from .frame import Floats
from .patient import Patient
from .shapes import stream

MARGIN = 1
_REFERENCE_ML = 0.9 * 0.9 * 3.0


class Scanner:
    """The scan of one patient on one grid: `spacing` is (z, y, x)."""

    def __init__(self, patient: Patient, spacing: tuple[float, float, float], shape: tuple[int, int]) -> None:
        self._patient = patient
        self._spacing = spacing
        self._shape = shape
        volume = spacing[0] * spacing[1] * spacing[2]
        self._noise_hu = patient.noise_hu * float(np.clip((_REFERENCE_ML / volume) ** 0.25, 0.5, 1.7))
        self._white = lru_cache(maxsize=4)(self._slice_noise)

    def scan(self, hu: Floats, body_depth: Floats, heights: Floats, first: int) -> Floats:
        """The slab as scanned, without the MARGIN slices on both sides; `first` is the index of its first slice."""
        sharp = self._blurred(hu)[MARGIN:-MARGIN]
        for k in range(len(sharp)):
            sharp[k] += self._noise(first + k, body_depth[MARGIN + k], float(heights[MARGIN + k]))
        return sharp

    def _blurred(self, hu: Floats) -> Floats:
        p = self._patient
        side = 0.25 * p.slice_blur
        soft = hu.copy()
        soft[1:-1] = (1 - 2 * side) * hu[1:-1] + side * (hu[:-2] + hu[2:])
        sigma = 0.28 + 0.3 * (1 - p.sharpness)
        pixels = max(sigma * 1.0 / self._spacing[1], 0.30)
        blurred: Floats = ndimage.gaussian_filter(soft, (0, pixels, pixels), truncate=2.5)
        return blurred

    def _noise(self, k: int, depth: Floats, height: float) -> Floats:
        shoulders = 1 + 0.7 * float(np.exp(-((height / self._patient.height - 135) / 32) ** 2))
        amount = np.clip(depth, 0, 110)
        amount = np.float32(self._noise_hu * shoulders) * (0.45 + 0.008 * amount)
        mixed = self._white(k) + np.float32(0.35) * (self._white(k - 1) + self._white(k + 1))
        noise: Floats = mixed * np.float32(0.9) * amount
        return noise

    def _slice_noise(self, k: int) -> Floats:
        rng = stream(self._patient.seed, f"noise {k}")
        white = rng.standard_normal(self._shape, dtype=np.float32)
        pixels = max(0.45, 0.75 * (1.25 - self._patient.sharpness) / self._spacing[1])
        grain = ndimage.gaussian_filter(white, pixels, truncate=2.5)
        if self._patient.sharpness > 0.6:
            grain = grain - 0.7 * ndimage.gaussian_filter(grain, 1.2, truncate=2.5)
        scaled: Floats = grain / np.float32(grain.std() + 1e-6)
        return scaled
