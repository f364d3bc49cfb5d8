"""How noisy a given CT is, and noise of the same strength and grain to put over what is painted into it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .frame import Floats

_SAMPLE = 96
_FLAT_HU = 25.0


@dataclass(frozen=True)
class ScanNoise:
    """Standard deviation in HU, and the blur along each array axis (voxels) that gives its correlation."""

    sigma_hu: float
    blur: tuple[float, float, float]

    def field(self, rng: np.random.Generator, shape: tuple[int, int, int]) -> Floats:
        """Noise like that of the scan."""
        white = rng.standard_normal(shape, dtype=np.float32)
        grain = ndimage.gaussian_filter(white, self.blur, truncate=3.0) if max(self.blur) > 0.2 else white
        strength = max(self.sigma_hu, 0.0) / max(float(grain.std()), 1e-6)
        noise: Floats = (grain * np.float32(strength)).astype(np.float32)
        return noise


def measure_noise(voxels: NDArray[np.int16]) -> ScanNoise:
    """The noise of a CT, from flat soft tissue in the middle of the image."""
    middle = tuple(slice(max(0, n // 2 - _SAMPLE), n // 2 + _SAMPLE) for n in voxels.shape)
    hu = voxels[middle].astype(np.float32)
    smooth = ndimage.uniform_filter(hu, 3)
    rough = hu - smooth
    flat = (smooth > -130) & (smooth < 150) & (np.abs(ndimage.uniform_filter(np.abs(rough), 5)) < _FLAT_HU)
    flat = ndimage.binary_erosion(flat, iterations=1)
    if flat.sum() < 200:
        return ScanNoise(8.0, (0.4, 0.4, 0.4))
    sigma = 1.4826 * float(np.median(np.abs(rough[flat] - np.median(rough[flat]))))
    blur = tuple(_blur_along(hu, flat, axis) for axis in range(3))
    lost = 1 - 1 / 27 * (1 + 4 * sum(blur))
    return ScanNoise(float(np.clip(sigma / np.sqrt(max(lost, 0.3)), 1.0, 60.0)), (blur[0], blur[1], blur[2]))


def _blur_along(hu: Floats, flat: NDArray[np.bool_], axis: int) -> float:
    """The blur of white noise that has the correlation seen between neighbours along one axis."""
    wide = hu - ndimage.uniform_filter(hu, 7)
    one = [slice(None)] * 3
    two = [slice(None)] * 3
    one[axis], two[axis] = slice(0, -1), slice(1, None)
    both = flat[tuple(one)] & flat[tuple(two)]
    if both.sum() < 100:
        return 0.3
    a, b = wide[tuple(one)][both], wide[tuple(two)][both]
    like = float(np.clip(np.mean(a * b) / max(float(np.mean(a * a)), 1e-6), 0.02, 0.9))
    return float(np.clip(np.sqrt(-1 / (4 * np.log(like))), 0.0, 1.4))
