"""Thick septa, reticulation, honeycombs and scars: networks of fine lines made of warped planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....report.finding import Finding
from ..canvas import Canvas
from ..frame import Bools, Field
from ..lungs import chosen, lobes_of
from .plates import plan_plates
from .stroke import Site, Stage, Stroke, grade


@dataclass(frozen=True, eq=False)
class Mesh:
    """A network of lines `spacing` apart, fading over `reach_mm` from the pleura."""

    lobes: tuple[str, ...]
    spacing: float
    thickness: float
    added_hu: float
    reach_mm: float
    warp: Field
    normals: NDArray[np.float64]
    veil_hu: float = 0.0
    holes: Field | None = None
    low_only: bool = False
    depth: Field | None = None
    stage: Stage = Stage.TISSUE

    def paint(self, canvas: Canvas) -> Bools | None:
        inside = chosen(canvas.lobes, self.lobes)
        if not inside.any():
            return None
        axes = canvas.axes
        weight = inside * canvas.lung
        if self.depth is not None:
            weight = weight * np.clip(1.4 - np.maximum(canvas.on(self.depth), 0) / self.reach_mm, 0, 1)
        if self.low_only:
            weight = weight * np.clip((40 - axes.Z) / 80, 0.05, 1)
        bend = canvas.on(self.warp)
        lines = np.zeros(axes.shape, np.float32)
        width = max(canvas.width * 0.9, 0.8)
        for n, normal in enumerate(self.normals / np.linalg.norm(self.normals, axis=1, keepdims=True)):
            a = (axes.X * normal[0] + axes.Y * normal[1] + axes.Z * normal[2]) + bend * (6 + 2 * n)
            away = np.abs((a / self.spacing + 0.37 * n) % 1.0 - 0.5) * self.spacing
            here = np.clip((self.thickness / 2 - away) / width + 0.5, 0, 1)
            broken = np.clip(1.1 + 0.9 * np.sin(bend * (1.7 + n) + 0.05 * axes.X), 0, 1)
            np.maximum(lines, here * broken, out=lines)
        mask: Bools = (lines * weight) > 0.5
        lines *= min(1.0, self.thickness / width)
        soft = np.clip((-200 - canvas.hu) / 400, 0, 1)
        canvas.hu += weight * soft * (self.veil_hu + lines * self.added_hu)
        if self.holes is not None:
            hole = np.clip((canvas.on(self.holes) - 0.45) * 2.5, 0, 1) * np.clip(weight * 1.6 - 0.7, 0, 1)
            canvas.blend(hole * np.float32(0.95), -960.0)
            mask |= hole > 0.5
        return mask


def plan_septa(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Polygons of a lobule's size in both lungs, plainer towards the pleura."""
    return [Mesh(lobes_of(finding), 14.0, grade(finding, 1.1, 1.6, 2.2), grade(finding, 220, 330, 450), 60.0,
                 site.noise("septa", 18.0), rng.normal(size=(4, 3)), depth=_depth(site))]


def plan_fibrosis(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Mild or not said: bands and scars. More: reticulation below the pleura, with honeycombs when severe."""
    lobes = finding.lobe or tuple(lobe for lobe in ("RUL", "LUL") if lobe in lobes_of(finding))
    if finding.severity not in ("moderate", "large"):
        return plan_plates(site, tuple(lobes), rng, 3, upright=True)
    severe = finding.severity == "large"
    mesh = Mesh(lobes_of(finding), 6.0, 1.3 if severe else 1.1, 330.0 if severe else 240.0, 26.0 if severe else 16.0,
                site.noise("reticulation", 9.0), rng.normal(size=(4, 3)), 130.0 if severe else 70.0,
                site.noise("honeycomb", 4.0) if severe else None, not finding.lobe, _depth(site))
    return [mesh, *plan_plates(site, tuple(lobes)[:2], rng, 1, upright=True)]


def _depth(site: Site) -> Field:
    """Depth below the pleura of either lung."""
    return Field(site.depth, site.lungs.right.origin, site.lungs.right.step)


DRAWERS = {"interlobular_septal_thickening": plan_septa, "pulmonary_fibrotic_sequela": plan_fibrosis}
