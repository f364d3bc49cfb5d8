"""The inner chest wall from ribs and lungs, and the hemithoraces inside it.

Fluid, consolidation and large masses are not air, so the aerated lung alone does
not say how far the lung once reached. The ribs do: for each slice and direction
seen from the middle of the chest, the wall is the innermost rib, or the outer rim
of the lung where that reaches further.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..volume import CTVolume, LabelVolume
from .coarse import Coarse, Image, Mask
from .lungs import LUNG_SEGMENTS, Lungs, find_lungs

_BINS = 72
_BEHIND_MM, _FLOOR_MM, _UNLIKE = 25.0, 12.0, 0.75
_GUTTER_MM, _SPINE_MM, _AORTA_MM, _HEART_SHARE = 30.0, 22.0, 42.0, 0.38
_BONE_HU, _CORE_MM, _SLAB_MM, _WALL_MM = 160.0, 8.0, 13.0, 3.0


@dataclass(frozen=True, eq=False)
class Cage:
    """The inner wall of the chest: a mask, the depth of each voxel below it in mm, and its widest width."""

    inside: Mask
    depth: Image
    width_mm: float


def find_cage(lungs: Lungs) -> Cage:
    """The space inside the ribs, over the height of the lungs and a recess below them."""
    coarse = lungs.coarse
    angle, radius = _polar(lungs)
    bins = (np.floor((angle + np.pi) / (2 * np.pi) * _BINS).astype(int)) % _BINS
    reach = _farthest(lungs.both, bins, radius)
    wall = _nearest(_thin_bone(coarse, lungs), bins, radius, np.maximum(reach - 6, 35))
    slab = 2 * round(_SLAB_MM / coarse.spacing[2]) + 1
    wall = ndimage.minimum_filter(wall, (1, slab), mode="nearest")
    wall = _interpolated(wall, coarse.spacing[2])
    mirrored = wall[(_BINS // 2 - 1 - np.arange(_BINS)) % _BINS]
    wall = np.where(wall < _UNLIKE * mirrored, 0.9 * mirrored, wall)
    wall = np.maximum(wall - _WALL_MM, reach)
    heights = np.flatnonzero(lungs.both.any((0, 1)))
    recess = int(45 / coarse.spacing[2])
    keep = np.zeros(coarse.grid.shape[2], bool)
    keep[max(0, heights[0] - recess):heights[-1] + 1] = True
    depth = np.stack([wall[bins, k] - radius for k in range(wall.shape[1])], 2).astype(np.float32)
    inside = (depth > 0) & keep & lungs.body
    x = np.broadcast_to(coarse.ras[0], inside.shape)
    widths = [np.ptp(x[..., k][inside[..., k]]) for k in heights if inside[..., k].any()]
    return Cage(inside, np.where(inside, depth, -1), float(max(widths, default=0.0)))


def hemithoraces(ct: CTVolume) -> LabelVolume:
    """Both pleural cavities with what is not aerated in them, as `lung_right` and `lung_left`."""
    lungs = find_lungs(Coarse.of(ct))
    coarse = lungs.coarse
    values = np.zeros(coarse.grid.shape, np.uint8)
    if lungs.both.any():
        right, left = cavities(lungs, find_cage(lungs))
        values = right.astype(np.uint8) + 2 * left.astype(np.uint8)
    fine = np.ascontiguousarray(coarse.spread(values))
    return coarse.labels(fine, ct, LUNG_SEGMENTS, "hemithoraces")


def cavities(lungs: Lungs, cage: Cage) -> tuple[Mask, Mask]:
    """Right and left: the lung closed by two centimetres, and where its own columns or the other lung say so."""
    flip = _mirror(lungs)
    hulls = [_hull(lung, lungs.coarse) for lung in (lungs.right, lungs.left)]
    shapes = []
    for own, other, hull, other_hull in ((lungs.right, lungs.left, hulls[0], hulls[1]),
                                         (lungs.left, lungs.right, hulls[1], hulls[0])):
        aside = _aside(lungs, own is lungs.left, cage)
        mirrored = _without_floor(flip(other_hull), lungs.coarse) & ~_unlike_lung(lungs, own) & aside
        mirrored |= _between(own, 2) & aside
        mirrored |= _hull(own, lungs.coarse, 32) & _lateral(lungs)
        shapes.append((hull | mirrored) & cage.inside & ~other | own)
    x = np.broadcast_to(lungs.coarse.ras[0], shapes[0].shape)
    right, left = shapes[0] & ((x > lungs.midline) | lungs.right), shapes[1] & ((x <= lungs.midline) | lungs.left)
    return right & ~lungs.left, left & ~lungs.right


def _between(mask: Mask, axis: int) -> Mask:
    """What has the mask on both sides along an axis."""
    before = np.maximum.accumulate(mask, axis)
    after = np.flip(np.maximum.accumulate(np.flip(mask, axis), axis), axis)
    return np.asarray(before & after)


def _aside(lungs: Lungs, left: bool, cage: Cage) -> Mask:
    """Away from heart and hila: lateral, and in the gutter beside the spine, where on the left the aorta runs."""
    x, y, _ = (np.broadcast_to(a, lungs.left.shape) for a in lungs.coarse.ras)
    gutter = y < float(np.median(y[lungs.both])) - _GUTTER_MM
    beside = np.abs(x - lungs.midline) > (_AORTA_MM if left else _SPINE_MM)
    away = _lateral(lungs) | gutter & beside
    return np.asarray(away & ~_heart_zone(lungs, cage) if left else away)


def _without_floor(mask: Mask, coarse: Coarse) -> Mask:
    """The mask less its lowest centimetre, for the two domes of the diaphragm differ."""
    steps = max(1, round(_FLOOR_MM / coarse.spacing[2]))
    lower = np.zeros_like(mask)
    lower[..., steps:] = mask[..., :-steps]
    return mask & lower


def _unlike_lung(lungs: Lungs, own: Mask) -> Mask:
    """Where the mirror image would take liver, aorta or hilum for lung.

    A raised diaphragm has lung behind it, or lies in front and under all of the lung.
    """
    above = np.maximum.accumulate(own[..., ::-1], 2)[..., ::-1]
    behind = np.cumsum(own, 1) * lungs.coarse.spacing[1] > _BEHIND_MM
    filled = own.sum((0, 1)) * np.prod(lungs.coarse.spacing[:2]) > 300
    levels = np.flatnonzero(filled)
    under = np.zeros(own.shape, bool)
    if levels.size:
        y = np.broadcast_to(lungs.coarse.ras[1], own.shape)
        under[..., :levels[0]] = y[..., :levels[0]] > float(np.median(y[lungs.both]))
    return np.asarray(above & (behind | under))


def _lateral(lungs: Lungs) -> Mask:
    """Away from the mediastinum."""
    x = np.broadcast_to(lungs.coarse.ras[0], lungs.left.shape)
    return np.asarray(np.abs(x - lungs.midline) > 42)


def _heart_zone(lungs: Lungs, cage: Cage) -> Mask:
    """Where the heart makes the left lung narrower than the right one."""
    x, y, z = (np.broadcast_to(a, lungs.left.shape) for a in lungs.coarse.ras)
    both = lungs.both
    if not both.any():
        return np.zeros_like(both)
    low, high = np.quantile(z[both], [0.01, 0.99])
    front = y > float(np.median(y[both])) - 30
    return np.asarray(front & (z < low + 0.62 * (high - low)) & (lungs.midline - x < _HEART_SHARE * cage.width_mm))


def _mirror(lungs: Lungs) -> Callable[[Mask], Mask]:
    """A function that turns a mask to the other side of the spine."""
    column = lungs.coarse.grid.to_ijk([lungs.midline, *lungs.coarse.grid.to_ras(
        np.array(lungs.coarse.grid.shape) / 2)[1:]])[0]
    shift = round(float(2 * column)) - (lungs.coarse.grid.shape[0] - 1)

    def flip(mask: Mask) -> Mask:
        source = np.arange(len(mask)) - shift
        inside = (source >= 0) & (source < len(mask))
        moved = np.zeros_like(mask)
        moved[inside] = mask[::-1][source[inside]]
        return moved

    return flip


def _hull(mask: Mask, coarse: Coarse, mm: float = 18) -> Mask:
    """The mask closed by about two centimetres."""
    reach = [int(np.ceil(v)) for v in coarse.voxels(mm + 2)]
    padded = np.pad(mask, [(n, n) for n in reach])
    grown = ndimage.distance_transform_edt(~padded, coarse.spacing) <= mm
    closed = ndimage.distance_transform_edt(grown, coarse.spacing) > mm
    return np.asarray(closed[tuple(slice(n, -n) for n in reach)]) | mask


def _polar(lungs: Lungs) -> tuple[Image, Image]:
    """Angle and distance of each column seen from the middle of the chest (the grid's first two axes)."""
    x, y, _ = (np.broadcast_to(a, lungs.body.shape) for a in lungs.coarse.ras)
    middle = lungs.body.shape[2] // 2
    center = float(np.median(y[lungs.both])) if lungs.both.any() else float(y.mean())
    dx, dy = x[..., middle] - lungs.midline, y[..., middle] - center
    return np.arctan2(dy, dx), np.hypot(dx, dy)


def _thin_bone(coarse: Coarse, lungs: Lungs) -> Mask:
    """Bone as thin as ribs: dense tissue without the vertebrae and contrast-filled heart and vessels."""
    dense = lungs.body & (coarse.hu > _BONE_HU)
    ball = coarse.ball(_CORE_MM)
    thick = ndimage.binary_dilation(ndimage.binary_opening(dense, ball), ball)
    return np.asarray(dense & ~thick)


def _farthest(mask: Mask, bins: NDArray[np.int_], radius: Image) -> Image:
    out = np.zeros((_BINS, mask.shape[2]), np.float32)
    i, j, k = np.nonzero(mask)
    np.maximum.at(out, (bins[i, j], k), radius[i, j])
    return out


def _nearest(mask: Mask, bins: NDArray[np.int_], radius: Image, beyond: Image) -> Image:
    out = np.full((_BINS, mask.shape[2]), np.inf, np.float32)
    i, j, k = np.nonzero(mask)
    far = radius[i, j] > beyond[bins[i, j], k]
    i, j, k = i[far], j[far], k[far]
    np.minimum.at(out, (bins[i, j], k), radius[i, j])
    return out


def _interpolated(wall: Image, step: float) -> Image:
    """Directions without a rib take the wall of their neighbours; single outliers are levelled."""
    known = np.isfinite(wall)
    if not known.any():
        return np.zeros_like(wall)
    blur = (1.2, 8 / step)
    weight = ndimage.gaussian_filter(known.astype(np.float32), blur, mode=("wrap", "nearest"))
    value = ndimage.gaussian_filter(np.where(known, wall, 0), blur, mode=("wrap", "nearest")) / np.maximum(weight, 1e-6)
    filled = np.where(weight > 1e-3, value, np.median(wall[known]))
    return np.asarray(ndimage.median_filter(filled, (3, 3), mode="nearest"), np.float32)
