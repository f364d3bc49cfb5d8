"""A volume on another grid: linear for CT, nearest for labels.

Going to coarser voxels, a CT is smoothed first, or fine structures would turn into
noise. The width follows from matching the full widths at half maximum of old and new
voxels: sigma = sqrt(ratio^2 - 1) / (2 sqrt(2 ln 2)) voxels along each source axis.
Nearest keeps every label value that it meets and invents none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .geometry import Grid
from .volume import CTVolume, LabelVolume

_EDGE = 1e-4  # voxels, for rounding
_FWHM = 2 * np.sqrt(2 * np.log(2))


def resample_ct(ct: CTVolume, grid: Grid, anti_alias: bool = True) -> CTVolume:
    """The CT on `grid`, linearly; outside its own space stands air."""
    if ct.same_grid(grid, tolerance_mm=1e-6):
        return ct
    matrix, offset = _index_map(ct.grid, grid)
    source = ct.voxels.astype(np.float32)
    if anti_alias:
        sigma = smoothing(ct.grid, grid)
        if max(sigma) > 0:
            ndimage.gaussian_filter(source, sigma, output=source, mode="nearest")
    values = ndimage.affine_transform(source, matrix, offset, grid.shape, order=1, mode="nearest", output=np.float32)
    np.rint(values, out=values)
    values[_outside(ct.grid, grid)] = ct.fill
    return CTVolume(np.clip(values, -32768, 32767, out=values).astype(np.int16), grid.affine)


def resample_labels(labels: LabelVolume, grid: Grid) -> LabelVolume:
    """The labels on `grid`, each voxel from its nearest; outside stands background."""
    if labels.same_grid(grid, tolerance_mm=1e-6):
        return labels
    matrix, offset = _index_map(labels.grid, grid)
    values = np.zeros(grid.shape, labels.voxels.dtype)
    ndimage.affine_transform(labels.voxels, matrix, offset, grid.shape, order=0, mode="nearest", output=values)
    values[_outside(labels.grid, grid)] = labels.fill
    return replace(labels, voxels=values, affine=grid.affine)


def smoothing(source: Grid, target: Grid) -> tuple[float, float, float]:
    """Sigma in source voxels along each source axis; zero where the target is as fine."""
    matrix, _ = _index_map(source, target)
    ratio = np.linalg.norm(matrix, axis=1)
    a, b, c = (np.sqrt(np.maximum(ratio**2 - 1, 0)) / _FWHM).tolist()
    return (a, b, c)


def _outside(source: Grid, target: Grid) -> NDArray[np.bool_]:
    """Which target voxels have their centre outside every source voxel; a voxel reaches half its size around."""
    matrix, offset = _index_map(source, target)
    i, j, k = (np.arange(n, dtype=np.float32) for n in target.shape)
    outside = np.zeros(target.shape, bool)
    for axis, size in enumerate(source.shape):
        along = (matrix[axis, 0] * i[:, None, None] + matrix[axis, 1] * j[:, None] + matrix[axis, 2] * k
                 + np.float32(offset[axis]))
        outside |= (along < -0.5 - _EDGE) | (along > size - 0.5 + _EDGE)
    return outside


def _index_map(source: Grid, target: Grid) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Target voxel indices to source voxel indices."""
    both = np.linalg.inv(source.affine) @ target.affine
    return np.round(both[:3, :3], 12), np.round(both[:3, 3], 9)
