"""The healthy phantom: the same patient at any grid, labels that agree with HU, left and right where they belong."""

from __future__ import annotations

import numpy as np
import pytest

from text2ct.engines.phantom.drawing import Drawing, draw
from text2ct.errors import Cancelled
from text2ct.geometry import Grid
from text2ct.requests import CancelToken, Watch
from text2ct.volume import LabelVolume

LUNGS = ("lung_upper_lobe_right", "lung_middle_lobe_right", "lung_lower_lobe_right", "lung_upper_lobe_left",
         "lung_lower_lobe_left")
SEED = 11


def middle(organs: LabelVolume, name: str) -> np.ndarray:
    """The RAS centre of an organ."""
    found = np.argwhere(organs.mask(name))
    assert len(found), f"{name} is not drawn"
    return organs.grid.to_ras(found.mean(0))


def organs_of(drawing: Drawing) -> LabelVolume:
    assert drawing.organs is not None
    return drawing.organs


def test_the_same_seed_gives_the_same_voxels(healthy: Drawing, grid: Grid) -> None:
    again = draw([], SEED, grid)
    assert again.ct == healthy.ct
    assert again.organs == healthy.organs


def test_another_seed_gives_another_patient(healthy: Drawing, grid: Grid) -> None:
    other = draw([], SEED + 1, grid)
    assert np.mean(other.ct.voxels != healthy.ct.voxels) > 0.3
    assert abs(organs_of(other).volumes_ml()["liver"] - organs_of(healthy).volumes_ml()["liver"]) > 1


@pytest.mark.parametrize("shape", [(128, 118, 107), (48, 44, 40)])
def test_the_patient_does_not_depend_on_the_grid(healthy: Drawing, shape: tuple[int, int, int]) -> None:
    span = [n * s for n, s in zip(healthy.ct.shape, healthy.ct.spacing, strict=True)]
    spacing = [s / n for s, n in zip(span, shape, strict=True)]
    other = organs_of(draw([], SEED, Grid.centred(shape, spacing, "LPS")))
    for name in ("heart", "liver", "lung_lower_lobe_right", "aorta", "spleen"):
        shift = np.abs(middle(other, name) - middle(organs_of(healthy), name)).max()
        assert shift < 0.6 * max(*spacing, *healthy.ct.spacing), name
    before, after = organs_of(healthy).volumes_ml(), other.volumes_ml()
    assert after["heart"] == pytest.approx(before["heart"], rel=0.06)
    assert sum(after[n] for n in LUNGS) == pytest.approx(sum(before[n] for n in LUNGS), rel=0.06)


def test_a_small_field_of_view_crops_the_same_chest(healthy: Drawing) -> None:
    small = draw([], SEED, Grid.centred((48, 44, 32), (4.0, 4.0, 5.0), "LPS"))
    inside = organs_of(healthy).voxels[24:72, 22:66, 16:48]
    assert np.mean(organs_of(small).voxels == inside) > 0.995


@pytest.mark.parametrize(("names", "low", "high"), [
    (LUNGS, -950, -750), (("heart",), 0, 260), (("liver",), 30, 140), (("spleen",), 30, 150),
    (("trachea",), -1024, -700), (("vertebrae_T8", "vertebrae_T9"), 120, 600)])
def test_labels_agree_with_hu(healthy: Drawing, names: tuple[str, ...], low: int, high: int) -> None:
    mask = np.any([organs_of(healthy).mask(name) for name in names], 0)
    assert low < healthy.ct.voxels[mask].mean() < high


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_left_and_right_are_where_they_belong(grid: Grid, seed: int) -> None:
    organs = organs_of(draw([], seed, grid))
    assert middle(organs, "liver")[0] > 20
    assert middle(organs, "spleen")[0] < -40
    assert middle(organs, "heart")[0] < 0
    assert middle(organs, "aorta")[0] < 5
    assert middle(organs, "lung_middle_lobe_right")[0] > 30
    assert middle(organs, "rib_left_6")[0] < -40
    apex = np.argwhere(organs.mask("heart"))
    ras = organs.grid.to_ras(apex)
    lowest = ras[ras[:, 2] < np.percentile(ras[:, 2], 20)]
    assert lowest[:, 0].mean() < ras[:, 0].mean(), "the apex of the heart points down and to the left"


def test_front_and_back_up_and_down_are_where_they_belong(healthy: Drawing) -> None:
    organs = organs_of(healthy)
    assert middle(organs, "sternum")[1] > middle(organs, "heart")[1] > middle(organs, "vertebrae_T8")[1]
    assert middle(organs, "trachea")[2] > middle(organs, "heart")[2] > middle(organs, "liver")[2]
    assert middle(organs, "lung_upper_lobe_right")[2] > middle(organs, "lung_lower_lobe_right")[2]
    heights = [middle(organs, f"rib_right_{n}")[2] for n in range(2, 9)]
    assert heights == sorted(heights, reverse=True)


def test_ribs_slant_down_and_forward(healthy: Drawing) -> None:
    for name in ("rib_left_5", "rib_right_7"):
        ras = organs_of(healthy).grid.to_ras(np.argwhere(organs_of(healthy).mask(name)))
        front, back = ras[:, 1] > np.percentile(ras[:, 1], 80), ras[:, 1] < np.percentile(ras[:, 1], 20)
        assert ras[back, 2].mean() - ras[front, 2].mean() > 25


def test_lungs_have_the_volume_of_an_adult(healthy: Drawing) -> None:
    ml = organs_of(healthy).volumes_ml()
    assert 2500 < sum(ml[name] for name in LUNGS) < 6500
    assert all(ml[name] > 150 for name in LUNGS)


def test_drawing_can_be_cancelled(grid: Grid) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        draw([], SEED, grid, Watch(None, token))


def test_progress_is_told_in_order(grid: Grid) -> None:
    stages: list[str] = []
    draw([], SEED, Grid.centred((24, 22, 16), (16.0, 16.0, 20.0), "LPS"), Watch(lambda p: stages.append(p.stage)))
    assert stages[0] == "building the patient"
    assert stages[-1] == "drawing"
