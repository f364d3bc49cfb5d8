"""From the patient's grid to the one that the networks see, and back.

The networks work at 1 mm on arrays whose axes go up, to the front and to the left. That
is the CT's own grid with its axes put in that order and its spacing changed, so an
oblique CT stays as oblique as it is. A crop of it around the box is all that is
resampled; nothing is written back but through `values_on`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...geometry import Box, Grid
from ...resample import smoothing
from .crops import Index, Mask, Window, window_around

AXES = "SAL"
_ROOM = 0.8  # of a crop that a box may fill
_MARGIN = 3  # source voxels around what is resampled
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Crop:
    """What a network sees: a grid, and the voxels of the box in it."""

    grid: Grid
    box: Window
    stretched: float = 1.0

    @property
    def size(self) -> Index:
        return self.grid.shape


def crop_around(source: Grid, box: Box, size: Index, spacing: float) -> Crop:
    """The crop of `size` voxels around a box; its voxels grow when the box would not fit with room around it."""
    turned = source.reoriented(AXES)
    low, high = box.voxels_in(turned, clip=False)
    span = np.subtract(high, low) * np.asarray(turned.spacing)
    stretched = max(1.0, float(np.max(span / (np.asarray(size) * _ROOM * spacing))))
    whole = turned.with_spacing((spacing * stretched,) * 3)
    low, high = box.voxels_in(whole)
    inside = Window((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    window = window_around(inside, size, whole.shape)
    shifted = [[end - start for end, start in zip(ends, window.low, strict=True)] for ends in (low, high)]
    limits = [[min(max(end, 0), n) for end, n in zip(ends, size, strict=True)] for ends in shifted]
    return Crop(whole.window(window.low, window.high), Window(_index(limits[0]), _index(limits[1])), stretched)


def values_on(values: NDArray[np.generic], source: Grid, target: Grid, nearest: bool = False,
              outside: float | None = None) -> Floats:
    """Values on another grid: linear, smoothed first where it is coarser; beyond the edge the edge, or `outside`."""
    reach = [_MARGIN + 3 * s for s in smoothing(source, target)]
    corners = source.to_ijk(target.to_ras(np.array(list(np.ndindex(2, 2, 2))) * (np.array(target.shape) - 1)))
    low = [int(np.clip(np.floor(a - r), 0, n - 1)) for a, r, n in zip(corners.min(0), reach, source.shape, strict=True)]
    high = [int(np.clip(np.ceil(b + r) + 1, a + 1, n)) for b, r, a, n in zip(corners.max(0), reach, low, source.shape,
                                                                            strict=True)]
    part = source.window(low, high)
    near = np.asarray(values[tuple(map(slice, low, high))], np.float32)
    if not nearest and max(smoothing(part, target)) > 0:
        near = ndimage.gaussian_filter(near, smoothing(part, target), mode="nearest")
    both = np.linalg.inv(part.affine) @ target.affine
    found: Floats = ndimage.affine_transform(
        near, np.round(both[:3, :3], 12), np.round(both[:3, 3], 9), target.shape, order=0 if nearest else 1,
        mode="nearest" if outside is None else "grid-constant", cval=outside or 0.0, output=np.float32)
    return found


def inside_box(box: Box, grid: Grid) -> Mask:
    """The voxels of a grid whose centre lies in a box, however the box is turned."""
    axes = np.array(box.axes)
    turn, start = axes @ grid.affine[:3, :3], axes @ (grid.affine[:3, 3] - np.asarray(box.center))
    i, j, k = (np.arange(n, dtype=np.float32) for n in grid.shape)
    inside = np.ones(grid.shape, bool)
    for row, begin, half in zip(turn, start, np.asarray(box.size) / 2, strict=True):
        along = row[0] * i[:, None, None] + row[1] * j[:, None] + row[2] * k + begin
        inside &= np.abs(along) <= half
    return inside


def inside_ellipsoid(box: Box, grid: Grid, share: float = 1.0) -> Mask:
    """The voxels in the ellipsoid that fills a box, made smaller by `share` along each edge."""
    axes = np.array(box.axes) / (np.asarray(box.size)[:, None] / 2 * share)
    turn, start = axes @ grid.affine[:3, :3], axes @ (grid.affine[:3, 3] - np.asarray(box.center))
    i, j, k = (np.arange(n, dtype=np.float32) for n in grid.shape)
    squares = np.zeros(grid.shape, np.float32)
    for row, begin in zip(turn, start, strict=True):
        squares += (row[0] * i[:, None, None] + row[1] * j[:, None] + row[2] * k + begin) ** 2
    return np.asarray(squares <= 1)


def reach(mask: Mask, grid: Grid, around_mm: float) -> tuple[list[int], list[int]]:
    """The window of a mask with room around it, inside the image."""
    where = [np.flatnonzero(mask.any(tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    room = [int(np.ceil(around_mm / s)) + 3 for s in grid.spacing]
    low = [max(0, int(found[0]) - r) for found, r in zip(where, room, strict=True)]
    high = [min(n, int(found[-1]) + 1 + r) for found, r, n in zip(where, room, grid.shape, strict=True)]
    return low, high


def _index(values: list[int]) -> Index:
    return values[0], values[1], values[2]
