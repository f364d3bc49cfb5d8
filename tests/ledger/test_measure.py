"""What the ledger says of phantoms and of real CTs is true, and it respects what was asked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from text2ct.engines.phantom.drawing import Drawing
from text2ct.report.finding import Finding, LedgerEntry
from text2ct.report.ledger import METERS, NO_LUNGS, NO_METER, measure, score
from text2ct.report.vocabulary import KINDS
from text2ct.volume import CTVolume

EFFUSION = Finding("pleural_effusion", side="right", severity="large")
MASS = Finding("lung_mass", lobe=("LUL",), size_mm=50.0, margin="smooth")
CALM = ("pleural_effusion", "pneumothorax", "consolidation", "lung_mass")


def one(ct: CTVolume, finding: Finding) -> LedgerEntry:
    return measure(ct, [finding])[0]


def test_no_findings_give_no_entries(ct: CTVolume) -> None:
    assert measure(ct, []) == ()


def test_every_meter_is_for_a_kind_of_the_vocabulary() -> None:
    assert set(METERS) <= set(KINDS)


def test_a_healthy_phantom_shows_none_of_the_large_findings(phantom: Callable[..., Drawing]) -> None:
    kinds = (*CALM, "cardiomegaly", "emphysema", "lung_nodule", "metastases", "hepatic_steatosis")
    entries = measure(phantom().ct, [Finding(kind, "absent") for kind in kinds])
    assert [e.finding.kind for e in entries if e.answer != "not shown"] == []
    assert all(e.agrees for e in entries)
    assert score(entries) == 1.0


def test_an_effusion_is_shown_on_its_side_only(phantom: Callable[..., Drawing]) -> None:
    ct = phantom(EFFUSION).ct
    right, left, both, any_side = measure(ct, [Finding("pleural_effusion", side=s)
                                               for s in ("right", "left", "bilateral", None)])
    assert (right.answer, left.answer, both.answer, any_side.answer) == ("shown", "not shown", "not shown", "shown")
    assert right.agrees is True
    assert left.agrees is False
    assert right.unit == "ml"
    assert right.value is not None
    assert right.value > 300


def test_the_place_lies_in_the_fluid(phantom: Callable[..., Drawing]) -> None:
    ct = phantom(EFFUSION).ct
    entry = one(ct, EFFUSION)
    assert entry.place is not None
    i, j, k = np.rint(ct.grid.to_ijk(entry.place)).astype(int)
    assert -40 < ct.voxels[i - 1:i + 2, j - 1:j + 2, k].mean() < 45


def test_what_is_denied_but_there_does_not_agree(phantom: Callable[..., Drawing]) -> None:
    entry = one(phantom(EFFUSION).ct, Finding("pleural_effusion", "absent"))
    assert entry.answer == "shown"
    assert entry.agrees is False


def test_an_uncertain_finding_is_measured_but_not_judged(phantom: Callable[..., Drawing]) -> None:
    entry = one(phantom(EFFUSION).ct, Finding("pleural_effusion", "uncertain", side="right"))
    assert entry.answer == "shown"
    assert entry.agrees is None


def test_a_mass_is_found_in_its_lobe_with_its_size(phantom: Callable[..., Drawing]) -> None:
    ct = phantom(MASS).ct
    there, elsewhere, other_size = measure(ct, [MASS, Finding("lung_mass", lobe=("RLL",)),
                                                Finding("lung_mass", lobe=("LUL",), size_mm=150.0)])
    assert there.answer == "shown"
    assert there.value == pytest.approx(50, rel=0.25)
    assert elsewhere.answer == "not shown"
    assert other_size.answer == "not shown"


@pytest.mark.parametrize("finding", [
    Finding("pneumothorax", side="left", severity="large"), Finding("emphysema", severity="large"),
    Finding("cardiomegaly", severity="large"), Finding("consolidation", lobe=("RLL",), severity="large")],
    ids=lambda f: f.kind)
def test_what_is_drawn_is_shown(finding: Finding, phantom: Callable[..., Drawing]) -> None:
    assert one(phantom(finding).ct, finding).answer == "shown"


def test_labels_let_the_aorta_be_measured(phantom: Callable[..., Drawing]) -> None:
    drawing = phantom()
    finding = Finding("aneurysm", "absent")
    assert one(drawing.ct, finding).answer == "can't tell"
    entry = measure(drawing.ct, [finding], drawing.organs)[0]
    assert entry.value == pytest.approx(33, abs=9)
    assert entry.agrees is not False


def test_a_kind_without_a_meter_is_not_guessed(phantom: Callable[..., Drawing]) -> None:
    entry = one(phantom().ct, Finding("fracture"))
    assert (entry.answer, entry.method, entry.agrees) == ("can't tell", NO_METER, None)


@pytest.mark.parametrize("voxels", [np.full((30, 30, 30), -1000), np.full((30, 30, 30), 40), np.zeros((1, 1, 1))],
                         ids=["air", "tissue", "one voxel"])
def test_an_image_without_lungs_is_said_to_be_one(voxels: np.ndarray) -> None:
    entries = measure(CTVolume(voxels.astype(np.int16), np.diag([3.0, 3.0, 3.0, 1.0])), [Finding(k) for k in METERS])
    assert {(e.answer, e.method) for e in entries} == {("can't tell", NO_LUNGS)}


@pytest.mark.parametrize("name", ["totalseg_example_ct_abdomen", "tcga_ov"])
def test_a_real_abdomen_is_no_chest(name: str, real_ct: Callable[[str], CTVolume]) -> None:
    entries = measure(real_ct(name), [Finding(kind) for kind in CALM])
    assert {e.method for e in entries} == {NO_LUNGS}


@pytest.mark.parametrize("name", ["cptac_pda", "cip_ct64"])
def test_real_lungs_without_large_findings_show_none(name: str, real_ct: Callable[[str], CTVolume]) -> None:
    entries = measure(real_ct(name), [Finding(kind, "absent") for kind in CALM])
    assert [e.answer for e in entries] == ["not shown"] * len(CALM)


def test_the_real_mass_of_the_right_upper_lobe_is_shown(real_ct: Callable[[str], CTVolume]) -> None:
    asked = [Finding("lung_mass", lobe=("RUL",)), Finding("lung_mass", side="left"),
             Finding("pleural_effusion", side="right"), Finding("pneumothorax", "absent")]
    mass, left, effusion, pneumothorax = measure(real_ct("lidc_idri_0314_chest_3mm"), asked)
    assert mass.answer == "shown"
    assert mass.value is not None
    assert mass.value > 40
    assert left.answer == "not shown"
    assert effusion.answer == "shown"
    assert pneumothorax.agrees is True
