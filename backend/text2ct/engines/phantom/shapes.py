"""Shapes as depths in mm, positive inside: ellipsoids, unions, tubes along curves, and smooth noise.

A depth becomes partial volume by `coverage`. Thin tubes keep their true
cross-section however large the voxels are, so that a vessel of one millimetre
does not become a rope at five.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .frame import WHOLE_HIGH, WHOLE_LOW, Axes, Field, Floats, Slices, lattice

FAR = np.float32(-99.0)
_CHUNK = 1_500_000


def stream(seed: int, name: str) -> np.random.Generator:
    """Random numbers for one purpose; drawing more for one never changes another."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def coverage(depth: Floats, width: float) -> Floats:
    """How much of a voxel is inside, from the depth of its centre; `width` is the blur in mm."""
    out = depth * np.float32(1 / width)
    out += np.float32(0.5)
    covered: Floats = np.clip(out, 0, 1, out=out)
    return covered


def smooth_max(a: Floats, b: Floats, radius: float) -> Floats:
    """The union of two depths with their seam rounded."""
    blend = np.clip(0.5 + (a - b) / np.float32(2 * radius), 0, 1)
    union: Floats = b + (a - b) * blend + np.float32(radius) * blend * (1 - blend)
    return union


def bump(at: ArrayLike, low: float, high: float, soft: float) -> Floats:
    """One between low and high, falling to zero over `soft` on both sides."""
    t = np.asarray(at, np.float32)
    up, down = np.clip((t - low) / soft + 0.5, 0, 1), np.clip((high - t) / soft + 0.5, 0, 1)
    both = np.minimum(up, down)
    result: Floats = (both * both * (3 - 2 * both)).astype(np.float32)
    return result


def ellipsoid(axes: Axes, centre: ArrayLike, radii: ArrayLike, turn: ArrayLike | None = None) -> Floats:
    """The depth of an ellipsoid; the columns of `turn` are its own axes."""
    c, r = np.asarray(centre, np.float32), np.asarray(radii, np.float32)
    dx, dy, dz = axes.X - c[0], axes.Y - c[1], axes.Z - c[2]
    if turn is None:
        parts = [dx / r[0], dy / r[1], dz / r[2]]
    else:
        m = np.asarray(turn, np.float32)
        parts = [(dx * m[0, k] + dy * m[1, k] + dz * m[2, k]) / r[k] for k in range(3)]
    squares = [p * p for p in parts]
    q = np.sqrt(squares[0] + squares[1] + squares[2])
    slope = np.sqrt(squares[0] / r[0]**2 + squares[1] / r[1]**2 + squares[2] / r[2]**2)
    depth: Floats = (q * (1 - q) / np.maximum(slope, 1e-4)).astype(np.float32)
    return np.where(q < 0.02, np.float32(r.min()), depth)


def capsule(axes: Axes, start: ArrayLike, end: ArrayLike, radius: float) -> Floats:
    """The depth of a straight bar with round ends."""
    a, b = np.asarray(start, np.float32), np.asarray(end, np.float32)
    way = b - a
    along = ((axes.X - a[0]) * way[0] + (axes.Y - a[1]) * way[1] + (axes.Z - a[2]) * way[2]) / float(way @ way)
    t = np.clip(along, 0, 1)
    away = np.sqrt((axes.X - a[0] - t * way[0]) ** 2 + (axes.Y - a[1] - t * way[1]) ** 2
                   + (axes.Z - a[2] - t * way[2]) ** 2)
    depth: Floats = np.float32(radius) - away
    return depth


def ellipsoid_field(centre: Sequence[float], radii: Sequence[float], turn: ArrayLike | None = None,
                    step: float = 3.0, margin: float = 12.0) -> Field:
    """An ellipsoid on a lattice just around it."""
    reach = np.full(3, max(radii)) if turn is not None else np.asarray(radii, float)
    empty = lattice(*_corners(np.asarray(centre) - reach - margin, np.asarray(centre) + reach + margin), step)
    return Field(ellipsoid(empty.axes(), centre, radii, turn), empty.origin, step)


def curve(points: ArrayLike, step: float, radius: ArrayLike = 1.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A smooth curve through control points, resampled every `step` mm, and the radius along it."""
    from scipy.interpolate import PchipInterpolator

    p = np.asarray(points, float)
    along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))]
    at = np.linspace(0, along[-1], max(2, int(along[-1] / step) + 1))
    smooth = PchipInterpolator(along, p)(at) if len(p) > 2 else np.stack([np.interp(at, along, c) for c in p.T], 1)
    return smooth, np.interp(at, along, np.broadcast_to(np.asarray(radius, float), (len(p),)))


def tube_field(points: ArrayLike, radius: ArrayLike, step: float = 2.5, margin: float = 7.0) -> Field:
    """The depth of a thick tube along control points, on a lattice just around it."""
    centres, radii = curve(points, step * 0.7, radius)
    reach = float(radii.max()) + margin
    empty = lattice(*_corners(centres.min(0) - reach, centres.max(0) + reach), step)
    values = np.full(empty.values.shape, -margin, np.float32)
    raise_spheres(values, empty.axes(), centres, radii, margin)
    return Field(values, empty.origin, step)


def raise_spheres(depth: Floats, axes: Axes, centres: NDArray[np.float64], radii: NDArray[np.float64],
                  margin: float) -> None:
    """Raise `depth` to that of the spheres, up to `margin` outside them."""
    for index, offset, part in near_voxels(axes, centres, radii + margin):
        inside = radii[part, None].astype(np.float32) - np.sqrt(np.einsum("cnm,cnm->nm", offset, offset))
        good = index >= 0
        np.maximum.at(depth.reshape(-1), index[good], inside[good])


def near_voxels(axes: Axes, centres: NDArray[np.float64], reach: NDArray[np.float64]
                ) -> list[tuple[NDArray[np.int64], Floats, NDArray[np.int64]]]:
    """For each group of points: flat indices (n, m) of the voxels near each (-1 outside), and x, y, z offsets.

    Points with like reach share one stencil of voxel offsets; the third value says which points they are.
    """
    nz, ny, nx = axes.shape
    size = np.array(axes.spacing)[::-1]
    zero = np.array([axes.x[0], axes.y[0], axes.z[0]], float)
    position = (centres - zero) / size
    touching = ((position > -reach[:, None] / size - 1) & (position < np.array([nx, ny, nz]) + reach[:, None] / size)
                ).all(1)
    classes = np.ceil(np.log2(np.maximum(reach, 0.5)) * 4).astype(int)
    groups = []
    for one in np.unique(classes[touching]):
        members = np.flatnonzero(touching & (classes == one))
        far = 2.0 ** (one / 4)
        spans = [np.arange(-int(np.ceil(far / s)), int(np.ceil(far / s)) + 1) for s in size]
        sx, sy, sz = (a.ravel() for a in np.meshgrid(*spans, indexing="ij"))
        closest = sum((np.maximum(np.abs(a) - 0.5, 0) * s) ** 2 for a, s in zip((sx, sy, sz), size, strict=True))
        keep = closest <= far * far
        sx, sy, sz = sx[keep], sy[keep], sz[keep]
        per = max(1, _CHUNK // len(sx))
        for start in range(0, len(members), per):
            part = members[start:start + per]
            nearest = np.rint(position[part]).astype(np.int64)
            ix, iy, iz = nearest[:, 0, None] + sx, nearest[:, 1, None] + sy, nearest[:, 2, None] + sz
            offset = np.stack([(i - position[part, a, None]) * size[a] for a, i in enumerate((ix, iy, iz))])
            outside = (ix < 0) | (iy < 0) | (iz < 0) | (ix >= nx) | (iy >= ny) | (iz >= nz)
            groups.append((np.where(outside, -1, (iz * ny + iy) * nx + ix), offset.astype(np.float32), part))
    return groups


def thin_tubes(axes: Axes, centres: NDArray[np.float64], radii: NDArray[np.float64], width: float) -> Floats:
    """Coverage of thin tubes given as points along them; tubes below the voxel size fade instead of thickening."""
    cover = np.zeros(axes.shape, np.float32)
    drawn = np.maximum(radii, 0.5 * width)
    strength = ((radii / drawn) ** 2).astype(np.float32)
    flat = cover.reshape(-1)
    for index, offset, part in near_voxels(axes, centres, drawn + 0.5 * width):
        away = np.sqrt(np.einsum("cnm,cnm->nm", offset, offset))
        value = (drawn[part, None].astype(np.float32) - away) / np.float32(width) + np.float32(0.5)
        value = np.clip(value, 0, 1) * strength[part, None]
        good = (index >= 0) & (value > 0)
        np.maximum.at(flat, index[good], value[good])
    return cover


def seen(radius: float, width: float) -> float:
    """The coverage above which a voxel belongs to a thin tube of this radius, however faint it is drawn."""
    return 0.4 * min(1.0, (2 * radius / width) ** 2)


def noise_field(rng: np.random.Generator, scale: float, low: Sequence[float] = WHOLE_LOW,
                high: Sequence[float] = WHOLE_HIGH) -> Field:
    """Smooth noise of unit variance with features of about `scale` mm."""
    empty = lattice(low, high, scale)
    values = rng.standard_normal(empty.values.shape, dtype=np.float32)
    values = ndimage.gaussian_filter(values, 0.7)
    return Field(values * np.float32(1.35 / (values.std() + 1e-6)), empty.origin, empty.step)


def box_around(axes: Axes, centres: NDArray[np.float64], reach: float) -> Slices | None:
    """The voxels within `reach` of the bounding box of some points."""
    return axes.box(centres.min(0) - reach, centres.max(0) + reach) if len(centres) else None


def _corners(low: ArrayLike, high: ArrayLike) -> tuple[list[float], list[float]]:
    return np.asarray(low, float).tolist(), np.asarray(high, float).tolist()
