"""The form of one lesion: round, oval, lobulated or irregular, with its largest diameter exact.

The form is made once on a lattice of its own that is fine against its size, measured,
and scaled; so the asked size holds at any voxel size of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .frame import Axes, Bools, Field, Floats, Slices, lattice
from .shapes import noise_field

_CELLS = 30
_ROUGH = {"smooth": 0.025, "lobulated": 0.17, "spiculated": 0.09, "irregular": 0.24}


@dataclass(frozen=True, eq=False)
class Blob:
    """Depth inside a lesion of `size_mm`; `spikes` are points of fine strands that leave it, with radii."""

    depth: Field
    centre: NDArray[np.float64]
    size_mm: float
    spikes: NDArray[np.float64]
    spike_radii: NDArray[np.float64]

    def within(self, axes: Axes) -> tuple[Slices, Axes, Floats] | None:
        """The part of a slab that the blob reaches, its axes, and the depth below the surface there."""
        where = self.depth.window(axes)
        return None if where is None else (where, axes[where], self.depth.on(axes[where]))

    def filled(self, axes: Axes, depth: Floats) -> Bools:
        """The voxels of the lesion; the one nearest to its centre where it is smaller than a voxel."""
        mask: Bools = depth > 0
        if not mask.any():
            near = [int(np.argmin(np.abs(a - c))) for a, c in zip((axes.z, axes.y, axes.x), self.centre[::-1],
                                                                  strict=True)]
            off = [abs(float(a[n]) - c) for a, n, c in zip((axes.z, axes.y, axes.x), near, self.centre[::-1],
                                                           strict=True)]
            mask[tuple(near)] = all(o <= 0.51 * s for o, s in zip(off, axes.spacing, strict=True))
        return mask


def random_turn(rng: np.random.Generator) -> NDArray[np.float64]:
    turn: NDArray[np.float64] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    return turn


def make_blob(rng: np.random.Generator, centre: NDArray[np.float64], size_mm: float, margin: str = "smooth",
              flatness: tuple[float, float] = (0.9, 0.82), turn: NDArray[np.float64] | None = None) -> Blob:
    """A lesion around `centre`; `flatness` are its middle and shortest diameters as shares of the largest."""
    rough = _ROUGH.get(margin, _ROUGH["smooth"])
    half = 0.5 * (1 + 2.2 * rough) + 0.12
    empty = lattice([-half] * 3, [half] * 3, 2 * half / _CELLS)
    axes = empty.axes()
    own = random_turn(rng) if turn is None else turn
    grain = noise_field(rng, 0.24 if margin != "irregular" else 0.34, (-half,) * 3, (half,) * 3).on(axes)
    radii = 0.5 * np.array([1.0, *flatness])
    parts = [(axes.X * own[0, k] + axes.Y * own[1, k] + axes.Z * own[2, k]) / radii[k] for k in range(3)]
    q = np.sqrt(parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2)
    depth = (1 - q) * radii.min() + np.float32(0.5 * rough) * np.clip(grain, -1.8, 1.8)
    depth = _one_piece(depth.astype(np.float32))
    scale = size_mm / largest_diameter(depth > 0, empty.step)
    step = empty.step * scale
    corner = centre - half * scale
    field = Field(depth * np.float32(scale), (corner[0], corner[1], corner[2]), step)
    spikes, radii_of_spikes = _spikes(rng, centre, size_mm) if margin == "spiculated" else (np.zeros((0, 3)),
                                                                                           np.zeros(0))
    return Blob(field, centre, size_mm, spikes, radii_of_spikes)


def largest_diameter(inside: NDArray[np.bool_], step: float | NDArray[np.float64]) -> float:
    """The largest extent of a mask over many directions, voxels taken as balls of their own size."""
    points = np.argwhere(inside & ~ndimage.binary_erosion(inside)) * step
    if len(points) == 0:
        return 0.0
    n = 400
    heights = 1 - (np.arange(n) + 0.5) / n
    angles = np.pi * (1 + 5**0.5) * np.arange(n)
    flat = np.sqrt(1 - heights**2)
    ways = np.stack([flat * np.cos(angles), flat * np.sin(angles), heights])
    along = points @ ways
    return float((along.max(0) - along.min(0)).max() + 0.8 * np.mean(step))


def _one_piece(depth: Floats) -> Floats:
    """Without islands and holes."""
    pieces, count = ndimage.label(depth > 0)
    if count > 1:
        middle = pieces[tuple(n // 2 for n in depth.shape)]
        keep = middle if middle else np.bincount(pieces.ravel())[1:].argmax() + 1
        depth = np.where((depth > 0) & (pieces != keep), np.float32(-0.01), depth)
    return depth


def _spikes(rng: np.random.Generator, centre: NDArray[np.float64], size_mm: float
            ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r = size_mm / 2
    count = int(14 + size_mm / 2)
    ways = rng.normal(size=(count, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    points, radii = [], []
    for way in ways:
        end = rng.uniform(1.25, 1.75) + 3 / r
        along = np.linspace(0.7, end, max(6, int(r * end)))
        bend = np.cross(way, rng.normal(size=3)) * 0.25
        points.append(centre + r * (way * along[:, None] + bend * ((along - 0.7) ** 2)[:, None]))
        radii.append(np.linspace(1.3, 0.45, len(along)) * min(1.6, 0.6 + size_mm / 40))
    return np.concatenate(points), np.concatenate(radii)
