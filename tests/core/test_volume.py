"""Volumes are values: they refuse what they are not, and are never changed behind one's back."""

from __future__ import annotations

import numpy as np
import pytest

from text2ct.digest import layers_digest, voxel_digest
from text2ct.errors import BadInput
from text2ct.geometry import Box, Grid
from text2ct.resample import resample_ct, resample_labels, smoothing
from text2ct.volume import AIR_HU, CTVolume, LabelVolume, Segment


def test_voxels_cannot_be_written_through_a_volume(ct: CTVolume) -> None:
    with pytest.raises(ValueError, match="read-only"):
        ct.voxels[0, 0, 0] = 5
    with pytest.raises(ValueError, match="read-only"):
        ct.affine[0, 0] = 5


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint16])
def test_a_ct_is_int16(dtype: type) -> None:
    with pytest.raises(BadInput, match="int16"):
        CTVolume(np.zeros((2, 2, 2), dtype), np.eye(4))


def test_a_volume_has_three_axes() -> None:
    with pytest.raises(BadInput, match="three axes"):
        CTVolume(np.zeros((2, 2, 2, 3), np.int16), np.eye(4))


def test_equality_is_of_kind_voxels_and_place(ct: CTVolume) -> None:
    assert ct == CTVolume(ct.voxels.copy(), ct.affine.copy())
    moved = ct.affine.copy()
    moved[0, 3] += 1
    assert ct != CTVolume(ct.voxels, moved)
    assert ct != CTVolume(ct.voxels + np.int16(1), ct.affine)


def test_two_segments_cannot_share_a_value() -> None:
    with pytest.raises(BadInput, match="of its own"):
        LabelVolume(np.zeros((2, 2, 2), np.uint8), np.eye(4), (Segment(1, "a", (0, 0, 0)), Segment(1, "b", (0, 0, 0))))


def test_an_unknown_segment_is_answered_with_the_known_ones(labels: LabelVolume) -> None:
    with pytest.raises(BadInput, match="heart"):
        labels.mask("spleen")


def test_volumes_in_ml_count_voxels(labels: LabelVolume) -> None:
    assert labels.volumes_ml()["heart"] == pytest.approx(2 * 2 * 2 * 0.8 * 0.9 * 2.5 / 1000)


def test_cropping_outside_is_refused_and_fitting_pads_with_air(ct: CTVolume) -> None:
    middle = ct.grid.to_ras(np.array(ct.shape) / 2)
    far = Box(tuple(middle + 1000), (10, 10, 10))
    with pytest.raises(BadInput, match="outside"):
        ct.cropped(far)
    assert (ct.fitted(far).voxels == AIR_HU).all()
    big = ct.fitted(Box(tuple(middle), (60, 60, 60)))
    assert (big.voxels != AIR_HU).sum() == ct.voxels.size


def test_the_digest_is_that_of_the_patient_not_of_the_axes(ct: CTVolume) -> None:
    assert voxel_digest(ct.reoriented("LPS")) == voxel_digest(ct.reoriented("SAR")) == voxel_digest(ct)
    mirrored = CTVolume(ct.voxels[::-1], ct.affine)
    assert voxel_digest(mirrored) != voxel_digest(ct)


def test_the_digest_of_layers_minds_their_order(labels: LabelVolume) -> None:
    other = LabelVolume(np.zeros_like(labels.voxels), labels.affine)
    assert layers_digest([labels]) == voxel_digest(labels)
    assert layers_digest([labels, other]) != layers_digest([other, labels])


def linear_field(grid: Grid) -> CTVolume:
    ras = grid.to_ras(np.moveaxis(np.indices(grid.shape), 0, -1))
    return CTVolume(np.rint(3 * ras[..., 0] - 2 * ras[..., 1] + ras[..., 2]).astype(np.int16), grid.affine)


@pytest.mark.parametrize("code", ["RAS", "LPS", "SRA", "PIL"])
def test_resampling_a_linear_field_gives_that_field_anywhere(code: str) -> None:
    source = linear_field(Grid.centred((40, 40, 30), (1.0, 1.2, 2.0), code))
    turn = np.deg2rad(20)
    affine = np.eye(4)
    affine[:2, :2] = 1.5 * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    affine[:3, 3] = -affine[:3, :3] @ [5, 5, 5]
    target = Grid((10, 10, 10), affine)
    wanted = linear_field(target)
    got = resample_ct(source, target)
    assert np.abs(got.voxels.astype(int) - wanted.voxels).max() <= 2
    assert got.same_grid(target)


def test_going_down_smooths_a_fine_pattern_away_and_keeps_the_mean() -> None:
    checker = (np.indices((32, 32, 32)).sum(0) % 2 * 1000).astype(np.int16)
    source = CTVolume(checker, np.eye(4))
    coarse = source.grid.with_spacing((4, 4, 4))
    middle = resample_ct(source, coarse).voxels[2:-2, 2:-2, 2:-2]
    assert np.abs(middle - 500).max() < 60
    assert resample_ct(source, coarse, anti_alias=False).voxels[2:-2, 2:-2, 2:-2].std() == pytest.approx(0, abs=1)
    assert smoothing(source.grid, source.grid) == (0, 0, 0)


def test_outside_the_source_stands_air_or_background(ct: CTVolume, labels: LabelVolume) -> None:
    far = ct.grid.window((100, 100, 100), (104, 104, 104))
    assert (resample_ct(ct, far).voxels == AIR_HU).all()
    assert not resample_labels(labels, far).voxels.any()


def test_labels_resampled_finer_and_back_are_the_same(labels: LabelVolume) -> None:
    fine = resample_labels(labels, labels.grid.with_spacing([s / 3 for s in labels.spacing]))
    assert set(np.unique(fine.voxels)) == {0, 1, 2, 7}
    assert np.array_equal(resample_labels(fine, labels.grid).voxels, labels.voxels)


def test_the_same_grid_is_not_resampled(ct: CTVolume) -> None:
    assert resample_ct(ct, ct.grid) is ct
