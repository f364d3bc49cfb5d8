"""The patient frame: where everything of a phantom is placed, independent of any voxel grid.

Points are (x, y, z) in mm: x to the patient's left, y to the back, z up, the origin
in the middle of the chest. Arrays are (z, y, x). Smooth shapes live as fields on a
fixed lattice of this frame and are read off at the voxels of the output, slab by
slab; so the same seed is the same patient at any grid, and no large temporary is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...geometry import Grid

Floats: TypeAlias = NDArray[np.floating[Any]]
Bools: TypeAlias = NDArray[np.bool_]
Slices: TypeAlias = tuple[slice, slice, slice]
Point: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Axes:
    """Voxel centres of a box of voxels along each axis of the frame, and their spacing (z, y, x)."""

    z: Floats
    y: Floats
    x: Floats
    spacing: Point

    @classmethod
    def of(cls, grid: Grid, origin: Sequence[float] = (0.0, 0.0, 0.0)) -> Axes:
        """The axes of a grid that points LPS; `origin` is the frame's zero in mm from the middle of the grid."""
        sx, sy, sz = grid.spacing
        x, y, z = (((np.arange(n) - (n - 1) / 2) * s - o).astype(np.float32)
                   for n, s, o in zip(grid.shape, (sx, sy, sz), origin, strict=True))
        return cls(z, y, x, (sz, sy, sx))

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.z), len(self.y), len(self.x))

    @property
    def in_plane(self) -> float:
        return float(np.sqrt(self.spacing[1] * self.spacing[2]))

    @property
    def Z(self) -> Floats:
        return self.z[:, None, None]

    @property
    def Y(self) -> Floats:
        return self.y[None, :, None]

    @property
    def X(self) -> Floats:
        return self.x[None, None, :]

    def __getitem__(self, box: Slices) -> Axes:
        return Axes(self.z[box[0]], self.y[box[1]], self.x[box[2]], self.spacing)

    def box(self, low: ArrayLike, high: ArrayLike) -> Slices | None:
        """The voxels between two corners (x, y, z) in mm, or None where there are none."""
        lo, hi = np.asarray(low, float), np.asarray(high, float)
        cuts = []
        for axis, name in ((self.z, 2), (self.y, 1), (self.x, 0)):
            first, last = np.searchsorted(axis, lo[name], "left"), np.searchsorted(axis, hi[name], "right")
            if first >= last:
                return None
            cuts.append(slice(int(first), int(last)))
        return (cuts[0], cuts[1], cuts[2])


@dataclass(frozen=True, eq=False)
class Field:
    """A smooth quantity on a lattice; beyond the lattice its edge goes on."""

    values: Floats
    origin: Point
    step: float

    def axes(self) -> Axes:
        z, y, x = ((np.arange(n) * self.step + o).astype(np.float32)
                   for n, o in zip(self.values.shape, self.origin[::-1], strict=True))
        return Axes(z, y, x, (self.step,) * 3)

    def on(self, axes: Axes) -> Floats:
        """Values at every voxel of `axes`, by linear interpolation one axis after the other."""
        (k0, k1, wz), (j0, j1, wy), (i0, i1, wx) = (
            _weights(at, n, o, self.step)
            for at, n, o in zip((axes.z, axes.y, axes.x), self.values.shape, self.origin[::-1], strict=True))
        low, high = int(k0.min()), int(k1.max()) + 1
        planes = self.values[low:high]
        first = planes[:, :, i0]
        first += wx * (planes[:, :, i1] - first)
        rows = first[:, j0]
        rows += wy[:, None] * (first[:, j1] - rows)
        if len(axes.z) == high - low and not wz.any():
            return rows
        out = np.empty(axes.shape, np.float32)
        for k in range(len(axes.z)):
            a, b, w = rows[k0[k] - low], rows[k1[k] - low], wz[k]
            np.multiply(b, w, out=out[k])
            out[k] += (1 - w) * a
        return out

    def at(self, points: ArrayLike) -> Floats:
        """Values at points (..., 3)."""
        p = (np.asarray(points, np.float32) - np.asarray(self.origin, np.float32)) / np.float32(self.step)
        limits = np.array(self.values.shape[::-1]) - 1
        p = np.clip(p, 0, limits)
        base = np.minimum(p.astype(np.int64), np.maximum(limits - 1, 0))
        w = (p - base).astype(np.float32)
        out = np.zeros(p.shape[:-1], np.float32)
        for dx in (0, 1):
            for dy in (0, 1):
                for dz in (0, 1):
                    weight = np.abs(1 - dx - w[..., 0]) * np.abs(1 - dy - w[..., 1]) * np.abs(1 - dz - w[..., 2])
                    index = np.minimum(base + [dx, dy, dz], limits)
                    out += weight * self.values[index[..., 2], index[..., 1], index[..., 0]]
        return out

    def window(self, axes: Axes) -> Slices | None:
        """The voxels of `axes` that lie inside this lattice."""
        low = np.asarray(self.origin)
        return axes.box(low, low + self.step * (np.array(self.values.shape[::-1]) - 1))


def _weights(at: Floats, count: int, origin: float, step: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    t = np.clip((at - np.float32(origin)) / np.float32(step), 0, count - 1)
    low = np.minimum(t.astype(np.int64), max(count - 2, 0))
    return low, np.minimum(low + 1, count - 1), (t - low).astype(np.float32)


def lattice(low: Sequence[float], high: Sequence[float], step: float) -> Field:
    """An empty field between two corners (x, y, z)."""
    counts = [int(np.ceil((b - a) / step)) + 1 for a, b in zip(low, high, strict=True)]
    return Field(np.zeros(counts[::-1], np.float32), (low[0], low[1], low[2]), step)


WHOLE_LOW, WHOLE_HIGH, WHOLE_STEP = (-208.0, -188.0, -212.0), (208.0, 152.0, 192.0), 4.0


def whole() -> Field:
    """The lattice that holds the whole chest."""
    return lattice(WHOLE_LOW, WHOLE_HIGH, WHOLE_STEP)
