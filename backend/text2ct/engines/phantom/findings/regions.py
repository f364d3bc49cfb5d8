"""Regions of lung that a finding fills: where a score is below a level, chosen so that a share of lobes is inside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..canvas import Canvas
from ..frame import Axes, Bools, Field, Floats
from ..lungs import OF_SIDE, SIDES, chosen
from ..shapes import coverage
from .stroke import Site

_FEWEST_POINTS = 30


@dataclass(frozen=True, eq=False)
class Region:
    """Depth inside a region: `level` minus the distance from the nearest centre, roughened by noise."""

    lobes: tuple[str, ...]
    centres: NDArray[np.float64]
    radii: NDArray[np.float64]
    rough_mm: float
    noise: Field
    level: float = 0.0

    def depth(self, axes: Axes, noise: Floats) -> Floats:
        best = np.full(noise.shape, -999, np.float32)
        for centre, radius in zip(self.centres.astype(np.float32), self.radii, strict=True):
            away = np.sqrt((axes.X - centre[0]) ** 2 + (axes.Y - centre[1]) ** 2 + (axes.Z - centre[2]) ** 2)
            np.maximum(best, np.float32(radius) - away, out=best)
        depth: Floats = best + np.float32(self.rough_mm) * noise + np.float32(self.level)
        return depth

    def on_lattice(self, site: Site) -> Bools:
        """The lattice points inside it."""
        lattice = site.lungs.lattice
        return np.asarray((self.depth(lattice, self.noise.on(lattice)) > 0) & site.lungs.lattice_mask(self.lobes))

    def cover(self, canvas: Canvas, soft: float) -> Floats | None:
        """How much of each voxel it fills, within its lobes and the aerated lung."""
        inside = chosen(canvas.lobes, self.lobes)
        if not inside.any():
            return None
        cover = coverage(self.depth(canvas.axes, canvas.on(self.noise)), max(soft, canvas.width))
        return cover * inside * canvas.lung


def region(site: Site, lobes: tuple[str, ...], share: float, centres: int, rng: np.random.Generator, noise: Field,
           rough_mm: float = 5.0, peripheral: bool = True) -> Region | None:
    """A region of about `share` of the aerated part of some lobes; None where too little of them is."""
    mask = site.lungs.lattice_mask(lobes) & site.aerated
    if mask.sum() < _FEWEST_POINTS:
        return None
    picked = pick(site, mask, centres, rng, peripheral)
    start = Region(lobes, picked, rng.uniform(0, 12, len(picked)), rough_mm, noise)
    depth = start.depth(site.lungs.lattice, noise.on(site.lungs.lattice))
    level = -float(np.quantile(depth[mask], 1 - share))
    return Region(lobes, start.centres, start.radii, rough_mm, noise, level)


def ball(site: Site, lobes: tuple[str, ...], size_mm: float, rng: np.random.Generator, noise: Field) -> Region | None:
    """A rounded region of a given largest size."""
    mask = site.lungs.lattice_mask(lobes) & site.aerated
    if not mask.any():
        return None
    deep = mask & (site.depth > min(size_mm / 2, float(np.percentile(site.depth[mask], 90))))
    centre = pick(site, deep if deep.any() else mask, 1, rng, False)
    return Region(lobes, centre, np.array([size_mm / 2]), min(2.0, size_mm / 25), noise)


def pick(site: Site, mask: Bools, count: int, rng: np.random.Generator, peripheral: bool) -> NDArray[np.float64]:
    """Points of a mask, rather near the pleura and behind when `peripheral`; the same whatever is left free."""
    draws: Floats = rng.random(mask.shape, dtype=np.float32)
    if peripheral:
        back = site.lungs.lattice.Y / 90
        draws = draws + 0.35 * back - 0.02 * np.maximum(site.depth - 8, 0)
    found = np.where(mask, draws, -9).ravel()
    best = np.argpartition(found, -count)[-count:]
    best = best[np.argsort(-found[best])]
    z, y, x = np.unravel_index(best, mask.shape)
    a = site.lungs.lattice
    return np.stack([a.x[x], a.y[y], a.z[z]], 1).astype(float)


def both_sides(lobes: tuple[str, ...]) -> tuple[str, ...]:
    """The sides that some lobes belong to."""
    return tuple(s for s in SIDES if set(lobes) & set(OF_SIDE[s]))
