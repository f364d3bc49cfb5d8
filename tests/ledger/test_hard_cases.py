"""Cases that the ledger once got wrong, each for a reason of anatomy or physics, on the patients that showed it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from text2ct.engines.phantom.drawing import Drawing
from text2ct.report.blobs import seen_from_inside
from text2ct.report.coarse import Coarse
from text2ct.report.finding import Finding, LedgerEntry, Lobe, Side
from text2ct.report.ledger import measure
from text2ct.volume import CTVolume

Patient = Callable[..., Drawing]


def answers(drawing: Drawing, *asked: Finding) -> list[str]:
    return [entry.answer for entry in measure(drawing.ct, asked)]


def one(drawing: Drawing, asked: Finding) -> LedgerEntry:
    return measure(drawing.ct, [asked])[0]


@pytest.mark.parametrize("severity", ["small", "moderate", "large"])
def test_the_millilitres_of_an_effusion_are_within_a_quarter(severity: str, patient: Patient) -> None:
    drawing = patient(7, Finding("pleural_effusion", side="left", severity=severity))
    fluid = next(layer for layer in drawing.findings if layer.segments)
    drawn = float((fluid.voxels > 0).sum()) * drawing.ct.grid.voxel_ml
    assert one(drawing, Finding("pleural_effusion", side="left")).value == pytest.approx(drawn, rel=0.25)


def test_gas_in_the_bowel_is_no_lung_whose_mirror_image_would_be_dense(patient: Patient) -> None:
    assert answers(patient(40347), Finding("consolidation", side="right")) == ["not shown"]


def test_a_small_consolidation_beside_the_spine_is_no_hilum(patient: Patient) -> None:
    drawing = patient(40133, Finding("consolidation", lobe=("RUL",), severity="small"))
    assert answers(drawing, Finding("consolidation", side="right"), Finding("consolidation", side="left")) == [
        "shown", "not shown"]


def test_free_air_of_a_shifted_chest_stays_on_the_side_of_its_lung(patient: Patient) -> None:
    drawing = patient(40024, Finding("pneumothorax", side="left", severity="moderate"),
                      Finding("mediastinal_shift", side="right", severity="large"))
    asked = [Finding(kind, side=side) for kind in ("pneumothorax", "mediastinal_shift") for side in ("left", "right")]
    assert answers(drawing, *asked) == ["shown", "not shown", "not shown", "shown"]


def test_a_thin_layer_of_free_air_is_shown_on_its_side(patient: Patient) -> None:
    drawing = patient(41108, Finding("pneumothorax", side="right", severity="small"))
    assert answers(drawing, Finding("pneumothorax", side="right"), Finding("pneumothorax", side="left")) == [
        "shown", "not shown"]


def test_a_nodule_with_a_vessel_on_it_is_shown(patient: Patient) -> None:
    drawing = patient(42045, Finding("lung_nodule", lobe=("LLL",), size_mm=19.0))
    assert answers(drawing, Finding("lung_nodule", side="left"), Finding("lung_nodule", side="right")) == [
        "shown", "not shown"]


def test_a_healthy_mediastinum_is_not_shifted(patient: Patient) -> None:
    assert answers(patient(7), Finding("mediastinal_shift")) == ["not shown"]


def test_a_mass_that_leans_on_the_chest_wall_is_shown(patient: Patient) -> None:
    drawing = patient(40095, Finding("lung_mass", lobe=("LUL",), size_mm=65.0))
    assert answers(drawing, Finding("lung_mass", side="left"), Finding("lung_mass", side="right")) == [
        "shown", "not shown"]


def test_a_stomach_behind_the_heart_is_a_hernia_and_a_stomach_below_is_none(patient: Patient) -> None:
    hernia = Finding("hiatal_hernia", severity="moderate")
    assert answers(patient(7, hernia), hernia) == ["shown"]
    assert answers(patient(7), hernia) == ["not shown"]


def test_a_cavity_that_is_not_seen_is_not_denied(patient: Patient) -> None:
    assert answers(patient(7), Finding("cavity", side="right")) == ["can't tell"]


def test_a_heart_is_as_wide_where_ribs_are_too_blurred_to_be_bone(patient: Patient) -> None:
    for seed, findings in ((7, ()), (11, (Finding("cardiomegaly", severity="moderate"),))):
        drawing = patient(seed, *findings)
        blurred = CTVolume(np.minimum(drawing.ct.voxels, 120).astype(np.int16), drawing.ct.affine)
        sharp, soft = (measure(ct, [Finding("cardiomegaly")])[0] for ct in (drawing.ct, blurred))
        assert sharp.answer == soft.answer == ("shown" if findings else "not shown")
        assert soft.value == pytest.approx(sharp.value, rel=0.05)


@pytest.mark.parametrize(("seed", "lobe", "size", "density"), [
    (50145, "LLL", 39.0, "ground glass"), (50300, "RML", 63.0, "part-solid"), (50040, "LUL", 50.0, "cavitary")])
def test_a_mass_that_is_not_solid_is_shown_by_its_outline(seed: int, lobe: Lobe, size: float, density: str,
                                                          patient: Patient) -> None:
    drawing = patient(seed, Finding("lung_mass", lobe=(lobe,), size_mm=size, density=density))
    sides: tuple[Side, Side] = ("right", "left") if lobe.startswith("R") else ("left", "right")
    assert answers(drawing, *(Finding("lung_mass", side=side) for side in sides)) == ["shown", "not shown"]


@pytest.mark.parametrize("finding", [Finding("lung_opacity", lobe=("LUL",), severity="large", density="ground glass"),
                                     Finding("consolidation", lobe=("RLL",), severity="moderate")])
def test_a_veil_and_a_consolidation_are_no_mass(finding: Finding, patient: Patient) -> None:
    assert answers(patient(7, finding), Finding("lung_mass")) == ["not shown"]


def lung_with(solid: np.ndarray) -> Coarse:
    return Coarse.of(CTVolume(np.where(solid, 40, -850).astype(np.int16), np.diag([3.0, 3.0, 3.0, 1.0])))


def test_half_a_ball_on_a_wall_is_as_round_as_a_whole_one_where_it_is_open() -> None:
    x, y, z = np.mgrid[:40, :40, :40]
    ball = (x - 20) ** 2 + (y - 20) ** 2 + (z - 20) ** 2 < 8 ** 2
    whole = seen_from_inside(lung_with(ball), (60.0, 60.0, 60.0), 48.0)
    leaning = seen_from_inside(lung_with(ball | (x < 20)), (60.0, 60.0, 60.0), 48.0)
    assert whole.open_share > 0.95
    assert whole.diameter_mm == pytest.approx(48.0, rel=0.1)
    assert 0.3 < leaning.open_share < 0.55
    assert leaning.spread < 0.15


def test_a_plate_is_not_round_from_inside() -> None:
    x, y, z = np.mgrid[:40, :40, :40]
    plate = (abs(x - 20) < 3) & (abs(y - 20) < 10) & (abs(z - 20) < 10)
    assert seen_from_inside(lung_with(plate), (60.0, 60.0, 60.0), 40.0).spread > 0.25
