"""Skin, fat and the muscles of the trunk around the rib cage, the breasts, and the table below.

Muscles are layers at distances outside the cage whose thickness depends on the angle
around it and on the height: pectoral in front, serratus and latissimus at the side,
trapezius and rhomboid behind, the shoulder girdle above. Planes of fat part them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...geometry import Points
from .cage import Cage
from .canvas import Canvas
from .frame import Axes, Field, Floats, whole
from .organs import number
from .patient import Patient
from .shapes import bump, capsule, coverage, ellipsoid, noise_field, smooth_max, stream

FAT, SKIN, GLAND = -104.0, 15.0, 28.0
_LEVELS = [-212, -130, -60, 0, 40, 75, 100, 125, 150, 192]
_HALF_WIDTH = [150, 149, 148, 149, 151, 154, 161, 172, 178, 152]
_HALF_DEPTH = [106, 108, 109, 108, 105, 98, 90, 80, 70, 62]
_MIDDLE = [2, 0, 0, 3, 7, 11, 15, 18, 20, 20]
_RING = 11.5


@dataclass(frozen=True, eq=False)
class Body:
    """The outside of the trunk and its muscles, as fields."""

    patient: Patient
    depth: Field
    muscle: Field
    plane: Field
    marbling: Field
    breasts: tuple[tuple[Points, Points], ...]
    back: float

    @classmethod
    def of(cls, patient: Patient, cage: Cage) -> Body:
        empty = whole()
        axes = empty.axes()
        rng = stream(patient.seed, "body")
        outside = -cage.inside.values
        outline, middle = _outline(patient, axes, rng)
        angle = np.arctan2(np.broadcast_to(np.abs(axes.X), outline.shape), -(axes.Y - middle[:, None, None]))
        uneven = noise_field(stream(patient.seed, "muscle"), 30.0).on(axes)
        reach = _muscle_reach(patient, angle, axes, uneven)
        rim = patient.fat_mm * (0.55 + 0.35 * np.abs(np.cos(angle)) ** 2) + 3 + 1.2 * uneven
        bulk = _shoulders(patient, axes, reach - outside)
        muscle = np.minimum(bulk, outline - np.minimum(rim, np.maximum(outline + outside - 12, 4)))
        plane = outside - _RING - 2.5 * uneven
        breasts = _breasts(patient, rng) if patient.sex == "female" else ()
        depth: Floats = outline
        for centre, radii in breasts:
            depth = smooth_max(depth, ellipsoid(axes, centre, radii), 9.0)
        fields = [Field(v.astype(np.float32), empty.origin, empty.step) for v in (depth, muscle, plane)]
        grain = noise_field(stream(patient.seed, "marbling"), 7.0)
        back = float(np.broadcast_to(axes.Y, depth.shape)[(depth > 0) & (np.abs(axes.Z) < 110)].max())
        return cls(patient, fields[0], fields[1], fields[2], grain, breasts, back)

    def paint(self, canvas: Canvas) -> None:
        """Everything outside the cage, except bones."""
        axes = canvas.axes
        depth, muscle, plane = canvas.on(self.depth), canvas.on(self.muscle), canvas.on(self.plane)
        cover = coverage(depth, canvas.width)
        canvas.blend(cover, FAT)
        grain = canvas.on(self.marbling)
        for centre, radii in self.breasts:
            _paint_gland(canvas, centre, radii, muscle, self.patient, self.marbling)
        inner = coverage(muscle, canvas.width)
        canvas.blend(inner, self.patient.muscle_hu)
        gap = np.clip((1.9 - np.abs(plane)) / 1.6, 0, 1) * (0.55 + 0.3 * grain)
        strands = np.clip(grain * 1.1 - 1.45, 0, 1) * 0.8
        fatty = np.clip(np.maximum(gap, strands), 0, 0.9) * inner * (plane > -9)
        canvas.blend(fatty, -85.0)
        canvas.hu += inner * (1 - fatty) * (grain * np.float32(4.0))
        skin = np.clip((2.2 - np.abs(depth - 1.0)) / max(1.0, 0.6 * canvas.width), 0, 1)
        canvas.blend(skin * cover * np.float32(min(1.0, 2.0 / canvas.width)), SKIN)
        canvas.body_depth = depth
        _paint_paraspinal(canvas, self.patient, grain)
        if self.patient.table:
            _paint_table(canvas, axes, self.back + 6)


def _outline(patient: Patient, axes: Axes, rng: np.random.Generator) -> tuple[Floats, Floats]:
    from scipy.interpolate import PchipInterpolator

    levels = np.clip(axes.z / patient.height, _LEVELS[0], _LEVELS[-1])
    wobble = rng.uniform(0.985, 1.02, len(_LEVELS))
    belly = np.interp(_LEVELS, [-212, -60, 20], [1.0, 0.35, 0.0]) * patient.fat_mm / 200
    a = PchipInterpolator(_LEVELS, np.array(_HALF_WIDTH) * wobble * (1 + 0.5 * belly))(levels)
    b = PchipInterpolator(_LEVELS, np.array(_HALF_DEPTH) * wobble * (1 + 1.3 * belly))(levels)
    a = (a * patient.width + 0.85 * patient.fat_mm)[:, None, None]
    b = (b * patient.depth + 0.55 * patient.fat_mm)[:, None, None]
    middle = (np.interp(levels, _LEVELS, _MIDDLE) * patient.depth).astype(np.float32)
    x, y = axes.X, axes.Y - middle[:, None, None]
    power = 2.45
    radius = ((np.abs(x) / a) ** power + (np.abs(y) / b) ** power) ** (1 / power)
    away = np.sqrt(x * x + y * y)
    depth = away * (1 / np.maximum(radius, 0.05) - 1)
    depth[:, (away[0] < 15)] = 60
    furrow = 6 * np.exp(-(x / 16) ** 2) * (y > 0) + 3 * np.exp(-(x / 20) ** 2) * (y < 0)
    surface = noise_field(stream(patient.seed, "skin"), 60.0).on(axes)
    return (depth - furrow + 2.5 * surface).astype(np.float32), middle


def _muscle_reach(patient: Patient, angle: Floats, axes: Axes, uneven: Floats) -> Floats:
    """How far outside the cage muscle goes, in mm, over angle (0 in front, pi behind) and height."""
    z = axes.Z / patient.height
    m = patient.muscle
    reach = _RING + np.zeros(angle.shape, np.float32)
    reach += 15 * m * bump(angle, 0.18, 0.98, 0.3) * bump(z, 5, 105, 34)
    reach += 12 * m * bump(angle, 1.62, 2.35, 0.42) * bump(z, -150, 62, 40)
    reach += 6 * m * bump(angle, 1.0, 1.62, 0.3) * bump(z, -190, 30, 40)
    reach += 9 * m * bump(angle, 2.3, 3.2, 0.3) * bump(z, -60, 190, 60)
    reach += 27 * m * bump(angle, 1.78, 2.58, 0.4) * bump(z, 22, 190, 38)
    reach += 14 * bump(angle, 0.0, 1.1, 0.3) * bump(z, 84, 140, 24)
    reach += 7 * bump(angle, 0.0, 0.42, 0.2) * bump(z, -400, -70, 30)
    result: Floats = (reach + 1.3 * uneven).astype(np.float32)
    return result


def _shoulders(patient: Patient, axes: Axes, bulk: Floats) -> Floats:
    """Deltoid, the folds of the armpit, trapezius and the muscles of the neck, added to what lies on the ribs."""
    m = patient.muscle**0.5
    bars = (((96, -38, 62), (150, -4, 128), 15), ((106, 52, 10), (148, 30, 112), 18),
            ((132, 46, 96), (62, 52, 126), 17), ((60, 50, 128), (22, 46, 190), 15), ((24, -16, 118), (30, 6, 192), 10),
            ((20, 10, 150), (20, 14, 200), 24), ((60, 8, 134), (24, 20, 176), 12), ((148, 16, 118), (170, 8, 190), 34))
    for side in (-1, 1):
        for start, end, radius in bars:
            mirrored = [patient.place((side * p[0], p[1], p[2])) for p in (start, end)]
            bulk = smooth_max(bulk, capsule(axes, mirrored[0], mirrored[1], radius * m), 4.0)
    return bulk


def _breasts(patient: Patient, rng: np.random.Generator
             ) -> tuple[tuple[Points, Points], ...]:
    size = rng.uniform(0.7, 1.15) + 0.012 * patient.fat_mm
    height = rng.uniform(-22, -2)
    front = (np.interp(height, _LEVELS, _MIDDLE) - np.interp(height, _LEVELS, _HALF_DEPTH)) * patient.depth
    front -= 0.55 * patient.fat_mm
    both = []
    for side in (-1, 1):
        centre = np.array([side * 74 * patient.width, front + 19, height * patient.height + rng.uniform(-4, 4)])
        both.append((centre, np.array([60, 30 + 14 * size, 62]) * size**0.5))
    return tuple(both)


def _paint_gland(canvas: Canvas, centre: Points, radii: Points, muscle: Floats, patient: Patient, noise: Field) -> None:
    where = canvas.axes.box(centre - radii, centre + radii)
    if where is None:
        return
    depth = ellipsoid(canvas.axes[where], centre, radii)
    glandular = 0.85 - (patient.age - 22) / 70
    tissue = np.clip(noise.on(canvas.axes[where]) * np.float32(0.9) + np.float32(glandular), 0, 0.95)
    gland = coverage(np.minimum(depth - 12, -3 - muscle[where]), 6.0) * tissue
    canvas.blend(gland, GLAND, where)


def _paint_paraspinal(canvas: Canvas, patient: Patient, grain: Floats) -> None:
    spine = patient.spine(canvas.axes.z)
    where = canvas.axes.box((-75, float(spine.min()), -1e4), (75, float(spine.max()) + 90, 1e4))
    if where is None:
        return
    axes = canvas.axes[where]
    y = axes.Y - spine[:, None, None].astype(np.float32) - 37 * patient.depth
    for side, name in ((-1, "autochthon_right"), (1, "autochthon_left")):
        x = axes.X - side * 26 * patient.width
        q = np.sqrt((x / (23 * patient.muscle**0.5)) ** 2 + ((y - 0.1 * np.abs(x)) / 17) ** 2)
        depth = (1 - q) * 17
        rim = np.clip(1 - np.abs(depth + 1.2) / 1.6, 0, 1)
        canvas.blend(rim * np.float32(0.6), -80.0, where)
        cover = coverage(depth, canvas.width)
        streak = np.clip(grain[where] - 0.9, 0, 0.7)
        canvas.blend(cover, (patient.muscle_hu - 2) * (1 - streak) - 70 * streak, where)
        canvas.label(cover, number(name), where)


def _paint_table(canvas: Canvas, axes: Axes, top: float) -> None:
    surface = axes.Y - (np.float32(top + 22) - np.float32(0.00062) * axes.X**2)
    inside = np.abs(axes.X) < 205
    shell = np.maximum(np.clip(1.6 - np.abs(surface) / 1.5, 0, 1), np.clip(1.6 - np.abs(surface - 26) / 1.5, 0, 1))
    core = np.clip((13 - np.abs(surface - 13)) / 2, 0, 1)
    air = (canvas.body_depth < -1.0) & inside
    canvas.hu += np.where(air, shell * 780 + core * 45, 0).astype(np.float32)
