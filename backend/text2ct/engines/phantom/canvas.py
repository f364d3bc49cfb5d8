"""A slab of the picture while it is drawn: HU, organ labels, and what is known about its voxels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .frame import Axes, Bools, Field, Floats, Slices

ALL: Slices = (slice(None), slice(None), slice(None))


@dataclass(eq=False)
class Canvas:
    """HU and labels of a slab, (z, y, x); `width` is the blur of edges in mm.

    `lung` says how much of each voxel is aerated lung: findings take it away where
    they put fluid, air or tissue in its place.
    """

    axes: Axes
    hu: Floats
    labels: NDArray[np.uint8]
    width: float
    body_depth: Floats = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    lung: Floats = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    lobes: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0, 0), np.uint8))
    _read: dict[int, tuple[Field, Floats]] = field(default_factory=dict)

    @classmethod
    def empty(cls, axes: Axes) -> Canvas:
        return cls(axes, np.full(axes.shape, -1000, np.float32), np.zeros(axes.shape, np.uint8),
                   edge_width(axes))

    def on(self, quantity: Field) -> Floats:
        """A field at the voxels of this slab, read once."""
        known = self._read.get(id(quantity))
        if known is None:
            known = (quantity, quantity.on(self.axes))
            self._read[id(quantity)] = known
        return known[1]

    def blend(self, cover: Floats, value: Any, where: Slices = ALL) -> None:
        """Move HU towards `value` by `cover`."""
        hu = self.hu[where]
        hu += cover * (value - hu)

    def raise_to(self, cover: Floats, value: Any, where: Slices = ALL) -> None:
        """Like `blend`, but never darker than before."""
        hu = self.hu[where]
        hu += cover * np.maximum(value - hu, 0)

    def label(self, cover: Floats | Bools, value: int, where: Slices = ALL) -> None:
        inside = cover if cover.dtype == np.bool_ else cover > 0.5
        self.labels[where][inside] = value


def edge_width(axes: Axes) -> float:
    """How soft an edge is at this voxel size."""
    return max(0.6, 0.95 * axes.in_plane)
