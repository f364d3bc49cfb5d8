"""Which part of a volume a network sees: components of a label, and windows of a fixed size around them.

All arrays are (z, y, x) at the networks' spacing; windows are half-open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Index = tuple[int, int, int]
Mask = NDArray[np.bool_]
_SMALL = 50  # voxels
_MARGIN = 8  # voxels that the training crop pads beyond its own size


@dataclass(frozen=True)
class Window:
    """Voxels low <= index < high."""

    low: Index
    high: Index

    @property
    def cut(self) -> tuple[slice, slice, slice]:
        a, b, c = (slice(low, high) for low, high in zip(self.low, self.high, strict=True))
        return a, b, c

    @property
    def shape(self) -> Index:
        a, b, c = (high - low for low, high in zip(self.low, self.high, strict=True))
        return a, b, c


def bounds(mask: NDArray[Any]) -> Window:
    """The smallest window that holds everything of a mask that is not empty."""
    found = ndimage.find_objects((mask != 0).astype(np.uint8))[0]
    return Window((found[0].start, found[1].start, found[2].start), (found[0].stop, found[1].stop, found[2].stop))


def window_around(box: Window, crop: Index, size: Index) -> Window:
    """A window of `crop` voxels with the box in its middle, moved into a volume of `size` where it can."""
    low = []
    for a, b, c, n in zip(box.low, box.high, crop, size, strict=True):
        start = max((a + b - 1) // 2 - c // 2, 0)
        low.append(max(n - c, 0) if start + c > n else start)
    return Window((low[0], low[1], low[2]), (low[0] + crop[0], low[1] + crop[1], low[2] + crop[2]))


def components(mask: NDArray[Any]) -> list[Mask]:
    """The pieces that touch by faces, largest first."""
    numbers, count = ndimage.label(mask)
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    return [np.equal(numbers, piece + 1) for piece in np.argsort(-sizes, kind="stable")]


def largest_component(mask: NDArray[Any]) -> Mask:
    numbers, count = ndimage.label(mask)
    if count == 0:
        return np.zeros(mask.shape, bool)
    return np.equal(numbers, int(np.argmax(np.bincount(numbers.ravel())[1:])) + 1)


def lesions(label: NDArray[Any], at_most: int) -> list[Mask]:
    """The components of value 2, largest first; the small ones only when there is no other."""
    found = components(label == 2)[:at_most]
    return [one for one in found if one.sum() > _SMALL] or found[:1]


def training_crop(image: NDArray[Any], label: NDArray[Any], crop: Index,
                  ) -> tuple[NDArray[Any], NDArray[Any], Window]:
    """The crop that the networks were trained on: around the largest lesion, padded with zeros when it must be."""
    if any(n <= c for n, c in zip(label.shape, crop, strict=True)):
        room = [(0, max(c - n + _MARGIN, 0)) for n, c in zip(label.shape, crop, strict=True)]
        image, label = np.pad(image, room), np.pad(label, room)
    a, b, c = label.shape
    window = window_around(bounds(largest_component(label == 2)), crop, (a, b, c))
    return image[window.cut], label[window.cut], window
