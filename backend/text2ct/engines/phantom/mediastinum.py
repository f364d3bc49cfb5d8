"""The heart with its chambers, the great vessels, windpipe and gullet, and the fat between the lungs.

Its envelope is the medial border of the lungs, so organs that grow push lung away.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from .cage import Cage
from .canvas import Canvas
from .changes import Changes
from .frame import Axes, Field, Floats, whole
from .great_vessels import Tube, tubes
from .organs import number
from .patient import Patient
from .shapes import FAR, bump, coverage, ellipsoid, ellipsoid_field, noise_field, smooth_max, stream

FAT = -98.0
_APEX_WAY = np.array([0.66, -0.54, -0.52])


@dataclass(frozen=True, eq=False)
class Heart:
    """Depth of the whole heart, and its chambers for a scan with contrast."""

    depth: Field
    centre: np.ndarray
    size: float
    chambers: tuple[tuple[Field, bool], ...]
    epicardial_mm: float


@dataclass(frozen=True, eq=False)
class Mediastinum:
    """All between the lungs. `envelope` is positive where no lung can be."""

    patient: Patient
    changes: Changes
    heart: Heart
    tubes: dict[str, Tube]
    envelope: Field
    above: Field
    cage: Field
    texture: Field = field(repr=False)

    @classmethod
    def of(cls, patient: Patient, cage: Cage, above: Field, changes: Changes) -> Mediastinum:
        heart = build_heart(patient, cage, above, changes)
        parts = tubes(patient, changes)
        texture = noise_field(stream(patient.seed, "mediastinum"), 6.0)
        envelope = _envelope(patient, heart, parts, changes, above)
        return cls(patient, changes, heart, parts, envelope, above, cage.inside, texture)

    def paint(self, canvas: Canvas) -> None:
        """Fat inside the cage, then the heart and all tubes."""
        cage, above = canvas.on(self.cage), canvas.on(self.above)
        room = np.minimum(cage, above + 1.0)
        cover = coverage(room, canvas.width)
        canvas.blend(cover, FAT)
        canvas.hu += cover * canvas.on(self.texture) * np.float32(7.0)
        self._paint_heart(canvas)
        self._paint_thyroid(canvas)
        for tube in self.tubes.values():
            tube.paint_wall(canvas)
        for tube in self.tubes.values():
            tube.paint(canvas)

    def _paint_heart(self, canvas: Canvas) -> None:
        p, heart = self.patient, self.heart
        depth = canvas.on(heart.depth)
        if float(depth.max()) < -12:
            return
        cover = coverage(depth, canvas.width)
        line = np.clip(1 - np.abs(depth + heart.epicardial_mm - 1) / max(1.4, canvas.width), 0, 1)
        canvas.blend(line * np.float32(0.45), 20.0)
        muscle = p.blood_hu + 3 if not p.contrast else 60 + 0.25 * p.blood_hu
        canvas.blend(cover, muscle)
        groove = np.clip(canvas.on(self.texture) - 1.2, 0, 0.5) * np.clip(1 - depth / 9, 0, 1)
        canvas.blend(groove * cover, -70.0)
        canvas.label(cover, number("heart"))
        for chamber, right in heart.chambers:
            where = chamber.window(canvas.axes)
            if where is None:
                continue
            blood = p.right_blood_hu if right else p.blood_hu
            inside = np.minimum(chamber.on(canvas.axes[where]), depth[where] - (3.0 if right else 2.5))
            canvas.blend(coverage(inside, canvas.width + 1.5), blood, where)

    def _paint_thyroid(self, canvas: Canvas) -> None:
        p = self.patient
        for side in (-1, 1):
            centre = p.place((side * 19, 0, 152)) + [0, p.spine(152) - 34, 0]
            radii = np.array([9, 11, 20]) * p.scale * self.changes.thyroid
            where = canvas.axes.box(centre - radii - 3, centre + radii + 3)
            if where is not None:
                cover = coverage(ellipsoid(canvas.axes[where], centre, radii), canvas.width)
                canvas.blend(cover, 105.0 if not p.contrast else 160.0, where)
                canvas.label(cover, number("thyroid_gland"), where)


def build_heart(patient: Patient, cage: Cage, above: Field, changes: Changes) -> Heart:
    """Two ventricles and two atria, melted together, resting on the diaphragm."""
    p = patient
    size = p.heart * changes.heart
    grown = changes.heart - 1
    shift = np.array([changes.shift_mm, 0, 0])
    middle = p.place([21 + 6 * grown, -20 - 4 * grown, -20 - 0.35 * p.inspiration_mm + 14 * grown]) + shift
    long_way = _APEX_WAY / np.linalg.norm(_APEX_WAY)
    across = np.array([0.5, 0.84, -0.2])
    across = across - long_way * (across @ long_way)
    across /= np.linalg.norm(across)
    turn = np.stack([long_way, across, np.cross(long_way, across)], 1)
    r = size * p.scale
    parts = {"lv": ((20, 3, -7), (52, 36, 38), turn), "rv": ((-7, -20, -5), (45, 25, 38), turn),
             "ra": ((-42, 8, 4), (22, 28, 36), None), "la": ((-13, 42, 20), (35, 19, 24), None),
             "base": ((-10, 3, 30), (31, 28, 24), None)}
    empty = whole()
    axes = empty.axes()
    depth = np.full(empty.values.shape, FAR)
    chambers = []
    for name, (at, radii, way) in parts.items():
        centre = middle + np.array(at) * r
        depth = smooth_max(depth, ellipsoid(axes, centre, np.array(radii) * r, way), 7.0)
        inner = {"lv": 0.66, "rv": 0.82, "ra": 0.9, "la": 0.88, "base": 0.0}[name]
        if p.contrast and inner:
            chambers.append((ellipsoid_field(centre.tolist(), (np.array(radii) * r * inner).tolist(), way),
                             name in ("rv", "ra")))
    epicardial = 2.5 + 0.16 * p.fat_mm
    uneven = noise_field(stream(p.seed, "heart"), 24.0).on(axes)
    floor = np.minimum(above.values + 2.0, cage.inside.values - epicardial - 2)
    depth = np.minimum(depth + 1.2 * uneven, floor)
    depth = ndimage.gaussian_filter(np.maximum(depth, -44), 0.7)
    return Heart(Field(depth, empty.origin, empty.step), middle, size, tuple(chambers), epicardial)


def _envelope(patient: Patient, heart: Heart, parts: dict[str, Tube], changes: Changes, above: Field) -> Field:
    empty = whole()
    axes = empty.axes()
    solid = heart.depth.values + np.float32(heart.epicardial_mm + changes.pericardial_mm)
    skirt = ellipsoid(axes, heart.centre + patient.place((-4, 0, -34)), np.array([46, 40, 30]) * patient.scale)
    solid = smooth_max(solid, skirt, 8.0)
    for tube in parts.values():
        if tube.margin is None:
            continue
        where = tube.depth.window(axes)
        if where is not None:
            near = np.maximum(tube.depth.on(axes[where]), -7) + np.float32(tube.margin)
            solid[where] = smooth_max(solid[where], near, 5.0)
    solid = smooth_max(solid, _fat_plate(patient, axes, changes), 6.0)
    solid = ndimage.gaussian_filter(np.clip(solid, -30, 30), 0.8)
    return Field(solid.astype(np.float32), empty.origin, empty.step)


def _fat_plate(patient: Patient, axes: Axes, changes: Changes) -> Floats:
    """The fat between sternum and spine, thin in front, and the bodies of the vertebrae behind."""
    z = axes.Z / patient.height
    y = axes.Y
    spine = patient.spine(axes.z)[:, None, None].astype(np.float32)
    plate = 2.6 + 9 * bump(z, 45, 200, 40) * bump(y, -40, 30, 40) + 5 * bump(z, -90, 60, 50) * bump(y, -30, 40, 30)
    x = np.abs(axes.X - np.float32(changes.shift_mm))
    vertebra = 22 * patient.scale - np.sqrt(axes.X**2 + np.minimum(y - spine, 0) ** 2)
    fat: Floats = np.maximum(plate - x, vertebra)
    return fat
