"""Findings between lung and chest wall: fluid that obeys gravity, air that rises and lets the lung collapse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ....report.finding import Finding
from ..canvas import Canvas
from ..frame import Axes, Bools, Field, Floats
from ..lungs import SIDES, Lungs, sides_of
from ..shapes import coverage
from .stroke import Site, Stage, Stroke, grade


@dataclass(frozen=True, eq=False)
class Fluid:
    """A pleural effusion: below a level that leans back and climbs the wall, with compressed lung above it."""

    lungs: Lungs
    side: str
    base: float
    tilt: float
    level: float
    hu: float
    compressed_mm: float
    compressed_hu: float
    uneven: Field
    stage: Stage = Stage.PLEURA

    def height(self, axes: Axes, depth: Floats) -> Floats:
        """How far above the most dependent place a voxel is, in mm along gravity."""
        wall = 20 * np.exp(np.clip(-depth, -60, 3) / 9)
        rise: Floats = -axes.Y + np.float32(self.tilt) * (axes.Z - np.float32(self.base)) - wall
        return rise

    def paint(self, canvas: Canvas) -> Bools | None:
        depth = canvas.on(self.lungs.of(self.side))
        if float(depth.max()) < 0:
            return None
        over = self.height(canvas.axes, depth) + 2 * canvas.on(self.uneven) - np.float32(self.level)
        inside = np.minimum(coverage(depth, canvas.width), canvas.lung)
        band = np.clip((self.compressed_mm - over) / (0.6 * self.compressed_mm), 0, 1)
        band *= np.clip((canvas.on(self.uneven) + 1.6) * 0.9, 0.2, 1)
        canvas.raise_to(band * inside * np.float32(0.95), self.compressed_hu)
        fluid = np.minimum(coverage(depth + 0.8, canvas.width), coverage(-over, max(canvas.width, 1.5)))
        canvas.blend(fluid * (canvas.lobes > 0) + fluid * (canvas.lobes == 0) * inside, self.hu)
        mask: Bools = (fluid > 0.5) & (depth > 0)
        canvas.lung *= 1 - fluid
        canvas.labels[mask] = 0
        return mask


@dataclass(frozen=True, eq=False)
class FreeAir:
    """A pneumothorax: air in front and above, a fine pleural line, the lung behind it small and dense."""

    lungs: Lungs
    side: str
    hilum: NDArray[np.float64]
    level: float
    fraction: float
    uneven: Field
    stage: Stage = Stage.PLEURA

    def score(self, axes: Axes, depth: Floats, uneven: Floats) -> Floats:
        h = self.hilum.astype(np.float32)
        away = np.sqrt((axes.X - h[0]) ** 2 + (axes.Y - h[1] - 12) ** 2 + (0.62 * (axes.Z - h[2] + 22)) ** 2)
        peripheral = 115 * away / (away + 1.5 * np.maximum(depth, 0) + 1)
        score: Floats = peripheral - 0.55 * axes.Y + 0.14 * axes.Z + 1.5 * uneven
        return score

    def paint(self, canvas: Canvas) -> Bools | None:
        depth = canvas.on(self.lungs.of(self.side))
        if float(depth.max()) < 0:
            return None
        beyond = (self.score(canvas.axes, depth, canvas.on(self.uneven)) - np.float32(self.level)) * np.float32(0.8)
        inside = np.minimum(coverage(depth, canvas.width), canvas.lung)
        denser = np.clip((canvas.hu + 1000) / np.float32(1 - self.fraction) - 1000, -1000, 60)
        canvas.hu += inside * np.where(canvas.hu < -300, denser - canvas.hu, 0) * (beyond < 0)
        line = np.clip(1 - np.abs(beyond) / max(1.2, canvas.width), 0, 1) * inside
        canvas.raise_to(line * np.float32(0.42), -20.0)
        air = np.minimum(coverage(depth + 1.0, canvas.width), coverage(beyond - 1.0, canvas.width))
        air = air * (canvas.lobes > 0) + air * (canvas.lobes == 0) * inside
        canvas.blend(air, -1000.0)
        mask: Bools = (air > 0.5) & (depth > 0)
        canvas.lung *= 1 - air
        canvas.labels[mask] = 0
        return mask


def plan_effusion(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Fluid on each side asked for: by thickness where the report gives one, else by its share of the hemithorax."""
    strokes: list[Stroke] = []
    tilt, jitter = rng.uniform(0.34, 0.5), rng.uniform(0, 1, 2)
    for side, at in zip(SIDES, jitter, strict=True):
        if side not in sides_of(finding):
            continue
        depth = site.lungs.of(side).values
        share = grade(finding, 0.045 + 0.03 * at, 0.17 + 0.08 * at, 0.42 + 0.13 * at)
        fluid = Fluid(site.lungs, side, site.base(side), tilt, 0.0, float(rng.uniform(4, 16)),
                      9 + 30 * share, site.tissue_hu + 12, site.noise("effusion", 20.0))
        height = fluid.height(site.lungs.lattice, depth)
        inside = depth > 0
        if not inside.any():
            continue
        level = _level(height, inside, share, finding.size_mm, lambda under: _thickest(under, site.lungs.right.step))
        fluid = replace(fluid, level=level)
        site.free &= ~(inside & (height < level + fluid.compressed_mm))
        strokes.append(fluid)
    return strokes


def plan_pneumothorax(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Air on each side asked for."""
    strokes: list[Stroke] = []
    for side, at in zip(SIDES, rng.uniform(0, 1, 2), strict=True):
        if side not in sides_of(finding, default=("right",)):
            continue
        depth = site.lungs.of(side).values
        inside = depth > 0
        if not inside.any():
            continue
        share = grade(finding, 0.08 + 0.05 * at, 0.2 + 0.1 * at, 0.45 + 0.15 * at)
        uneven = site.noise("pneumothorax", 30.0)
        air = FreeAir(site.lungs, side, site.hila[side], 0.0, share, uneven)
        score = -air.score(site.lungs.lattice, depth, uneven.on(site.lungs.lattice))
        level = _level(score, inside, share, finding.size_mm,
                       lambda out, d=depth: float(np.percentile(d[out], 98)) if out.any() else 0.0)  # type: ignore[misc]
        share = float((score < level)[inside].mean())
        site.free &= ~(inside & (score < level + 6))
        strokes.append(FreeAir(site.lungs, side, site.hila[side], -level, min(share, 0.7), uneven))
    return strokes


def _level(height: Floats, inside: Bools, share: float, size_mm: float | None,
           thickness: Callable[[Bools], float]) -> float:
    """The level under which a share of the lung lies, or under which the layer is `size_mm` thick."""
    if size_mm is None:
        return float(np.quantile(height[inside], share))
    low, high = (float(q) for q in np.quantile(height[inside], [0.002, 0.9]))
    for _ in range(12):
        middle = (low + high) / 2
        if thickness(inside & (height < middle)) < size_mm:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _thickest(under: Bools, step: float) -> float:
    columns = under.sum(1)
    return float(np.percentile(columns[columns > 0], 99)) * step if columns.any() else 0.0


DRAWERS = {"pleural_effusion": plan_effusion, "pneumothorax": plan_pneumothorax}
