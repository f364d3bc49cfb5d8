"""Ribs with cortex and marrow slanting down and forward, cartilage, sternum, clavicles, scapulae and humeri."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .cage import Cage
from .canvas import Canvas
from .frame import Axes, Field, Floats
from .organs import number
from .patient import Patient
from .shapes import coverage, curve, near_voxels, noise_field, stream
from .spine import paint_spine

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bone:
    """A bent bar: points, at each the directions of its three half axes and their lengths (mm)."""

    name: str
    points: Numbers
    frames: Numbers
    halves: Numbers
    cortex_mm: float = 1.3
    cartilage: bool = False

    def depth(self, axes: Axes) -> Floats:
        """Depth inside the bar, to 3 mm outside."""
        depth = np.full(axes.shape, -3.0, np.float32)
        flat = depth.reshape(-1)
        for index, offset, part in near_voxels(axes, self.points, self.halves.max(1) + 1.5):
            frame, half = self.frames[part].astype(np.float32), self.halves[part].astype(np.float32)
            own = np.einsum("anm,nac->cnm", offset, frame) / half.T[:, :, None]
            q = np.sqrt(np.einsum("cnm,cnm->nm", own, own))
            slope = np.sqrt(np.einsum("cnm,cnm->nm", own / half.T[:, :, None], own / half.T[:, :, None]))
            inside = np.where(q < 0.05, half.min(1)[:, None], q * (1 - q) / np.maximum(slope, 1e-4))
            good = (index >= 0) & (inside > -3)
            np.maximum.at(flat, index[good], inside[good])
        return depth


@dataclass(frozen=True, eq=False)
class Skeleton:
    """All bones of a patient."""

    patient: Patient
    cage: Cage
    bones: tuple[Bone, ...]
    grain: Field

    @classmethod
    def of(cls, patient: Patient, cage: Cage) -> Skeleton:
        grain = noise_field(stream(patient.seed, "marrow"), 3.5, (-60, 0, -212), (60, 120, 192))
        return cls(patient, cage, tuple(_ribs(patient, cage) + _girdle(patient, cage)), grain)

    def paint(self, canvas: Canvas) -> None:
        """Bones over what is there."""
        paint_spine(canvas, self.patient, self.grain)
        self._sternum(canvas)
        for bone in self.bones:
            self._bone(canvas, bone)

    def _bone(self, canvas: Canvas, bone: Bone) -> None:
        reach = float(bone.halves.max()) + 2
        where = canvas.axes.box(bone.points.min(0) - reach, bone.points.max(0) + reach)
        if where is None:
            return
        depth = bone.depth(canvas.axes[where])
        cover = coverage(depth, canvas.width)
        p = self.patient
        if bone.cartilage:
            canvas.blend(cover, 75 + 0.6 * p.age, where)
        else:
            canvas.blend(cover, p.cortex_hu, where)
            canvas.blend(coverage(depth - bone.cortex_mm, canvas.width), p.marrow_hu * 0.75, where)
        canvas.label(cover, number(bone.name), where)

    def _sternum(self, canvas: Canvas) -> None:
        p = self.patient
        front = float((self.cage.middle(0) - self.cage.half_depth(-60)).min())
        where = canvas.axes.box((-40, front - 40, -78 * p.height), (40, 40, 96 * p.height))
        if where is None:
            return
        axes = canvas.axes[where]
        z = axes.Z / p.height
        half = np.interp(z, [-76, -58, -48, -10, 40, 56, 62, 84, 92], [2, 6, 15, 19, 15, 14, 24, 30, 24]) * p.width
        outside = -canvas.on(self.cage.inside)[where]
        gap = 1 - 0.8 * np.exp(-((z - 57) / 2.0) ** 2)
        thin = np.abs(outside - 9.5 - 0.005 * axes.X**2)
        wide = np.maximum(np.abs(axes.X) - half + 5.4, 0)
        depth = (5.4 - np.sqrt(thin * thin + wide * wide)).astype(np.float32)
        depth = np.where(axes.Y < 20, np.minimum(depth, np.minimum(z + 77, 91 - z)), -5).astype(np.float32)
        cover = coverage(depth, canvas.width) * gap
        canvas.blend(cover, p.cortex_hu * 0.62, where)
        canvas.blend(coverage(depth - 1.0, canvas.width) * gap, p.marrow_hu * 0.6, where)
        canvas.label(cover, number("sternum"), where)


def _ribs(p: Patient, cage: Cage) -> list[Bone]:
    rng = stream(p.seed, "ribs")
    made = []
    for n in range(1, 13):
        top = 124 - 23.0 * (n - 1) + rng.uniform(-1.5, 1.5)
        drop = float(np.interp(n, [1, 2, 4, 7, 10, 12], [30, 46, 72, 98, 92, 46])) * rng.uniform(0.94, 1.06)
        stop = float(np.interp(n, [1, 2, 7, 8, 10, 11, 12], [0.80, 0.82, 0.80, 0.75, 0.64, 0.44, 0.30])) * np.pi
        tall, thick = rng.uniform(5.6, 6.6) * p.scale, rng.uniform(3.2, 3.9) * p.scale
        for side, word in ((-1, "right"), (1, "left")):
            way = _rib_way(p, cage, side, top, drop, stop, 0.06, n)
            made.append(_bar(f"rib_{word}_{n}", way, cage, p, tall, thick))
            if n <= 10:
                made.append(_cartilage(p, cage, side, top, drop, stop, n, tall))
    return made


def _rib_way(p: Patient, cage: Cage, side: int, top: float, drop: float, stop: float, start: float, n: int) -> Numbers:
    t = np.linspace(start, stop, 64)
    z = p.level(top - drop * (t / np.pi) ** 1.2 + 5 * np.exp(-(((t - 0.35) / 0.25) ** 2)))
    out = 5.4
    a, b, c = cage.half_width(z) + out, cage.half_depth(z) + out, cage.middle(z)
    x = side * a * np.sin(t) ** 0.93
    gutter = 1 + 0.17 * np.exp(-(((np.abs(x) - 60 * p.width) / 38) ** 2))
    y = c + b * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** 0.93 * np.where(np.cos(t) > 0, gutter, 1)
    near = np.clip(1 - (t - start) / 0.42, 0, 1) ** 1.5
    x = x * (1 - near) + side * 21 * p.scale * near
    y = y * (1 - near) + (p.spine(z) + 14) * near
    line, _ = curve(np.stack([x, y, z], 1), 1.6)
    return line


def _cartilage(p: Patient, cage: Cage, side: int, top: float, drop: float, stop: float, n: int, tall: float) -> Bone:
    t = np.linspace(stop, 0.962 * np.pi, 24)
    f = (t - stop) / (t[-1] - stop)
    z = p.level(top - drop * (stop / np.pi) ** 1.2 + f * float(np.interp(n, [1, 4, 5, 7, 10], [-4, 4, 10, 34, 52])))
    a, b, c = cage.half_width(z) + 6.5, cage.half_depth(z) + 6.5, cage.middle(z)
    way = np.stack([side * a * np.sin(t) ** 0.93, c - b * np.abs(np.cos(t)) ** 0.93, z], 1)
    line, _ = curve(way, 1.8)
    return _bar("costal_cartilages", line, cage, p, tall * 0.85, 4.0, cartilage=True)


def _bar(name: str, line: Numbers, cage: Cage, p: Patient, tall: float, thick: float, cartilage: bool = False) -> Bone:
    """A flat bar along a line on the cage: tall along the surface, thin across it."""
    along = np.gradient(line, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    a, b, c = cage.half_width(line[:, 2]), cage.half_depth(line[:, 2]), cage.middle(line[:, 2])
    out = np.stack([line[:, 0] / a**2, (line[:, 1] - c) / b**2, np.zeros(len(line))], 1)
    out -= along * np.einsum("ij,ij->i", out, along)[:, None]
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    up = np.cross(out, along)
    neck = np.clip(np.arange(len(line)) / 22, 0, 1)
    halves = np.stack([tall * (0.75 + 0.25 * neck), thick * (1.15 - 0.15 * neck), np.full(len(line), 4.0)], 1)
    return Bone(name, line, np.stack([up, out, along], 2), halves, 1.25 * p.scale, cartilage)


def _girdle(p: Patient, cage: Cage) -> list[Bone]:
    made = []
    front = float(cage.middle(92) - cage.half_depth(92))
    for side, word in ((-1, "right"), (1, "left")):
        collar = p.place([[side * 20, 0, 92], [side * 62, 0, 106], [side * 108, 0, 124], [side * 148, 0, 140]])
        collar[:, 1] = [front - 9, front - 8, front + 14, front + 34]
        made.append(_round(f"clavicula_{word}", collar, [7.5, 5.2, 5.4, 6.5], 1.6))
        made.extend(_scapula(p, cage, side, word))
        arm = p.place([[side * 160, 8, 138], [side * 172, 4, 162], [side * 186, 0, 212]])
        made.append(_round(f"humerus_{word}", arm, [21, 18, 12], 2.0))
    return made


def _scapula(p: Patient, cage: Cage, side: int, word: str) -> list[Bone]:
    points, halves = [], []
    for t in np.linspace(0, 1, 56):
        z = float(p.level(18 + 100 * t))
        inner, outer = (0.30 - 0.05 * t) * np.pi, (0.335 + 0.13 * t**0.7) * np.pi
        angle = np.linspace(inner, outer, 10 + int(26 * t))
        gap = 13 + 12 * t
        a, b = cage.half_width(min(z, 70.0)) + gap, cage.half_depth(min(z, 70.0)) + gap
        rows = np.stack([side * a * np.sin(angle), cage.middle(z) + b * np.cos(angle), np.full(len(angle), z)], 1)
        points.append(rows)
        size = np.full(len(angle), 1.9)
        size[-3:], size[:1] = 3.2, 2.4
        halves.append(size)
    blade = np.concatenate(points)
    made = [_balls(f"scapula_{word}", blade, np.concatenate(halves), 1.3)]
    z = float(p.level(96))
    a, b = cage.half_width(70.0), cage.half_depth(70.0)
    ridge = [[side * (a * 0.72 + 12), cage.middle(z) + b * 0.72 + 28, z],
             [side * (a + 18), cage.middle(z) + b * 0.40 + 26, float(p.level(120))],
             [side * 150 * p.width, 24 * p.depth, float(p.level(142))]]
    made.append(_round(f"scapula_{word}", np.array(ridge), [3.2, 4.0, 6.0], 1.3))
    neck = [[side * (a + 16), cage.middle(z) + b * 0.15 + 12, float(p.level(112))],
            [side * 146 * p.width, 12 * p.depth, float(p.level(126))]]
    made.append(_round(f"scapula_{word}", np.array(neck), [7.0, 11.0], 1.6))
    return made


def _round(name: str, control: Numbers, radii: list[float], cortex: float) -> Bone:
    line, along = curve(control, 1.8, radii)
    return _balls(name, line, along, cortex)


def _balls(name: str, points: Numbers, radii: Numbers, cortex: float) -> Bone:
    frames = np.broadcast_to(np.eye(3), (len(points), 3, 3))
    return Bone(name, points, frames, np.repeat(radii[:, None], 3, 1), cortex)
