"""The same lesion at other times: its volume by a law of growth, its form kept, its voxels exactly that many.

A mask is enlarged about its centre through its signed distance, and the surface is then
moved until the volume is the wanted one, so that a series of times is a series of
volumes whatever the voxels are.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ...errors import BadRequest
from ...geometry import Grid
from .blending import signed_depth
from .crops import Mask


def volume_after(volume_ml: float, days: float, doubling_days: float, limit_ml: float | None = None) -> float:
    """Volume after some days: doubling in a fixed time, or slowing down towards a limit (Gompertz' law).

    A negative time of doubling is one of halving. With a limit, the doubling time is that of the first day.
    """
    if volume_ml <= 0 or doubling_days == 0 or (limit_ml is not None and limit_ml <= volume_ml):
        raise BadRequest("Growth needs a volume above zero, a doubling time other than zero, and a limit above the "
                         "volume.")
    rate = np.log(2) / doubling_days
    with np.errstate(over="ignore"):
        if limit_ml is None:
            return float(volume_ml * np.exp(rate * days))
        room = np.log(limit_ml / volume_ml)
        return float(limit_ml * np.exp(-room * np.exp(-rate * days / room)))


def grown(mask: Mask, grid: Grid, factor: float, may: Mask | None = None) -> Mask:
    """The lesion with `factor` times its volume, within `may`; its centre and form stay."""
    count = int(mask.sum())
    wanted = round(count * factor)
    if not count or wanted < 1:
        raise BadRequest("The lesion would be smaller than a voxel at that time; choose an earlier or later one.")
    depth = signed_depth(mask, grid.spacing)
    scale = factor ** (1 / 3)
    centre = np.argwhere(mask).mean(0)
    larger = ndimage.affine_transform(depth, np.full(3, 1 / scale), centre * (1 - 1 / scale), order=1, mode="nearest")
    if may is not None:
        larger = np.where(may, larger, -np.inf)
    room = int(np.isfinite(larger).sum())
    if wanted > room:
        raise BadRequest("The lesion would outgrow the place that it may take; choose an earlier time.")
    found = np.zeros(mask.size, bool)
    found[np.argpartition(larger.ravel(), mask.size - wanted)[mask.size - wanted:]] = True
    return found.reshape(mask.shape)
