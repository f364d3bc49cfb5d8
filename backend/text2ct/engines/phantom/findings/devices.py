"""Medical material: pacemaker with leads, central venous catheter, sternal wires, tubes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....report.finding import Finding
from ..canvas import Canvas
from ..chest import Chest
from ..frame import Bools
from ..shapes import box_around, coverage, curve, ellipsoid, seen, thin_tubes
from .calcium import Specks
from .stroke import Site, Stage, Stroke

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Can:
    """The flat metal box of a pacemaker or a port."""

    centre: Numbers
    radii: tuple[float, float, float]
    hu: float
    stage: Stage = Stage.OUTSIDE

    def paint(self, canvas: Canvas) -> Bools | None:
        reach = np.array(self.radii) + 4
        where = canvas.axes.box(self.centre - reach, self.centre + reach)
        if where is None:
            return None
        depth = ellipsoid(canvas.axes[where], self.centre, self.radii)
        canvas.blend(coverage(depth, canvas.width), self.hu, where)
        mask = np.zeros(canvas.axes.shape, bool)
        mask[where] = depth > 0
        return mask


@dataclass(frozen=True, eq=False)
class Hollow:
    """A tube of plastic with air inside."""

    points: Numbers
    outer: float
    inner: float
    stage: Stage = Stage.OUTSIDE

    def paint(self, canvas: Canvas) -> Bools | None:
        where = box_around(canvas.axes, self.points, self.outer + 3)
        if where is None:
            return None
        axes = canvas.axes[where]
        wall = thin_tubes(axes, self.points, np.full(len(self.points), self.outer), canvas.width)
        canvas.blend(wall, 320.0, where)
        lumen = thin_tubes(axes, self.points, np.full(len(self.points), self.inner), canvas.width)
        canvas.blend(lumen, -850.0, where)
        mask = np.zeros(canvas.axes.shape, bool)
        mask[where] = wall > seen(self.outer, canvas.width)
        return mask


def _front(chest: Chest, z: float) -> float:
    """Where the outer surface of the ribs is, in front, at a height."""
    return float(chest.cage.middle(z) - chest.cage.half_depth(z)) - 14


def _pacemaker(chest: Chest, side: str) -> list[Stroke]:
    sign = -1 if side == "right" else 1
    p = chest.patient
    z = float(p.level(70))
    can = np.array([sign * 82 * p.width, _front(chest, z) + 12, z])
    heart = chest.mediastinum.heart.centre
    way = [can + [0, 0, 18], p.place([sign * 62, -18, 112]), p.place([sign * 20 if sign > 0 else -36, -20, 90]),
           p.place([-28, -14, 72]), p.place([-30, -10, 20]), heart + [-26, 4, 0], heart + [4, -22, -26]]
    lead = curve(np.array(way), 0.8)[0]
    return [Can(can, (22.0, 6.0, 24.0), 2800.0), Specks(lead, np.full(len(lead), 1.15), 2600.0)]


def _catheter(chest: Chest, side: str) -> list[Stroke]:
    sign = 1 if side == "left" else -1
    p = chest.patient
    z = float(p.level(72))
    port = np.array([sign * 70 * p.width, _front(chest, z) + 8, z])
    way = [port, p.place([sign * 60, -20, 112]), p.place([sign * 30, -18, 98]), p.place([-28, -14, 74]),
           p.place([-30, -11, 40]), p.place([-29, -8, 14])]
    line = curve(np.array(way), 0.8)[0]
    return [Can(port, (11.0, 6.0, 11.0), 1300.0), Specks(line, np.full(len(line), 1.2), 1100.0)]


def _wires(chest: Chest, side: str) -> list[Stroke]:
    rings = []
    for level in np.linspace(-36, 84, 6):
        z = float(chest.patient.level(level))
        y = _front(chest, z) + 4.5
        turn = np.linspace(0, 2 * np.pi, 60)
        rings.append(np.stack([13 * np.cos(turn), y + 8 * np.sin(turn), z + 1.2 * np.sin(3 * turn)], 1))
    points = np.concatenate(rings)
    return [Specks(points, np.full(len(points), 0.9), 2900.0)]


def _chest_tube(chest: Chest, side: str) -> list[Stroke]:
    sign = 1 if side == "left" else -1
    p = chest.patient
    way = p.place([[sign * 190, 10, -60], [sign * 136, 16, -40], [sign * 104, 34, 0], [sign * 66, 36, 70]])
    return [Hollow(curve(way, 1.0)[0], 4.6, 3.0)]


def _airway_tube(chest: Chest, side: str) -> list[Stroke]:
    line = chest.mediastinum.tubes["trachea"].line
    part = line[line[:, 2] > chest.patient.level(72)]
    return [Hollow(part, 5.2, 3.8)]


def _stomach_tube(chest: Chest, side: str) -> list[Stroke]:
    line = chest.mediastinum.tubes["oesophagus"].line
    return [Hollow(line, 2.6, 1.3)]


_MAKERS: dict[str, Callable[[Chest, str], list[Stroke]]] = {
    "pacemaker": _pacemaker, "catheter": _catheter, "sternotomy": _wires, "chest tube": _chest_tube,
    "endotracheal": _airway_tube, "nasogastric": _stomach_tube}
_COMMON = ("pacemaker", "catheter", "sternotomy")


def plan_material(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """The device that the report names where that is known, else a common one."""
    if site.chest is None:
        return []
    told = (finding.station or finding.density or "").lower()
    name = next((n for n in _MAKERS if n in told), str(rng.choice(_COMMON)))
    side = finding.side if finding.side in ("left", "right") else ("left" if name == "pacemaker" else "right")
    return _MAKERS[name](site.chest, side)


DRAWERS = {"medical_material": plan_material}
