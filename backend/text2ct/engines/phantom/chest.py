"""A whole chest put together: what a patient looks like with the changes that some findings make."""

from __future__ import annotations

from dataclasses import dataclass

from .abdomen import Abdomen
from .body import Body
from .cage import Cage, above, diaphragm_heights
from .canvas import Canvas
from .changes import NONE, Changes
from .frame import Field
from .lung_trees import LungTrees
from .lungs import AirSpaces, Lungs
from .mediastinum import Mediastinum
from .patient import Patient
from .skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class Chest:
    """All anatomy. `lungs` are as they are with the changes, `healthy` as they would be without any."""

    patient: Patient
    changes: Changes
    cage: Cage
    above: Field
    body: Body
    skeleton: Skeleton
    mediastinum: Mediastinum
    abdomen: Abdomen
    lungs: Lungs
    healthy: Lungs
    healthy_mediastinum: Mediastinum
    air_spaces: AirSpaces
    trees: LungTrees

    @classmethod
    def of(cls, patient: Patient, changes: Changes = NONE) -> Chest:
        cage = Cage(patient)
        calm = above(cage.diaphragm)
        raised = (changes.raised_right_mm, changes.raised_left_mm)
        floor = above(diaphragm_heights(patient, raised)) if any(raised) else calm
        normal = Mediastinum.of(patient, cage, calm, NONE)
        healthy = Lungs.between(patient, cage, calm, normal)
        mediastinum, lungs = normal, healthy
        if changes != NONE:
            mediastinum = Mediastinum.of(patient, cage, floor, changes)
            lungs = Lungs.between(patient, cage, floor, mediastinum)
        liver = patient.liver_hu if changes.liver_hu is None else changes.liver_hu
        return cls(patient, changes, cage, floor, Body.of(patient, cage), Skeleton.of(patient, cage), mediastinum,
                   Abdomen.of(patient, cage.inside, floor, liver, changes.spleen), lungs, healthy, normal,
                   AirSpaces.of(patient, lungs), LungTrees.of(patient, healthy))

    def paint_around(self, canvas: Canvas) -> None:
        """Everything but the lungs."""
        self.body.paint(canvas)
        self.mediastinum.paint(canvas)
        self.abdomen.paint(canvas)
        self.skeleton.paint(canvas)
