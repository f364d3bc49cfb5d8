"""One lesion at several times in one patient: its mask at each day by a law of growth, each painted anew.

The CT, the words and the seed stay, so that only the lesion changes. All masks are made
before the first is painted: a day at which the lesion would outgrow its organ is
refused at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import BadRequest
from ...lesion import box_around
from ...requests import InsertLesion
from ...volume import LabelVolume
from .crops import Mask
from .growth import grown, volume_after
from .working import reach

_ROOM_MM = 4.0


@dataclass(frozen=True)
class Law:
    """The volume doubles in `doubling_days` (halves, when negative), slowing down towards `limit_ml` where given."""

    doubling_days: float
    limit_ml: float | None = None


def at_days(request: InsertLesion, first: LabelVolume, days: Sequence[float], law: Law) -> list[InsertLesion]:
    """A request to paint the lesion `first` of day 0 as it is at each of the days."""
    mask = np.not_equal(first.voxels, 0)
    if not mask.any():
        raise BadRequest("The lesion mask is empty; draw the lesion first.")
    volume = float(mask.sum()) * first.grid.voxel_ml
    factors = [volume_after(volume, day, law.doubling_days, law.limit_ml) / volume for day in days]
    for day, factor in zip(days, factors, strict=True):
        if not factor * volume < request.ct.voxels.size * request.ct.grid.voxel_ml:
            raise BadRequest(f"At day {day:g} the lesion would outgrow the CT; choose an earlier time.")
    return [_painted_as(request, first, _at(request, mask, factor)) for factor in factors]


def _at(request: InsertLesion, mask: Mask, factor: float) -> Mask:
    """The lesion with `factor` times its volume, worked out in a window that holds it."""
    grid = request.ct.grid
    where = np.argwhere(mask)
    span = float(((np.ptp(where, axis=0) + 1) * grid.spacing).max())
    low, high = reach(mask, grid, _ROOM_MM + span * max(factor ** (1 / 3) - 1, 0))
    cut = tuple(map(slice, low, high))
    may = None
    if request.organ and request.organs is not None:
        may = request.organs.mask(request.organ)[cut]
    found = np.zeros(mask.shape, bool)
    found[cut] = mask[cut] if factor == 1 else grown(mask[cut], grid.window(low, high), factor, may)
    return found


def _painted_as(request: InsertLesion, first: LabelVolume, mask: Mask) -> InsertLesion:
    labels = LabelVolume(mask.astype(np.uint8), first.affine, first.segments[:1], first.title)
    return replace(request, mask=labels, box=box_around(labels), parts="paint")
