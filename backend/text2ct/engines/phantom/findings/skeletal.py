"""Findings of bone: rib fractures with a step, lytic and sclerotic lesions, spurs of the spine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ....report.finding import Finding
from ..canvas import Canvas
from ..frame import Bools
from ..organs import number
from ..patient import Patient
from ..shapes import coverage, ellipsoid
from ..skeleton import Bone
from .calcium import Specks
from .deposit import deposit
from .stroke import Site, Stage, Stroke, grade

_TISSUE_HU = 46.0


@dataclass(frozen=True, eq=False)
class Fracture:
    """A break of a rib: a gap, the outer fragment out of line, and a swelling around."""

    bone: Bone
    fragment: Bone
    at: NDArray[np.float64]
    way: NDArray[np.float64]
    cortex_hu: float
    marrow_hu: float
    stage: Stage = Stage.OUTSIDE

    def paint(self, canvas: Canvas) -> Bools | None:
        where = canvas.axes.box(self.at - 34, self.at + 34)
        if where is None:
            return None
        axes = canvas.axes[where]
        w = canvas.width
        beyond = ((axes.X - self.at[0]) * self.way[0] + (axes.Y - self.at[1]) * self.way[1]
                  + (axes.Z - self.at[2]) * self.way[2])
        near = ellipsoid(axes, self.at, (30, 30, 30))
        old = coverage(self.bone.depth(axes), w)
        gone = old * np.clip(beyond + 0.5, 0, 1) * (near > 0) * (beyond < 22)
        canvas.blend(gone, _TISSUE_HU, where)
        swelling = coverage(ellipsoid(axes, self.at, (11, 11, 9)), 5.0) * np.float32(0.9)
        canvas.raise_to(swelling, _TISSUE_HU, where)
        moved = self.fragment.depth(axes)
        keep = np.clip(beyond - 1.6, 0, 1) * (beyond < 22)
        canvas.blend(coverage(moved, w) * keep, self.cortex_hu, where)
        canvas.blend(coverage(moved - 1.25, w) * keep, self.marrow_hu, where)
        mask = np.zeros(canvas.axes.shape, bool)
        mask[where] = (ellipsoid(axes, self.at, (11, 11, 9)) > 0) & ((swelling > 0.45) | (old > 0.3))
        return mask


def plan_fracture(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Breaks of neighbouring ribs at the side of the chest."""
    if site.chest is None:
        return []
    p = site.chest.patient
    bones = {b.name: b for b in site.chest.skeleton.bones if b.name.startswith("rib_")}
    side = finding.side if finding.side in ("left", "right") else str(rng.choice(["left", "right"]))
    first = int(rng.integers(4, 8))
    strokes: list[Stroke] = []
    for n in range(min(finding.count or int(grade(finding, 1, 2, 4)), 5)):
        bone = bones[f"rib_{side}_{first + n}"]
        at = int(len(bone.points) * rng.uniform(0.45, 0.62))
        way = bone.frames[at, :, 2]
        out = bone.frames[at, :, 1] * float(rng.uniform(3.5, 6)) + bone.frames[at, :, 0] * float(rng.uniform(-3, 3))
        past = np.clip((np.arange(len(bone.points)) - at) * 1.6, 0, 24)
        fade = np.where(past > 0, 1 - past / 24, 0)[:, None]
        strokes.append(Fracture(bone, replace(bone, points=bone.points + out * fade), bone.points[at], way,
                                p.cortex_hu, p.marrow_hu * 0.75))
    return strokes


def plan_bone_lesion(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """A hole in a vertebral body, or a dense spot where the report calls it sclerotic or calcified."""
    if site.chest is None:
        return []
    size = finding.size_mm or grade(finding, 10.0, 16.0, 24.0)
    dense = finding.density in ("calcified", "sclerotic")
    strokes: list[Stroke] = []
    for n in range(min(finding.count or 1, 5)):
        level = int(rng.integers(-3, 3)) + 2 * n
        at = vertebra(site.chest.patient, level) + [rng.uniform(-6, 6), rng.uniform(-3, 3), 0]
        own = size * (1 if n == 0 else rng.uniform(0.6, 0.9))
        strokes.append(deposit(site, rng, at, own, 850.0 if dense else site.tissue_hu + 6, 12.0,
                               spares=(number("aorta"), number("spinal_cord"), number("esophagus"))))
    return strokes


def vertebra(patient: Patient, level: int) -> NDArray[np.float64]:
    """The middle of the vertebral body `level` above (or below) the one behind the heart."""
    z = (172 - 23.0 * (8 - level)) * patient.height
    return np.array([0.0, float(patient.spine(z)), z])


def plan_degenerative(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Spurs on the front and sides of the vertebrae, at the discs."""
    if site.chest is None:
        return []
    p = site.chest.patient
    points, radii = [], []
    for level in rng.choice(np.arange(-6, 6), int(grade(finding, 4, 7, 11)), replace=False):
        middle = vertebra(p, int(level)) + [0, 0, 11.5 * p.height]
        turn = rng.uniform(-1.2, 1.2)
        for spread in np.linspace(-0.35, 0.35, 9):
            for up in (-3.2, 3.2):
                a = turn + spread
                reach = np.array([18.5 * np.sin(a), -15.5 * np.cos(a), 0]) * p.scale * 1.08
                points.append(middle + reach + [0, 0, up * (1 - abs(spread))])
                radii.append(rng.uniform(1.6, 2.8) * grade(finding, 0.8, 1.0, 1.25))
    return [Specks(np.array(points), np.array(radii), p.cortex_hu * 0.95)]


DRAWERS = {"fracture": plan_fracture, "bone_lesion": plan_bone_lesion, "degenerative_change": plan_degenerative}
