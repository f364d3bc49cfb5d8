"""The two lungs: their depth, the fissures that part five lobes, and what the air spaces look like.

Built from the cage, the diaphragm and the mediastinum in a phantom, or from a
segmentation in a real CT; findings ask the same questions of both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...report.finding import Finding
from .cage import Cage
from .canvas import Canvas
from .frame import Axes, Bools, Field, Floats
from .mediastinum import Mediastinum
from .organs import LOBE_NAMES, number
from .patient import Patient
from .shapes import coverage, noise_field, stream

SIDES = ("right", "left")
LOBES = ("RUL", "RML", "RLL", "LUL", "LLL", "lingula")
OF_SIDE = {"right": ("RUL", "RML", "RLL"), "left": ("LUL", "lingula", "LLL")}
_PLEURA_MM = 3.0


@dataclass(frozen=True, eq=False)
class Lungs:
    """Depth below the pleura of each lung, and signed distances from the fissures (positive above)."""

    right: Field
    left: Field
    oblique_right: Field
    oblique_left: Field
    horizontal: Field
    lingular: Field

    @classmethod
    def between(cls, patient: Patient, cage: Cage, above: Field, mediastinum: Mediastinum) -> Lungs:
        """The lungs of a phantom: what the cage holds above the diaphragm beside the mediastinum."""
        axes = above.axes()
        room = np.minimum(np.minimum(cage.inside.values - _PLEURA_MM, above.values - 3.0),
                          -mediastinum.envelope.values)
        middle = np.float32(0.6 * mediastinum.changes.shift_mm)
        right = np.minimum(room, middle - 1.2 - axes.X)
        left = np.minimum(room, axes.X - middle - 1.2)
        return cls(*(Field(v.astype(np.float32), above.origin, above.step) for v in (right, left)),
                   *fissures(patient.seed, axes, above.origin, patient.place([1, 1, 1])))

    def of(self, side: str) -> Field:
        return self.right if side == "right" else self.left

    def lobe_numbers(self, axes: Axes, right: Floats, left: Floats, edge: float = 0.0) -> NDArray[np.uint8]:
        """At each voxel 1 + the index in LOBES, 0 outside the lungs."""
        lobes = np.zeros(right.shape, np.uint8)
        is_right, is_left = (right > edge) & (right >= left), (left > edge) & (left > right)
        upper = self.oblique_right.on(axes) > 0
        lobes[is_right & ~upper] = 3
        high = self.horizontal.on(axes) > 0
        lobes[is_right & upper & high] = 1
        lobes[is_right & upper & ~high] = 2
        upper = self.oblique_left.on(axes) > 0
        lobes[is_left & ~upper] = 5
        high = self.lingular.on(axes) > 0
        lobes[is_left & upper & high] = 4
        lobes[is_left & upper & ~high] = 6
        return lobes

    @cached_property
    def lattice(self) -> Axes:
        return self.right.axes()

    @cached_property
    def lattice_lobes(self) -> NDArray[np.uint8]:
        return self.lobe_numbers(self.lattice, self.right.values, self.left.values)

    @cached_property
    def lattice_depth(self) -> Floats:
        return np.maximum(self.right.values, self.left.values)

    def lattice_mask(self, lobes: Iterable[str]) -> Bools:
        """Some lobes on the lattice."""
        return chosen(self.lattice_lobes, lobes)

    def points(self, where: Bools) -> NDArray[np.float64]:
        """The lattice points (x, y, z) of a mask."""
        z, y, x = np.nonzero(where)
        return np.stack([self.lattice.x[x], self.lattice.y[y], self.lattice.z[z]], 1).astype(float)


def chosen(lobes: NDArray[np.uint8], names: Iterable[str]) -> Bools:
    """Where the lobe numbers are those of `names`; the left upper lobe includes the lingula."""
    wanted = np.zeros(len(LOBES) + 1, bool)
    for name in names:
        wanted[1 + LOBES.index(name)] = True
        if name == "LUL":
            wanted[1 + LOBES.index("lingula")] = True
    mask: Bools = wanted[lobes]
    return mask


def lobes_of(finding: Finding) -> tuple[str, ...]:
    """The lobes that a finding is about: those named, else those of its side, else all."""
    if finding.lobe:
        return tuple(finding.lobe)
    if finding.side in OF_SIDE:
        return OF_SIDE[str(finding.side)]
    return LOBES


def sides_of(finding: Finding, default: tuple[str, ...] = SIDES) -> tuple[str, ...]:
    """The sides that a finding is about."""
    if finding.side in SIDES:
        return (str(finding.side),)
    if finding.side is None and finding.lobe:
        return tuple(s for s in SIDES if set(finding.lobe) & set(OF_SIDE[s]))
    return SIDES if finding.side == "bilateral" else default


def fissures(seed: int, axes: Axes, origin: tuple[float, float, float], scale: NDArray[np.float64]) -> list[Field]:
    """Oblique right and left, horizontal, and the lower border of the left upper division."""
    rng = stream(seed, "fissures")
    x, y, z = axes.X / scale[0], axes.Y / scale[1], axes.Z / scale[2]
    wave = 2.6 * noise_field(stream(seed, "fissure waves"), 34.0).on(axes)
    back, front = rng.uniform(62, 76), rng.uniform(-88, -72)
    made = []
    for shift in (0.0, rng.uniform(-3, 10)):
        along = (75 - y) / 145
        line = back + shift + (front - back - shift) * along + 9 * np.sin(np.pi * np.clip(along, 0, 1))
        tilt = 0.10 * (np.abs(x) - 60)
        made.append((z - line + tilt + wave) * 0.72)
    level = rng.uniform(2, 14)
    made.append(z - level + 0.10 * (x + 60) - 0.05 * y + wave)
    made.append(z - level + 6 - 0.25 * (y + 40) + 0 * x)
    return [Field(np.broadcast_to(m, axes.shape).astype(np.float32), origin, float(axes.spacing[0])) for m in made]


@dataclass(frozen=True, eq=False)
class AirSpaces:
    """Lung tissue without vessels: density with gravity, texture, and fissures as fine lines."""

    patient: Patient
    lungs: Lungs
    coarse: Field
    fine: Field

    @classmethod
    def of(cls, patient: Patient, lungs: Lungs) -> AirSpaces:
        return cls(patient, lungs, noise_field(stream(patient.seed, "lung patches"), 22.0),
                   noise_field(stream(patient.seed, "lung grain"), 4.0))

    def paint(self, canvas: Canvas) -> None:
        right, left = canvas.on(self.lungs.right), canvas.on(self.lungs.left)
        cover = coverage(np.maximum(right, left), canvas.width)
        p = self.patient
        hu = p.lung_hu + p.gravity_hu * (canvas.axes.Y / 80) + 6 * canvas.on(self.coarse) + 7 * canvas.on(self.fine)
        for fissure, inside in ((self.lungs.oblique_right, right), (self.lungs.oblique_left, left)):
            hu += _line(canvas, canvas.on(fissure)) * (inside > 0)
        middle = (right > 0) & (canvas.on(self.lungs.oblique_right) > 0)
        hu += _line(canvas, canvas.on(self.lungs.horizontal)) * middle
        canvas.blend(cover, hu)
        canvas.lobes = self.lungs.lobe_numbers(canvas.axes, right, left)
        canvas.lung = cover
        numbers = np.array([0, *(number(LOBE_NAMES.get(n, LOBE_NAMES["LUL"])) for n in LOBES)], np.uint8)
        canvas.labels[...] = np.where(canvas.lobes > 0, numbers[canvas.lobes], canvas.labels)


def _line(canvas: Canvas, away: Floats) -> Floats:
    """A membrane of half a millimetre, as the voxels see it."""
    width = max(1.3, canvas.width)
    line: Floats = np.clip(1 - np.abs(away) / width, 0, 1) * np.float32(130 / width)
    return line

