"""Where the lungs are in any CT, from HU and shape alone.

Everything that measures or draws in the chest starts here. The aerated lungs are
the air inside the body that is neither airway nor bowel gas; left and right come
from the patient's axes. `approximate_lobes` cuts a lung (or a whole hemithorax)
where fissures usually run: good for naming a lobe, not for lobar volumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..volume import CTVolume, LabelVolume, Segment
from .coarse import Coarse, Mask, largest_piece

SIDES = ("right", "left")
LUNG_SEGMENTS = (Segment(1, "lung_right", (0.25, 0.55, 0.85)), Segment(2, "lung_left", (0.35, 0.75, 0.55)))
LOBE_SEGMENTS = (
    Segment(1, "lung_upper_lobe_right", (0.25, 0.55, 0.85)), Segment(2, "lung_middle_lobe_right", (0.55, 0.45, 0.8)),
    Segment(3, "lung_lower_lobe_right", (0.2, 0.35, 0.7)), Segment(4, "lung_upper_lobe_left", (0.35, 0.75, 0.55)),
    Segment(5, "lung_lower_lobe_left", (0.2, 0.55, 0.35)))
_AIR_HU, _GAS_HU, _OUTSIDE_HU, _FINE_EDGE_HU = -400.0, -945.0, -900.0, -350
_OFF_CENTRE_MM = 30.0
_TISSUE_SHARE, _TISSUE_BELOW = 0.25, 0.6
_SMALLEST_ML, _TRACHEA_MM2, _MIDLINE_MM = 40.0, (25.0, 750.0), 32.0
_AXIAL = np.zeros((3, 3, 3), bool)
_AXIAL[:, 1, 1] = _AXIAL[1, :, 1] = True


@dataclass(frozen=True, eq=False)
class Lungs:
    """Coarse masks: the two aerated lungs, the airway, the body, and the RAS x of the spine."""

    coarse: Coarse
    right: Mask
    left: Mask
    airway: Mask
    body: Mask
    midline: float

    @property
    def both(self) -> Mask:
        return self.right | self.left

    def side(self, name: str) -> Mask:
        return self.right if name == "right" else self.left

    def cropped(self, low: Sequence[int], high: Sequence[int]) -> Lungs:
        """The part of everything with low <= index < high."""
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        return Lungs(self.coarse.cropped(low, high), self.right[box], self.left[box], self.airway[box], self.body[box],
                     self.midline)

    @property
    def ml(self) -> float:
        return float(self.both.sum()) * self.coarse.voxel_ml


def segment_lungs(ct: CTVolume) -> LabelVolume:
    """The aerated lungs with their vessels, without trachea and main bronchi, on the grid of `ct`."""
    lungs = find_lungs(Coarse.of(ct))
    coarse = lungs.coarse
    values = lungs.right.astype(np.uint8) + 2 * lungs.left.astype(np.uint8)
    if max(coarse.factors) > 1:
        values = _refined(lungs, values)
    return coarse.labels(values, ct, LUNG_SEGMENTS, "lungs")


def find_lungs(coarse: Coarse) -> Lungs:
    """The lungs on the coarse grid; both masks are empty where there are none in the image."""
    body = find_body(coarse)
    midline = find_midline(coarse, body)
    air = body & (coarse.hu < _AIR_HU)
    airway = _trachea(coarse, air, midline)
    accepted = _lung_like(coarse, air & ~ndimage.binary_dilation(airway), body)
    right, left = _split(coarse, accepted, midline)
    right, left = _filled(coarse, right), _filled(coarse, left)
    left &= ~right
    trunk = ndimage.binary_dilation(airway, _AXIAL) & (coarse.hu < -150)
    return Lungs(coarse, right & body & ~trunk, left & body & ~trunk, airway, body, midline)


def find_body(coarse: Coarse) -> Mask:
    """The patient without the air around: what air from the sides of the image cannot reach, slice by slice."""
    open_space = coarse.hu < _AIR_HU
    labels, count = ndimage.label(open_space, _AXIAL)
    outside = np.zeros(count + 1, bool)
    # A crop cuts through lungs, so a side of the image is outside only where it is as thin as air.
    thin = ndimage.uniform_filter(coarse.hu, 3) < _OUTSIDE_HU - 30
    for face in ((0,), (-1,), (slice(None), 0), (slice(None), -1)):
        touched = labels[face][thin[face] & open_space[face]]
        counts = np.bincount(touched.ravel(), minlength=count + 1)
        outside |= counts * max(coarse.spacing) > 15
    outside[0] = False
    return largest_piece(~outside[labels])


def find_midline(coarse: Coarse, body: Mask) -> float:
    """The RAS x of the sagittal plane in which the skeleton, seen from above, best mirrors itself.

    The brightest column alone would do in a native scan; with contrast it is the aorta.
    """
    x = np.broadcast_to(coarse.ras[0], coarse.grid.shape)
    if not body.any():
        return float(x.mean())
    middle = float(np.median(x[body]))
    seen = np.sqrt((body & (coarse.hu > 180)).sum(2, dtype=float))
    seen = ndimage.gaussian_filter(seen, coarse.voxels(4)[:2])
    alike = np.sum([np.convolve(row, row) for row in seen.T], axis=0)
    if not np.any(alike):
        return middle
    first, step = float(x[0].mean()), coarse.spacing[0]
    places = first + step * np.arange(len(alike)) / 2
    alike = np.where(np.abs(places - middle) < _OFF_CENTRE_MM, alike, -1)
    return float(places[int(np.argmax(alike))])


def approximate_lobes(lungs: LabelVolume) -> LabelVolume:
    """Five lobes where fissures usually run in the boxes of `lung_right` and `lung_left`."""
    turned = lungs.reoriented("RAS")
    values = np.zeros(turned.shape, np.uint8)
    for side in SIDES:
        mask = turned.mask(f"lung_{side}")
        if mask.any():
            values[mask] = lobe_numbers(mask, side)[mask]
    back = LabelVolume(values, turned.affine, LOBE_SEGMENTS, "lobes (approximate)").reoriented(lungs.orientation)
    return LabelVolume(back.voxels.copy(), lungs.affine, LOBE_SEGMENTS, "lobes (approximate)")


def lobe_numbers(mask: Mask, side: str) -> NDArray[np.uint8]:
    """Lobe values for every voxel in RAS order, as if all were in the lung that `mask` gives the extent of."""
    low, high = _box(mask)
    j, k = np.meshgrid(np.arange(mask.shape[1]), np.arange(mask.shape[2]), indexing="ij")
    forward = np.clip((j - low[1]) / max(1, high[1] - low[1]), 0, 1)
    height = (k - low[2]) / max(1, high[2] - low[2])
    oblique = 0.76 - 0.70 * forward
    lower = height < oblique
    flat = np.where(lower, 5, 4) if side == "left" else np.where(lower, 3, np.where(height < 0.45, 2, 1))
    return np.broadcast_to(flat.astype(np.uint8)[None], mask.shape)


def _box(mask: Mask) -> tuple[list[int], list[int]]:
    """Bounds that a few stray voxels do not move: the middle 99.8 % along each axis."""
    low, high = [], []
    for axis in range(3):
        profile = mask.sum(axis=tuple(a for a in range(3) if a != axis))
        share = np.cumsum(profile) / max(1, profile.sum())
        low.append(int(np.searchsorted(share, 0.001)))
        high.append(int(np.searchsorted(share, 0.999)) + 1)
    return low, high


def _trachea(coarse: Coarse, air: Mask, midline: float) -> Mask:
    """The longest column of small air spots near the midline: trachea and the start of the main bronchi."""
    x, _, _ = coarse.ras
    labels, count = ndimage.label(air, _AXIAL)
    if not count:
        return np.zeros_like(air)
    area = np.bincount(labels.ravel(), minlength=count + 1) * coarse.spacing[0] * coarse.spacing[1]
    place = np.bincount(labels.ravel(), np.broadcast_to(x, air.shape).ravel(), count + 1)
    center = place / np.maximum(1, np.bincount(labels.ravel(), minlength=count + 1))
    small = (area >= _TRACHEA_MM2[0]) & (area <= _TRACHEA_MM2[1]) & (np.abs(center - midline) < _MIDLINE_MM)
    small[0] = False
    spots, _ = ndimage.label(small[labels], np.ones((3, 3, 3)))
    best, longest = 0, 30.0 / coarse.spacing[2]
    for part, box in enumerate(ndimage.find_objects(spots), 1):
        tall = box[2].stop - box[2].start
        if tall > longest and coarse.hu[spots == part].mean() < -600:
            best, longest = part, tall
    return np.asarray(spots == best) if best else np.zeros_like(air)


def _lung_like(coarse: Coarse, air: Mask, body: Mask) -> Mask:
    """Pieces of air with lung tissue in them, and gas that lies against those (a pneumothorax)."""
    labels, count = ndimage.label(air)
    sizes = np.bincount(labels.ravel(), minlength=count + 1) * coarse.voxel_ml
    inner = ndimage.binary_erosion(air)
    _, y, z = (np.broadcast_to(a, air.shape) for a in coarse.ras)
    bone = body & (coarse.hu > 200)
    back = float(np.median(y[bone])) - 55 if bone.sum() > 100 else -1e9
    lungs, gas = np.zeros_like(air), np.zeros_like(air)
    largest = sizes[1:].max(initial=0)
    floor = _floor(labels, sizes, z, coarse)
    for part, box in enumerate(ndimage.find_objects(labels), 1):
        if sizes[part] < max(_SMALLEST_ML, 0.015 * largest):
            continue
        own = labels[box] == part
        deep = coarse.hu[box][own & inner[box]]
        if deep.size < 8 or float(y[box][own].mean()) < back:
            continue
        tissue = _TISSUE_SHARE if float(z[box][own].mean()) > floor else _TISSUE_BELOW
        if np.mean(deep > _GAS_HU) > tissue:
            lungs[box] |= own
        elif sizes[part] > 60:
            gas[box] |= own
    if gas.any() and lungs.any():
        lungs |= _pleural_gas(coarse, gas, lungs, z)
    return lungs


def _floor(labels: NDArray[Any], sizes: NDArray[Any], z: NDArray[np.float32], coarse: Coarse) -> float:
    """How low the large pieces of lung reach; bowel lies below, and is gas with little tissue in it."""
    large = sizes > 0.25 * sizes[1:].max(initial=0)
    large[0] = False
    solid = large[labels] & (coarse.hu > _GAS_HU)
    return float(np.quantile(z[solid], 0.02)) if solid.any() else -np.inf


def _pleural_gas(coarse: Coarse, gas: Mask, lungs: Mask, z: NDArray[np.float32]) -> Mask:
    """The gas that touches lung from beside or above; gas in the stomach lies below."""
    labels, _ = ndimage.label(gas)
    near = ndimage.binary_dilation(lungs, coarse.ball(7))
    floor = float(np.quantile(z[lungs], 0.3))
    kept = [part for part, box in enumerate(ndimage.find_objects(labels), 1)
            if (near[box] & (labels[box] == part)).any() and z[box][labels[box] == part].mean() > floor]
    return np.isin(labels, kept)


def _split(coarse: Coarse, lungs: Mask, midline: float) -> tuple[Mask, Mask]:
    """Right and left, parted where they join only by a thin bridge."""
    x = np.broadcast_to(coarse.ras[0], lungs.shape)
    total = max(1, int(lungs.sum()))
    labels: NDArray[Any] = np.zeros(lungs.shape, np.int32)
    core, straddles = lungs, True
    for _ in range(6):
        if core.sum() < 0.15 * total:
            break
        labels, count = ndimage.label(core)
        sides = np.stack([np.bincount(labels[m], minlength=count + 1) for m in (core & (x > midline),
                                                                              core & (x <= midline))])
        straddles = bool((sides[:, 1:].min(0) > 0.1 * core.sum()).any())
        if not straddles:
            break
        core = ndimage.binary_erosion(core)
    if straddles:
        return lungs & (x > midline), lungs & (x <= midline)
    is_right = sides[0] > sides[1]
    large = sides.sum(0) > 0.01 * total
    seeds = np.where(core & large[labels], np.where(is_right[labels], 1, 2), 0)
    if not seeds.any():
        return lungs & (x > midline), lungs & (x <= midline)
    where = ndimage.distance_transform_edt(seeds == 0, coarse.spacing, return_distances=False, return_indices=True)
    nearest = seeds[tuple(where)]
    return lungs & (nearest == 1), lungs & (nearest == 2)


def _filled(coarse: Coarse, lung: Mask) -> Mask:
    """A lung with its vessels and nodules: closed by a few millimetres, holes filled slice by slice."""
    if not lung.any():
        return lung
    reach = [int(np.ceil(v)) + 1 for v in coarse.voxels(7)]
    padded = np.pad(lung, [(n, n) for n in reach])
    closed = ndimage.binary_closing(padded, coarse.ball(6))
    holes, count = ndimage.label(~closed, _AXIAL)
    outside = np.zeros(count + 1, bool)
    for face in ((0,), (-1,), (slice(None), 0), (slice(None), -1)):
        outside[holes[face]] = True
    filled = ~outside[holes]
    return np.asarray(filled[tuple(slice(n, -n) for n in reach)])


def _refined(lungs: Lungs, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Coarse labels with their rim redrawn from the fine HU."""
    right, left = values == 1, values == 2
    trunk = ndimage.binary_dilation(lungs.airway)
    outer = np.zeros_like(values)
    for number, own, other in ((1, right, left), (2, left, right)):
        outer[ndimage.binary_dilation(own) & ~other & lungs.body & ~trunk] = number
    core = np.where(ndimage.binary_erosion(values > 0, border_value=1), values, 0).astype(np.uint8)
    coarse = lungs.coarse
    fine = coarse.spread(core)
    rim = coarse.spread(outer)
    return np.where(coarse.fine.voxels < _FINE_EDGE_HU, np.maximum(fine, rim), fine)
