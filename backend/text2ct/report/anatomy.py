"""The parts of a chest that meters need, found once for each CT: from labels, or from HU and shape.

A Chest holds coarse masks in RAS order. Each part is found when a meter first asks
for it. Labels with TotalSegmentator names replace our own guess where they are given;
without them heart, aorta and liver are rough, good for a width or a mean HU only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..volume import CTVolume, LabelVolume
from .cage import Cage, cavities, find_cage
from .coarse import Coarse, Image, Mask, largest_piece
from .finding import Lobe
from .lungs import Lungs, find_lungs, lobe_numbers

T = TypeVar("T")
LOBE_NUMBERS: Mapping[Lobe, int] = {"RUL": 1, "RML": 2, "RLL": 3, "LUL": 4, "lingula": 4, "LLL": 5}
LOBE_OF_NUMBER: Mapping[int, Lobe] = {1: "RUL", 2: "RML", 3: "RLL", 4: "LUL", 5: "LLL"}
LOBE_LABELS: Mapping[str, int] = {
    "lung_upper_lobe_right": 1, "lung_middle_lobe_right": 2, "lung_lower_lobe_right": 3,
    "lung_upper_lobe_left": 4, "lung_lower_lobe_left": 5}
_WHOLE_ML, _WHOLE_HEIGHT_MM, _LABEL_ML = 500.0, 130.0, 50.0


@dataclass(frozen=True, eq=False)
class Chest:
    """A CT with its lungs, and everything that follows from them."""

    coarse: Coarse
    lungs: Lungs
    labels: Mapping[str, Mask] = field(default_factory=dict)
    _found: dict[Callable[..., Any], Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, ct: CTVolume, organs: LabelVolume | None = None) -> Chest:
        coarse = Coarse.of(ct)
        labels = _coarse_labels(coarse, organs) if organs is not None else {}
        lungs = _with_labels(find_lungs(coarse), labels)
        if lungs.both.any():
            low, high = _surroundings(lungs)
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            lungs, labels = lungs.cropped(low, high), {name: mask[box] for name, mask in labels.items()}
        return cls(lungs.coarse, lungs, labels)

    def once(self, find: Callable[[Chest], T]) -> T:
        """What `find` says of this chest; asked again, the first answer is given."""
        if find not in self._found:
            self._found[find] = find(self)
        found: T = self._found[find]
        return found

    @cached_property
    def has_lungs(self) -> bool:
        """Whether enough lung is in the image to speak of a chest CT."""
        heights = np.flatnonzero(self.lungs.both.any((0, 1)))
        return (self.lungs.ml > _WHOLE_ML and bool(heights.size)
                and float(np.ptp(heights)) * self.coarse.spacing[2] > _WHOLE_HEIGHT_MM)

    @cached_property
    def cage(self) -> Cage:
        return find_cage(self.lungs)

    @cached_property
    def cavities(self) -> tuple[Mask, Mask]:
        """Right and left hemithorax with what is not aerated."""
        return cavities(self.lungs, self.cage)

    def cavity(self, side: str) -> Mask:
        return self.cavities[0] if side == "right" else self.cavities[1]

    @cached_property
    def smooth(self) -> Image:
        """HU with the noise of single voxels taken away (about 3 mm)."""
        return np.asarray(ndimage.gaussian_filter(self.coarse.hu, self.coarse.voxels(3)), np.float32)

    @cached_property
    def gradient(self) -> Image:
        """How steep the smooth HU is, in HU a millimetre."""
        parts = [np.gradient(self.smooth, axis=a) / s if self.smooth.shape[a] > 1 else np.zeros_like(self.smooth)
                 for a, s in enumerate(self.coarse.spacing)]
        return np.asarray(np.sqrt(sum(p * p for p in parts)), np.float32)

    @cached_property
    def x(self) -> Image:
        """Millimetres to the right of the spine, for every voxel."""
        return np.broadcast_to(self.coarse.ras[0] - self.lungs.midline, self.coarse.hu.shape)

    @cached_property
    def y(self) -> Image:
        return np.broadcast_to(self.coarse.ras[1], self.coarse.hu.shape)

    @cached_property
    def z(self) -> Image:
        return np.broadcast_to(self.coarse.ras[2], self.coarse.hu.shape)

    def half(self, side: str) -> Mask:
        """Everything on one side of the spine."""
        return np.asarray(self.x > 0 if side == "right" else self.x <= 0)

    @cached_property
    def lobes(self) -> NDArray[np.uint8]:
        """Lobe numbers over both cavities, from labels where given."""
        values = np.zeros(self.coarse.hu.shape, np.uint8)
        for side in ("right", "left"):
            mask = self.cavity(side)
            if mask.any():
                values[mask] = lobe_numbers(mask, side)[mask]
        return self._labelled_lobes(values)

    def lobe(self, name: Lobe) -> Mask:
        """Where a lobe is; the lingula is the lower front part of the left upper lobe."""
        mask = self.lobes == LOBE_NUMBERS[name]
        if name == "lingula" and mask.any():
            heights = self.z[self.cavity("left")]
            low, high = float(np.quantile(heights, 0.001)), float(np.quantile(heights, 0.999))
            mask &= self.z < low + 0.5 * (high - low)
        return np.asarray(mask)

    @cached_property
    def between_lungs(self) -> Mask:
        """Inside the cage, right of the left lung and left of the right lung, row by row."""
        right, left = self.lungs.right, self.lungs.left
        # In RAS order the first axis runs from the left lung to the right one.
        after_left = np.maximum.accumulate(left, 0)
        before_right = np.maximum.accumulate(right[::-1], 0)[::-1]
        return np.asarray(after_left & before_right & ~self.lungs.both & self.cage.inside)

    @cached_property
    def heart_level(self) -> tuple[int, int]:
        """Slices from where the liver's dome ends to below the carina: where a heart is widest."""
        return _heart_level(self)

    @cached_property
    def heart(self) -> Mask:
        if self._given("heart"):
            return self.labels["heart"]
        return _heart(self)

    @cached_property
    def liver(self) -> Mask:
        """Liver tissue; without labels only its core below the right lung."""
        if self._given("liver"):
            return self.labels["liver"]
        return _liver(self)

    def _given(self, name: str) -> bool:
        return name in self.labels and float(self.labels[name].sum()) * self.coarse.voxel_ml > _LABEL_ML

    def _labelled_lobes(self, values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        seeds = np.zeros_like(values)
        for name, number in LOBE_LABELS.items():
            if name in self.labels:
                seeds[self.labels[name]] = number
        if not seeds.any():
            return values
        where = ndimage.distance_transform_edt(seeds == 0, self.coarse.spacing, return_distances=False,
                                               return_indices=True)
        return np.where(values > 0, seeds[tuple(where)], 0).astype(np.uint8)


def _surroundings(lungs: Lungs) -> tuple[list[int], list[int]]:
    """The box of both lungs with the chest wall around and the upper abdomen below."""
    low, high = [], []
    margins = lungs.coarse.voxels(25)
    for axis, margin in enumerate(margins):
        filled = np.flatnonzero(lungs.both.any(tuple(a for a in range(3) if a != axis)))
        below = 3.0 * margin if axis == 2 else margin
        low.append(max(0, int(filled[0] - below)))
        high.append(min(lungs.both.shape[axis], int(filled[-1] + margin) + 2))
    return low, high


def _coarse_labels(coarse: Coarse, organs: LabelVolume) -> dict[str, Mask]:
    """Masks of the organs that meters use, on the coarse grid."""
    wanted = {*LOBE_LABELS, "lung_right", "lung_left", "heart", "aorta", "liver"}
    turned = organs.reoriented("RAS")
    return {s.name: coarse.gather(turned.voxels == s.value) for s in organs.segments if s.name in wanted}


def _with_labels(lungs: Lungs, labels: Mapping[str, Mask]) -> Lungs:
    """Left and right from labels where they are given; what counts as aerated stays a matter of HU."""
    given = {side: [m for name, m in labels.items() if name.startswith("lung_") and name.endswith(side)]
             for side in ("right", "left")}
    if not all(given.values()):
        return lungs
    right, left = (np.logical_or.reduce(given[side]) for side in ("right", "left"))
    aerated = lungs.both | (right | left) & (lungs.coarse.hu < -300)
    return replace(lungs, right=aerated & (right | lungs.right) & ~left, left=aerated & (left | lungs.left) & ~right)


def _heart_level(chest: Chest) -> tuple[int, int]:
    heights = np.flatnonzero(chest.lungs.both.any((0, 1)))
    low, high = int(heights[0]), int(heights[-1])
    span = high - low
    dome = low + int(0.12 * span)
    right = chest.lungs.right
    inner = right.sum((0, 1)).astype(float)
    if inner.max() > 0:
        full = np.flatnonzero(inner > 0.55 * inner.max())
        dome = max(dome, min(int(full[0]), low + int(0.45 * span)))
    return dome, low + int(0.62 * span)


def _heart(chest: Chest) -> Mask:
    """Soft tissue between the lungs at the level of the heart, opened so that only its bulk is left."""
    low, high = chest.heart_level
    soft = chest.between_lungs & (chest.smooth > -10) & (chest.coarse.hu < 400)
    soft[..., :low] = False
    soft[..., high:] = False
    y = chest.y
    front_of_spine = y > float(np.median(y[chest.lungs.both])) - 25 if chest.lungs.both.any() else soft
    bulk = ndimage.binary_opening(soft & front_of_spine, chest.coarse.ball(9))
    return largest_piece(bulk)


def _liver(chest: Chest) -> Mask:
    """The core of the soft tissue below the right lung, at least 15 mm from lung and chest wall."""
    right = chest.lungs.right
    if not right.any():
        return np.zeros_like(right)
    lowest = int(np.flatnonzero(right.any((0, 1)))[0])
    soft = (chest.smooth > -60) & (chest.smooth < 220) & chest.cage.inside & (chest.x > 20) & (chest.cage.depth > 14)
    soft &= chest.gradient < 8
    k = np.arange(right.shape[2])
    under = np.maximum.accumulate(right[..., ::-1], 2)[..., ::-1]
    away = ndimage.distance_transform_edt(~right, chest.coarse.spacing) > 14
    soft &= under | (k <= lowest)[None, None]
    soft &= away
    soft = ndimage.binary_opening(soft, chest.coarse.ball(8))
    return largest_piece(soft)
