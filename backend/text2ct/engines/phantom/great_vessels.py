"""Tubes of the mediastinum as control points: aorta and its branches, veins, pulmonary trunk, airways, gullet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .canvas import Canvas
from .changes import Changes
from .frame import Field
from .organs import number
from .patient import Patient
from .shapes import coverage, curve, tube_field

AIR = -1000.0


@dataclass(frozen=True, eq=False)
class Tube:
    """A tube of one HU, or a wall with air inside. `margin` is the fat kept free of lung; None: in the lung."""

    name: str
    line: NDArray[np.float64]
    radii: NDArray[np.float64]
    depth: Field
    hu: float
    margin: float | None = 3.0
    wall_mm: float = 0.0
    label: str = ""

    def paint_wall(self, canvas: Canvas) -> None:
        """The wall of an airway; before any lumen, so that branches open into each other."""
        where = self.depth.window(canvas.axes)
        if where is not None and self.wall_mm:
            depth = self.depth.on(canvas.axes[where])
            canvas.blend(coverage(depth + self.wall_mm, canvas.width) * np.float32(0.85), 35.0, where)

    def paint(self, canvas: Canvas) -> None:
        where = self.depth.window(canvas.axes)
        if where is None:
            return
        depth = self.depth.on(canvas.axes[where])
        cover = coverage(depth, canvas.width)
        canvas.blend(cover, self.hu, where)
        if self.label:
            canvas.label(cover, number(self.label), where)


def tubes(patient: Patient, changes: Changes) -> dict[str, Tube]:
    """All tubes of a patient, by name, in the order in which they are painted."""
    made = {}
    for name, (points, radii, kind, margin, wall, label) in _plan(patient, changes).items():
        hu = {"arterial": patient.blood_hu, "venous": patient.right_blood_hu, "air": AIR, "muscle": 34.0}[kind]
        placed = patient.place(points)
        if changes.shift_mm:
            placed[:, 0] += changes.shift_mm * np.clip((130 - placed[:, 2]) / 60, 0, 1) * np.clip(
                (placed[:, 2] + 90) / 60, 0, 1)
        size = np.asarray(radii, float) * patient.scale
        line, along = curve(placed, 2.0, size)
        made[name] = Tube(name, line, along, tube_field(placed, size), hu, margin, wall, label)
    return made


_Plan = dict[str, tuple[list[list[float]], list[float], str, float | None, float, str]]


def _plan(p: Patient, c: Changes) -> _Plan:
    spine = [float(p.spine(z)) / p.depth for z in (190, 120, 60, 20, -40, -110, -212)]
    s190, s120, s60, s20, s40, s110, s212 = spine
    up, down = c.ascending_aorta_mm / 2 / p.scale, c.descending_aorta_mm / 2 / p.scale
    a = p.aorta
    asc = up if up else 15.5 * a
    desc = down if down else 11.8 * a
    wide = 1.06 * c.pulmonary_artery
    gullet = 6.5 * c.oesophagus
    return {
        "inferior_vena_cava": ([[-24, 2, -30], [-22, 10, -62], [-21, s110 - 28, -110], [-20, s212 - 29, -212]],
                               [11, 12, 11.5, 11], "venous", 3, 0, "inferior_vena_cava"),
        "superior_vena_cava": ([[-30, -8, 6], [-30, -12, 45], [-28, -14, 74], [-32, -15, 92], [-46, -10, 116]],
                               [9.5, 9.5, 9, 7, 6], "venous", 2.5, 0, "superior_vena_cava"),
        "brachiocephalic_vein_left": ([[-27, -15, 76], [2, -25, 88], [30, -20, 104], [54, -14, 118]],
                                      [7.5, 7, 6.5, 6], "venous", 2.5, 0, "brachiocephalic_vein_left"),
        "azygos": ([[-9, s110 - 17, -110], [-9, s20 - 18, 20], [-12, s60 - 17, 50], [-27, 14, 56], [-30, -6, 50]],
                   [3, 4, 4.2, 4.4, 4.5], "venous", 2.2, 0, ""),
        "pulmonary_trunk": ([[20, -36, 14], [21, -26, 32], [14, -8, 40]], [13.2 * wide, 13.5 * wide, 12.5 * wide],
                            "venous", 2.5, 0, "pulmonary_artery"),
        "pulmonary_artery_right": ([[14, -8, 40], [-10, 2, 37], [-33, 7, 32], [-45, 12, 20]],
                                   [12 * wide, 10.5 * wide, 9.5 * wide, 6.5], "venous", 1.5, 0, "pulmonary_artery"),
        "pulmonary_artery_left": ([[14, -8, 40], [30, 6, 46], [41, 17, 40], [46, 22, 22]],
                                  [12 * wide, 11 * wide, 9.5 * wide, 6.5], "venous", 1.5, 0, "pulmonary_artery"),
        "vein_right_upper": ([[-16, 12, 8], [-34, 4, 14], [-50, -4, 24]], [8, 6.5, 5], "arterial", 1.0, 0,
                             "pulmonary_vein"),
        "vein_right_lower": ([[-16, 26, -2], [-34, 27, -6], [-52, 32, -16]], [8, 7, 5.5], "arterial", 1.0, 0,
                             "pulmonary_vein"),
        "vein_left_upper": ([[18, 18, 10], [36, 4, 20], [50, -6, 30]], [7.5, 6.5, 5], "arterial", 1.0, 0,
                            "pulmonary_vein"),
        "vein_left_lower": ([[16, 26, -2], [34, 28, -6], [50, 34, -16]], [8, 7, 5.5], "arterial", 1.0, 0,
                            "pulmonary_vein"),
        "aorta": ([[0, -12, 6], [-13, -20, 28], [-17, -19, 50], [-9, -9, 70], [9, 9, 77], [23, 27, 68],
                   [26, s60 - 19, 44], [26, s20 - 20, 10], [22, s40 - 22, -50], [13, s110 - 25, -110],
                   [4, s212 - 29, -212]],
                  [asc * 0.98, asc, asc, 14.2 * a, 13.2 * a, 12.4 * a, desc, desc, desc, desc * 0.93, 9.5 * a],
                  "arterial", 2.5, 0, "aorta"),
        "brachiocephalic_trunk": ([[-10, -8, 76], [-20, -10, 100], [-32, -4, 128], [-30, 0, 192]], [6.5, 6, 5, 4],
                                  "arterial", 2.5, 0, "brachiocephalic_trunk"),
        "carotid_left": ([[3, 0, 80], [16, -2, 112], [26, 0, 192]], [4.6, 4.2, 4], "arterial", 2.5, 0,
                         "common_carotid_artery_left"),
        "subclavian_left": ([[15, 14, 78], [25, 14, 106], [52, 8, 126], [90, 4, 134]], [5.4, 5, 4.5, 4.2],
                            "arterial", 2.5, 0, "subclavian_artery_left"),
        "oesophagus": ([[5, s190 - 22, 190], [5, s120 - 19, 120], [5, s60 - 19, 60], [4, s20 - 21, 10],
                        [8, s40 - 26, -50], [18, 14, -76], [30, 2, -88]],
                       [gullet, gullet, gullet, gullet, gullet * 1.1, 7, 8], "muscle", 2.2, 0, "esophagus"),
        "trachea": ([[0, s190 - 38, 190], [1, s120 - 33, 120], [2, s60 - 36, 70], [0, s60 - 34, 46]],
                    [8.6, 8.6, 8.8, 9.2], "air", 2.5, 1.6, "trachea"),
        "bronchus_right": ([[0, s60 - 34, 46], [-18, 17, 36], [-40, 16, 24], [-48, 18, 4]], [7.2, 7, 6, 4.6],
                           "air", 2.0, 1.4, ""),
        "bronchus_left": ([[0, s60 - 34, 46], [22, 18, 33], [42, 20, 22], [48, 24, 4]], [6.8, 6.2, 5.4, 4.4],
                          "air", 2.0, 1.4, ""),
    }


def hilum(patient: Patient, side: str) -> NDArray[np.float64]:
    """Where vessels and bronchi enter a lung."""
    return patient.place([-44, 14, 22] if side == "right" else [46, 17, 25])
