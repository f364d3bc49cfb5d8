"""The phantom as an engine: requests in, results with an account out."""

from __future__ import annotations

import numpy as np
import pytest

from text2ct.engines.phantom.engine import PhantomEngine, grid_of
from text2ct.provenance import text_sha256
from text2ct.requests import GenerateCT, Watch
from text2ct.volume import CTVolume

SHAPE, SPACING = (64, 60, 40), (6.0, 6.0, 8.0)


def test_a_report_becomes_a_labelled_ct_with_its_account() -> None:
    report = "Large right pleural effusion. No pneumothorax. 40 mm mass in the left upper lobe."
    result = PhantomEngine().run(GenerateCT(report, seed=5, shape=SHAPE, spacing=SPACING), Watch())
    assert result.ct is not None
    assert result.ct.orientation == "LPS"
    assert result.ct.shape == SHAPE
    assert result.labels[0].title == "organs"
    names = {s.name for layer in result.labels[1:] for s in layer.segments}
    assert names == {"pleural_effusion right", "lung_mass LUL"}
    made = result.provenance
    assert (made.engine, made.task, made.seed, made.sampler) == ("phantom", "generate", 5, "rules")
    assert made.report_sha256 == text_sha256(report)
    assert made.base_digest == ""


def test_the_grid_is_the_middle_of_the_patient() -> None:
    grid = grid_of(GenerateCT("x", preset="draft"))
    assert grid.shape == (128, 128, 64)
    assert np.allclose(grid.to_ras((np.array(grid.shape) - 1) / 2), 0)
    fewer = grid_of(GenerateCT("x", preset="draft", shape=(64, 64, 32)))
    assert fewer.spacing == pytest.approx((6.0, 6.0, 10.0))


def test_a_base_ct_keeps_its_grid(real_ct: CTVolume) -> None:
    result = PhantomEngine().run(GenerateCT("Moderate left pneumothorax.", seed=2, base=real_ct), Watch())
    assert result.ct is not None
    assert result.ct.same_grid(real_ct)
    assert result.provenance.base_digest
    assert all(layer.same_grid(real_ct) for layer in result.labels)
