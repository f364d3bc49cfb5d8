"""Findings along the bronchi: thick walls, wide lumens, plugs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....report.finding import Finding
from ..canvas import Canvas
from ..frame import Bools
from ..lung_trees import paint_bronchi
from ..lungs import chosen, lobes_of
from ..shapes import box_around, seen, thin_tubes
from ..trees import Tree
from .stroke import Site, Stage, Stroke, grade


@dataclass(frozen=True, eq=False)
class Bronchi:
    """The bronchi of a lobe drawn again, wider or with thicker walls."""

    tree: Tree
    lobes: tuple[str, ...]
    wider: float
    thicker: float
    stage: Stage = Stage.AIRWAYS

    def paint(self, canvas: Canvas) -> Bools | None:
        painted = paint_bronchi(canvas, self.tree, self.wider, self.thicker,
                                canvas.lung * chosen(canvas.lobes, self.lobes))
        if painted is None:
            return None
        mask = np.zeros(canvas.axes.shape, bool)
        mask[painted[0]] = painted[1] > seen(self.wider * float(np.median(self.tree.radii)) + 0.5, canvas.width)
        return mask


@dataclass(frozen=True, eq=False)
class Plugs:
    """Bronchi filled with mucus."""

    tree: Tree
    lobes: tuple[str, ...]
    wider: float
    hu: float
    stage: Stage = Stage.AIRWAYS

    def paint(self, canvas: Canvas) -> Bools | None:
        where = box_around(canvas.axes, self.tree.points, 9.0)
        if where is None:
            return None
        cover = thin_tubes(canvas.axes[where], self.tree.points, self.tree.radii * self.wider, canvas.width)
        cover *= canvas.lung[where] * chosen(canvas.lobes[where], self.lobes)
        canvas.blend(cover, self.hu, where)
        mask = np.zeros(canvas.axes.shape, bool)
        mask[where] = cover > seen(self.wider * float(np.median(self.tree.radii)), canvas.width)
        return mask


def plan_walls(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    thicker = grade(finding, 1.9, 2.7, 3.8)
    return [Bronchi(site.bronchi(lobe), (lobe,), 1.0, thicker) for lobe in lobes_of(finding)
            if not site.bronchi(lobe).empty]


def plan_wide(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    wider = grade(finding, 1.9, 2.6, 3.5)
    lobes = lobes_of(finding) if finding.lobe else tuple(x for x in lobes_of(finding) if x in ("RLL", "LLL", "RML"))
    return [Bronchi(site.bronchi(lobe, extra=14), (lobe,), wider, 1.5) for lobe in lobes
            if not site.bronchi(lobe).empty]


def plan_plugs(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    lobes: tuple[str, ...] = finding.lobe or tuple(x for x in lobes_of(finding) if x in ("RLL", "LLL"))
    made: list[Stroke] = []
    for lobe in lobes:
        tree = site.bronchi(lobe)
        if not tree.empty:
            start = int(len(tree.points) * rng.uniform(0.1, 0.35))
            part = slice(start, start + int(len(tree.points) * grade(finding, 0.2, 0.4, 0.6)))
            made.append(Plugs(Tree(tree.points[part], tree.radii[part], tree.ends[part]), (lobe,), 1.7, 28.0))
    return made


DRAWERS = {"bronchiectasis": plan_wide, "peribronchial_thickening": plan_walls, "mucus_plugging": plan_plugs}
