"""Findings of the upper abdomen: lesions of liver, kidney and adrenal, gallstones, ascites."""

from __future__ import annotations

import numpy as np

from ....report.finding import Finding
from ..canvas import Canvas
from ..frame import Bools
from ..organs import number
from .deposit import deposit
from .stroke import Brush, Site, Stage, Stroke, grade


def plan_liver_lesion(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Dark lesions in the right lobe; fluid makes them cysts, calcium makes them bright."""
    if site.chest is None:
        return []
    size = finding.size_mm or grade(finding, 12.0, 22.0, 45.0)
    base = site.chest.abdomen.liver_hu
    hu = {"fluid": 6.0, "calcified": 420.0}.get(finding.density or "", base - (48 if site.contrast else 24))
    strokes: list[Stroke] = []
    for n in range(min(finding.count or 1, 8)):
        at = np.array([-66, 6, -84]) + rng.uniform(-1, 1, 3) * [22, 28, 18]
        own = size * (1 if n == 0 else rng.uniform(0.5, 0.9))
        strokes.append(deposit(site, rng, site.chest.patient.place(at), own, hu, 4.0, only=(number("liver"),)))
    return strokes


def plan_kidney_lesion(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """A cyst at the upper pole."""
    if site.chest is None:
        return []
    size = finding.size_mm or grade(finding, 12.0, 22.0, 40.0)
    right = finding.side == "right"
    at = site.chest.patient.place((-70, 44, -132) if right else (70, 42, -126))
    return [deposit(site, rng, at, size, 60.0 if finding.density == "solid" else 5.0, 2.5,
                    spares=(number("liver"), number("spleen")))]


def plan_adrenal(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    if site.chest is None:
        return []
    size = finding.size_mm or grade(finding, 12.0, 20.0, 36.0)
    right = finding.side == "right"
    at = site.chest.patient.place((-31, 42, -120) if right else (34, 34, -122))
    return [deposit(site, rng, at, size, 12.0 if not site.contrast else 48.0, 4.0, spares=(number("liver"),))]


def plan_gallstones(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Stones in the dependent part of the gallbladder."""
    if site.chest is None:
        return []
    size = finding.size_mm or grade(finding, 6.0, 10.0, 16.0)
    strokes: list[Stroke] = []
    for n in range(min(finding.count or 2, 6)):
        at = site.chest.patient.place((-42, -44, -142)) + rng.uniform(-1, 1, 3) * [5, 4, 9] * min(n, 1)
        own = size * (1 if n == 0 else rng.uniform(0.5, 0.9))
        strokes.append(deposit(site, rng, at, own, float(rng.uniform(180, 380)), 25.0,
                               only=(number("gallbladder"),)))
    return strokes


def plan_ascites(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Fluid between the wall and the organs, deepest at the sides."""
    if site.chest is None:
        return []
    cage, floor, noise = site.chest.cage.inside, site.chest.above, site.noise("ascites", 30.0)
    depth_mm = grade(finding, 7.0, 15.0, 30.0)

    def paint(canvas: Canvas) -> Bools | None:
        room = np.minimum(-canvas.on(floor) - 4, canvas.on(cage) - 2)
        free = (canvas.labels == 0) & (canvas.hu < 60)
        layer = np.minimum(room, depth_mm * (1 + 0.35 * canvas.on(noise)) - room)
        cover = np.clip(layer / canvas.width + 0.5, 0, 1) * free
        canvas.blend(cover, 9.0)
        mask: Bools = cover > 0.5
        return mask

    return [Brush(Stage.OUTSIDE, paint)]


DRAWERS = {"liver_lesion": plan_liver_lesion, "kidney_lesion": plan_kidney_lesion, "adrenal_nodule": plan_adrenal,
           "gallstones": plan_gallstones, "ascites": plan_ascites}
