"""Findings between the lungs: nodes at their stations, hernia, masses, gas, thyroid nodules, clots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....report.finding import Finding
from ..blob import Blob, make_blob, random_turn
from ..canvas import Canvas
from ..chest import Chest
from ..frame import Bools
from ..organs import number
from ..shapes import coverage, curve
from .deposit import deposit
from .stroke import Brush, Site, Stage, Stroke, grade

_STATIONS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "paratracheal": ((-17, 6, 70), (-16, 4, 82), (14, 4, 84)), "pretracheal": ((-6, -6, 62), (0, -2, 52)),
    "subcarinal": ((0, 22, 30), (4, 24, 24)), "prevascular": ((4, -34, 66), (12, -36, 58)),
    "aortopulmonary": ((26, 0, 56), (30, -6, 60)), "hilar": ((-44, 10, 30), (48, 14, 34), (-46, 18, 14)),
    "interlobar": ((-47, 14, 12), (49, 20, 14)), "paraesophageal": ((12, 30, -30), (-10, 32, -10)),
    "paraaortic": ((36, 22, 20), (34, 26, 0)), "cardiophrenic": ((-40, -58, -50), (46, -64, -52)),
    "axillary": ((-126, -6, 84), (128, -4, 78), (-122, -12, 72), (124, -12, 90)),
    "supraclavicular": ((-48, -14, 128), (50, -12, 128))}
_COMMON = ("paratracheal", "subcarinal", "pretracheal", "aortopulmonary", "prevascular", "hilar")
_BY_NUMBER = {"1": "supraclavicular", "2": "paratracheal", "3": "pretracheal", "4": "paratracheal",
              "5": "aortopulmonary", "6": "prevascular", "7": "subcarinal", "8": "paraesophageal",
              "9": "paraesophageal", "10": "hilar", "11": "interlobar"}
_AIRWAY = ("trachea",)
_ORGANS = ("heart", "aorta", "trachea", "superior_vena_cava", "inferior_vena_cava", "pulmonary_artery",
           "pulmonary_vein", "esophagus", "brachiocephalic_vein_left", "brachiocephalic_trunk",
           "common_carotid_artery_left", "subclavian_artery_left")


def plan_nodes(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """One node at each station named, or a few at common ones; the largest has the report's size."""
    if site.chest is None:
        return []
    words = [w.strip().lower() for w in (finding.station or "").split(",")]
    words = [_BY_NUMBER.get(w.rstrip("rl"), w) for w in words]
    named = [w for w in words if w in _STATIONS]
    stations = named or [str(s) for s in rng.permutation(_COMMON)][:int(grade(finding, 2, 3, 5))]
    count = max(len(stations), min(finding.count or 0, 8))
    size = finding.size_mm or grade(finding, 13.0, 18.0, 28.0)
    hu = 420.0 if finding.density == "calcified" else (82.0 if site.contrast else 44.0)
    strokes: list[Stroke] = []
    for n in range(count):
        places = [p for p in _STATIONS[stations[n % len(stations)]] if _on_side(p[0], finding.side)]
        if not places:
            continue
        at = site.chest.patient.place(places[(n // len(stations)) % len(places)])
        own = size * (1.0 if n == 0 else float(rng.uniform(0.6, 0.9)))
        strokes.append(deposit(site, rng, at + _shift(site.chest), own, hu, 5.0,
                               flatness=(float(rng.uniform(0.65, 0.8)),) * 2, spares=_numbers(_AIRWAY)))
    return strokes


def _on_side(x: float, side: str | None) -> bool:
    return side not in ("left", "right") or (x <= 4 if side == "right" else x >= -4)


def _shift(chest: Chest) -> NDArray[np.float64]:
    return np.array([0.8 * chest.changes.shift_mm, 0, 0])


def _numbers(names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(number(n) for n in names)


@dataclass(frozen=True, eq=False)
class Hernia:
    """A part of the stomach above the diaphragm: wall, content, and gas in front."""

    blob: Blob
    level: float
    content_hu: float
    stage: Stage = Stage.OUTSIDE

    def paint(self, canvas: Canvas) -> Bools | None:
        reached = self.blob.within(canvas.axes)
        if reached is None:
            return None
        where, axes, depth = reached
        keep = ~np.isin(canvas.labels[where], _numbers(("heart", "aorta", "inferior_vena_cava")))
        cover = coverage(depth, canvas.width) * keep
        canvas.blend(cover, 42.0, where)
        gas = np.clip((self.level - axes.Y) / 2 + 0.5, 0, 1)
        canvas.blend(coverage(depth - 4, canvas.width) * keep, self.content_hu * (1 - gas) - 960 * gas, where)
        canvas.lung[where] *= 1 - cover
        mask = np.zeros(canvas.axes.shape, bool)
        mask[where] = (depth > 0) & keep
        canvas.labels[where][mask[where]] = number("stomach")
        return mask


def plan_hernia(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Behind the heart, on the hiatus."""
    if site.chest is None:
        return []
    size = finding.size_mm or grade(finding, 34.0, 52.0, 80.0)
    p = site.chest.patient
    centre = p.place([10 + 0.1 * size, 26, -74]) + [0, 0, 0.38 * size - 0.35 * p.inspiration_mm]
    turn = np.eye(3)[:, [0, 2, 1]]
    blob = make_blob(rng, centre, size, "smooth", (0.9, 0.78), turn)
    return [Hernia(blob, float(centre[1] - rng.uniform(0.0, 0.25) * size), float(rng.uniform(12, 35)))]


def plan_mass(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """In front of the great vessels; lung gives way, organs do not."""
    if site.chest is None:
        return []
    size = finding.size_mm or grade(finding, 32.0, 50.0, 80.0)
    x = {"left": 16.0, "right": -14.0}.get(finding.side or "", 4.0)
    centre = site.chest.patient.place([x, -42, 46]) + _shift(site.chest)
    return [deposit(site, rng, centre, size, site.tissue_hu, 8.0, "lobulated", (0.85, 0.7),
                    spares=_numbers(_ORGANS + ("sternum",)))]


def plan_gas(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Streaks of gas in the mediastinal fat."""
    if site.chest is None:
        return []
    cage, floor, noise = site.chest.cage.inside, site.chest.above, site.noise("gas", 7.0)
    level = grade(finding, 1.1, 0.6, 0.1)

    def paint(canvas: Canvas) -> Bools | None:
        room = np.minimum(np.minimum(canvas.on(cage) - 4, canvas.on(floor) - 4), 40)
        free = (canvas.labels == 0) & (canvas.lung < 0.05) & (canvas.hu < 0) & (canvas.lobes == 0)
        gas = np.clip((canvas.on(noise) - level) * 2.2, 0, 1) * np.clip(room / 2, 0, 1) * free
        canvas.blend(gas, -940.0)
        mask: Bools = gas > 0.5
        return mask

    return [Brush(Stage.OUTSIDE, paint)]


def plan_thyroid(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    if site.chest is None:
        return []
    p = site.chest.patient
    size = finding.size_mm or grade(finding, 12.0, 20.0, 36.0)
    side = -1 if finding.side == "right" else 1
    centre = p.place((side * 19, 0, 146)) + [side * 0.2 * size, p.spine(146) - 34, 0]
    return [deposit(site, rng, centre, size, 62.0 if not p.contrast else 95.0, 10.0, spares=_numbers(_AIRWAY))]


def plan_embolism(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Clots in the main branches: dark in enhanced blood, slightly bright in native blood."""
    if site.chest is None:
        return []
    tubes = site.chest.mediastinum.tubes
    strokes: list[Stroke] = []
    for side in ("right", "left"):
        if finding.side in ("right", "left") and finding.side != side:
            continue
        tube = tubes[f"pulmonary_artery_{side}"]
        line, radius = curve(tube.line[len(tube.line) // 3:], 4.0, 1.0)[0], float(np.median(tube.radii))
        for point in line[::2]:
            turn = random_turn(rng)
            strokes.append(deposit(site, rng, point + rng.uniform(-1.5, 1.5, 3), radius * 1.25,
                                   48.0 if site.contrast else 72.0, 4.0, "smooth", (0.8, 0.75),
                                   only=(number("pulmonary_artery"),), turn=turn))
    return strokes


DRAWERS = {"lymphadenopathy": plan_nodes, "hiatal_hernia": plan_hernia, "mediastinal_mass": plan_mass,
           "pneumomediastinum": plan_gas, "thyroid_nodule": plan_thyroid, "pulmonary_embolism": plan_embolism}
