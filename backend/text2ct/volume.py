"""Voxels that know where they lie and what they mean.

A CTVolume holds int16 Hounsfield units, a LabelVolume holds small integers with
names and colours. Both are values: their arrays are read-only views, and every
operation returns a new volume on a grid that says where its voxels are.
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .errors import BadInput
from .geometry import Affine, Box, Grid, Triple, checked_affine

AIR_HU = -1024
V = TypeVar("V", bound="Volume")


@dataclass(frozen=True, eq=False)
class Volume:
    """What CT and label volumes share: voxels (i, j, k) and their affine to RAS+ mm."""

    voxels: NDArray[Any]
    affine: Affine

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3 or min(self.voxels.shape) < 1:
            raise BadInput(f"A volume has three axes with at least one voxel each, this array is {self.voxels.shape}; "
                           "give a single 3D image.")
        frozen = self.voxels.view()
        frozen.flags.writeable = False
        object.__setattr__(self, "voxels", frozen)
        object.__setattr__(self, "affine", checked_affine(self.affine))

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, type(self)) and self.voxels.dtype == other.voxels.dtype
                and np.array_equal(self.affine, other.affine) and np.array_equal(self.voxels, other.voxels))

    __hash__ = None  # type: ignore[assignment]

    @property
    def fill(self) -> int:
        """The value of space outside the volume."""
        return 0

    @property
    def shape(self) -> tuple[int, int, int]:
        i, j, k = self.voxels.shape
        return (i, j, k)

    @property
    def grid(self) -> Grid:
        return Grid(self.shape, self.affine)

    @property
    def spacing(self) -> Triple:
        return self.grid.spacing

    @property
    def orientation(self) -> str:
        return self.grid.orientation

    def same_grid(self, other: Volume | Grid, tolerance_mm: float = 1e-3) -> bool:
        """Whether every voxel of both lies at the same place."""
        return self.grid.same_as(other if isinstance(other, Grid) else other.grid, tolerance_mm)

    def reoriented(self: V, code: str) -> V:
        """The same voxels with axes pointing as `code` says; nothing is resampled or copied."""
        order, flips = self.grid.reorientation(code)
        steps = tuple(slice(None, None, -1) if flipped else slice(None) for flipped in flips)
        return replace(self, voxels=self.voxels.transpose(order)[steps], affine=self.grid.reoriented(code).affine)

    def window(self: V, low: Sequence[int], high: Sequence[int]) -> V:
        """Voxels low <= index < high: a crop, and a pad with `fill` where it reaches outside."""
        grid = self.grid.window(low, high)
        inside_low = [max(0, a) for a in low]
        inside_high = [min(n, b) for n, b in zip(self.shape, high, strict=True)]
        if all(a < b for a, b in zip(inside_low, inside_high, strict=True)):
            source = self.voxels[tuple(map(slice, inside_low, inside_high))]
            if grid.shape == source.shape:
                return replace(self, voxels=source, affine=grid.affine)
        voxels = np.full(grid.shape, self.fill, self.voxels.dtype)
        if all(a < b for a, b in zip(inside_low, inside_high, strict=True)):
            starts = [a - b for a, b in zip(inside_low, low, strict=True)]
            stops = [a - b for a, b in zip(inside_high, low, strict=True)]
            voxels[tuple(map(slice, starts, stops))] = source
        return replace(self, voxels=voxels, affine=grid.affine)

    def cropped(self: V, box: Box) -> V:
        """The voxels that cover the part of `box` that lies inside the volume."""
        low, high = box.voxels_in(self.grid)
        if any(a >= b for a, b in zip(low, high, strict=True)):
            raise BadInput("The box lies outside the volume; move it into the image.")
        return self.window(low, high)

    def fitted(self: V, box: Box) -> V:
        """Exactly the voxels that cover `box`, padded where it reaches outside the volume."""
        return self.window(*box.voxels_in(self.grid, clip=False))


@dataclass(frozen=True, eq=False)
class CTVolume(Volume):
    """A CT in Hounsfield units, int16."""

    voxels: NDArray[np.int16]

    def __post_init__(self) -> None:
        if self.voxels.dtype != np.int16:
            raise BadInput(f"CT voxels are int16 HU, this array is {self.voxels.dtype}; convert it first.")
        super().__post_init__()

    @property
    def fill(self) -> int:
        return AIR_HU


@dataclass(frozen=True)
class Segment:
    """One label: its number in the voxels, its name, its colour and, where known, a stable id."""

    value: int
    name: str
    color: Triple
    id: str = ""


@dataclass(frozen=True, eq=False)
class LabelVolume(Volume):
    """Labels with names and colours; 0 is background. `title` says what the layer shows."""

    voxels: NDArray[np.uint8] | NDArray[np.uint16]
    segments: tuple[Segment, ...] = ()
    title: str = "labels"

    def __post_init__(self) -> None:
        if self.voxels.dtype not in (np.uint8, np.uint16):
            raise BadInput(f"Labels are uint8 or uint16, this array is {self.voxels.dtype}; convert it first.")
        values = [s.value for s in self.segments]
        if len(set(values)) != len(values) or 0 in values:
            raise BadInput("Each segment needs a label value of its own, other than 0.")
        super().__post_init__()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other) and isinstance(other, LabelVolume) and self.segments == other.segments

    __hash__ = None

    def named(self, name: str) -> Segment:
        """The segment called `name`, or a sentence with the names there are."""
        for segment in self.segments:
            if segment.name == name:
                return segment
        known = ", ".join(s.name for s in self.segments[:8]) or "none"
        raise BadInput(f"There is no segment called '{name}'; this volume has {known}.")

    def mask(self, name: str) -> NDArray[np.bool_]:
        return np.equal(self.voxels, self.named(name).value)

    def volumes_ml(self) -> Mapping[str, float]:
        """Millilitres of each segment."""
        counts = np.bincount(self.voxels.ravel(), minlength=1)
        ml = self.grid.voxel_ml
        return {s.name: float(counts[s.value]) * ml if s.value < len(counts) else 0.0 for s in self.segments}


def numbered_segments(voxels: NDArray[np.uint8] | NDArray[np.uint16]) -> tuple[Segment, ...]:
    """Segments for labels that have no names: "label 7", each with a colour of its own."""
    values = np.flatnonzero(np.bincount(voxels.ravel()))
    return tuple(Segment(int(value), f"label {value}", _hue(int(value)), f"label_{value}") for value in values if value)


def _hue(value: int) -> Triple:
    """Colours far from those of neighbouring numbers: steps of the golden angle around the wheel."""
    red, green, blue = colorsys.hsv_to_rgb(value * 0.618034 % 1.0, 0.6, 0.95)
    return round(red, 4), round(green, 4), round(blue, 4)
