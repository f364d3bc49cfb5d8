"""What has a label is seen in the picture, whatever else fills the same lobe; what is not seen is told of."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from text2ct.engines.phantom.chest import Chest
from text2ct.engines.phantom.drawing import Drawing, draw_on
from text2ct.engines.phantom.patient import Patient
from text2ct.geometry import Grid
from text2ct.report.finding import Finding
from text2ct.requests import Watch

GRID = Grid.centred((88, 76, 56), (4.4, 4.4, 5.5), "LPS")
SEEN_HU = 20
FLUID = Finding("pleural_effusion", side="right", severity="large")
SOME_FLUID = Finding("pleural_effusion", side="right", severity="small")
AIR = Finding("pneumothorax", side="right", severity="large")
DENSE = Finding("consolidation", lobe=("RLL",), severity="large")
COLLAPSED = Finding("atelectasis", lobe=("RLL",), severity="large")
NODULE = Finding("lung_nodule", lobe=("RLL",), size_mm=16.0)
MASS = Finding("lung_mass", lobe=("RLL",), size_mm=58.0)


@lru_cache(maxsize=2)
def chest(seed: int) -> Chest:
    return Chest.of(Patient.of(seed))


@lru_cache(maxsize=40)
def drawn(seed: int, *findings: Finding) -> Drawing:
    return draw_on(chest(seed), findings, GRID, Watch())


def mask_of(drawing: Drawing, kind: str) -> NDArray[np.bool_]:
    masks = [np.equal(layer.voxels, segment.value) for layer in drawing.findings for segment in layer.segments
             if segment.id.endswith(kind)]
    return masks[0] if masks else np.zeros(drawing.ct.shape, bool)


@pytest.mark.parametrize("others", [(FLUID,), (DENSE,), (COLLAPSED,), (AIR,), (DENSE, FLUID), (MASS,)],
                         ids=lambda others: " and ".join(f.kind for f in others))
@pytest.mark.parametrize("lesion", [NODULE, MASS], ids=lambda f: f.kind)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_lesion_with_a_label_is_seen(seed: int, lesion: Finding, others: tuple[Finding, ...]) -> None:
    others = tuple(f for f in others if f != lesion)
    with_it, without = drawn(seed, *others, lesion), drawn(seed, *others)
    mask = mask_of(with_it, lesion.kind)
    assert (lesion in with_it.drawn) == bool(mask.any()) == (lesion not in with_it.not_drawn)
    changed = np.abs(with_it.ct.voxels.astype(int) - without.ct.voxels) > SEEN_HU
    if mask.any():
        assert changed[mask].mean() > 0.9
    else:
        assert not changed.any()


@pytest.mark.parametrize("other", [DENSE, COLLAPSED, SOME_FLUID, AIR], ids=lambda f: f.kind)
def test_a_small_nodule_finds_a_place_in_its_lobe(other: Finding) -> None:
    shown = [NODULE in drawn(seed, other, NODULE).drawn for seed in (1, 2, 3)]
    assert sum(shown) >= 2


@pytest.mark.parametrize(("first", "second", "share"), [(FLUID, DENSE, 0.8), (DENSE, COLLAPSED, 0.5),
                                                        (FLUID, COLLAPSED, 0.8)],
                         ids=["in fluid", "in dense lung", "collapsed in fluid"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_dense_lung_with_a_label_is_seen(seed: int, first: Finding, second: Finding, share: float) -> None:
    """Of two dense findings in one lobe, what they share is seen once."""
    with_it, without = drawn(seed, first, second), drawn(seed, first)
    mask = mask_of(with_it, second.kind)
    changed = np.abs(with_it.ct.voxels.astype(int) - without.ct.voxels) > SEEN_HU
    assert (second in with_it.drawn) == bool(mask.any())
    assert not mask.any() or changed[mask].mean() > share


def test_fluid_takes_the_label_of_what_it_covers() -> None:
    drawing = drawn(1, FLUID, MASS)
    assert not (mask_of(drawing, "lung_mass") & mask_of(drawing, "pleural_effusion")).any()
