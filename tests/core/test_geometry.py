"""Physical points stay where they were, whatever is done to the axes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2ct.errors import BadInput
from text2ct.geometry import Box, Grid, checked_affine
from text2ct.volume import CTVolume

CODES = ["".join(letters) for pairs in itertools.permutations(["RL", "AP", "SI"])
         for letters in itertools.product(*pairs)]


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Any rotation (also mirrored), any spacing, any place."""
    numbers = st.floats(-1, 1, allow_nan=False)
    quaternion = np.array([draw(numbers) for _ in range(4)]) + [1e-3, 0, 0, 0]
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    rotation = np.array([[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                         [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                         [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])
    mirror = np.diag([draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)])
    affine = np.eye(4)
    affine[:3, :3] = rotation @ mirror @ np.diag([draw(st.floats(0.3, 6)) for _ in range(3)])
    affine[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    sizes = [draw(st.integers(1, 6)) for _ in range(3)]
    return Grid((sizes[0], sizes[1], sizes[2]), affine)


def numbered(grid: Grid) -> CTVolume:
    return CTVolume(np.arange(np.prod(grid.shape), dtype=np.int16).reshape(grid.shape), grid.affine)


def places(volume: CTVolume) -> dict[int, np.ndarray]:
    """Where in the patient each voxel value lies."""
    indices = np.argwhere(np.ones(volume.shape, bool))
    return dict(zip(volume.voxels.ravel().tolist(), volume.grid.to_ras(indices), strict=True))


@given(grids(), st.sampled_from(CODES))
def test_reorienting_moves_no_voxel_in_the_patient(grid: Grid, code: str) -> None:
    before, turned = numbered(grid), numbered(grid).reoriented(code)
    assert turned.orientation == code
    there = places(turned)
    for value, place in places(before).items():
        assert np.allclose(there[value], place, atol=1e-6)


@given(grids(), st.sampled_from(CODES))
def test_reorienting_back_gives_the_same_volume(grid: Grid, code: str) -> None:
    before = numbered(grid)
    after = before.reoriented(code).reoriented(before.orientation)
    assert np.array_equal(after.voxels, before.voxels)
    assert after.same_grid(before, tolerance_mm=1e-6)


@given(grids(), st.tuples(*[st.integers(-4, 4)] * 3), st.tuples(*[st.integers(1, 7)] * 3))
def test_a_window_keeps_every_voxel_it_covers_in_its_place(grid: Grid, low: tuple[int, ...],
                                                           size: tuple[int, ...]) -> None:
    before = numbered(grid)
    window = before.window(low, [a + n for a, n in zip(low, size, strict=True)])
    assert window.shape == size
    known = places(before)
    inside = 0
    for value, place in zip(window.voxels.ravel().tolist(),
                            window.grid.to_ras(np.argwhere(np.ones(window.shape, bool))), strict=True):
        if value == before.fill:
            continue
        inside += 1
        assert np.allclose(known[value], place, atol=1e-6)
    reach = [max(0, min(a + n, m) - max(a, 0)) for a, n, m in zip(low, size, grid.shape, strict=True)]
    assert inside == np.prod(reach)


@given(grids())
def test_points_go_to_voxels_and_back(grid: Grid) -> None:
    points = np.array([[0, 0, 0], [1.5, -2, 7], [3, 3, 3]])
    assert np.allclose(grid.to_ijk(grid.to_ras(points)), points, atol=1e-6)


@pytest.mark.parametrize("code", CODES)
def test_a_centred_grid_points_as_named_and_has_its_middle_at_the_origin(code: str) -> None:
    grid = Grid.centred((4, 6, 10), (1, 2, 3), code)
    assert grid.orientation == code
    assert grid.spacing == pytest.approx((1, 2, 3))
    assert np.allclose(grid.to_ras([1.5, 2.5, 4.5]), 0)


def test_halfway_between_two_axes_every_order_of_the_array_gives_the_same_turned_volume() -> None:
    c = np.sqrt(0.5)
    affine = np.array([[c, -c, 0, 0], [c, c, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]])
    before = numbered(Grid((4, 5, 3), affine))
    for axes in itertools.permutations(range(3)):
        noisy = affine.copy()
        noisy[:3, :3] = affine[:3, list(axes)] * (1 + 1e-7 * np.array([1, -2, 3]))
        other = CTVolume(before.voxels.transpose(axes), noisy)
        assert np.array_equal(other.reoriented("RAS").voxels, before.reoriented("RAS").voxels)


def test_left_is_minus_r() -> None:
    grid = Grid.centred((5, 5, 5), (1, 1, 1), "LPS")
    assert grid.to_ras([4, 0, 0])[0] < grid.to_ras([0, 0, 0])[0]


def test_a_box_on_voxel_edges_covers_exactly_those_voxels() -> None:
    grid = Grid((10, 10, 10), np.diag([2.0, 2.0, 2.0, 1.0]))
    box = Box.between((3, 5, 7), (7, 9, 13))  # voxel n covers [2n-1, 2n+1]
    assert box.voxels_in(grid) == ((2, 3, 4), (4, 5, 7))


def test_a_box_in_float32_gains_no_voxel() -> None:
    grid = Grid((10, 10, 10), np.diag([0.1, 0.1, 0.1, 1.0]))
    center = [float(np.float32(0.4))] * 3
    box = Box((center[0], center[1], center[2]), (0.3, 0.3, 0.3))
    assert box.voxels_in(grid) == ((3, 3, 3), (6, 6, 6))


@given(grids(), st.floats(0.5, 3))
def test_a_turned_box_covers_all_its_corners(grid: Grid, scale: float) -> None:
    middle = grid.to_ras((np.array(grid.shape) - 1) / 2)
    edge = scale * max(grid.spacing)
    turn = grid.directions * np.sign(np.linalg.det(grid.directions))
    box = Box(tuple(middle), (edge, edge, edge), tuple(tuple(row) for row in turn.T))
    low, high = box.voxels_in(grid, clip=False)
    corners = grid.to_ijk(box.corners())
    assert (corners >= np.array(low) - 0.502).all()
    assert (corners <= np.array(high) - 0.498).all()


@pytest.mark.parametrize(("affine", "word"), [
    (np.full((4, 4), np.nan), "not a number"),
    (np.zeros((4, 4)), "voxels of"),
    (np.diag([1.0, 1, 1, 2]), "last row"),
    (np.array([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "same way"),
    (np.eye(3), "4x4"),
    (np.diag([1e9, 1, 1, 1]), "voxels of"),
])
def test_an_impossible_affine_is_named(affine: np.ndarray, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        checked_affine(affine)


@pytest.mark.parametrize(("box", "word"), [
    (Box((0, 0, float("nan")), (1, 1, 1)), "not a number"),
    (Box((0, 0, 0), (1, 0, 1)), "longer than zero"),
    (Box((0, 0, 0), (1, 1, 1), ((1, 0, 0), (1, 0, 0), (0, 0, 1))), "right angles"),
])
def test_an_impossible_box_says_why(box: Box, word: str) -> None:
    assert word in box.problems()[0]


def test_other_spacing_covers_the_same_space() -> None:
    grid = Grid.centred((10, 12, 7), (1.0, 1.0, 3.0))
    finer = grid.with_spacing((2.0, 2.0, 1.5))
    assert finer.shape == (5, 6, 14)
    assert np.allclose(finer.to_ras([-0.5] * 3), grid.to_ras([-0.5] * 3))
    assert np.allclose(finer.to_ras(np.array(finer.shape) - 0.5), grid.to_ras(np.array(grid.shape) - 0.5))


@pytest.mark.parametrize("code", ["RAX", "RRS", "RA", "", "RASL"])
def test_a_wrong_orientation_is_named(code: str) -> None:
    with pytest.raises(BadInput, match="three letters"):
        Grid.centred((2, 2, 2), (1, 1, 1)).reoriented(code)
