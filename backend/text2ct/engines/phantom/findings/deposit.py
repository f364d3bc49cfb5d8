"""A lesion or organ part of one HU put anywhere outside the air spaces, pushing lung away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..blob import Blob, make_blob
from ..canvas import Canvas
from ..frame import Bools, Field
from ..shapes import coverage
from .stroke import Site, Stage


@dataclass(frozen=True, eq=False)
class Deposit:
    """A blob of tissue. `spares` are organ labels that stay; `only` are the only ones it may replace."""

    blob: Blob
    hu: float
    grain_hu: float
    grain: Field
    spares: tuple[int, ...] = ()
    only: tuple[int, ...] = ()
    rim_hu: float | None = None
    stage: Stage = Stage.OUTSIDE

    def paint(self, canvas: Canvas) -> Bools | None:
        reached = self.blob.within(canvas.axes)
        if reached is None:
            return None
        where, axes, depth = reached
        labels = canvas.labels[where]
        allowed = np.ones(labels.shape, bool)
        if self.spares:
            allowed &= ~np.isin(labels, self.spares)
        if self.only:
            allowed &= np.isin(labels, self.only)
        cover = coverage(depth, canvas.width) * allowed
        inside = self.hu + self.grain_hu * self.grain.on(axes)
        if self.rim_hu is not None:
            rim = np.clip(1 - depth / 2.5, 0, 1)
            inside = inside * (1 - rim) + self.rim_hu * rim
        canvas.blend(cover, inside, where)
        canvas.lung[where] *= 1 - cover
        mask = np.zeros(canvas.axes.shape, bool)
        mask[where] = self.blob.filled(axes, depth) & allowed
        lungs = canvas.lobes[where] > 0
        labels[mask[where] & lungs] = 0
        return mask


def deposit(site: Site, rng: np.random.Generator, centre: NDArray[np.float64], size_mm: float, hu: float,
            grain_hu: float = 6.0, margin: str = "smooth", flatness: tuple[float, float] = (0.88, 0.8),
            spares: tuple[int, ...] = (), only: tuple[int, ...] = (), rim_hu: float | None = None,
            turn: NDArray[np.float64] | None = None) -> Deposit:
    """A deposit of a given largest size."""
    blob = make_blob(rng, np.asarray(centre, float), size_mm, margin, flatness, turn)
    return Deposit(blob, hu, grain_hu, site.noise("deposit grain", 6.0), spares, only, rim_hu)
