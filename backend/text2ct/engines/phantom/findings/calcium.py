"""Calcium in the walls of the aorta and the coronary arteries, and on the valves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....report.finding import Finding
from ..canvas import Canvas
from ..frame import Bools, Field
from ..shapes import box_around, curve, seen, thin_tubes
from .stroke import Site, Stage, Stroke, grade

Numbers = NDArray[np.float64]
_CORONARIES = {
    "descending": ((-2, -26, 30), (16, -34, 20), (32, -34, 4), (44, -34, -10)),
    "circumflex": ((0, -6, 32), (22, 14, 24), (34, 26, 8), (36, 30, -8)),
    "right": ((-22, -24, 26), (-34, -20, 12), (-36, -14, -10), (-24, 0, -28))}


@dataclass(frozen=True, eq=False)
class Specks:
    """Bright points with a radius; used for calcium and for metal."""

    points: Numbers
    radii: Numbers
    hu: float
    stage: Stage = Stage.OUTSIDE

    def paint(self, canvas: Canvas) -> Bools | None:
        where = box_around(canvas.axes, self.points, float(self.radii.max()) + 4)
        if where is None:
            return None
        cover = thin_tubes(canvas.axes[where], self.points, self.radii, canvas.width)
        canvas.raise_to(cover, self.hu, where)
        mask = np.zeros(canvas.axes.shape, bool)
        mask[where] = cover > seen(float(np.median(self.radii)), canvas.width)
        return mask


def plan_arterial(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Arcs on the wall of the aorta, mostly of the arch and below."""
    if site.chest is None:
        return []
    tube = site.chest.mediastinum.tubes["aorta"]
    line, radii = tube.line, tube.radii
    points, sizes = [], []
    for _ in range(int(grade(finding, 6, 13, 30))):
        n = int(rng.integers(len(line) // 5, len(line) - 20))
        along = line[n + 1] - line[n - 1]
        along /= np.linalg.norm(along)
        one = np.cross(along, rng.normal(size=3))
        one /= np.linalg.norm(one)
        two = np.cross(along, one)
        start = rng.uniform(0, 2 * np.pi)
        arc = np.arange(start, start + rng.uniform(0.4, 1.4), 0.09)[:, None]
        ring = line[n] + (radii[n] - 0.4) * (np.cos(arc) * one + np.sin(arc) * two)
        points.append(ring + along * np.linspace(-2, 2, len(ring))[:, None] * rng.uniform(-1, 1))
        sizes.append(np.full(len(ring), rng.uniform(1.1, 2.0)))
    return [Specks(np.concatenate(points), np.concatenate(sizes), float(rng.uniform(620, 900)))]


def plan_coronary(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Short beaded plaques along the three coronary arteries."""
    if site.chest is None:
        return []
    heart = site.chest.mediastinum.heart
    points, sizes = [], []
    for n in range(int(grade(finding, 3, 7, 13))):
        name = ("descending", "right", "circumflex")[n % 3]
        control = heart.centre + np.array(_CORONARIES[name]) * heart.size * site.chest.patient.scale
        line = on_surface(heart.depth, curve(control, 1.0)[0], 0.5)
        start = int(rng.uniform(0.05, 0.7) * len(line))
        part = line[start:start + int(rng.uniform(5, 13))]
        points.append(part)
        sizes.append(rng.uniform(1.2, 2.1) * (0.8 + 0.2 * np.sin(np.arange(len(part)) * 1.3)))
    return [Specks(np.concatenate(points), np.concatenate(sizes), float(rng.uniform(650, 950)))]


def plan_valve(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """A ring of specks at the aortic root, and part of the mitral ring."""
    if site.chest is None:
        return []
    heart, patient = site.chest.mediastinum.heart, site.chest.patient
    root = site.chest.mediastinum.tubes["aorta"].line[3]
    count = int(grade(finding, 3, 6, 11))
    points, sizes = [], []
    for n in range(count):
        aortic = n % 3 != 2
        middle = root if aortic else heart.centre + np.array([4, 22, 8]) * heart.size
        turn = rng.uniform(0, 2 * np.pi)
        arc = np.linspace(turn, turn + (0.5 if aortic else 0.8), 6)[:, None]
        across, up = np.array([1.0, 0.3, 0.1]), np.array([0.0, 0.5, 0.9])
        reach = (8.0 if aortic else 15.0) * patient.scale
        points.append(middle + reach * (np.cos(arc) * across + np.sin(arc) * up))
        sizes.append(np.full(6, rng.uniform(1.4, 2.4)))
    return [Specks(np.concatenate(points), np.concatenate(sizes), float(rng.uniform(700, 1000)))]


def on_surface(depth: Field, points: Numbers, below: float) -> Numbers:
    """Points moved along the slope of a depth until they are `below` mm under its surface."""
    moved: Numbers = points.copy()
    for _ in range(8):
        slope = np.stack([(depth.at(moved + e) - depth.at(moved - e)) / 4.0 for e in 2.0 * np.eye(3)], 1)
        length = np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 0.2)
        step = np.clip(below - depth.at(moved), -8, 8)[:, None]
        moved += step * slope / length**2
    return moved


DRAWERS = {"arterial_wall_calcification": plan_arterial, "coronary_artery_wall_calcification": plan_coronary,
           "valve_calcification": plan_valve}
