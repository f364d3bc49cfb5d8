"""Findings spread through the air spaces: emphysema by its share of dark voxels, mosaic pattern, edema, tree-in-bud."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ....report.finding import Finding
from ..canvas import Canvas
from ..frame import Axes, Bools, Field, Floats
from ..lungs import SIDES, chosen, lobes_of
from ..shapes import box_around, seen, thin_tubes
from .interstitium import Mesh
from .regions import both_sides, region
from .stroke import Site, Stage, Stroke, grade


@dataclass(frozen=True, eq=False)
class Emphysema:
    """Holes without walls where noise, higher up, is above a level; thinner lung between them."""

    lobes: tuple[str, ...]
    fine: Field
    wide: Field
    level: float
    thinner_hu: float
    stage: Stage = Stage.TISSUE

    def score(self, axes: Axes, fine: Floats, wide: Floats) -> Floats:
        score: Floats = fine + 0.55 * wide + 1.3 * np.clip((axes.Z + 70) / 170, 0, 1)
        return score

    def paint(self, canvas: Canvas) -> Bools | None:
        inside = chosen(canvas.lobes, self.lobes)
        if not inside.any():
            return None
        score = self.score(canvas.axes, canvas.on(self.fine), canvas.on(self.wide))
        aerated = inside * np.minimum(canvas.lung, np.clip((-600 - canvas.hu) / 150, 0, 1))
        hole = np.clip((score - np.float32(self.level)) * 4.0 + 0.55, 0, 1) * aerated
        canvas.hu -= aerated * self.thinner_hu
        canvas.blend(hole * np.float32(0.97), -990.0)
        mask: Bools = hole > 0.5
        return mask


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Sharply bordered patches of brighter and darker lung."""

    lobes: tuple[str, ...]
    noise: Field
    brighter_hu: float
    darker_hu: float
    stage: Stage = Stage.TISSUE

    def paint(self, canvas: Canvas) -> Bools | None:
        inside = chosen(canvas.lobes, self.lobes)
        if not inside.any():
            return None
        bright = np.clip(canvas.on(self.noise) * 3.5 + 0.5, 0, 1)
        aerated = inside * canvas.lung * np.clip((-500 - canvas.hu) / 200, 0, 1)
        canvas.hu += aerated * (bright * self.brighter_hu - (1 - bright) * self.darker_hu)
        mask: Bools = inside & (bright > 0.5) & (canvas.lung > 0.5)
        return mask


@dataclass(frozen=True, eq=False)
class Edema:
    """A veil that is densest around the hila and below, with thick septa."""

    hila: tuple[NDArray[np.float64], ...]
    lobes: tuple[str, ...]
    added_hu: float
    reach_mm: float
    noise: Field
    mesh: Mesh
    stage: Stage = Stage.TISSUE

    def paint(self, canvas: Canvas) -> Bools | None:
        inside = chosen(canvas.lobes, self.lobes)
        if not inside.any():
            return None
        axes = canvas.axes
        near = np.full(axes.shape, 1e6, np.float32)
        for h in self.hila:
            away = (axes.X - h[0]) ** 2 + (axes.Y - h[1] - 10) ** 2 + (0.75 * (axes.Z - h[2] + 18)) ** 2
            np.minimum(near, np.sqrt(away), out=near)
        veil = np.clip((self.reach_mm - near) / 34 + 0.5 + 0.35 * canvas.on(self.noise), 0, 1) * inside * canvas.lung
        canvas.hu += veil * self.added_hu * np.clip((-250 - canvas.hu) / 450, 0, 1)
        self.mesh.paint(canvas)
        mask: Bools = veil > 0.5
        return mask


@dataclass(frozen=True, eq=False)
class Buds:
    """Small branching nodules along the smallest airways."""

    points: NDArray[np.float64]
    radii: NDArray[np.float64]
    lobes: tuple[str, ...]
    hu: float
    stage: Stage = Stage.FOCAL

    def paint(self, canvas: Canvas) -> Bools | None:
        where = box_around(canvas.axes, self.points, 5.0)
        if where is None:
            return None
        cover = thin_tubes(canvas.axes[where], self.points, self.radii, canvas.width)
        cover *= canvas.lung[where] * chosen(canvas.lobes[where], self.lobes)
        canvas.raise_to(cover * np.float32(0.9), self.hu, where)
        mask = np.zeros(canvas.axes.shape, bool)
        mask[where] = cover > seen(float(np.median(self.radii)), canvas.width)
        return mask


def plan_emphysema(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Mild, moderate, severe: about 7, 17 and 35 percent of the lung below -950 HU."""
    lobes = lobes_of(finding)
    mask = site.lungs.lattice_mask(lobes)
    if not mask.any():
        return []
    share = grade(finding, 0.10, 0.24, 0.44) * float(rng.uniform(0.9, 1.1))
    draft = Emphysema(lobes, site.noise("emphysema", 6.5), site.noise("emphysema patches", 24.0), 0.0,
                      grade(finding, 8.0, 22.0, 42.0))
    lattice = site.lungs.lattice
    score = draft.score(lattice, draft.fine.on(lattice), draft.wide.on(lattice))
    return [replace(draft, level=float(np.quantile(score[mask], 1 - share)))]


def plan_mosaic(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    return [Mosaic(lobes_of(finding), site.noise("mosaic", 15.0), grade(finding, 60, 95, 140),
                   grade(finding, 14, 26, 40))]


def plan_edema(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    lobes = lobes_of(finding)
    hila = tuple(site.hila[s] for s in SIDES if s in both_sides(lobes))
    mesh = Mesh(lobes, 15.0, grade(finding, 1.0, 1.4, 1.9), grade(finding, 90, 160, 230), 60.0,
                site.noise("septa", 18.0), rng.normal(size=(4, 3)))
    return [Edema(hila, lobes, grade(finding, 130, 210, 300), grade(finding, 42, 58, 78), site.noise("edema", 16.0),
                  mesh)]


def plan_buds(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Clusters of buds in the lobes asked for; the lower lobe where none is."""
    strokes: list[Stroke] = []
    lobes = finding.lobe or tuple(lobe for lobe in ("RLL", "LLL") if lobe in lobes_of(finding))
    for lobe in lobes:
        where = region(site, (lobe,), grade(finding, 0.1, 0.25, 0.5), 2, rng, site.noise("buds", 16.0))
        if where is None:
            continue
        candidates = site.lungs.points(where.on_lattice(site) & site.aerated & (site.depth > 3))
        if not len(candidates):
            continue
        stems = candidates[rng.integers(0, len(candidates), max(12, len(candidates) // 26))]
        points, radii = _twigs(stems, rng)
        strokes.append(Buds(points, radii, (lobe,), site.tissue_hu - 15))
    return strokes


def _twigs(stems: NDArray[np.float64], rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A short stem and three buds at each place."""
    along = np.linspace(0, 1, 6)
    points, radii = [], []
    for stem in stems + rng.uniform(-2, 2, stems.shape):
        for _ in range(3):
            way = rng.normal(size=3) * 4.2
            points.append(stem + along[:, None] * way)
            radii.append(np.interp(along, [0, 0.7, 1], [0.6, 0.7, rng.uniform(1.2, 2.1)]))
    return np.concatenate(points), np.concatenate(radii)


DRAWERS = {"pulmonary_edema": plan_edema, "emphysema": plan_emphysema, "mosaic_attenuation_pattern": plan_mosaic,
           "tree_in_bud": plan_buds}
