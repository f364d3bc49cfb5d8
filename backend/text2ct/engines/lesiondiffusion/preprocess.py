"""The authors' preparation of a case: 1 mm voxels, and where a box may lie in an organ.

Kept for comparison and for lists made with their program. The engine's own way works
on the CT's own grid and rounds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .crops import Index, Mask, Window
from .tokens import IN_LUMEN, IN_WALL, INSIDE

_CT_BELOW = -10
_WALL = 5  # voxels


def standardised(voxels: NDArray[Any], spacing: Sequence[float], millimetres: float = 1.0,
                 ) -> NDArray[Any]:
    """Voxels at 1 mm, linearly for a CT and nearest for labels; the corners of the array stay where they were."""
    order = 1 if voxels.min() < _CT_BELOW else 0
    factors = [s / millimetres for s in spacing]
    zoomed: NDArray[Any] = ndimage.zoom(voxels, factors, order=order)  # type: ignore[call-overload]
    return zoomed


def box_window(centre: Index, size: Index, image: Index) -> Window:
    """The box of a lesion in an image. Upstream quirk: odd sizes lose a voxel, a size of one gives an empty box."""
    low = [max(c - s // 2, 0) for c, s in zip(centre, size, strict=True)]
    high = [min(c + s // 2, n) for c, s, n in zip(centre, size, image, strict=True)]
    return Window((low[0], low[1], low[2]), (high[0], high[1], high[2]))


def allowed_centres(organ: Mask, size: Index, cavity: str, hollow: bool) -> Mask:
    """Where the middle of a box may lie in an organ; anywhere in it when the wanted place does not exist."""
    inner = ndimage.binary_erosion(organ, iterations=_WALL)
    wanted = organ
    if hollow and cavity == IN_LUMEN:
        wanted = inner
    elif hollow and cavity == IN_WALL:
        wanted = organ & ~inner
    elif not hollow and cavity == INSIDE:
        whole = np.pad(np.cumsum(np.cumsum(np.cumsum(organ.astype(np.int64), 0), 1), 2), ((1, 0),) * 3)
        wanted = _box_sums(whole, size) == np.prod([2 * (s // 2) for s in size])
    return wanted if wanted.any() else organ


def _box_sums(whole: NDArray[np.int64], size: Index) -> NDArray[np.int64]:
    """For each voxel, the sum over the box around it, from the running sums of the array; -1 at the border."""
    shape = [n - 1 for n in whole.shape]
    sums = np.full(shape, -1, np.int64)
    half = [s // 2 for s in size]
    inside = tuple(slice(h, n - h + 1) for h, n in zip(half, shape, strict=True))
    total = np.zeros([max(0, n - 2 * h + 1) for h, n in zip(half, shape, strict=True)], np.int64)
    for corner in np.ndindex(2, 2, 2):
        part = tuple(slice(2 * h * c, 2 * h * c + n) for h, c, n in zip(half, corner, total.shape, strict=True))
        total += (-1) ** (3 - sum(corner)) * whole[part]
    fitting = tuple(slice(0, n) for n in sums[inside].shape)
    sums[inside] = total[fitting]
    return sums
