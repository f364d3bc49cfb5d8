"""The lungs are found in any orientation, on real CTs and phantoms, right is right, and no air outside is taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from text2ct.engines.phantom.drawing import Drawing
from text2ct.report.cage import hemithoraces
from text2ct.report.finding import Finding
from text2ct.report.lungs import approximate_lobes, segment_lungs
from text2ct.volume import CTVolume

EFFUSION = Finding("pleural_effusion", side="right", severity="large")


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))


@pytest.mark.parametrize(("name", "least"), [("cptac_pda", 0.97), ("lidc_idri_0314_chest_1p5mm", 0.97)])
def test_both_lungs_match_the_reference_of_a_real_ct(
        name: str, least: float, real_ct: Callable[[str], CTVolume], shared: Path) -> None:
    found = segment_lungs(real_ct(name))
    file = next((shared / "data" / "real-ct").glob(f"{name}*_lungs.nii.gz"))
    reference = np.asarray(nibabel.load(file).dataobj)
    assert overlap(found.mask("lung_right"), reference == 1) > least
    assert overlap(found.mask("lung_left"), reference == 2) > least


def test_a_chest_of_4_mm_voxels_is_enough(real_ct: Callable[[str], CTVolume], shared: Path) -> None:
    found = segment_lungs(real_ct("cip_ct64"))
    reference = np.asarray(nibabel.load(shared / "data/real-ct/cip_ct64_chest_4mm_wholelung.nii.gz").dataobj)
    assert overlap(found.voxels > 0, reference > 0) > 0.96


@pytest.mark.parametrize("code", ["RAS", "AIR", "SPL"])
def test_the_order_of_the_array_does_not_matter(code: str, real_ct: Callable[[str], CTVolume]) -> None:
    ct = real_ct("cip_ct64")
    turned = segment_lungs(ct.reoriented(code)).reoriented(ct.orientation)
    assert overlap(turned.mask("lung_left"), segment_lungs(ct).mask("lung_left")) > 0.99


def test_an_oblique_grid_keeps_right_on_the_right(real_ct: Callable[[str], CTVolume]) -> None:
    ct = real_ct("cip_ct64")
    a = np.deg2rad(20)
    turn = np.array([[np.cos(a), -np.sin(a), 0, 0], [np.sin(a), np.cos(a), 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    found = segment_lungs(CTVolume(ct.voxels, turn @ ct.affine))
    plain = segment_lungs(ct)
    assert overlap(found.mask("lung_right"), plain.mask("lung_right")) > 0.98


def test_the_result_lies_on_the_grid_of_the_ct(phantom: Callable[..., Drawing]) -> None:
    ct = phantom().ct
    found = segment_lungs(ct)
    assert found.same_grid(ct)
    right, left = (found.grid.to_ras(np.argwhere(found.mask(n))).mean(0)[0] for n in ("lung_right", "lung_left"))
    assert right > left + 60


def test_lungs_of_a_phantom_match_its_labels_and_leave_the_trachea_out(phantom: Callable[..., Drawing]) -> None:
    drawing = phantom()
    found = segment_lungs(drawing.ct)
    organs = drawing.organs
    assert organs is not None
    right = np.logical_or.reduce([organs.mask(s.name) for s in organs.segments
                                  if s.name.startswith("lung_") and s.name.endswith("right")])
    assert overlap(found.mask("lung_right"), right) > 0.95
    assert (found.voxels[organs.mask("trachea")] > 0).mean() < 0.05


def test_the_hemithorax_reaches_under_the_fluid_that_the_lung_does_not(phantom: Callable[..., Drawing]) -> None:
    ct = phantom(EFFUSION).ct
    lung, whole = segment_lungs(ct).volumes_ml(), hemithoraces(ct).volumes_ml()
    assert whole["lung_right"] > 1.25 * lung["lung_right"]
    assert whole["lung_left"] < 1.2 * lung["lung_left"]


def test_five_lobes_cover_the_lungs_and_the_upper_ones_lie_higher(phantom: Callable[..., Drawing]) -> None:
    lungs = segment_lungs(phantom().ct)
    lobes = approximate_lobes(lungs)
    assert ((lobes.voxels > 0) == (lungs.voxels > 0)).all()
    height = {s.name: lobes.grid.to_ras(np.argwhere(lobes.mask(s.name))).mean(0)[2] for s in lobes.segments}
    assert height["lung_upper_lobe_left"] > height["lung_lower_lobe_left"] + 20
    assert height["lung_upper_lobe_right"] > height["lung_middle_lobe_right"]


def test_an_image_of_nothing_has_no_lungs() -> None:
    empty = CTVolume(np.full((20, 18, 16), -1000, np.int16), np.diag([4.0, 4.0, 4.0, 1.0]))
    assert not segment_lungs(empty).voxels.any()
