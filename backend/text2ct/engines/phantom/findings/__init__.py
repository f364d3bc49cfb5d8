"""The findings that the phantom can draw: from a kind to its drawer, and the planning of a whole report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ....report.finding import Finding
from ..changes import NONE, Changes
from ..chest import Chest
from ..great_vessels import hilum
from ..lungs import SIDES
from ..organs import LOBE_NAMES
from ..patient import Patient
from . import (
    abdominal,
    airways,
    anatomy,
    calcium,
    devices,
    diffuse,
    interstitium,
    mediastinal,
    nodules,
    opacities,
    pleura,
    skeletal,
    wall,
)
from .stroke import Plan, Site, Stroke, random_of

Drawer = Callable[[Site, Finding, np.random.Generator], list[Stroke]]
Changer = Callable[[Patient, Finding, np.random.Generator, Changes], Changes]

CHANGERS: Mapping[str, Changer] = anatomy.CHANGERS
DRAWERS: Mapping[str, Drawer] = {
    **anatomy.DRAWERS, **mediastinal.DRAWERS, **pleura.DRAWERS, **opacities.DRAWERS, **diffuse.DRAWERS,
    **interstitium.DRAWERS, **airways.DRAWERS, **nodules.DRAWERS, **wall.DRAWERS, **calcium.DRAWERS,
    **abdominal.DRAWERS, **skeletal.DRAWERS, **devices.DRAWERS}

LUNG_LOBES = tuple(LOBE_NAMES.values())
REACH_MM = 12.0
DISPLACES: Mapping[str, tuple[str, ...]] = {
    "cardiomegaly": ("heart",), "pericardial_effusion": ("heart",), "aneurysm": ("aorta", "heart"),
    "pulmonary_artery_enlargement": ("pulmonary_artery",), "emphysema": LUNG_LOBES, "pulmonary_edema": LUNG_LOBES,
    "mosaic_attenuation_pattern": LUNG_LOBES, "interlobular_septal_thickening": LUNG_LOBES,
    "pulmonary_fibrotic_sequela": LUNG_LOBES, "pneumothorax": LUNG_LOBES, "diaphragm_elevation": ("liver",),
    "mediastinal_shift": ("heart", "aorta", "trachea", "esophagus", "pulmonary_artery", "superior_vena_cava",
                          "pulmonary_vein", "inferior_vena_cava", "brachiocephalic_vein_left", "brachiocephalic_trunk",
                          "common_carotid_artery_left", "subclavian_artery_left")}
"""What a finding may change besides its own mask, both grown by REACH_MM: everything else keeps its voxels."""


@dataclass(frozen=True)
class Planned:
    """What will be painted, in the order of the report, and what cannot be."""

    drawn: tuple[Plan, ...]
    not_drawn: tuple[Finding, ...]


def changes_of(patient: Patient, findings: Sequence[Finding]) -> Changes:
    """How the anatomy differs from that of the healthy patient."""
    changes = NONE
    for finding in findings:
        if finding.kind in CHANGERS:
            changes = CHANGERS[finding.kind](patient, finding, random_of(patient.seed, finding, 0), changes)
    return changes


def plan(chest: Chest, findings: Sequence[Finding]) -> Planned:
    """The strokes of every finding in a phantom."""
    patient = chest.patient
    hila = {side: hilum(patient, side) for side in SIDES}
    site = Site(patient.seed, chest.lungs, hila, patient.contrast, chest, chest.lungs.lattice_depth > 0)
    return plan_on(site, findings)


def plan_on(site: Site, findings: Sequence[Finding]) -> Planned:
    """The strokes of every finding on a site; those that take lung away are planned first."""
    kinds = list(DRAWERS)
    rank = {kind: n for n, kind in enumerate(kinds)}
    order = sorted(range(len(findings)), key=lambda n: (rank.get(findings[n].kind, 999), n))
    plans: dict[int, Plan] = {}
    seen: dict[Finding, int] = {}
    for n in order:
        finding = findings[n]
        drawer = DRAWERS.get(finding.kind)
        if drawer is None:
            continue
        same = replace(finding, span=(0, 0))
        seen[same] = seen.get(same, -1) + 1
        strokes = drawer(site, finding, random_of(site.seed, finding, seen[same]))
        if strokes:
            plans[n] = Plan(finding, tuple(strokes))
    drawn = tuple(plans[n] for n in range(len(findings)) if n in plans)
    return Planned(drawn, tuple(f for n, f in enumerate(findings) if n not in plans))
