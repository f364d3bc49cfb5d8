"""Focal lesions of the lung: nodules, masses, metastases, granulomas, cavities, cysts and bullae.

Each lies in its lobe with the asked largest diameter; only a lesion too large for
its lobe crosses a fissure, and none leaves the lung.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ....report.finding import Finding
from ..blob import Blob, make_blob
from ..canvas import Canvas
from ..frame import Bools, Field, Floats
from ..lungs import LOBES, OF_SIDE, SIDES, chosen, lobes_of
from ..shapes import box_around, coverage, thin_tubes
from .stroke import Site, Stage, Stroke, grade

AIR_HU = -975.0
_SEEN = 0.5


@dataclass(frozen=True, eq=False)
class Lesion:
    """One focal lesion. `wall_mm` makes a cavity or cyst; `core` is the solid share of a part-solid one."""

    blob: Blob
    lobes: tuple[str, ...]
    hu: float
    grain_hu: float
    grain: Field
    density: str = "solid"
    wall_mm: float = 0.0
    core: float = 0.0
    stage: Stage = Stage.FOCAL

    def paint(self, canvas: Canvas) -> Bools | None:
        reached = self.blob.within(canvas.axes)
        if reached is None:
            return None
        where, axes, depth = reached
        allowed = chosen(canvas.lobes[where], self.lobes)
        allowed_cover = np.maximum(canvas.lung[where] * allowed, (canvas.lung[where] > 0.6) & allowed)
        edge = max(canvas.width, 4.0 if self.density == "ground glass" else 0.0)
        cover = coverage(depth, edge) * allowed_cover
        grain = self.grain.on(axes)
        self._spicules(canvas)
        if self.density in ("ground glass", "part-solid"):
            hu = canvas.hu[where]
            hu += cover * 310 * (1 + 0.15 * grain) * np.clip((-250 - hu) / 450, 0, 1)
        if self.density == "part-solid":
            inner = coverage(depth - (1 - self.core) * self.blob.size_mm / 2, edge) * allowed_cover
            canvas.raise_to(inner, self.hu + self.grain_hu * grain, where)
        elif self.density == "air":
            canvas.raise_to(cover * np.clip(1 - depth / max(1.2, self.wall_mm), 0, 1) * np.float32(0.5), -550.0, where)
            canvas.blend(coverage(depth - self.wall_mm, canvas.width) * allowed_cover, self.hu, where)
        elif self.density != "ground glass":
            canvas.blend(cover, self.hu + self.grain_hu * grain, where)
        if self.wall_mm and self.density != "air":
            hole = depth - self.wall_mm * (1 + 0.35 * grain)
            canvas.blend(coverage(hole, canvas.width) * allowed_cover, AIR_HU, where)
        mask = np.zeros(canvas.axes.shape, bool)
        mask[where] = self.blob.filled(axes, depth) & allowed
        return mask

    def _spicules(self, canvas: Canvas) -> None:
        where = box_around(canvas.axes, self.blob.spikes, 3.0)
        if where is not None:
            strands = thin_tubes(canvas.axes[where], self.blob.spikes, self.blob.spike_radii, canvas.width)
            canvas.raise_to(strands * canvas.lung[where], self.hu - 20, where)


def place(site: Site, lobes: tuple[str, ...], size_mm: float, rng: np.random.Generator,
          prefer: Floats | None = None) -> tuple[NDArray[np.float64], tuple[str, ...]] | None:
    """A centre for a lesion, and the lobes it may fill: its own, or all of the lung where it is too large.

    None where less than half of it would be seen: under fluid, in free air, in dense lung of its
    own HU or in another lesion it would have a label and no picture.
    """
    wish = rng.random(site.free.shape, dtype=np.float32)
    if prefer is not None:
        wish += prefer
    mask = site.lungs.lattice_mask(lobes) & site.aerated
    if not mask.any():
        return None
    low, high = _bounds(mask)
    cut = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    room = _room(site, lobes, mask, cut)
    fits = mask[cut] & (room >= size_mm / 2)
    score = np.where(fits, wish[cut], -50 + room) if fits.any() else np.where(mask[cut], room, -99)
    z, y, x = np.unravel_index(int(np.argmax(score)), score.shape)
    own = LOBES[int(site.lobes[cut][z, y, x]) - 1]
    lattice = site.lungs.lattice
    centre = np.array([lattice.x[low[2] + x], lattice.y[low[1] + y], lattice.z[low[0] + z]], float)
    inside = ("LUL",) if own in ("LUL", "lingula") and lobes != ("lingula",) else (own,)
    filled = inside if fits.any() else OF_SIDE["right" if own.startswith("R") else "left"]
    if not fits.any() and _seen_share(site, centre, size_mm, filled) < _SEEN:
        return None
    _take(site, centre, size_mm)
    return centre, filled


def _room(site: Site, lobes: tuple[str, ...], mask: Bools, cut: tuple[slice, ...]) -> Floats:
    """How far each point of the cut is from what does not belong to its own lobe or to the mask, in mm."""
    step = site.lungs.right.step
    best = np.zeros(tuple(s.stop - s.start + 2 for s in cut), np.float32)
    for lobe in lobes:
        alone = np.pad(site.lungs.lattice_mask((lobe,))[cut] & mask[cut], 1)
        if alone.any():
            np.maximum(best, ndimage.distance_transform_edt(alone, sampling=step), out=best)
    return np.asarray(best[1:-1, 1:-1, 1:-1] - np.float32(0.8 * step))


def _seen_share(site: Site, centre: NDArray[np.float64], size_mm: float, lobes: tuple[str, ...]) -> float:
    """The share of a ball that lies in the aerated lung of some lobes."""
    ball = _away(site, centre) <= (size_mm / 2) ** 2
    return float((site.aerated & site.lungs.lattice_mask(lobes))[ball].mean())


def _bounds(mask: Bools) -> tuple[list[int], list[int]]:
    spans = [np.flatnonzero(mask.any(tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    return [int(s[0]) for s in spans], [int(s[-1]) + 1 for s in spans]


def _take(site: Site, centre: NDArray[np.float64], size_mm: float) -> None:
    """Keep other lesions off this one."""
    site.free &= _away(site, centre) > (size_mm / 2 + 5) ** 2


def _away(site: Site, centre: NDArray[np.float64]) -> Floats:
    """The squared distance of every lattice point from a place."""
    a = site.lungs.lattice
    return np.asarray((a.X - centre[0]) ** 2 + (a.Y - centre[1]) ** 2 + (a.Z - centre[2]) ** 2)


def plan_lesions(site: Site, finding: Finding, rng: np.random.Generator, count: int, sizes: list[float],
                 density: str, margin: str, prefer: Floats | None = None) -> list[Stroke]:
    """`count` lesions of given sizes; the report's size is that of the largest."""
    strokes: list[Stroke] = []
    grain = site.noise("lesion grain", 5.0)
    for n in range(count):
        size = sizes[n % len(sizes)]
        lobes = lobes_of(finding)
        group = lobes
        if finding.lobe and len(lobes) > 1:
            group = (lobes[n % len(lobes)],)
        elif count > 1 and finding.side in (None, "bilateral") and not finding.lobe:
            group = OF_SIDE[SIDES[n % 2]]
        found = place(site, group, size, rng, prefer)
        if found is None:
            continue
        flat = (float(rng.uniform(0.84, 0.96)), float(rng.uniform(0.74, 0.9)))
        blob = make_blob(rng, found[0], size, margin, flat)
        hu, grain_hu, wall, core = _look(density, site, size, rng)
        strokes.append(Lesion(blob, found[1], hu, grain_hu, grain, density, wall, core))
    return strokes


def _look(density: str, site: Site, size: float, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """HU, grain, wall thickness and solid share of a lesion."""
    hu = site.tissue_hu - 6 + float(rng.uniform(-8, 8))
    if density == "calcified":
        return float(rng.uniform(420, 720)), 60.0, 0.0, 0.0
    if density == "cavitary":
        return hu, 5.0, float(np.clip(0.2 * size, 2.5, 12)), 0.0
    return hu, 7.0, 0.0, float(rng.uniform(0.4, 0.6)) if density == "part-solid" else 0.0


def plan_nodule(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    size = finding.size_mm or grade(finding, 6.0, 11.0, 20.0)
    count = min(finding.count or 1, 20)
    if finding.count is None and len(finding.lobe) > 1:
        count = len(finding.lobe)
    sizes = [size * (1.0 if n == 0 else float(rng.uniform(0.6, 0.95))) for n in range(count)]
    return plan_lesions(site, finding, rng, count, sizes, finding.density or "solid", finding.margin or "smooth")


def plan_mass(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    size = finding.size_mm or grade(finding, 34.0, 46.0, 68.0)
    margin = finding.margin or ("lobulated" if rng.random() < 0.5 else "spiculated")
    return plan_lesions(site, finding, rng, min(finding.count or 1, 6), [size, size * 0.8],
                        finding.density or "solid", margin)


def plan_metastases(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    count = min(finding.count or int(grade(finding, 6, 12, 22)), 40)
    largest = finding.size_mm or float(rng.uniform(14, 24))
    sizes = [largest, *(largest * rng.uniform(0.3, 0.85, count) ** 1.2)]
    low = -0.4 * site.lungs.lattice.Z / 130 + np.zeros(site.free.shape, np.float32)
    return plan_lesions(site, finding, rng, count, [float(s) for s in sizes], finding.density or "solid",
                        finding.margin or "smooth", low)


def plan_granuloma(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    size = finding.size_mm or grade(finding, 4.5, 6.5, 10.0)
    return plan_lesions(site, finding, rng, min(finding.count or 1, 12), [size, size * 0.8], "calcified", "smooth")


def plan_cavity(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    size = finding.size_mm or grade(finding, 18.0, 32.0, 55.0)
    return plan_lesions(site, finding, rng, min(finding.count or 1, 6), [size, size * 0.7], "cavitary",
                        finding.margin or "lobulated")


def plan_air(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """A cyst anywhere, or a bulla under the pleura of the upper lung: air behind a wall like a hair."""
    bulla = finding.kind == "bulla"
    size = finding.size_mm or grade(finding, 14.0, 26.0, 50.0)
    prefer = np.where(site.depth < size * 0.75, 2.0, 0) + 0.6 * site.lungs.lattice.Z / 130 if bulla else None
    strokes: list[Stroke] = []
    for _ in range(min(finding.count or (2 if bulla and finding.size_mm is None else 1), 8)):
        found = place(site, lobes_of(finding), size, rng, None if prefer is None else prefer.astype(np.float32))
        if found is not None:
            blob = make_blob(rng, found[0], size, "smooth", (0.92, 0.82))
            strokes.append(Lesion(blob, found[1], -990.0, 0.0, site.noise("lesion grain", 5.0), "air", 1.0))
    return strokes


DRAWERS = {"lung_mass": plan_mass, "cavity": plan_cavity, "lung_nodule": plan_nodule, "granuloma": plan_granuloma,
           "bulla": plan_air, "lung_cyst": plan_air, "metastases": plan_metastases}
