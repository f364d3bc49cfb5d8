"""Thin bent plates in the lung: linear atelectasis and fibrous bands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..canvas import Canvas
from ..frame import Bools, Field
from ..lungs import chosen
from ..shapes import coverage
from .regions import pick
from .stroke import Site, Stage, Stroke


@dataclass(frozen=True, eq=False)
class Plate:
    """A disc of some thickness, bent by noise, within some lobes."""

    lobes: tuple[str, ...]
    centre: NDArray[np.float64]
    normal: NDArray[np.float64]
    radius: float
    thickness: float
    hu: float
    bend: Field
    stage: Stage = Stage.FOCAL

    def paint(self, canvas: Canvas) -> Bools | None:
        reach = self.radius + 8
        where = canvas.axes.box(self.centre - reach, self.centre + reach)
        if where is None:
            return None
        axes = canvas.axes[where]
        c, n = self.centre.astype(np.float32), self.normal.astype(np.float32)
        dx, dy, dz = axes.X - c[0], axes.Y - c[1], axes.Z - c[2]
        across = dx * n[0] + dy * n[1] + dz * n[2]
        aside = np.sqrt(np.maximum(dx * dx + dy * dy + dz * dz - across * across, 0))
        bent = across + 3.5 * canvas.on(self.bend)[where]
        rim = np.float32(self.radius) - aside
        thick = self.thickness * np.clip(rim / 12 + 0.35, 0, 1)
        width = canvas.width + 0.35 * canvas.axes.spacing[0] * abs(float(n[2]))
        cover = np.minimum(np.clip((thick / 2 - np.abs(bent)) / width + 0.5, 0, 1), np.minimum(1, thick / width))
        cover = np.minimum(cover, coverage(rim, 3.0)) * canvas.lung[where] * chosen(canvas.lobes[where], self.lobes)
        canvas.raise_to(cover, self.hu, where)
        mask = np.zeros(canvas.axes.shape, bool)
        mask[where] = (cover > 0.4) | ((np.abs(bent) < thick / 2) & (rim > 0) & (canvas.lung[where] > 0.5)
                                       & chosen(canvas.lobes[where], self.lobes))
        return mask


def plan_plates(site: Site, lobes: tuple[str, ...], rng: np.random.Generator, count: int,
                upright: bool = False) -> list[Stroke]:
    """Some plates in each of the lobes, nearly level or, when `upright`, in any direction."""
    strokes: list[Stroke] = []
    bend = site.noise("plates", 14.0)
    for lobe in lobes:
        mask = site.lungs.lattice_mask((lobe,)) & site.aerated & (site.depth > 3) & (site.depth < 30)
        if not mask.any():
            continue
        for centre in pick(site, mask, count, rng, not upright):
            normal = rng.normal(size=3) if upright else np.array([*rng.uniform(-0.45, 0.45, 2), 1.0])
            strokes.append(Plate((lobe,), centre, normal / np.linalg.norm(normal), float(rng.uniform(20, 38)),
                                 float(rng.uniform(2.4, 4.5)), site.tissue_hu - 10, bend))
    return strokes
