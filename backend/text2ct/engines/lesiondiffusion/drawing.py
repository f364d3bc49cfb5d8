"""A lesion's mask by LMNet: the crop around the box, candidates from noise, and the one that fits best.

The published program takes the threshold that comes nearest to the whole box and lets
the mask leave it. Here a candidate is cut to the box and, where one is named, to the
organ, and the one nearest to the wanted volume is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from ...errors import BadRequest
from ...geometry import Box, Grid
from .blending import signed_depth
from .crops import Mask, largest_component
from .published import THRESHOLDS
from .sampling import Noise
from .working import Crop, Floats, inside_box, values_on

_ORGANS = 104
_SMOOTH = 1.5  # voxels, where no threshold gives a lesion
_LUNG_HU, _SOFT_HU = -350.0, (-90.0, 250.0)
_MIDDLE = 0.5  # between outside and inside of a sampled mask
_FEW = 8  # voxels to begin with where a sample holds no lesion
_BEYOND = 3.0  # voxels beyond its surface that a lesion's depth is told


@dataclass(frozen=True, eq=False)
class Place:
    """Where a lesion may be: the crop, the channels that LMNet sees there, and the voxels that it may take."""

    crop: Crop
    organs: NDArray[np.uint8]
    target: Mask
    allowed: Mask

    @property
    def condition(self) -> Tensor:
        box = np.zeros(self.organs.shape, np.float32)
        box[self.crop.box.cut] = 1
        channels = np.stack([self.organs / np.float32(_ORGANS), self.target, box])
        return torch.from_numpy(channels.astype(np.float32))[None]


@dataclass(frozen=True, eq=False)
class Chosen:
    """A mask on the crop, and whether it came from a threshold of the published program."""

    mask: Mask
    plain: bool


def place_for(crop: Crop, box: Box, hu: Floats, organs: NDArray[np.uint8] | None, organ: int, confined: bool) -> Place:
    """`organs` holds v1 numbers on the crop. Without it, tissue of the box's density stands in for the organ."""
    inside = inside_box(box, crop.grid)
    if not inside.any():
        inside[crop.box.cut] = True
    if organs is None:
        target = _tissue(hu, inside)
        organs = np.where(target, np.uint8(organ), np.uint8(0))
    else:
        target = np.equal(organs, organ)
    allowed = inside & target if confined else inside
    if not allowed.any():
        raise BadRequest("The box does not touch the organ that was named; move it there or name another organ.")
    return Place(crop, organs, target, allowed)


def chosen(candidates: Sequence[Floats], allowed: Mask, wanted: int) -> Chosen:
    """Of all candidates and thresholds, the mask whose count of voxels is nearest to the wanted one."""
    masks = [largest_component((raw > threshold) & allowed) for raw in candidates for threshold in THRESHOLDS]
    best = min(masks, key=lambda mask: abs(int(mask.sum()) - wanted))
    if best.sum() * 4 >= wanted:
        return Chosen(best, True)
    ranked = [_by_rank(raw, allowed, wanted) for raw in candidates]
    return Chosen(max(ranked, key=lambda mask: int(mask.sum())), False)


def on_patient_grid(mask: Mask, crop: Grid, target: Grid, may: Mask) -> Mask:
    """The mask on voxels of the CT that it may take; at least one, however coarse they are."""
    share = values_on(mask.astype(np.float32), crop, target, outside=0.0)
    found = largest_component((share > 0.5) & may)
    if not found.any():
        found = np.zeros(target.shape, bool)
        found.flat[int(np.where(may, share, -1).argmax())] = True
    return found


def of_volume(candidates: Sequence[Floats], crop: Grid, target: Grid, may: Mask, wanted_ml: float) -> Mask:
    """The candidate whose volume is nearest, its surface moved until it has the wanted one, on voxels it may take.

    The form is kept by moving the surface along its distance, before it is brought to the CT's voxels; there the
    voxels that it fills most are taken, as many as make up the volume.
    """
    def volume(raw: Floats) -> int:
        return int(largest_component(raw > _MIDDLE).sum())

    raw = min(candidates, key=lambda one: abs(volume(one) * crop.voxel_ml - wanted_ml))
    form = largest_component(raw > _MIDDLE) if volume(raw) else _by_rank(raw, np.ones(raw.shape, bool), _FEW)
    depth = signed_depth(form, crop.spacing)
    depth = depth - np.float32(_level(depth, round(wanted_ml / crop.voxel_ml)))
    share = np.clip(depth / max(crop.spacing) + 0.5, -_BEYOND, 1 + _BEYOND)
    filled = np.where(may, values_on(share, crop, target, outside=-_BEYOND), -np.inf)
    count = int(np.clip(round(wanted_ml / target.voxel_ml), 1, may.sum()))
    found = np.zeros(filled.size, bool)
    found[np.argpartition(filled.ravel(), filled.size - count)[filled.size - count:]] = True
    return largest_component(found.reshape(filled.shape))


def _level(values: Floats, count: int) -> float:
    """The value that this many voxels reach."""
    count = min(max(count, 1), values.size)
    return float(np.partition(values, values.size - count, axis=None)[values.size - count])


def separate(noises: Sequence[Noise]) -> Noise:
    """Noise for a batch, each of its members from a source of its own."""
    def draw(*shape: int) -> Tensor:
        return torch.cat([noise(1, *shape[1:]) for noise in noises])

    return draw


def in_batches(count: int, size: int, sample: Callable[[range, Sequence[Floats]], Tensor],
               finished: Sequence[Floats] = ()) -> list[Floats]:
    """Candidates as arrays, a few at a time after those that are `finished`; `sample` sees all before its own."""
    found = list(finished)
    for start in range(len(found), count, size):
        part = sample(range(start, min(start + size, count)), tuple(found))
        found += [one[0].cpu().numpy() for one in part]
    return found


def _by_rank(raw: Floats, allowed: Mask, wanted: int) -> Mask:
    """The wanted number of allowed voxels where the smoothed sample is highest; their largest piece."""
    smooth = ndimage.gaussian_filter(raw, _SMOOTH)
    values = smooth[allowed]
    count = min(max(wanted, 1), values.size)
    limit = np.partition(values, values.size - count)[values.size - count]
    return largest_component((smooth >= limit) & allowed)


def _tissue(hu: Floats, inside: Mask) -> Mask:
    """Voxels of the same kind of tissue as most of the box: lung or soft tissue."""
    if float(np.median(hu[inside])) < _LUNG_HU:
        found = ndimage.binary_closing(hu < _LUNG_HU, iterations=2)
    else:
        found = ndimage.binary_opening((hu > _SOFT_HU[0]) & (hu < _SOFT_HU[1]), iterations=1)
    return np.asarray(found | inside)
