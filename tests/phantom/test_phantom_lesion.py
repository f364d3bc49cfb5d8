"""Lesions by rules in a given CT: only the lesion changes, however the image or the box is turned."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from text2ct.engines import catalog
from text2ct.engines.phantom.engine import PhantomEngine
from text2ct.engines.phantom.lesion import look_of
from text2ct.engines.phantom.scan_noise import ScanNoise, measure_noise
from text2ct.errors import BadRequest
from text2ct.geometry import Box, Grid
from text2ct.requests import InsertLesion, Result, Watch
from text2ct.volume import CTVolume, LabelVolume, Segment


def put(ct: CTVolume, box: Box, **more: object) -> Result:
    request = InsertLesion(ct, box, **more)  # type: ignore[arg-type]
    assert request.validate() == []
    return PhantomEngine().run(request, Watch())


def turned(ct: CTVolume) -> CTVolume:
    """The same voxels on an oblique grid."""
    a = np.deg2rad(17)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return CTVolume(ct.voxels, turn @ ct.affine)


def lung_box(ct: CTVolume, size: float = 40.0) -> Box:
    """A box in the middle of the largest piece of lung."""
    air = (ct.voxels < -600) & (ct.voxels > -960)
    depth = ndimage.distance_transform_edt(np.pad(air, 1), ct.spacing)[1:-1, 1:-1, 1:-1]
    depth[:8], depth[-8:], depth[:, :8], depth[:, -8:], depth[:, :, :8], depth[:, :, -8:] = 0, 0, 0, 0, 0, 0
    place = ct.grid.to_ras(np.unravel_index(int(depth.argmax()), ct.shape)).tolist()
    return Box((place[0], place[1], place[2]), (size, size, size))


@pytest.fixture(params=["as it is", "flipped", "oblique"])
def some_ct(request: pytest.FixtureRequest, real_ct: CTVolume) -> CTVolume:
    if request.param == "flipped":
        return real_ct.reoriented("SAR")
    return turned(real_ct) if request.param == "oblique" else real_ct


def test_only_the_lesion_changes(some_ct: CTVolume) -> None:
    box = lung_box(some_ct)
    result = put(some_ct, box, seed=3)
    assert result.ct is not None
    lesion = result.labels[0].mask("lesion")
    changed = result.ct.voxels != some_ct.voxels
    assert lesion.any()
    assert not (changed & ~ndimage.binary_dilation(lesion, iterations=2)).any()
    assert changed[lesion].mean() > 0.95
    assert result.ct.voxels.dtype == np.int16
    assert result.ct.same_grid(some_ct)
    inside = some_ct.grid.to_ras(np.argwhere(lesion)) - np.array(box.center)
    assert np.abs(inside).max() <= max(box.size) / 2 + max(some_ct.spacing)
    assert result.ct.voxels[ndimage.binary_erosion(lesion)].mean() > -60


def test_orientation_of_the_file_does_not_matter(real_ct: CTVolume) -> None:
    box = lung_box(real_ct)
    plain, other = put(real_ct, box, seed=5, parts="mask"), put(real_ct.reoriented("SAR"), box, seed=5, parts="mask")
    assert plain.labels[0] == other.labels[0].reoriented(real_ct.orientation)


def test_a_turned_box_turns_its_lesion(real_ct: CTVolume) -> None:
    middle = lung_box(real_ct).center
    flat = put(real_ct, Box(middle, (60.0, 24.0, 24.0)), parts="mask").labels[0].mask("lesion")
    axes = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))
    upright = put(real_ct, Box(middle, (60.0, 24.0, 24.0), axes), parts="mask").labels[0].mask("lesion")
    spread = [np.argwhere(m).std(0) * np.array(real_ct.spacing) for m in (flat, upright)]
    assert spread[0][0] > 1.6 * spread[0][2]
    assert spread[1][2] > 1.6 * spread[1][0]


def test_a_box_at_the_edge_is_cut_by_the_image(real_ct: CTVolume) -> None:
    corner = real_ct.grid.to_ras([0, 0, 0]).tolist()
    result = put(real_ct, Box((corner[0], corner[1], corner[2]), (40.0, 40.0, 40.0)))
    assert 0 < result.labels[0].mask("lesion").sum() < 400


@pytest.mark.parametrize(("density", "low", "high"), [
    ("solid", -20, 90), ("ground glass", -750, -380), ("calcified", 300, 800), ("cystic", -25, 45),
    ("fatty", -130, -50)])
def test_density_decides_hu(real_ct: CTVolume, density: str, low: int, high: int) -> None:
    result = put(real_ct, lung_box(real_ct, 36.0), attributes=(("density", density), ("shape", "round")))
    assert result.ct is not None
    core = ndimage.binary_erosion(result.labels[0].mask("lesion"))
    assert low < np.median(result.ct.voxels[core]) < high


def test_a_cavity_is_air_in_a_wall(real_ct: CTVolume) -> None:
    result = put(real_ct, lung_box(real_ct, 60.0), attributes=(("density", "cavitary"),))
    assert result.ct is not None
    lesion = result.labels[0].mask("lesion")
    depth = ndimage.distance_transform_edt(lesion)
    assert result.ct.voxels[depth > 0.8 * depth.max()].mean() < -800
    assert np.median(result.ct.voxels[lesion & (depth <= 1.5)]) > -500


def test_sizes_and_shapes_obey(real_ct: CTVolume) -> None:
    box = lung_box(real_ct, 48.0)

    def ml(**attributes: str) -> float:
        result = put(real_ct, box, parts="mask", attributes=tuple(attributes.items()))
        return result.labels[0].volumes_ml()["lesion"]

    assert ml(size="small") < 0.3 * ml(size="medium") * 1.5 < ml(size="full")
    assert ml(margin="spiculated") < ml(margin="smooth")
    flat = Box(box.center, (60.0, 60.0, 30.0))
    round_, oval = (put(real_ct, flat, parts="mask", attributes=(("shape", s),)).labels[0].volumes_ml()["lesion"]
                    for s in ("round", "oval"))
    assert round_ < 0.5 * oval


def test_a_given_mask_is_used_as_it_is(real_ct: CTVolume) -> None:
    box = lung_box(real_ct)
    mine = np.zeros(real_ct.shape, np.uint8)
    at = np.rint(real_ct.grid.to_ijk(box.center)).astype(int)
    mine[at[0] - 2:at[0] + 3, at[1] - 2:at[1] + 3, at[2] - 1:at[2] + 2] = 1
    mask = LabelVolume(mine, real_ct.affine, (Segment(1, "mine", (1.0, 0.0, 0.0)),))
    result = put(real_ct, box, mask=mask, parts="paint")
    assert result.ct is not None
    assert np.array_equal(result.labels[0].voxels, mine)
    changed = result.ct.voxels != real_ct.voxels
    assert changed[mine > 0].mean() > 0.9
    assert not (changed & ~ndimage.binary_dilation(mine > 0)).any()


def test_the_mask_alone_leaves_no_ct(real_ct: CTVolume) -> None:
    result = put(real_ct, lung_box(real_ct), parts="mask")
    assert result.ct is None
    assert result.labels[0].mask("lesion").any()


def test_an_organ_keeps_the_lesion_inside(real_ct: CTVolume) -> None:
    box = lung_box(real_ct)
    half = np.zeros(real_ct.shape, np.uint8)
    at = int(np.rint(real_ct.grid.to_ijk(box.center))[2])
    half[:, :, at:] = 1
    organs = LabelVolume(half, real_ct.affine, (Segment(1, "upper", (0.0, 1.0, 0.0)),))
    lesion = put(real_ct, box, organs=organs, organ="upper").labels[0].mask("lesion")
    assert lesion.any()
    assert not lesion[:, :, :at].any()


def test_words_of_the_text_are_taken_for_attributes(real_ct: CTVolume) -> None:
    box = lung_box(real_ct)
    told = put(real_ct, box, seed=2, text="A calcified, lobulated nodule")
    set_ = put(real_ct, box, seed=2, attributes=(("density", "calcified"), ("margin", "lobulated")))
    assert told.ct == set_.ct


@pytest.mark.parametrize("pair", [("density", "purple"), ("colour", "red")])
def test_unknown_attributes_are_refused_in_a_sentence(real_ct: CTVolume, pair: tuple[str, str]) -> None:
    with pytest.raises(BadRequest, match="there are"):
        put(real_ct, lung_box(real_ct), attributes=(pair,))


def test_every_word_of_the_vocabulary_works(real_ct: CTVolume) -> None:
    box = lung_box(real_ct, 30.0)
    for name, values in catalog.engine("phantom").lesion_vocabulary.items():
        for value in values:
            assert put(real_ct, box, attributes=((name, value),)).labels[0].mask("lesion").any()


def test_noise_is_measured_and_made_alike() -> None:
    made = ScanNoise(14.0, (0.5, 0.5, 0.0)).field(np.random.default_rng(1), (60, 60, 40))
    ct = CTVolume(np.rint(40 + made).astype(np.int16), Grid.centred((60, 60, 40), (1, 1, 2)).affine)
    again = measure_noise(ct.voxels)
    assert again.sigma_hu == pytest.approx(14, rel=0.2)
    assert again.blur[0] == pytest.approx(0.5, abs=0.12)
    assert again.blur[2] < 0.35


def test_a_thin_turned_box_costs_no_more_memory_than_its_window() -> None:
    """A form of the size of a wall, a millimetre thin, once asked for gigabytes."""
    c = float(np.sqrt(0.5))
    box = Box((0.0, 0.0, 0.0), (1.0, 150.0, 150.0), ((c, c, 0.0), (-c, c, 0.0), (0.0, 0.0, 1.0)))
    ct = CTVolume(np.full((64, 64, 40), -850, np.int16), Grid.centred((64, 64, 40), (3.0, 3.0, 5.0)).affine)
    tracemalloc.start()
    result = PhantomEngine().run(InsertLesion(ct, box), Watch())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60_000_000
    assert result.labels[0].voxels.any()


@pytest.mark.parametrize(("text", "density"), [
    ("a ground-glass nodule", "ground glass"), ("non-calcified solid nodule", "solid"), ("no cystic change", ""),
    ("surrounded by fat", ""), ("cavitary lesion", "cavitary")])
def test_free_words_are_read_as_words(text: str, density: str) -> None:
    ct = CTVolume(np.full((20, 20, 20), -850, np.int16), Grid.centred((20, 20, 20), (2.0, 2.0, 2.0)).affine)
    look = look_of(InsertLesion(ct, Box((0.0, 0.0, 0.0), (20.0, 20.0, 20.0)), text=text))
    assert look.density == density
