"""What the user does in the views: a box drawn with two clicks and pulled at a face covers the voxels that he means."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import slicer
from flows import finish, run_in, small_ct, status, volumes
from slicer_standin import drive

views: Any = pytest.importorskip("slicer_standin.views")
if not views.can_render():
    pytest.skip(views.NO_OPENGL, allow_module_level=True)

Turn = Callable[..., Any]
Point = tuple[float, float, float]
WHITE = 200


@pytest.fixture
def here(slicer_app: Any, request: pytest.FixtureRequest) -> Any:
    """The panel with its lesion section open, running requests inside Slicer."""
    run_in("here")
    panel = request.getfixturevalue("panel")
    panel.uis["Lesion"].lesionSection.collapsed = False
    return panel


@pytest.fixture
def ct(here: Any) -> Any:
    """An oblique, anisotropic CT, shown in the views and chosen in the panel."""
    node = small_ct()
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    here.uis["Lesion"].inputSelector.setCurrentNode(node)
    drive.settle()
    return node


@pytest.fixture
def view_of(slicer_app: Any) -> Iterator[Callable[[str], Any]]:
    """Opens the slice view of a name, fitted."""
    opened = []

    def opening(name: str) -> Any:
        view = views.SliceView(slicer_app, name)
        view.fit()
        view.render()
        opened.append(view)
        return view

    yield opening
    for view in opened:
        view.close()


def middle(ct: Any) -> Point:
    bounds = np.zeros(6)
    ct.GetRASBounds(bounds)
    r, a, s = ((bounds[::2] + bounds[1::2]) / 2).tolist()
    return r, a, s


def placing() -> bool:
    interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    return bool(interaction.GetCurrentInteractionMode() == interaction.Place)


def drawn(panel: Any, ct: Any, view: Any, half: float = 9.0) -> tuple[Any, Point, Point]:
    """A box drawn by the button and two clicks around the middle of the CT, and the points that were clicked."""
    here = middle(ct)
    view.jump(*here)
    view.render()
    drive.click(panel.uis["Lesion"].drawBoxButton)
    x, y = view.pixel_of(here)
    step = abs(view.pixel_of((here[0] + half, here[1], here[2]))[0] - x)
    corners = [(round(x - step), round(y - step)), (round(x + step), round(y + step))]
    points = []
    for corner in corners:
        view.click(*corner)
        points.append(view.ras_of(*corner))
        drive.settle()
    return panel.uis["Lesion"].boxSelector.currentNode(), *points


def voxels_between(ct: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """The voxels whose cell a box between two corners (RAS) touches: by the affine of the CT alone."""
    from Text2CTSlicerLib import reading

    corners = np.array(list(itertools.product(*zip(low, high, strict=True))))
    inverse = np.linalg.inv(reading.affine_of(ct))
    ijk = corners @ inverse[:3, :3].T + inverse[:3, 3]
    return np.floor(ijk.min(0) + 0.5), np.ceil(ijk.max(0) + 0.5)


def bounds_of(roi: Any) -> tuple[Any, Any]:
    bounds = np.zeros(6)
    roi.GetRASBounds(bounds)
    return bounds[::2], bounds[1::2]


def assert_voxels(roi: Any, ct: Any, low: Any, high: Any) -> None:
    """The box covers the voxels between two corners, but for one at an edge: a mouse moves by whole pixels."""
    from Text2CTSlicerLib import boxes

    found, wanted = boxes.voxel_window(roi, ct), voxels_between(ct, low, high)
    assert np.abs(np.subtract(found, wanted)).max() <= 1, (found, wanted)


def test_two_clicks_after_draw_box_give_the_voxels_between_them(here: Any, ct: Any, view_of: Any) -> None:
    red = view_of("Red")
    roi, first, second = drawn(here, ct, red)
    low, high = bounds_of(roi)
    assert np.sort([first[0], second[0]]) == pytest.approx([low[0], high[0]], abs=0.5)
    assert np.sort([first[1], second[1]]) == pytest.approx([low[1], high[1]], abs=0.5)
    assert high[2] > low[2]
    clicked = np.array([first, second])
    assert_voxels(roi, ct, [*clicked.min(0)[:2], low[2]], [*clicked.max(0)[:2], high[2]])


def test_place_mode_begins_with_the_button_and_ends_with_the_second_click(here: Any, ct: Any, view_of: Any) -> None:
    red = view_of("Red")
    red.jump(*middle(ct))
    assert not placing()
    drive.click(here.uis["Lesion"].drawBoxButton)
    assert placing()
    assert "two opposite corners" in status(here)
    red.click(180, 180)
    assert placing()
    red.click(220, 220)
    assert not placing()


def test_a_drawn_box_can_be_pulled_at_a_face_at_once(here: Any, ct: Any, view_of: Any) -> None:
    red = view_of("Red")
    roi, *_ = drawn(here, ct, red)
    low, high = bounds_of(roi)
    center = (low + high) / 2
    x, y = red.pixel_of((high[0], center[1], center[2]))
    red.drag((x + 2, y + 2), (x - 22, y + 2))   # the patient's right is on the left: the face goes out
    begin, end = red.ras_of(x + 2, y + 2), red.ras_of(x - 22, y + 2)
    pulled = high + [end[0] - begin[0], 0, 0]
    assert pulled[0] > high[0] + 2
    now = bounds_of(roi)
    assert now[0] == pytest.approx(low, abs=0.5)
    assert now[1] == pytest.approx(pulled, abs=1)
    assert_voxels(roi, ct, low, pulled)


def test_the_panel_says_how_the_box_lies_while_it_is_pulled(
        here: Any, ct: Any, view_of: Any, turn_until: Callable[..., Any]) -> None:
    red = view_of("Red")
    roi, *_ = drawn(here, ct, red)
    _organ_around(here, ct, roi)
    label = here.uis["Lesion"].relationLabel
    assert label.text == "The box lies inside liver."
    low, high = bounds_of(roi)
    center = (low + high) / 2
    x, y = red.pixel_of((high[0], center[1], center[2]))
    red.drag((x + 2, y + 2), (x - 60, y + 2))
    turn_until(lambda: "% of the box lie in liver" in label.text, 5)


def test_what_was_drawn_in_a_coronal_view_is_what_is_painted(
        here: Any, ct: Any, view_of: Any, turn_until: Turn) -> None:
    from Text2CTSlicerLib import boxes

    roi, first, second = drawn(here, ct, view_of("Green"))
    low, _ = bounds_of(roi)
    clicked = np.array([first, second])
    assert [low[0], low[2]] == pytest.approx(clicked.min(0)[[0, 2]], abs=0.5)
    before = slicer.util.arrayFromVolume(ct).copy()
    drive.click(here.uis["Lesion"].paintButton)
    finish(here, turn_until)
    (painted,) = volumes()
    changed = np.argwhere((slicer.util.arrayFromVolume(painted) != before).transpose(2, 1, 0))
    start, end = boxes.voxel_window(roi, ct)
    assert len(changed)
    assert (changed.min(0) >= start).all()
    assert (changed.max(0) < end).all()


def test_drawing_that_is_stopped_leaves_no_empty_box(here: Any, ct: Any, view_of: Any) -> None:
    view_of("Red")
    drive.click(here.uis["Lesion"].drawBoxButton)
    drive.click(here.uis["Lesion"].drawBoxButton)
    assert not placing()
    assert slicer.util.getNodesByClass("vtkMRMLMarkupsROINode") == []
    assert not here.uis["Lesion"].paintButton.enabled


def test_a_click_in_the_ledger_centers_the_finding_in_the_view(here: Any, ct: Any, view_of: Any) -> None:
    from Text2CTSlicerLib import display

    corner = np.array(bounds_of(ct)[0])
    place = tuple((corner + [12, 14, 20]).tolist())
    for name, axis in (("Red", 2), ("Green", 1), ("Yellow", 0)):
        view = view_of(name)
        display.jump(place)
        x, y = view.pixel_of(place)
        assert (x, y) == pytest.approx((200, 200), abs=2)
        assert view.ras_of(x, y)[axis] == pytest.approx(place[axis], abs=1e-3)


def test_a_result_is_seen_in_its_window_and_fitted(here: Any, view_of: Any) -> None:
    from Text2CTSlicerLib import display

    voxels = np.full((40, 40, 40), -1000, np.int16)
    voxels[10:30, 10:30, 10:30] = 200
    node = slicer.util.addVolumeFromArray(voxels, name="cube")
    node.CreateDefaultDisplayNodes()
    display.show(node, "lung")
    red = view_of("Red")
    red.jump(20, 20, 20)
    x, y = red.pixel_of((20, 20, 20))
    picture = red.image()
    assert picture[400 - round(y), round(x)].mean() > WHITE
    left, bottom = red.pixel_of((40, 0, 20))
    right, top = red.pixel_of((0, 40, 20))
    assert 300 < max(right - left, top - bottom) <= 401


def test_variants_are_drawn_beside_each_other_each_with_its_own_ct(here: Any, view_of: Any) -> None:
    from Text2CTSlicerLib import display

    cts = []
    for level in (-1000, 400):
        node = slicer.util.addVolumeFromArray(np.full((20, 20, 20), level, np.int16), name=f"level {level}")
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().AutoWindowLevelOff()
        node.GetDisplayNode().SetWindowLevel(1400, -500)
        cts.append(node)
    display.compare(cts)
    assert slicer.app.layoutManager().sliceViewNames() == ("Text2CT1", "Text2CT2")
    dark, bright = (view_of(name).image() for name in ("Text2CT1", "Text2CT2"))
    assert dark[200, 200].mean() < 100
    assert bright[200, 200].mean() > WHITE


def _organ_around(panel: Any, ct: Any, roi: Any) -> None:
    """A segment 'liver' that holds the box, and little more towards the patient's right; chosen in the panel."""
    from Text2CTSlicerLib import boxes, nodes, reading

    from text2ct.provenance import Provenance
    from text2ct.volume import LabelVolume, Segment

    low, high = boxes.voxel_window(roi, ct)
    voxels = np.zeros(ct.GetImageData().GetDimensions(), np.uint8)
    voxels[tuple(slice(a - 1, b + 1) for a, b in zip(low, high, strict=True))] = 1
    labels = LabelVolume(voxels, reading.affine_of(ct), (Segment(1, "liver", (1, 0, 0)),))
    organs = nodes.add_segmentation([labels], "organs", Provenance("phantom", "generate", 1), ct)
    panel.uis["Lesion"].organSelector.setCurrentNode(organs)
    panel.uis["Lesion"].organSelector.setCurrentSegmentID("liver")
    drive.settle()
