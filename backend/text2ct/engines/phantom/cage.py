"""The hollow of the chest: the inner surface of the rib cage, and the diaphragm that closes it below."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .frame import WHOLE_HIGH, WHOLE_LOW, Axes, Field, Floats, whole
from .patient import Patient
from .shapes import noise_field, smooth_max, stream

_LEVELS = [-212, -150, -100, -50, 0, 45, 75, 95, 112, 124, 134, 192]
_HALF_WIDTH = [122, 126, 130, 131, 127, 116, 101, 86, 66, 44, 12, 12]
_HALF_DEPTH = [88, 93, 95, 93, 87, 77, 66, 55, 44, 32, 12, 12]
_MIDDLE = [-6, -6, -8, -7, -2, 6, 14, 19, 24, 29, 32, 32]
_FINE_LEVELS = np.arange(_LEVELS[0], _LEVELS[-1] + 1.0)
_APEX = 133.0
_ROUNDNESS = 2.25


@dataclass(frozen=True, eq=False)
class Cage:
    """The inner surface of the ribs of one patient."""

    patient: Patient

    def half_width(self, z: ArrayLike) -> NDArray[np.float64]:
        return self._profile(z, 0) * self.patient.width

    def half_depth(self, z: ArrayLike) -> NDArray[np.float64]:
        return self._profile(z, 1) * self.patient.depth

    def middle(self, z: ArrayLike) -> NDArray[np.float64]:
        return self._profile(z, 2) * self.patient.depth

    def _profile(self, z: ArrayLike, which: int) -> NDArray[np.float64]:
        return np.interp(np.asarray(z, float) / self.patient.height, _FINE_LEVELS, self._profiles[:, which])

    @cached_property
    def _profiles(self) -> NDArray[np.float64]:
        """The three profiles on a fine scale of heights."""
        from scipy.interpolate import PchipInterpolator

        fine: NDArray[np.float64] = PchipInterpolator(
            _LEVELS, np.stack([_HALF_WIDTH, _HALF_DEPTH, _MIDDLE], 1))(_FINE_LEVELS)
        return fine

    @cached_property
    def inside(self) -> Field:
        """Depth below the inner surface of the ribs; negative outside, growing outwards."""
        empty = whole()
        axes = empty.axes()
        a, b = self.half_width(axes.z)[:, None, None], self.half_depth(axes.z)[:, None, None]
        x = axes.X
        y = axes.Y - self.middle(axes.z)[:, None, None].astype(np.float32)
        gutter = 1 + 0.17 * np.exp(-((np.abs(x) - 60 * self.patient.width) / 38) ** 2)
        y = np.where(y > 0, y / gutter, y * (1 + 0.07 * np.exp(-(x / 26) ** 2)))
        radius = ((np.abs(x) / a) ** _ROUNDNESS + (np.abs(y) / b) ** _ROUNDNESS) ** (1 / _ROUNDNESS)
        from_middle = np.sqrt(x * x + y * y)
        depth: Floats = from_middle * (1 / np.maximum(radius, 0.05) - 1)
        depth[from_middle < 10] = 50
        depth = np.minimum(depth, (_APEX * self.patient.height - axes.Z) * 0.7)
        spine = self.patient.spine(axes.z)[:, None, None]
        before_spine = (spine + 10 + 1.15 * (np.abs(x) - 20 * self.patient.scale) - axes.Y) / 1.5
        depth = -smooth_max(-depth, -before_spine, 7.0)
        uneven = noise_field(stream(self.patient.seed, "cage"), 45.0).on(axes)
        return Field((depth + 1.6 * uneven).astype(np.float32), empty.origin, empty.step)

    @cached_property
    def diaphragm(self) -> NDArray[np.float32]:
        """The height of the diaphragm over (y, x) of the whole lattice, without any finding."""
        return diaphragm_heights(self.patient)


def diaphragm_heights(patient: Patient, raised: tuple[float, float] = (0.0, 0.0)) -> Floats:
    """Two domes over a sulcus that is deepest behind; `raised` lifts the right and the left dome by mm."""
    axes = whole().axes()
    x, y = axes.X[0] / patient.width, axes.Y[0] / patient.depth
    breath = -patient.inspiration_mm
    sulcus = -108 - 0.38 * y + 0.0016 * np.minimum(y, 0) ** 2 - 14 * np.clip((np.abs(x) - 55) / 60, 0, 1)
    rng = stream(patient.seed, "diaphragm")
    right_top, left_top = -36 + breath + rng.uniform(-5, 5), -49 + breath + rng.uniform(-6, 6)
    caps = []
    for centre, top, lift, rx in ((-60, right_top, raised[0], 80), (60, left_top, raised[1], 78)):
        inner = np.where((x - centre) * np.sign(centre) < 0, 88, rx)
        r = np.sqrt(((x - centre) / inner) ** 2 + ((y + 10) / np.where(y > -10, 106, 86)) ** 2)
        rise = np.clip(1 - np.clip(r, 0, 1) ** 2.3, 0, 1) ** 0.62
        caps.append(sulcus + (top + lift - sulcus) * rise)
    together = np.maximum(caps[0], caps[1])
    saddle = np.abs(caps[0] - caps[1])
    together += 4 * np.exp(-(saddle / 14) ** 2)
    wave = noise_field(stream(patient.seed, "diaphragm surface"), 38.0, (*WHOLE_LOW[:2], -20), (*WHOLE_HIGH[:2], 20))
    flat = Axes(np.zeros(1, np.float32), axes.y, axes.x, axes.spacing)
    heights: Floats = ((together + 2.2 * wave.on(flat)[0]) * patient.height).astype(np.float32)
    return heights


def above(heights: Floats) -> Field:
    """Depth above the diaphragm: height over it, shortened where it is steep."""
    empty = whole()
    axes = empty.axes()
    gy, gx = np.gradient(heights, empty.step)
    slope = np.sqrt(1 + np.minimum(gx * gx + gy * gy, 9.0))
    values = (axes.Z - heights[None]) / slope[None]
    return Field(values.astype(np.float32), empty.origin, empty.step)
