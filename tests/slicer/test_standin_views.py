"""The offscreen views are Slicer's own: the mouse in them places and changes a box, and the widgets hear of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

views: Any = pytest.importorskip("slicer_standin.views")
if not views.can_render():
    pytest.skip(views.NO_OPENGL, allow_module_level=True)


@pytest.fixture
def volume() -> Any:
    """100 mm of air with a bright cube in the middle."""
    voxels = np.full((50, 50, 50), -1000, np.int16)
    voxels[20:30, 20:30, 20:30] = 400
    node = slicer.util.addVolumeFromArray(voxels, name="cube")
    node.SetSpacing(2, 2, 2)
    node.SetOrigin(-50, -50, -50)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAutoWindowLevel(0)
    node.GetDisplayNode().SetWindowLevel(1400, -500)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node


@pytest.fixture
def red(slicer_app: Any, volume: Any) -> Iterator[Any]:
    view = views.SliceView(slicer_app, "Red")
    view.fit()
    view.jump(0, 0, 0)
    view.render()
    yield view
    view.close()


@pytest.fixture
def place(slicer_app: Any) -> Any:
    """A place widget for a new box."""
    widget = slicer.qSlicerMarkupsPlaceWidget()
    widget.setMRMLScene(slicer.mrmlScene)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    roi.CreateDefaultDisplayNodes()
    widget.setCurrentNode(roi)
    return widget


def test_the_slice_shows_the_volume_at_its_place(red: Any, tmp_path: Path) -> None:
    picture = red.image()
    x, y = red.pixel_of((0, 0, 0))
    assert picture[400 - round(y), round(x)].mean() > 200
    x, y = red.pixel_of((-35, 35, 0))
    assert picture[400 - round(y), round(x)].mean() < 60
    assert red.save(tmp_path / "red.png").stat().st_size > 500


def test_two_clicks_place_a_box_and_the_widget_says_when_place_mode_ends(red: Any, place: Any) -> None:
    heard: list[bool] = []
    place.connect("activeMarkupsPlaceModeChanged(bool)", heard.append)
    place.placeModeEnabled = True
    red.click(*red.pixel_of((-20, -10, 0)))
    assert place.placeModeEnabled
    red.click(*red.pixel_of((10, 20, 0)))
    assert not place.placeModeEnabled
    assert heard == [True, False]
    roi = place.currentNode()
    assert tuple(roi.GetSize())[:2] == pytest.approx((30, 30), abs=1)
    assert tuple(roi.GetCenter())[:2] == pytest.approx((-5, 5), abs=1)
    assert roi.GetSize()[2] > 0


def test_dragging_a_face_changes_the_size_and_leaves_the_opposite_face(red: Any, place: Any) -> None:
    roi = place.currentNode()
    roi.SetCenter(0, 0, 0)
    roi.SetSize(40, 30, 20)
    roi.GetDisplayNode().SetHandlesInteractive(True)
    red.render()
    x, y = red.pixel_of((20, 0, 0))
    red.drag((x + 2, y + 2), (x + 42, y + 2))   # the patient's right is on the left
    bounds = np.zeros(6)
    roi.GetRASBounds(bounds)
    assert bounds[1] == pytest.approx(10, abs=1)
    assert bounds[0] == pytest.approx(-20, abs=0.5)
    assert tuple(bounds[2:4]) == pytest.approx((-15, 15), abs=0.5)


def test_the_3d_view_draws_a_box(slicer_app: Any, place: Any, tmp_path: Path) -> None:
    view = views.VolumeView(slicer_app)
    empty = view.image().astype(int)
    place.currentNode().SetSize(40, 30, 20)
    view.fit()
    drawn = view.image().astype(int)
    view.close()
    assert np.abs(drawn - empty).max() > 60
