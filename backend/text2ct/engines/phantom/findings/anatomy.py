"""Findings that change the size or place of an organ before it is built, and the masks that show them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....report.finding import Finding
from ..cage import above
from ..canvas import Canvas
from ..changes import Changes
from ..frame import Bools
from ..organs import number
from ..patient import Patient
from .stroke import Brush, Site, Stage, Stroke, grade

_TRUNK_MM = 28.6


def enlarge_heart(patient: Patient, finding: Finding, rng: np.random.Generator, changes: Changes) -> Changes:
    size = grade(finding, 1.2, 1.3, 1.43) + float(rng.uniform(-0.03, 0.03))
    return replace(changes, heart=size / patient.heart)


def widen_aorta(patient: Patient, finding: Finding, rng: np.random.Generator, changes: Changes) -> Changes:
    size = finding.size_mm or grade(finding, 46.0, 54.0, 66.0)
    if _descending(finding):
        return replace(changes, descending_aorta_mm=size)
    return replace(changes, ascending_aorta_mm=size)


def widen_pulmonary_artery(patient: Patient, finding: Finding, rng: np.random.Generator, changes: Changes) -> Changes:
    size = finding.size_mm or grade(finding, 32.0, 36.0, 43.0)
    return replace(changes, pulmonary_artery=size / (_TRUNK_MM * patient.scale))


def shift(patient: Patient, finding: Finding, rng: np.random.Generator, changes: Changes) -> Changes:
    """Towards the side the report names; to the left where it names none."""
    sign = -1 if finding.side == "right" else 1
    return replace(changes, shift_mm=sign * grade(finding, 13.0, 20.0, 32.0))


def fatten_liver(patient: Patient, finding: Finding, rng: np.random.Generator, changes: Changes) -> Changes:
    hu = grade(finding, 30.0, 18.0, -2.0) + (42.0 if patient.contrast else 0.0)
    return replace(changes, liver_hu=hu)


def raise_diaphragm(patient: Patient, finding: Finding, rng: np.random.Generator, changes: Changes) -> Changes:
    up = grade(finding, 24.0, 36.0, 55.0)
    right, left = finding.side in ("right", "bilateral", None), finding.side in ("left", "bilateral")
    return replace(changes, raised_right_mm=up if right else changes.raised_right_mm,
                   raised_left_mm=up if left else changes.raised_left_mm)


def fill_pericardium(patient: Patient, finding: Finding, rng: np.random.Generator, changes: Changes) -> Changes:
    return replace(changes, pericardial_mm=min(finding.size_mm or grade(finding, 7.0, 13.0, 22.0), 32.0))


def show_organ(*names: str) -> list[Stroke]:
    """A mask made of organ labels."""
    numbers = [number(n) for n in names]

    def paint(canvas: Canvas) -> Bools | None:
        mask = np.isin(canvas.labels, numbers)
        return mask if mask.any() else None

    return [Brush(Stage.OUTSIDE, paint)]


def plan_heart(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    return show_organ("heart") if site.chest is not None else []


def plan_aneurysm(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """The wide part of the aorta: before the arch, or behind and below it."""
    if site.chest is None:
        return []
    tube = site.chest.mediastinum.tubes["aorta"]
    back = float(site.chest.patient.spine(44)) - 34
    wide = tube.radii > 0.88 * tube.radii.max()
    ends = tube.line[wide]
    low, high = ends.min(0) - tube.radii.max(), ends.max(0) + tube.radii.max()
    behind = _descending(finding)

    def paint(canvas: Canvas) -> Bools | None:
        where = canvas.axes.box(low, high)
        if where is None:
            return None
        mask = np.zeros(canvas.axes.shape, bool)
        side = (back - 16 < canvas.axes[where].Y) if behind else (back > canvas.axes[where].Y)
        mask[where] = (canvas.labels[where] == number("aorta")) & side
        return mask

    return [Brush(Stage.OUTSIDE, paint)]


def plan_trunk(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    return show_organ("pulmonary_artery") if site.chest is not None else []


def plan_shift(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    return show_organ("heart", "trachea", "aorta", "esophagus") if site.chest is not None else []


def plan_liver(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    return show_organ("liver") if site.chest is not None else []


def plan_diaphragm(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """The space that the raised dome has taken from the lung."""
    if site.chest is None:
        return []
    now, before, cage = site.chest.above, above(site.chest.cage.diaphragm), site.chest.cage.inside
    side = finding.side or "right"

    def paint(canvas: Canvas) -> Bools | None:
        taken = (canvas.on(now) < 0) & (canvas.on(before) > 0) & (canvas.on(cage) > 2)
        if side != "bilateral":
            taken &= (canvas.axes.X < 0) if side == "right" else (canvas.axes.X > 0)
        return taken if taken.any() else None

    return [Brush(Stage.OUTSIDE, paint)]


def plan_pericardium(site: Site, finding: Finding, rng: np.random.Generator) -> list[Stroke]:
    """Fluid between the layers of fat around the heart."""
    if site.chest is None:
        return []
    from .pericardium import Pericardium

    m = site.chest.mediastinum
    return [Pericardium(m.heart.depth, site.chest.above, m.cage, 0.6 * m.heart.epicardial_mm,
                        m.changes.pericardial_mm, float(rng.uniform(4, 15)))]


def _descending(finding: Finding) -> bool:
    return "descending" in (finding.station or "")


CHANGERS = {"cardiomegaly": enlarge_heart, "aneurysm": widen_aorta, "mediastinal_shift": shift,
            "pulmonary_artery_enlargement": widen_pulmonary_artery, "hepatic_steatosis": fatten_liver,
            "diaphragm_elevation": raise_diaphragm, "pericardial_effusion": fill_pericardium}
DRAWERS = {"cardiomegaly": plan_heart, "aneurysm": plan_aneurysm, "mediastinal_shift": plan_shift,
           "pulmonary_artery_enlargement": plan_trunk, "hepatic_steatosis": plan_liver,
           "diaphragm_elevation": plan_diaphragm, "pericardial_effusion": plan_pericardium}
