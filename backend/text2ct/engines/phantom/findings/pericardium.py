"""Fluid around the heart, thicker below and behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..canvas import Canvas
from ..frame import Bools, Field
from ..organs import number
from ..shapes import coverage
from .stroke import Stage


@dataclass(frozen=True, eq=False)
class Pericardium:
    """A shell of fluid `thickness_mm` wide outside the epicardial fat."""

    heart: Field
    above: Field
    cage: Field
    inner_mm: float
    thickness_mm: float
    hu: float
    stage: Stage = Stage.OUTSIDE

    def paint(self, canvas: Canvas) -> Bools | None:
        outside = -canvas.on(self.heart)
        if float(outside.min()) > self.inner_mm + self.thickness_mm:
            return None
        shell = np.minimum(outside - self.inner_mm, self.inner_mm + self.thickness_mm - outside)
        room = np.minimum(canvas.on(self.above) - 0.5, canvas.on(self.cage) - 1.5)
        cover = coverage(np.minimum(shell, room), canvas.width)
        keep = np.isin(canvas.labels, [number(n) for n in ("aorta", "superior_vena_cava", "inferior_vena_cava",
                                                           "pulmonary_artery", "pulmonary_vein", "esophagus",
                                                           "trachea")])
        cover *= ~keep
        canvas.blend(cover, self.hu)
        canvas.lung *= 1 - cover
        mask: Bools = (cover > 0.5)
        canvas.labels[mask & (canvas.lobes > 0)] = 0
        return mask
