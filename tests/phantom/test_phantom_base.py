"""Findings drawn into a given CT: its own lungs are used, and every other bit stays."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from text2ct.engines.phantom.base import draw_into
from text2ct.engines.phantom.drawing import Drawing
from text2ct.report.finding import Finding
from text2ct.requests import Watch
from text2ct.volume import CTVolume


def mask_of(drawing: Drawing) -> np.ndarray:
    return np.any([layer.voxels > 0 for layer in drawing.findings], 0)


@pytest.mark.parametrize(("finding", "grow"), [
    (Finding("pleural_effusion", side="right"), 11), (Finding("consolidation", lobe=("LLL",)), 9),
    (Finding("lung_mass", lobe=("RUL",), size_mm=45.0, margin="smooth"), 3), (Finding("lung_opacity", side="left"), 8)])
def test_nothing_changes_out_of_reach(real_ct: CTVolume, finding: Finding, grow: int) -> None:
    drawing = draw_into(real_ct, [finding], 4, Watch())
    assert drawing.drawn == (finding,)
    changed = drawing.ct.voxels != real_ct.voxels
    mask = mask_of(drawing)
    assert changed[mask].mean() > 0.8
    assert not (changed & ~ndimage.binary_dilation(mask, iterations=grow)).any()
    assert drawing.ct.voxels.dtype == np.int16
    assert drawing.ct.same_grid(real_ct)


@pytest.mark.parametrize("side", ["left", "right"])
def test_sides_hold_in_any_orientation(real_ct: CTVolume, side: str) -> None:
    finding = Finding("pneumothorax", side=side)  # type: ignore[arg-type]
    plain = draw_into(real_ct, [finding], 4, Watch())
    turned = draw_into(real_ct.reoriented("ASL"), [finding], 4, Watch())
    assert turned.ct.orientation == "ASL"
    assert turned.ct.reoriented(real_ct.orientation) == plain.ct
    ras = real_ct.grid.to_ras(np.argwhere(mask_of(plain)))
    lungs = real_ct.grid.to_ras(np.argwhere(real_ct.voxels < -700))[:, 0].mean()
    assert np.mean((ras[:, 0] < lungs) == (side == "left")) > 0.95


def test_what_needs_more_than_lungs_is_said(real_ct: CTVolume) -> None:
    asked = Finding("cardiomegaly")
    drawing = draw_into(real_ct, [asked], 4, Watch())
    assert drawing.not_drawn == (asked,)
    assert drawing.ct == real_ct


def test_a_ct_without_lungs_stays_as_it_is(real_ct: CTVolume) -> None:
    water = CTVolume(np.zeros((20, 20, 20), np.int16), np.diag([4.0, 4, 4, 1]))
    drawing = draw_into(water, [Finding("lung_nodule")], 4, Watch())
    assert drawing.ct == water
    assert drawing.not_drawn == (Finding("lung_nodule"),)


def test_lobes_are_given_as_labels(real_ct: CTVolume) -> None:
    drawing = draw_into(real_ct, [], 4, Watch())
    assert drawing.organs is not None
    ml = drawing.organs.volumes_ml()
    assert all(ml[name] > 80 for name in ml)
    assert real_ct.voxels[drawing.organs.voxels > 0].mean() < -600
