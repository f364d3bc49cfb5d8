"""Vertebrae with discs, canal, arches and processes, drawn directly at the voxels around the spine."""

from __future__ import annotations

import numpy as np

from .canvas import Canvas
from .frame import Field, Floats
from .organs import VERTEBRAE, number
from .patient import Patient
from .shapes import bump, coverage

_PERIOD, _TOP = 23.0, 172.0
_DISC, _CORD, _CANAL = 78.0, 36.0, 12.0


def level_of(patient: Patient, z: Floats) -> tuple[Floats, Floats]:
    """Which vertebra (0 is the highest) a height belongs to, and where in it, from -1/2 to 1/2 upwards."""
    t = (_TOP - z / patient.height) / _PERIOD
    which = np.floor(t + 0.5)
    return which.astype(np.float32), (which - t).astype(np.float32)


def paint_spine(canvas: Canvas, patient: Patient, grain: Field) -> None:
    """The whole column."""
    back = patient.spine(canvas.axes.z)
    where = canvas.axes.box((-52, float(back.min()) - 24, -1e4), (52, float(back.max()) + 66, 1e4))
    if where is None:
        return
    axes = canvas.axes[where]
    p, w = patient, canvas.width
    which, phase = level_of(p, axes.z)
    size = (np.interp(axes.z / p.height, [-212, 150], [1.16, 0.84]) * p.scale)[:, None, None].astype(np.float32)
    ph, high = phase[:, None, None], _PERIOD * p.height
    x = np.abs(axes.X) / size
    y = (axes.Y - back[:, None, None].astype(np.float32)) / size
    texture = grain.on(axes)
    waist = 1 + 0.09 * (np.abs(ph) * 2) ** 2 - 0.05
    body = _body(x, y, waist)
    to_disc = (0.5 - np.abs(ph)) * high
    disc = np.clip((2.6 - to_disc) / 1.2 + 0.5, 0, 1)
    plate = np.clip(1 - np.abs(to_disc - 4.2) / 1.7, 0, 1)
    shell = np.clip(1 - body / 1.7, 0, 1)
    bone = p.marrow_hu + 30 * texture
    bone = bone + (0.62 * p.cortex_hu - bone) * np.clip(np.maximum(shell, 0.4 * plate), 0, 1)
    hu = bone * (1 - disc) + (_DISC + 6 * texture) * disc
    cover = coverage(body, w)
    canvas.blend(cover, hu, where)
    canal = 9.2 - np.sqrt(x * x + ((y - 23.5) * 1.12) ** 2)
    arches = _arches(x, y, ph, canal)
    arch = coverage(arches, w) * (1 - 0.9 * disc * (np.abs(x) < 30))
    inner = coverage(arches - 2.0, w)
    canvas.blend(arch, (p.cortex_hu * 0.7) * (1 - 0.6 * inner) + p.marrow_hu * 0.6 * inner, where)
    _canal(canvas, canal, x, y, where)
    numbers = np.array([number(f"vertebrae_{v}") for v in VERTEBRAE], np.uint8)
    named = numbers[np.clip(which.astype(int), 0, len(numbers) - 1)][:, None, None]
    labels = canvas.labels[where]
    bony = ((cover * (1 - disc)) > 0.5) | ((arch > 0.5) & (canal < 0))
    labels[...] = np.where(bony, named, labels)


def _body(x: Floats, y: Floats, waist: Floats) -> Floats:
    """A heart-shaped cross-section, flat behind."""
    q = np.sqrt((x / (18.5 * waist)) ** 2 + (y / (15.5 * waist)) ** 2)
    depth: Floats = np.minimum((1 - q) * 15.5, 13.5 - y + 0.04 * x)
    return depth


def _arches(x: Floats, y: Floats, ph: Floats, canal: Floats) -> Floats:
    """Ring round the canal, spinous process sloping down, transverse processes to the ribs."""
    upper = bump(ph, -0.34, 0.42, 0.12)
    ring = np.minimum(4.6 + canal, y - 12) - (1 - upper) * 6
    slope = 34 + 16 * (0.5 - ph)
    spinous = np.minimum(3.2 + 0.02 * y - x, np.minimum(y - 30, slope + 8 - y)) - 4 * (1 - bump(ph, -0.5, 0.2, 0.2))
    centre = 25.0 + 0.22 * x
    transverse = np.minimum(5.2 - np.abs(y - centre), 35 - x) - 14 * np.maximum(np.abs(ph - 0.12) - 0.2, 0)
    depth: Floats = np.maximum(np.maximum(ring, spinous), np.where(x > 6, transverse, -9))
    return depth


def _canal(canvas: Canvas, canal: Floats, x: Floats, y: Floats, where: tuple[slice, slice, slice]) -> None:
    inside = coverage(canal, canvas.width)
    canvas.blend(inside, _CANAL, where)
    cord = 5.2 - np.sqrt((x * 0.85) ** 2 + (y - 23.0) ** 2)
    cover = coverage(cord, canvas.width) * inside
    canvas.blend(cover, _CORD, where)
    canvas.label(cover, number("spinal_cord"), where)
