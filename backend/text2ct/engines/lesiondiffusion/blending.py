"""Setting what was decoded back into the patient's CT, without a seam and without touching anything else.

The VQ-GAN never gives back a CT exactly: it moves the mean a little and loses the
noise. So the crop is decoded twice, with the lesion and without, and what the decoder
lost of the untouched CT is added to the painted one: at the rim of the lesion both
then agree voxel by voxel. Towards the middle that remainder fades, for it belongs to
tissue that is no longer there, and noise of its strength and grain takes its place.
Outside the lesion the change itself fades over a few millimetres, at least one voxel,
and on the last layer that is written it stays below the steps that the CT itself makes
there: whatever the networks paint, no seam is seen where it ends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..phantom.scan_noise import ScanNoise
from .crops import Mask
from .working import Floats

FEATHER_MM = 3.0
_COARSE_MM = 2.4  # thicker voxels count as that thick, so that the feather holds one of them
_SEAM_SHARE, _QUIET_HU = 0.4, 5.0
_FADE_MM = 2.5
_SHELL_MM = 8.0  # outside the lesion, where the lost noise is measured
_MOST_HU = 80.0
_FEW = 30  # voxels
_FLAT_SHARE = 0.4
_HU = (-1024, 3071)


def signed_depth(mask: Mask, spacing: tuple[float, float, float]) -> Floats:
    """Millimetres from the surface of a mask: positive inside, negative outside."""
    inside = ndimage.distance_transform_edt(mask, spacing)
    outside = ndimage.distance_transform_edt(~mask, spacing)
    half = 0.5 * min(spacing)
    return np.asarray(np.where(mask, inside - half, half - outside), np.float32)


def feather_depth(mask: Mask, spacing: tuple[float, float, float]) -> Floats:
    """As signed_depth, but no voxel counts as thicker than the feather."""
    a, b, c = (min(s, _COARSE_MM) for s in spacing)
    return signed_depth(mask, (a, b, c))


def within_reach(mask: Mask, spacing: tuple[float, float, float]) -> Mask:
    """The voxels that a lesion may change: its own, and those of its feather."""
    return np.asarray(feather_depth(mask, spacing) > -FEATHER_MM)


def share_of_new(depth: Floats) -> Floats:
    """1 in the lesion, 0 from FEATHER_MM outside on, smooth in between."""
    x = np.clip(1 + depth / FEATHER_MM, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)


def blended(old: NDArray[np.int16], painted: Floats, untouched: Floats, mask: Mask,
            spacing: tuple[float, float, float], rng: np.random.Generator) -> NDArray[np.int16]:
    """`old` with the lesion of `painted`; `untouched` is what the decoder makes of `old` itself.

    Voxels beyond the feather keep their bits.
    """
    depth = feather_depth(mask, spacing)
    share = share_of_new(depth)
    kept = np.exp(-np.maximum(depth, 0) / _FADE_MM)
    hu = old.astype(np.float32)
    lost = hu - untouched
    i, j, k = old.shape
    grain = lost_noise(lost, untouched, depth).field(rng, (i, j, k))
    new = painted + kept * lost + np.sqrt(1 - kept**2) * grain
    change = unseen(share * (new - hu), hu, depth > -FEATHER_MM, mask)
    mixed = np.clip(np.rint(hu + change), *_HU)
    return np.where(share > 0, mixed, hu).astype(np.int16)


def unseen(change: Floats, hu: Floats, touched: Mask, lesion: Mask) -> Floats:
    """The change, held on its last layer outside the lesion to a share of the CT's own steps across that surface."""
    last = touched & ~lesion & ~ndimage.binary_erosion(touched, border_value=1)
    limit = _SEAM_SHARE * max(mean_step(hu, touched), _QUIET_HU)
    return np.where(last, np.clip(change, -limit, limit), change)


def mean_step(hu: NDArray[np.float32], inside: Mask) -> float:
    """The mean absolute difference of the neighbours on the two sides of a surface."""
    total, count = 0.0, 0
    for axis in range(3):
        across = np.diff(inside, axis=axis)
        total += float(np.abs(np.diff(hu, axis=axis))[across].sum())
        count += int(across.sum())
    return total / max(count, 1)


def lost_noise(lost: Floats, untouched: Floats, depth: Floats) -> ScanNoise:
    """Strength and grain of the noise that the decoder took away around the lesion, where the image is flat."""
    rough = lost - ndimage.uniform_filter(lost, 5)
    shell = (depth < 0) & (depth > -_SHELL_MM)
    if shell.sum() < _FEW:
        return ScanNoise(0.0, (0.0, 0.0, 0.0))
    edges = ndimage.gaussian_gradient_magnitude(untouched, 1.0)
    shell &= edges <= np.quantile(edges[shell], _FLAT_SHARE)
    middle = float(np.median(rough[shell]))
    sigma = 1.4826 * float(np.median(np.abs(rough[shell] - middle)))
    within = shell & (np.abs(rough) < 4 * sigma)
    a, b, c = (_blur_along(rough, within, axis) for axis in range(3))
    return ScanNoise(min(sigma, _MOST_HU), (a, b, c))


def _blur_along(rough: Floats, within: Mask, axis: int) -> float:
    """The blur of white noise that has the correlation seen between neighbours along an axis."""
    one, two = np.moveaxis(rough, axis, 0)[:-1], np.moveaxis(rough, axis, 0)[1:]
    both = np.moveaxis(within, axis, 0)[:-1] & np.moveaxis(within, axis, 0)[1:]
    if both.sum() < _FEW:
        return 0.0
    like = float(np.mean(one[both] * two[both]) / max(float(np.mean(one[both] ** 2)), 1e-6))
    return float(np.sqrt(-1 / (4 * np.log(np.clip(like, 1e-4, 0.85)))))
