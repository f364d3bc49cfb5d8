"""Crops, grids, boxes, masks, sizes and the blend: what carries a lesion into the CT and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from text2ct.engines.lesiondiffusion.blending import FEATHER_MM, blended, feather_depth, mean_step, within_reach
from text2ct.engines.lesiondiffusion.crops import Window, components, lesions, window_around
from text2ct.engines.lesiondiffusion.drawing import chosen, on_patient_grid, place_for
from text2ct.engines.lesiondiffusion.hounsfield import to_hu, to_unit
from text2ct.engines.lesiondiffusion.measure import lesion_size
from text2ct.engines.lesiondiffusion.working import crop_around, inside_box, inside_ellipsoid, values_on
from text2ct.errors import BadRequest
from text2ct.formats.files import read_ct
from text2ct.geometry import Box, Grid
from text2ct.volume import CTVolume

ORIENTATIONS = ("LPS", "RAS", "SAL", "PIR", "ASR")


def turned(ct: CTVolume) -> CTVolume:
    """The same voxels on an oblique grid."""
    a = np.deg2rad(17)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return CTVolume(ct.voxels, turn @ ct.affine)


def test_hu_come_back_from_the_unit_scale() -> None:
    hu = np.array([-3000, -1000, -600, -200, 0, 37, 200, 500, 1000, 3000.0])
    assert to_unit(hu).tolist() == pytest.approx([0, 0, 0.1, 0.2, 0.5, 0.5555, 0.8, 0.875, 1, 1], abs=1e-6)
    assert to_hu(to_unit(hu)).tolist() == pytest.approx(np.clip(hu, -1000, 1000).tolist(), abs=1e-3)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_crop_shows_the_same_patient_however_the_ct_is_stored(orientation: str, body: CTVolume, box: Box) -> None:
    stored = body.reoriented(orientation)
    crop, plain = (crop_around(ct.grid, box, (24, 28, 28), 1.0) for ct in (stored, body))
    assert crop.grid.same_as(plain.grid, 1e-6)
    assert crop.grid.orientation == "SAL"
    assert crop.box == plain.box
    assert np.abs(values_on(stored.voxels, stored.grid, crop.grid)
                  - values_on(body.voxels, body.grid, plain.grid)).max() < 1e-2


def test_what_is_resampled_there_and_back_stays(body: CTVolume, box: Box) -> None:
    smooth = CTVolume(ndimage.gaussian_filter(body.voxels, 2.0), body.affine)
    crop = crop_around(smooth.grid, box, (70, 70, 70), 1.0)
    window = smooth.grid.window((14, 12, 10), (26, 24, 20))
    there = values_on(smooth.voxels, smooth.grid, crop.grid)
    back = values_on(there, crop.grid, window)
    assert np.abs(back - smooth.voxels[14:26, 12:24, 10:20]).max() < 12


def test_a_crop_larger_than_the_image_goes_on_with_its_edge(body: CTVolume) -> None:
    small = body.window((10, 10, 10), (16, 15, 14))
    a, b, c = small.grid.to_ras([3, 2, 2]).tolist()
    crop = crop_around(small.grid, Box((a, b, c), (6.0, 6.0, 6.0)), (64, 64, 64), 1.0)
    values = values_on(small.voxels, small.grid, crop.grid)
    assert crop.size == (64, 64, 64)
    assert small.voxels.min() <= values.min() <= values.max() <= small.voxels.max()


def test_a_box_larger_than_the_crop_is_seen_whole_on_larger_voxels(body: CTVolume) -> None:
    a, b, c = body.grid.to_ras([20, 18, 15]).tolist()
    crop = crop_around(body.grid, Box((a, b, c), (70.0, 60.0, 65.0)), (24, 28, 28), 1.0)
    assert crop.stretched > 3
    assert all(low > 0 and high < n for low, high, n in zip(crop.box.low, crop.box.high, crop.size, strict=True))


def test_windows_stay_in_the_volume() -> None:
    assert window_around(Window((0, 5, 30), (4, 9, 34)), (8, 8, 8), (36, 36, 36)).low == (0, 2, 27)
    assert window_around(Window((30, 30, 30), (36, 36, 36)), (8, 8, 8), (36, 36, 36)).high == (36, 36, 36)
    assert window_around(Window((1, 1, 1), (3, 3, 3)), (8, 8, 8), (5, 36, 36)).low == (0, 0, 0)


def test_components_come_by_size_and_small_lesions_are_passed_over() -> None:
    label = np.zeros((20, 20, 20), np.uint8)
    label[1:3, 1:3, 1:3], label[6:12, 6:12, 6:12], label[15:19, 15:19, 15:19] = 2, 2, 2
    assert [int(one.sum()) for one in components(label == 2)] == [216, 64, 8]
    assert [int(one.sum()) for one in lesions(label, 3)] == [216, 64]
    label[6:] = 0
    assert [int(one.sum()) for one in lesions(label, 3)] == [8]


def test_a_turned_box_holds_the_voxels_that_lie_in_it() -> None:
    grid, half = Grid.centred((41, 41, 41), (1, 1, 1), "RAS"), float(np.sqrt(0.5))
    axes = ((half, half, 0.0), (-half, half, 0.0), (0.0, 0.0, 1.0))
    box, volume = Box((0.0, 0.0, 0.0), (20.5, 10.5, 9.0), axes), 20.5 * 10.5 * 9
    assert inside_box(box, grid).sum() == pytest.approx(volume, rel=0.05)
    assert inside_ellipsoid(box, grid).sum() == pytest.approx(volume * np.pi / 6, rel=0.05)
    assert inside_ellipsoid(box, grid, 0.5).sum() == pytest.approx(volume * np.pi / 48, rel=0.2)


def test_of_all_candidates_the_one_of_the_wanted_size_is_taken() -> None:
    places = np.indices((30, 30, 30)) - 15
    radius = np.sqrt((places**2).sum(0))
    raws = [np.clip(1.2 - radius / size, 0, 1).astype(np.float32) for size in (6, 10, 14)]
    allowed = radius < 14
    for wanted in (100, 1000, 5000):
        found = chosen(raws, allowed, wanted)
        assert found.plain
        assert found.mask.sum() == pytest.approx(wanted, rel=0.35)
        assert not (found.mask & ~allowed).any()


def test_a_sample_without_a_lesion_still_gives_one_of_the_wanted_size_and_says_so() -> None:
    raw = np.random.default_rng(0).normal(-0.5, 0.05, (20, 20, 20)).astype(np.float32)
    allowed = np.zeros((20, 20, 20), bool)
    allowed[4:16, 4:16, 4:16] = True
    found = chosen([raw], allowed, 700)
    assert not found.plain
    assert 0 < found.mask.sum() <= 700
    assert not (found.mask & ~allowed).any()


def test_a_lesion_finer_than_the_voxels_of_the_ct_takes_one_of_them() -> None:
    fine, coarse = Grid.centred((20, 20, 20), (1, 1, 1)), Grid.centred((5, 5, 5), (5, 5, 8))
    mask = np.zeros(fine.shape, bool)
    mask[10, 10, 10] = True
    assert on_patient_grid(mask, fine, coarse, np.ones(coarse.shape, bool)).sum() == 1


def test_without_organ_labels_tissue_of_the_same_kind_is_the_target(body: CTVolume, box: Box) -> None:
    crop = crop_around(body.grid, box, (24, 28, 28), 2.5)
    hu = values_on(body.voxels, body.grid, crop.grid)
    place = place_for(crop, box, hu, None, 5, False)
    inside = inside_box(box, crop.grid)
    assert place.target[inside].mean() > 0.95
    assert set(np.unique(place.organs)) <= {0, 5}
    with pytest.raises(BadRequest, match="does not touch the organ"):
        place_for(crop, box, hu, np.zeros(crop.size, np.uint8), 5, True)


def test_the_size_of_a_ball_is_measured_in_any_orientation() -> None:
    grid = Grid.centred((50, 44, 20), (0.8, 0.8, 2.5), "LPS")
    ball = inside_ellipsoid(Box((1.0, 2.0, 0.5), (24.0, 16.0, 20.0)), grid)
    for code in ORIENTATIONS:
        order, flips = grid.reorientation(code)
        stored = ball.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        size = lesion_size(stored, grid.reoriented(code))
        assert size.volume_ml == pytest.approx(24 * 16 * 20 * np.pi / 6000, rel=0.03)
        assert size.diameter_mm == pytest.approx(24, abs=1.3)
        assert size.across_mm == pytest.approx(16, abs=1.6)
        assert size.centre == pytest.approx((1.0, 2.0, 0.5), abs=0.3)


def decoder(hu: np.ndarray) -> np.ndarray:
    """What a VQ-GAN does to a CT: it moves the mean, blurs, and stops at +-1000."""
    return np.clip(ndimage.gaussian_filter(hu.astype(np.float32), 0.8) * 0.97 + 25, -1000, 1000)


def places_in(ct: CTVolume, count: int, seed: int) -> list[tuple[CTVolume, np.ndarray]]:
    """Pieces of a CT around balls of 16 mm in soft tissue, and the balls as masks."""
    rng = np.random.default_rng(seed)
    soft = np.argwhere(ndimage.binary_erosion((ct.voxels > -50) & (ct.voxels < 150), iterations=2))
    found = []
    for index in rng.choice(len(soft), count):
        a, b, c = ct.grid.to_ras(soft[index]).tolist()
        piece = ct.cropped(Box((a, b, c), (64.0, 64.0, 64.0)))
        found.append((piece, inside_ellipsoid(Box((a, b, c), (16.0, 16.0, 16.0)), piece.grid)))
    return found


def gradient(voxels: np.ndarray, where: np.ndarray) -> float:
    """Mean absolute difference to the next voxel along each axis."""
    return float(sum(np.abs(np.diff(voxels.astype(float), axis=axis, append=np.take(voxels, [-1], axis)))[where].mean()
                     for axis in range(3)))


def roughness(voxels: np.ndarray, where: np.ndarray) -> float:
    """The typical difference of a voxel to its neighbourhood."""
    return float(np.median(np.abs(voxels - ndimage.uniform_filter(voxels.astype(float), 3))[where]))


@pytest.mark.parametrize("name", ["cip_ct64_chest_4mm", "lidc_idri_0314_chest_3mm", "totalseg_example_ct_abdomen_3mm",
                                  "totalseg_aorta_report_chest_crop_1p5mm"])
@pytest.mark.parametrize("way", ["as it is", "oblique and turned"])
def test_no_seam_shows_in_a_real_ct(name: str, way: str, shared: Path) -> None:
    """After a decoder that spoils the whole image: a lesion as bright as its surroundings keeps their noise,
    and one that is 30 HU darker has no steeper rim than the image has there."""
    ct = read_ct(shared / "data" / "real-ct" / f"{name}.nii.gz")
    ct = ct if way == "as it is" else turned(ct.reoriented("SPR"))
    before, after, noise_before, noise_after = 0.0, 0.0, 0.0, 0.0
    for number, (piece, mask) in enumerate(places_in(ct, 12, 3)):
        old, depth, untouched = piece.voxels, feather_depth(mask, piece.spacing), decoder(piece.voxels)
        flat = np.where(mask, ndimage.uniform_filter(untouched, 3), untouched)
        dark, like = (blended(old, painted, untouched, mask, piece.spacing, np.random.default_rng(number))
                      for painted in (untouched - 30 * np.clip(depth / 2 + 0.5, 0, 1), flat))
        assert np.array_equal(dark[depth <= -FEATHER_MM], old[depth <= -FEATHER_MM])
        rim, inner = np.abs(depth) < FEATHER_MM, depth > 0
        before, after = before + gradient(old, rim), after + gradient(dark, rim)
        noise_before, noise_after = noise_before + roughness(old, inner), noise_after + roughness(like, inner)
    assert after / before < 1.5
    if max(ct.spacing) < 3.5:  # beyond, a few voxels around the lesion do not tell noise from edges
        assert 0.6 < noise_after / noise_before < 1.5


def test_values_far_off_the_scale_survive_outside_and_fade_inside() -> None:
    old = np.full((30, 30, 30), 40, np.int16)
    old[15, 15, 15], old[2, 2, 2] = 3000, -1024
    mask = inside_ellipsoid(Box((0.0, 0.0, 0.0), (14.0, 14.0, 14.0)), Grid.centred((30, 30, 30), (1, 1, 1)))
    flat = np.full(old.shape, 40, np.float32)
    done = blended(old, flat - 60, np.clip(old, -1000, 1000).astype(np.float32), mask, (1.0, 1.0, 1.0),
                   np.random.default_rng(0))
    assert done[2, 2, 2] == -1024
    assert done[15, 15, 15] < 300
    assert done[mask].mean() == pytest.approx(-20, abs=8)


@pytest.mark.parametrize("spacing", [(0.7, 0.7, 1.0), (2.0, 2.0, 3.0), (0.8, 0.8, 5.0), (4.0, 4.0, 4.0)])
def test_where_the_change_ends_no_step_is_added_whatever_was_painted(spacing: tuple[float, float, float]) -> None:
    rng = np.random.default_rng(1)
    old = np.rint(rng.normal(-850, 25, (40, 40, 24))).astype(np.int16)
    form = Box((0.0, 0.0, 0.0), tuple(9 * s for s in spacing))  # type: ignore[arg-type]
    mask = inside_ellipsoid(form, Grid.centred(old.shape, spacing, "RAS"))
    untouched = old.astype(np.float32)
    done = blended(old, untouched + 900, untouched, mask, spacing, np.random.default_rng(0))
    touched = within_reach(mask, spacing)
    assert np.array_equal(done[~touched], old[~touched])
    assert done[mask].mean() == pytest.approx(50, abs=25)
    assert all((touched & ~mask).any(axis).any() for axis in ((0, 1), (0, 2), (1, 2)))
    before, after = (mean_step(ct.astype(np.float32), touched) for ct in (old, done))
    assert 1.0 < after / before < 1.5


def test_the_feather_holds_a_voxel_on_every_side_however_thick_the_slices_are() -> None:
    mask = np.zeros((21, 21, 7), bool)
    mask[8:13, 8:13, 3] = True
    assert within_reach(mask, (0.8, 0.8, 7.0))[10, 10].tolist() == [False, False, True, True, True, False, False]
