"""A CT brought to patient axes and three to four millimetres, where shape is cheap to judge.

Lungs, heart and fluid are large: finding them on a coarse copy takes a second where
the full grid takes a minute. Every array here is in RAS order, so that "left" and
"up" are directions of the patient and never an accident of storage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..geometry import Grid, Triple
from ..volume import CTVolume, LabelVolume, Segment

Mask = NDArray[np.bool_]
Image = NDArray[np.float32]
WORKING_MM = 3.5


@dataclass(frozen=True, eq=False)
class Coarse:
    """Mean HU of blocks of voxels in RAS order; `factors` says how many voxels each block spans."""

    hu: Image
    grid: Grid
    factors: tuple[int, int, int]
    fine: CTVolume

    @classmethod
    def of(cls, ct: CTVolume, spacing: float = WORKING_MM) -> Coarse:
        fine = ct.reoriented("RAS")
        i, j, k = (max(1, min(n, int(spacing / s + 0.35)))
                   for n, s in zip(fine.shape, fine.spacing, strict=True))
        hu = block_mean(fine.voxels, (i, j, k))
        affine = fine.affine.copy()
        affine[:3, 3] = fine.grid.to_ras([(i - 1) / 2, (j - 1) / 2, (k - 1) / 2])
        affine[:3, :3] = fine.affine[:3, :3] * [i, j, k]
        return cls(hu, Grid((hu.shape[0], hu.shape[1], hu.shape[2]), affine), (i, j, k), fine)

    def cropped(self, low: Sequence[int], high: Sequence[int]) -> Coarse:
        """Blocks low <= index < high, with the fine voxels that belong to them."""
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        start = [a * f for a, f in zip(low, self.factors, strict=True)]
        stop = [min(b * f, n) for b, f, n in zip(high, self.factors, self.fine.shape, strict=True)]
        return Coarse(np.ascontiguousarray(self.hu[box]), self.grid.window(low, high), self.factors,
                      self.fine.window(start, stop))

    @property
    def spacing(self) -> Triple:
        return self.grid.spacing

    @property
    def voxel_ml(self) -> float:
        return self.grid.voxel_ml

    @cached_property
    def ras(self) -> tuple[Image, Image, Image]:
        """The RAS x, y and z of every voxel, as arrays that broadcast (full ones where the grid is oblique)."""
        i, j, k = np.ogrid[tuple(slice(0, n) for n in self.grid.shape)]
        x, y, z = (self.grid.affine[a, 0] * i + self.grid.affine[a, 1] * j + self.grid.affine[a, 2] * k
                   + self.grid.affine[a, 3] for a in range(3))
        return x.astype(np.float32), y.astype(np.float32), z.astype(np.float32)

    def voxels(self, mm: float) -> tuple[float, float, float]:
        """A length as voxels along each axis."""
        a, b, c = self.spacing
        return mm / a, mm / b, mm / c

    def ball(self, mm: float) -> Mask:
        """A ball of this radius as a structuring element; never less than the six neighbours."""
        reach = [int(v) for v in self.voxels(mm)]
        axes = np.ogrid[tuple(slice(-n, n + 1) for n in np.maximum(reach, 1))]
        squares = sum((a * s) ** 2 for a, s in zip(axes, self.spacing, strict=True))
        steps = sum(np.abs(a) for a in axes)
        return np.logical_or(np.less_equal(squares, mm * mm), np.less_equal(steps, 1))

    def place(self, mask: Mask) -> Triple | None:
        """The voxel of `mask` nearest to its middle, as a RAS point."""
        points = np.argwhere(mask)
        if not len(points):
            return None
        scaled = points * np.array(self.spacing)
        nearest = points[np.argmin(((scaled - scaled.mean(0)) ** 2).sum(1))]
        x, y, z = self.grid.to_ras(nearest).tolist()
        return (x, y, z)

    def spread(self, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Coarse values on the fine RAS grid, each block filled with its own."""
        for axis, factor in enumerate(self.factors):
            if factor > 1:
                values = np.repeat(values, factor, axis)
        i, j, k = self.fine.shape
        return values[:i, :j, :k]

    def gather(self, mask: Mask) -> Mask:
        """A mask on the fine RAS grid brought here: true where at least half of a block is."""
        return block_mean(mask.view(np.uint8), self.factors) >= 0.5

    def labels(self, fine: NDArray[np.uint8], like: CTVolume, segments: tuple[Segment, ...],
               title: str) -> LabelVolume:
        """Labels on the fine RAS grid as a volume on the grid of `like`."""
        turned = LabelVolume(fine, self.fine.affine, segments, title).reoriented(like.orientation)
        return LabelVolume(turned.voxels.copy(), like.affine, segments, title)


def largest_piece(mask: Mask) -> Mask:
    """The largest connected piece of a mask."""
    labels, count = ndimage.label(mask)
    if count < 2:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == int(sizes.argmax()))


def block_mean(voxels: NDArray[np.int16] | NDArray[np.uint8], factors: tuple[int, int, int]) -> Image:
    """Means over blocks; the last block of an axis may be smaller."""
    total: NDArray[Any] = voxels.astype(np.float32) if factors == (1, 1, 1) else voxels
    for axis, factor in enumerate(factors):
        if factor > 1:
            starts = np.arange(0, total.shape[axis], factor)
            counts = np.minimum(starts + factor, total.shape[axis]) - starts
            shape = [1, 1, 1]
            shape[axis] = -1
            total = np.add.reduceat(total, starts, axis, dtype=np.float32) / counts.reshape(shape).astype(np.float32)
    return np.ascontiguousarray(total, dtype=np.float32)
