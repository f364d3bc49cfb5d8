"""Findings of the pleura and the chest wall that take no lung volume: thickening, plaques, gas in the soft tissue."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....report.finding import Finding
from ..canvas import Canvas
from ..frame import Bools, Field
from ..lungs import SIDES, Lungs, sides_of
from ..shapes import coverage
from .stroke import Brush, Site, Stage, Stroke, grade


@dataclass(frozen=True, eq=False)
class Thickening:
    """A rind on the outer surface of a lung, where noise is above a level."""

    lungs: Lungs
    side: str
    hilum_x: float
    thickness_mm: float
    level: float
    hu: float
    noise: Field
    stage: Stage = Stage.PLEURA

    def paint(self, canvas: Canvas) -> Bools | None:
        depth = canvas.on(self.lungs.of(self.side))
        if float(depth.max()) < 0:
            return None
        outer = np.clip((np.abs(canvas.axes.X) - abs(self.hilum_x) - 12) / 12, 0, 1)
        here = np.clip((canvas.on(self.noise) + np.clip(-canvas.axes.Z / 120, -0.5, 0.8) - self.level) * 2, 0, 1)
        thick = self.thickness_mm * here * outer
        inside = (depth > -1.5) & ((canvas.lobes > 0) | (depth < 0))
        shell = np.minimum(thick - depth, depth + 1.2)
        cover = coverage(shell, max(0.8, 0.8 * canvas.width)) * inside * (thick > 0.5)
        canvas.raise_to(cover, self.hu)
        mask: Bools = (depth > 0) & (depth < thick) & (thick > 1)
        canvas.lung *= 1 - np.where(depth > 0, cover, 0)
        canvas.labels[mask & (canvas.lobes > 0)] = 0
        return mask


def plan_thickening(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """A rind of some millimetres in patches; calcified it is a plaque."""
    calcified = finding.density == "calcified"
    thickness = finding.size_mm or grade(finding, 3.5, 6.0, 11.0)
    level = grade(finding, 0.5, 0.2, -0.3)
    hu = 480.0 if calcified else site.tissue_hu
    noise = site.noise("pleural thickening", 26.0)
    return [Thickening(site.lungs, side, float(site.hila[side][0]), thickness, level, hu, noise)
            for side in SIDES if side in sides_of(finding)]


def plan_subcutaneous_gas(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Streaks of gas in the fat of the chest wall."""
    if site.chest is None:
        return []
    cage, noise, fine = site.chest.cage.inside, site.noise("subcutaneous gas", 16.0), site.noise("gas streaks", 7.0)
    level = grade(finding, 1.2, 0.7, 0.2)
    sides = sides_of(finding)

    def paint(canvas: Canvas) -> Bools | None:
        fat = (canvas.labels == 0) & (canvas.hu < -30) & (canvas.hu > -400)
        room = np.minimum(np.minimum(canvas.body_depth - 4, -canvas.on(cage) - 12), 20)
        where = np.clip(room / 2, 0, 1) * fat * np.clip((canvas.axes.Z + 60) / 60, 0, 1)
        if len(sides) == 1:
            where = where * ((canvas.axes.X < -25) if sides[0] == "right" else (canvas.axes.X > 25))
        thin = np.clip((0.34 - np.abs(canvas.on(fine))) * 4, 0, 1)
        gas = np.clip((canvas.on(noise) - level + 0.4) * 2.2, 0, 1) * where * thin
        canvas.blend(gas, -900.0)
        mask: Bools = gas > 0.5
        return mask

    return [Brush(Stage.OUTSIDE, paint)]


DRAWERS = {"pleural_thickening": plan_thickening, "subcutaneous_emphysema": plan_subcutaneous_gas}
