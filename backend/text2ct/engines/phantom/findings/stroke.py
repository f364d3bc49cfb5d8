"""What a finding becomes before anything is painted: strokes with a stage, and the site they are planned on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ....report.finding import Finding
from ..canvas import Canvas
from ..chest import Chest
from ..frame import Bools, Field, Floats
from ..lung_trees import AIRWAYS, grow_bronchi
from ..lungs import OF_SIDE, Lungs
from ..shapes import noise_field, stream
from ..trees import Tree


class Stage(IntEnum):
    """When a stroke is painted: into bare lung tissue, along its trees, over both, in the pleura, elsewhere."""

    TISSUE = 0
    AIRWAYS = 1
    FOCAL = 2
    PLEURA = 3
    OUTSIDE = 4


class Stroke(Protocol):
    """Something to paint. `paint` returns where the finding is, or None where the slab is not touched."""

    @property
    def stage(self) -> Stage: ...

    def paint(self, canvas: Canvas) -> Bools | None: ...


@dataclass(frozen=True, eq=False)
class Brush:
    """A stroke made of a function."""

    stage: Stage
    paint: Callable[[Canvas], Bools | None]


@dataclass(eq=False)
class Site:
    """Where findings are planned: lungs on the lattice and, in a phantom, the whole chest.

    Earlier findings leave their marks on the lattice: `free` is the lung that no fluid, free air
    or focal lesion has taken, `solid` is lung that they have filled with tissue where it lies.
    """

    seed: int
    lungs: Lungs
    hila: dict[str, NDArray[np.float64]]
    contrast: bool
    chest: Chest | None
    free: Bools
    solid: Bools = field(init=False)

    def __post_init__(self) -> None:
        self.solid = np.zeros_like(self.free)

    @property
    def aerated(self) -> Bools:
        """Where something new can be seen: lung that is neither taken nor solid."""
        return np.asarray(self.free & ~self.solid)

    @property
    def tissue_hu(self) -> float:
        """The HU of enhancing or native soft tissue."""
        return 72.0 if self.contrast else 40.0

    @property
    def blood_hu(self) -> float:
        return self.chest.patient.blood_hu if self.chest is not None else (180.0 if self.contrast else 40.0)

    @cached_property
    def depth(self) -> Floats:
        return self.lungs.lattice_depth

    @cached_property
    def lobes(self) -> NDArray[np.uint8]:
        return self.lungs.lattice_lobes

    def noise(self, name: str, scale: float) -> Field:
        """Smooth noise for one purpose."""
        return noise_field(stream(self.seed, name), scale)

    def bronchi(self, lobe: str, extra: int = 0) -> Tree:
        """The bronchi of a lobe; with `extra`, some more that reach further out."""
        if self.chest is not None and not extra:
            return self.chest.trees.bronchi[lobe]
        side = "right" if lobe in OF_SIDE["right"] else "left"
        return grow_bronchi(self.seed, self.lungs, lobe, self.hila[side], extra or AIRWAYS)

    def base(self, side: str) -> float:
        """The lowest height of a lung."""
        return float(self.lungs.lattice.z[(self.lungs.of(side).values > 0).any((1, 2))][0])


@dataclass(frozen=True)
class Plan:
    """A finding and how it will be painted."""

    finding: Finding
    strokes: tuple[Stroke, ...]


def grade(finding: Finding, small: float, moderate: float, large: float) -> float:
    """The value for a finding's severity; moderate where the report does not say."""
    return {"small": small, "large": large}.get(finding.severity or "", moderate)


def random_of(site_seed: int, finding: Finding, ordinal: int) -> np.random.Generator:
    """Random numbers of a finding: the same whatever else the report says."""
    place = f"{finding.side or ''} {' '.join(finding.lobe)}"
    return stream(site_seed, f"{finding.kind} {place} {ordinal}")
