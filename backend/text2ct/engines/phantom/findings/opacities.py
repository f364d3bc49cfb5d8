"""Denser lung: consolidation with air bronchograms, ground glass, atelectasis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ....report.finding import Finding
from ..canvas import Canvas
from ..frame import Bools, Field
from ..lungs import LOBES, OF_SIDE, lobes_of
from .plates import plan_plates
from .regions import Region, ball, region
from .stroke import Site, Stage, Stroke, grade


@dataclass(frozen=True, eq=False)
class Consolidation:
    """Lung filled to soft tissue; painted below the bronchi, so that they stay as air bronchograms."""

    where: Region
    hu: float
    texture: Field
    stage: Stage = Stage.TISSUE

    def paint(self, canvas: Canvas) -> Bools | None:
        halo = self.where.cover(canvas, 26.0)
        if halo is None:
            return None
        canvas.raise_to(halo * np.float32(0.45), -480 + 40 * canvas.on(self.texture))
        cover = self.where.cover(canvas, 5.0)
        if cover is None:
            return None
        grain = canvas.on(self.texture)
        patchy = cover * np.clip(1.15 - 0.35 * np.maximum(grain - 0.8, 0), 0, 1)
        canvas.raise_to(patchy, self.hu + 6 * grain)
        return cover > 0.5


@dataclass(frozen=True, eq=False)
class GroundGlass:
    """A veil: air spaces partly filled, vessels still seen through it."""

    where: Region
    added_hu: float
    texture: Field
    stage: Stage = Stage.TISSUE

    def paint(self, canvas: Canvas) -> Bools | None:
        cover = self.where.cover(canvas, 9.0)
        if cover is None:
            return None
        veil = self.added_hu * (1 + 0.18 * canvas.on(self.texture))
        canvas.hu += cover * veil * np.clip((-250 - canvas.hu) / 450, 0, 1)
        return cover > 0.5


def plan_consolidation(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """One region in each lobe asked for; by side without a lobe, the lower lobe."""
    strokes: list[Stroke] = []
    texture, noise = site.noise("consolidation grain", 6.0), site.noise("consolidation edge", 13.0)
    for lobe in _main_lobes(finding):
        if finding.size_mm:
            where = ball(site, (lobe,), finding.size_mm, rng, noise)
        else:
            where = region(site, (lobe,), grade(finding, 0.14, 0.38, 0.82), 1 + int(rng.integers(0, 2)), rng, noise)
        if where is not None:
            site.solid |= where.on_lattice(site)
            strokes.append(Consolidation(where, site.tissue_hu - 4 + float(rng.uniform(-6, 6)), texture))
    return strokes


def plan_opacity(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Ground glass in patches over the lobes asked for."""
    noise, texture = site.noise("ground glass edge", 15.0), site.noise("ground glass grain", 6.0)
    lobes = lobes_of(finding)
    added = float(rng.uniform(240, 330))
    strokes: list[Stroke] = []
    if finding.size_mm:
        found = ball(site, lobes, finding.size_mm, rng, noise)
        return [GroundGlass(found, added, texture)] if found is not None else []
    named = finding.lobe or _sided(lobes)
    for part in named:
        group = (part,) if isinstance(part, str) else part
        share, spots = grade(finding, 0.12, 0.3, 0.6), 2 if finding.lobe else 5
        found = region(site, group, share, spots, rng, noise, rough_mm=9.0)
        if found is not None:
            strokes.append(GroundGlass(found, added, texture))
    return strokes


def plan_atelectasis(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Plates where it is small or not said, a dense dependent wedge where it is moderate or large."""
    if finding.severity not in ("moderate", "large"):
        lobes = finding.lobe or tuple(lobe for lobe in ("RLL", "LLL") if lobe in lobes_of(finding))
        return plan_plates(site, lobes, rng, count=2)
    strokes: list[Stroke] = []
    texture, noise = site.noise("atelectasis grain", 7.0), site.noise("atelectasis edge", 16.0)
    for lobe in _main_lobes(finding):
        where = region(site, (lobe,), grade(finding, 0.1, 0.25, 0.7), 1, rng, noise, 3.0)
        if where is not None:
            site.solid |= where.on_lattice(site)
            strokes.append(Consolidation(where, site.tissue_hu + 15, texture))
    return strokes


def _main_lobes(finding: Finding) -> tuple[str, ...]:
    if finding.lobe:
        return tuple(finding.lobe)
    lobes = {"right": ("RLL",), "left": ("LLL",), "bilateral": ("RLL", "LLL")}
    return lobes.get(finding.side or "right", ("RLL",))


def _sided(lobes: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [tuple(n for n in LOBES if n in group and n in lobes) for group in OF_SIDE.values()
            if set(group) & set(lobes)]


DRAWERS = {"consolidation": plan_consolidation, "lung_opacity": plan_opacity, "atelectasis": plan_atelectasis}
