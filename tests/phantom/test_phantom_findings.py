"""Findings are drawn where and how large the report says, and change nothing out of their reach."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from text2ct.engines.phantom.blob import largest_diameter
from text2ct.engines.phantom.drawing import Drawing, draw
from text2ct.engines.phantom.findings import DISPLACES, DRAWERS, REACH_MM
from text2ct.geometry import Grid
from text2ct.report.finding import Finding
from text2ct.report.vocabulary import KINDS

SEED = 11
DrawFindings = Callable[[list[Finding], Grid], Drawing]
LUNGS = ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right", "lung_upper_lobe_left",
         "lung_lower_lobe_left")
LOBE_LABELS = {"RUL": "lung_upper_lobe_right", "RML": "lung_middle_lobe_right", "RLL": "lung_lower_lobe_right",
               "LUL": "lung_upper_lobe_left", "LLL": "lung_lower_lobe_left"}


def mask_of(drawing: Drawing, index: int = 0) -> NDArray[np.bool_]:
    """The mask of the finding at a place of the list."""
    kind = drawing.drawn[index].kind
    for layer in drawing.findings:
        for segment in layer.segments:
            if segment.id == f"finding_{index + 1}_{kind}":
                return np.equal(layer.voxels, segment.value)
    raise AssertionError(f"{kind} has no mask")


def reach_of(drawing: Drawing, healthy: Drawing, kind: str) -> NDArray[np.bool_]:
    """The mask and the organs that the finding is documented to change, grown by the documented reach."""
    reach = mask_of(drawing)
    assert drawing.organs is not None
    assert healthy.organs is not None
    for name in DISPLACES.get(kind, ()):
        reach = reach | drawing.organs.mask(name) | healthy.organs.mask(name)
    return ndimage.binary_dilation(reach, iterations=round(REACH_MM / 4))


def sample(kind: str) -> Finding:
    side = {"pleural_effusion": "right", "pneumothorax": "left", "diaphragm_elevation": "right"}.get(kind)
    return Finding(kind, side=side)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_flipping_a_finding_changes_it_and_nothing_out_of_its_reach(
        kind: str, healthy: Drawing, grid: Grid, with_findings: DrawFindings) -> None:
    drawing = with_findings([sample(kind)], grid)
    assert drawing.drawn == (sample(kind),)
    mask = mask_of(drawing)
    changed = drawing.ct.voxels != healthy.ct.voxels
    assert changed[mask].mean() > 0.3 or kind in DISPLACES
    assert changed.any()
    outside = ~reach_of(drawing, healthy, kind)
    assert np.mean(changed[outside]) < 0.01


def test_every_kind_of_the_vocabulary_can_be_drawn() -> None:
    assert set(DRAWERS) == set(KINDS)


def test_doubtful_and_absent_findings_are_not_drawn(healthy: Drawing, grid: Grid) -> None:
    drawing = draw([Finding("pleural_effusion", "uncertain", "left"), Finding("lung_mass", "absent")], SEED, grid)
    assert drawing.ct == healthy.ct
    assert not drawing.findings


def test_a_kind_nobody_can_draw_is_said(grid: Grid) -> None:
    strange = Finding("no_such_thing")
    assert draw([strange], SEED, grid).not_drawn == (strange,)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", ["pleural_effusion", "pneumothorax", "consolidation", "lung_nodule", "atelectasis",
                                  "lung_opacity", "fracture", "pleural_thickening"])
def test_findings_lie_on_their_side(kind: str, side: str, grid: Grid, with_findings: DrawFindings) -> None:
    drawing = with_findings([Finding(kind, side=side)], grid)  # type: ignore[arg-type]
    x = grid.to_ras(np.argwhere(mask_of(drawing)))[:, 0]
    assert np.mean(x < 0 if side == "left" else x > 0) > 0.97


@pytest.mark.parametrize(("kind", "size", "margin"), [
    ("lung_nodule", 14.0, None), ("lung_mass", 36.0, "spiculated"), ("cavity", 30.0, "lobulated")])
def test_lesions_have_their_size_in_their_lobe(kind: str, size: float, margin: str | None,
                                               with_findings: DrawFindings) -> None:
    fine = Grid.centred((130, 106, 110), (2.2, 2.2, 2.4), "LPS")
    asked = [Finding(kind, lobe=(lobe,), size_mm=size, margin=margin) for lobe in LOBE_LABELS]  # type: ignore[arg-type]
    drawing = with_findings(asked, fine)
    organs = with_findings([], fine).organs
    assert organs is not None
    for n, lobe in enumerate(LOBE_LABELS):
        mask = mask_of(drawing, n)
        assert abs(largest_diameter(mask, np.array(fine.spacing)) - size) <= max(2.0, 0.15 * size), lobe
        assert organs.mask(LOBE_LABELS[lobe])[mask].mean() > 0.85, lobe


@pytest.mark.parametrize("kind", ["pleural_effusion", "pneumothorax", "consolidation", "emphysema", "lung_opacity"])
def test_severity_orders_volume(kind: str, grid: Grid, with_findings: DrawFindings) -> None:
    volumes = [mask_of(with_findings([Finding(kind, side="right", severity=s)], grid)).sum()
               for s in ("small", "moderate", "large")]
    assert volumes[0] * 1.5 < volumes[1]
    assert volumes[1] * 1.3 < volumes[2]


def test_fluid_lies_behind_and_air_in_front(grid: Grid, with_findings: DrawFindings) -> None:
    drawing = with_findings([Finding("pleural_effusion", side="right"), Finding("pneumothorax", side="left")], grid)
    fluid, air = (grid.to_ras(np.argwhere(mask_of(drawing, n)))[:, 1].mean() for n in (0, 1))
    assert fluid < -20 < 20 < air
    assert -20 < drawing.ct.voxels[ndimage.binary_erosion(mask_of(drawing, 0))].mean() < 40
    assert drawing.ct.voxels[ndimage.binary_erosion(mask_of(drawing, 1))].mean() < -950


def test_an_effusion_of_a_given_thickness_is_that_thick(grid: Grid, with_findings: DrawFindings) -> None:
    mask = mask_of(with_findings([Finding("pleural_effusion", side="left", size_mm=40.0)], grid))
    assert abs(mask.sum(1).max() * grid.spacing[1] - 40) <= 8


def test_emphysema_reaches_its_share_of_dark_lung(healthy: Drawing, grid: Grid,
                                                  with_findings: DrawFindings) -> None:
    drawing = with_findings([Finding("emphysema", severity="large")], grid)
    assert healthy.organs is not None
    lung = np.any([healthy.organs.mask(name) for name in LUNGS], 0)
    dark = [float((d.ct.voxels[lung] < -950).mean()) for d in (healthy, drawing)]
    assert dark[0] < 0.03
    assert 0.18 < dark[1] < 0.5


def test_consolidation_keeps_air_in_its_bronchi(with_findings: DrawFindings) -> None:
    fine = Grid.centred((180, 160, 100), (1.7, 1.7, 2.0), "LPS")
    drawing = with_findings([Finding("consolidation", lobe=("RLL",), severity="large")], fine)
    inside = drawing.ct.voxels[ndimage.binary_erosion(mask_of(drawing), iterations=2)]
    assert np.median(inside) > 0
    assert np.mean(inside < -400) > 0.001


def test_cardiomegaly_widens_the_heart(healthy: Drawing, grid: Grid) -> None:
    drawing = draw([Finding("cardiomegaly", severity="large")], SEED, grid)
    assert drawing.organs is not None
    assert healthy.organs is not None
    widths = [np.ptp(np.argwhere(o.mask("heart"))[:, 0]) for o in (healthy.organs, drawing.organs)]
    assert widths[1] > 1.2 * widths[0]


def test_overlapping_findings_keep_their_own_masks(grid: Grid, with_findings: DrawFindings) -> None:
    both = [Finding("pleural_effusion", side="right", severity="moderate"),
            Finding("consolidation", lobe=("RLL",), severity="large"), Finding("granuloma", lobe=("LUL",))]
    drawing = with_findings(both, grid)
    alone = with_findings(both[2:], grid)
    assert len(drawing.drawn) == 3
    assert all(mask_of(drawing, n).any() for n in range(3))
    assert np.array_equal(mask_of(drawing, 2), mask_of(alone, 0))
    ids = [s.id for layer in drawing.findings for s in layer.segments]
    assert len(set(ids)) == 3
    assert {s.name for layer in drawing.findings for s in layer.segments} == {
        "pleural_effusion right", "consolidation RLL", "granuloma LUL"}
