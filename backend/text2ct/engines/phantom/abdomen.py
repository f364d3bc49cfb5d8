"""What lies below the diaphragm: liver with its vessels, spleen, stomach, kidneys, bowel, fat and crura."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .canvas import Canvas
from .frame import Field, Floats
from .organs import number
from .patient import Patient
from .shapes import bump, coverage, ellipsoid, noise_field, smooth_max, stream, thin_tubes, tube_field
from .trees import Tree, grow

FAT = -100.0


@dataclass(frozen=True, eq=False)
class Abdomen:
    """The upper abdomen of one patient; `liver_hu` may be that of a finding."""

    patient: Patient
    cage: Field
    above: Field
    liver_hu: float
    spleen_scale: float
    uneven: Field
    fine: Field
    liver_vessels: Tree
    tubes: tuple[tuple[Field, float, float, str], ...]

    @classmethod
    def of(cls, patient: Patient, cage: Field, above: Field, liver_hu: float, spleen_scale: float = 1.0) -> Abdomen:
        rng = stream(patient.seed, "liver vessels")
        targets = patient.place(np.stack([rng.uniform(-105, 25, 130), rng.uniform(-60, 60, 130),
                                          rng.uniform(-150, -48, 130)], 1))
        tree = grow(patient.place([-30, 12, -92]), targets, 1.1, rng, step=9.0, largest=5.5)
        return cls(patient, cage, above, liver_hu, spleen_scale,
                   noise_field(stream(patient.seed, "abdomen"), 26.0),
                   noise_field(stream(patient.seed, "liver"), 5.0), tree, _soft_tubes(patient))

    def paint(self, canvas: Canvas) -> None:
        above = canvas.on(self.above)
        if float(above.min()) > 2:
            return
        cage = canvas.on(self.cage)
        room = np.minimum(-above, cage - 1.5)
        cover = coverage(room, canvas.width)
        canvas.blend(cover, FAT)
        canvas.hu += cover * np.clip(canvas.on(self.fine) * 16 - 8, 0, 60)
        room_inside = room - 3.5
        self._crura(canvas, room)
        self._bowel(canvas, room_inside)
        self._organ(canvas, room_inside, "kidney_left", (58, 40, -148), (26, 24, 52), self.patient.kidney_hu)
        self._organ(canvas, room_inside, "kidney_right", (-56, 42, -156), (26, 24, 52), self.patient.kidney_hu)
        self._spleen(canvas, room_inside)
        self._stomach(canvas, room_inside)
        self._liver(canvas, room - 1.2)
        wall = np.clip(1 - np.abs(room - 1.4) / max(2.0, canvas.width), 0, 1)
        canvas.blend(wall * np.float32(0.9), 46.0)

    def _organ(self, canvas: Canvas, room: Floats, name: str, centre: tuple[float, float, float],
               radii: tuple[float, float, float], hu: float) -> None:
        c, r = self.patient.place(centre), np.array(radii) * self.patient.scale
        where = canvas.axes.box(c - r - 6, c + r + 6)
        if where is None:
            return
        axes = canvas.axes[where]
        side = np.sign(c[0])
        turn = _turn(axes_tilt=(0.28 * side, 0.0, -0.2 * side))
        depth = ellipsoid(axes, c, r, turn) + 1.5 * canvas.on(self.uneven)[where]
        sinus = ellipsoid(axes, c - [side * 10, 4, 0], r * [0.55, 0.38, 0.6], turn)
        cover = coverage(np.minimum(depth, room[where]), canvas.width)
        canvas.blend(cover, hu, where)
        canvas.blend(coverage(sinus, 5.0) * cover, FAT + 45, where)
        canvas.label(cover, number(name), where)

    def _crura(self, canvas: Canvas, room: Floats) -> None:
        for line, radii, hu, name in self.tubes:
            where = line.window(canvas.axes)
            if where is None:
                continue
            depth = line.on(canvas.axes[where]) + 1.5 * canvas.on(self.fine)[where]
            cover = coverage(np.minimum(depth, room[where] - radii), canvas.width)
            canvas.blend(cover, hu, where)
            if name:
                canvas.label(cover, number(name), where)

    def _spleen(self, canvas: Canvas, room: Floats) -> None:
        c = self.patient.place((98, 44, -92))
        r = np.array([30, 48, 48]) * self.patient.scale * self.spleen_scale
        where = canvas.axes.box(c - r - 8, c + r + 8)
        if where is None:
            return
        axes = canvas.axes[where]
        outer = ellipsoid(axes, c, r, _turn((0.0, 0.0, 0.35))) + 2.0 * canvas.on(self.uneven)[where]
        hollow = ellipsoid(axes, c - np.array([34, 20, 0]) * self.patient.scale, r * [0.95, 0.9, 1.0])
        cover = coverage(np.minimum(np.minimum(outer, -hollow), room[where]), canvas.width)
        canvas.blend(cover, self.patient.spleen_hu, where)
        canvas.label(cover, number("spleen"), where)

    def _stomach(self, canvas: Canvas, room: Floats) -> None:
        rng = stream(self.patient.seed, "stomach")
        full, level = rng.uniform(0.8, 1.12), rng.uniform(-34, -8)
        c, r = self.patient.place((52, -14, -94)), np.array([40, 44, 40]) * full * self.patient.scale
        tail = self.patient.place((22, -44, -136))
        where = canvas.axes.box(np.minimum(c - r, tail - 45) - 6, np.maximum(c + r, tail + 45) + 6)
        if where is None:
            return
        axes = canvas.axes[where]
        depth = smooth_max(ellipsoid(axes, c, r), ellipsoid(axes, tail, np.array([40, 26, 26]) * full), 12.0)
        depth = np.minimum(depth + 2.5 * canvas.on(self.uneven)[where], room[where])
        cover = coverage(depth, canvas.width)
        canvas.blend(cover, 42.0, where)
        inside = coverage(depth - 3.5, canvas.width)
        food = rng.uniform(8, 40) + 9 * canvas.on(self.fine)[where]
        gas = np.clip((level * self.patient.depth - axes.Y) / 2.0 + 0.5, 0, 1)
        canvas.blend(inside, food * (1 - gas) - 975 * gas, where)
        canvas.label(cover, number("stomach"), where)

    def _liver(self, canvas: Canvas, room: Floats) -> None:
        p = self.patient
        c, r = p.place((-58, 0, -105)), np.array([88, 94, 92]) * p.scale
        left_c, left_r = p.place((14, -46, -78)), np.array([62, 34, 34]) * p.scale
        where = canvas.axes.box(c - r - 8, np.maximum(c + r, left_c + left_r) + 8)
        if where is None:
            return
        axes = canvas.axes[where]
        uneven = canvas.on(self.uneven)[where]
        right = ellipsoid(axes, c, r)
        right = np.minimum(right, (34 * p.width - axes.X) - 0.30 * axes.Y + 0.22 * (axes.Z + 60))
        depth = smooth_max(right, ellipsoid(axes, left_c, left_r, _turn((0, 0.25, 0))), 14.0)
        behind = ellipsoid(axes, p.place((10, 52, -110)), np.array([44, 40, 120]))
        depth = np.minimum(np.minimum(depth, -behind + 4) + 3 * uneven, room[where])
        cover = coverage(depth, canvas.width)
        vessels = thin_tubes(axes, self.liver_vessels.points, self.liver_vessels.radii, max(canvas.width, 2.0))
        vein = (p.blood_hu * 0.35 + 90 - self.liver_hu) if p.contrast else 38 - self.liver_hu
        texture = 3.0 * canvas.on(self.fine)[where] + 2.5 * uneven
        canvas.blend(cover, self.liver_hu + texture + vessels * np.clip(vein, -35, 45), where)
        canvas.label(cover, number("liver"), where)
        gall = ellipsoid(axes, p.place((-42, -50, -142)), np.array([15, 20, 26]) * p.scale, _turn((0.5, 0, 0)))
        drop = coverage(np.minimum(gall, room[where]), canvas.width)
        canvas.blend(drop, 8.0, where)
        canvas.label(drop, number("gallbladder"), where)

    def _bowel(self, canvas: Canvas, room: Floats) -> None:
        rng = stream(self.patient.seed, "bowel")
        folds = canvas.on(self.fine)
        for n in range(46):
            low = n < 36
            at = (rng.uniform(-60, 104), rng.uniform(-80, 10), rng.uniform(-200, -122))
            if not low:
                at = (rng.uniform(60, 108), rng.uniform(-62, -20), rng.uniform(-150, -92))
            radii = rng.uniform(11, 19, 3) * self.patient.scale * (1.0 if low else 1.15)
            gassy, stool = rng.random() < (0.3 if low else 0.75), rng.uniform(-160, 60)
            centre = self.patient.place(at)
            where = canvas.axes.box(centre - radii - 4, centre + radii + 4)
            if where is None:
                continue
            axes = canvas.axes[where]
            depth = np.minimum(ellipsoid(axes, centre, radii) + 2.5 * canvas.on(self.uneven)[where], room[where])
            cover = coverage(depth, canvas.width)
            canvas.blend(cover, 38.0, where)
            inside = coverage(depth - 2.6, canvas.width)
            top = np.clip((centre[1] - axes.Y + 3 * folds[where]) / 2 + 0.5, 0, 1) * bump(depth, 1, 99, 2)
            content = 25 * (1 - top) - 930 * top if gassy else (20 if low else stool) + 22 * folds[where]
            canvas.blend(inside, content, where)
            canvas.label(cover, number("small_bowel" if low else "colon"), where)


def _soft_tubes(p: Patient) -> tuple[tuple[Field, float, float, str], ...]:
    """Crura of the diaphragm, pancreas, splenic vein and the limbs of the adrenals: depth, inset, HU, label."""
    front = float(p.spine(-130)) / p.depth - 20
    vein = p.liver_hu if not p.contrast else 150.0
    plan: list[tuple[list[list[float]], list[float], float, float, str]] = [
        ([[15, front - 6, -66], [16, front + 2, -110], [13, front + 8, -200]], [3.5, 6, 4], -6, 50, ""),
        ([[-15, front - 6, -70], [-17, front + 2, -115], [-14, front + 8, -200]], [4, 7, 4], -6, 50, ""),
        ([[-14, -16, -150], [14, -12, -136], [46, 10, -122], [78, 26, -108]], [12, 10, 10, 8], 4, 44, "pancreas"),
        ([[-14, -6, -136], [20, 2, -126], [60, 22, -110], [84, 30, -100]], [6, 5, 4.5, 4], 4, vein, ""),
        ([[30, 26, -116], [34, 36, -128], [40, 46, -138]], [3.4, 3.4, 2.6], 2, 34, ""),
        ([[-28, 34, -112], [-31, 46, -126]], [3.4, 2.6], 2, 34, "")]
    return tuple((tube_field(p.place(line), radii), inset, hu, name) for line, radii, inset, hu, name in plan)


def _turn(axes_tilt: tuple[float, float, float]) -> Floats:
    """A rotation by small angles about x, y and z."""
    a, b, c = axes_tilt
    rx = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    ry = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    rz = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    turn: Floats = (rz @ ry @ rx).astype(np.float32)
    return turn
