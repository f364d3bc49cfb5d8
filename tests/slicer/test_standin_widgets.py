"""The models of the MRML and ctk widgets follow the scene and signal in the order that was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ctk
import pytest
import qt
import slicer
from slicer_standin import drive
from slicer_standin.errors import StandInError


def listen(widget: Any, *signals: str) -> list[tuple[str, Any]]:
    heard: list[tuple[str, Any]] = []
    for signal in signals:
        widget.connect(signal, lambda value, signal=signal: heard.append((signal, value)))
    return heard


@pytest.fixture
def combo() -> Any:
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    return combo


def add(kind: str, name: str) -> Any:
    return slicer.mrmlScene.AddNewNodeByClass(kind, name)


# ---- node combo box


def test_a_node_combo_box_is_disabled_without_a_scene_and_then_chooses_the_first_node(combo: Any) -> None:
    node = add("vtkMRMLScalarVolumeNode", "a")
    assert not combo.enabled
    combo.setMRMLScene(slicer.mrmlScene)
    assert combo.enabled
    assert combo.currentNode() is node
    assert combo.currentNodeID == node.GetID()


def test_with_none_allowed_nothing_is_chosen(combo: Any) -> None:
    combo.noneEnabled = True
    combo.setMRMLScene(slicer.mrmlScene)
    add("vtkMRMLScalarVolumeNode", "a")
    assert combo.currentNode() is None
    assert combo.nodeCount() == 1


def test_a_removed_node_is_told_as_none_and_then_as_false(combo: Any) -> None:
    combo.setMRMLScene(slicer.mrmlScene)
    node = add("vtkMRMLScalarVolumeNode", "a")
    heard = listen(combo, "currentNodeChanged(bool)", "currentNodeChanged(vtkMRMLNode*)")
    slicer.mrmlScene.RemoveNode(node)
    assert heard == [("currentNodeChanged(vtkMRMLNode*)", None), ("currentNodeChanged(bool)", False)]


def test_closing_the_scene_is_told(combo: Any) -> None:
    combo.setMRMLScene(slicer.mrmlScene)
    add("vtkMRMLScalarVolumeNode", "a")
    heard = listen(combo, "currentNodeChanged(vtkMRMLNode*)")
    slicer.mrmlScene.Clear(False)
    assert heard[-1][1] is None


def test_hidden_nodes_and_nodes_of_other_classes_are_not_offered(combo: Any) -> None:
    combo.setMRMLScene(slicer.mrmlScene)
    add("vtkMRMLTextNode", "text")
    hidden = slicer.vtkMRMLScalarVolumeNode()
    hidden.SetHideFromEditors(True)
    slicer.mrmlScene.AddNode(hidden)
    add("vtkMRMLLabelMapVolumeNode", "labels")
    assert combo.nodeCount() == 1
    combo.showChildNodeTypes = False
    assert combo.nodeCount() == 0


def test_a_node_that_the_user_adds_is_chosen_and_told(combo: Any) -> None:
    combo.setMRMLScene(slicer.mrmlScene)
    heard = listen(combo, "nodeAddedByUser(vtkMRMLNode*)")
    node = combo.addNode()
    assert combo.currentNode() is node
    assert heard == [("nodeAddedByUser(vtkMRMLNode*)", node)]


def test_what_is_no_node_is_refused(combo: Any) -> None:
    with pytest.raises(TypeError):
        combo.setCurrentNode(3)
    with pytest.raises(TypeError):
        slicer.qMRMLSegmentsTableView().setSegmentationNode(slicer.vtkMRMLTextNode())


def test_a_widget_that_is_gone_does_not_listen_any_more(slicer_app: Any) -> None:
    parent = qt.QWidget()
    combo = slicer.qMRMLNodeComboBox(parent)
    combo.nodeTypes = ["vtkMRMLTextNode"]
    combo.setMRMLScene(slicer.mrmlScene)
    parent.deleteLater()
    drive.settle()
    add("vtkMRMLTextNode", "a")
    assert slicer_app.slips.exceptions == []


# ---- segments


@pytest.fixture
def segments() -> Any:
    node = add("vtkMRMLSegmentationNode", "organs")
    for identity in ("lung", "heart"):
        node.GetSegmentation().AddEmptySegment(identity, identity.title())
    return node


def test_the_segment_selector_tells_the_segment_before_the_node(segments: Any) -> None:
    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.setMRMLScene(slicer.mrmlScene)
    heard = listen(selector, "currentNodeChanged(vtkMRMLNode*)", "currentSegmentChanged(QString)")
    selector.setCurrentNode(segments)
    assert heard == [("currentSegmentChanged(QString)", "lung"), ("currentNodeChanged(vtkMRMLNode*)", segments)]
    assert (selector.currentNode(), selector.currentSegmentID()) == (segments, "lung")


def test_when_the_current_segment_goes_the_next_one_is_chosen_and_told(segments: Any) -> None:
    selector = slicer.qMRMLSegmentSelectorWidget()
    selector.setMRMLScene(slicer.mrmlScene)
    selector.setCurrentNode(segments)
    heard = listen(selector, "currentSegmentChanged(QString)")
    segments.GetSegmentation().RemoveSegment("lung")
    assert heard == [("currentSegmentChanged(QString)", "heart")]


def test_the_segment_table_follows_the_segmentation(segments: Any) -> None:
    table = slicer.qMRMLSegmentsTableView()
    table.setSegmentationNode(segments)
    heard: list[int] = []
    table.connect("selectionChanged(QItemSelection,QItemSelection)", lambda: heard.append(1))
    table.setSelectedSegmentIDs(["heart"])
    assert heard
    assert table.selectedSegmentIDs() == ("heart",)
    segments.GetSegmentation().AddEmptySegment("liver", "Liver")
    assert table.segmentCount == 3
    assert table.selectedSegmentIDs() == ("heart",)


# ---- place widget


def test_place_mode_is_that_of_the_scene() -> None:
    place, box = slicer.qSlicerMarkupsPlaceWidget(), add("vtkMRMLMarkupsROINode", "box")
    place.setMRMLScene(slicer.mrmlScene)
    heard = listen(place, "activeMarkupsPlaceModeChanged(bool)")
    place.placeModeEnabled = True
    assert not place.placeModeEnabled   # there is no node yet
    place.setCurrentNode(box)
    place.placeModeEnabled = True
    interaction, selection = place.interactionNode(), place.selectionNode()
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    assert selection.GetActivePlaceNodeID() == box.GetID()
    interaction.SwitchToViewTransformMode()
    assert [on for _, on in heard] == [True, False]
    assert not place.placeModeEnabled


def test_a_removed_box_ends_place_mode() -> None:
    place, box = slicer.qSlicerMarkupsPlaceWidget(), add("vtkMRMLMarkupsROINode", "box")
    place.setMRMLScene(slicer.mrmlScene)
    place.setCurrentNode(box)
    place.placeModeEnabled = True
    slicer.mrmlScene.RemoveNode(box)
    assert place.currentNode() is None
    assert not place.placeModeEnabled


# ---- ctk


def test_a_collapsed_section_hides_its_children_but_those_hidden_before_stay_so() -> None:
    section, shown, hidden = ctk.ctkCollapsibleButton("Section"), qt.QLabel("a"), qt.QLabel("b")
    layout = qt.QVBoxLayout(section)
    layout.addWidget(shown)
    layout.addWidget(hidden)
    hidden.visible = False
    section.show()
    heard = listen(section, "contentsCollapsed(bool)")
    section.collapsed = True
    assert not shown.visible
    section.collapsed = False
    assert (shown.visible, hidden.visible) == (True, False)
    assert [value for _, value in heard] == [True, False]


def test_the_numbers_of_ctk_widgets_keep_their_limits_and_tell_changes() -> None:
    for widget in (ctk.ctkSliderWidget(), ctk.ctkDoubleSpinBox()):
        heard = listen(widget, "valueChanged(double)")
        widget.minimum, widget.maximum, widget.decimals = -5, 5, 1
        widget.value = 2.5
        widget.value = 99
        assert widget.value == 5
        assert [value for _, value in heard] == [2.5, 5]


def test_a_path_is_told() -> None:
    edit = ctk.ctkPathLineEdit()
    heard = listen(edit, "currentPathChanged(QString)")
    edit.currentPath = "/tmp/a"
    assert heard == [("currentPathChanged(QString)", "/tmp/a")]


# ---- .ui files

UI = """<ui version="4.0"><class>P</class><widget class="qMRMLWidget" name="P"><layout class="QVBoxLayout" name="l">
<item><widget class="{kind}" name="w"><property name="{prop}"><bool>true</bool></property></widget></item></layout>
</widget><customwidgets><customwidget><class>qMRMLWidget</class><extends>QWidget</extends><header>qMRMLWidget.h</header>
</customwidget><customwidget><class>qMRMLNodeComboBox</class><extends>QWidget</extends><header>{header}</header>
</customwidget></customwidgets><connections><connection><sender>P</sender><signal>{signal}</signal>
<receiver>w</receiver><slot>{slot}</slot></connection></connections></ui>"""
GOOD = {"kind": "qMRMLNodeComboBox", "prop": "noneEnabled", "header": "qMRMLNodeComboBox.h",
        "signal": "mrmlSceneChanged(vtkMRMLScene*)", "slot": "setMRMLScene(vtkMRMLScene*)"}


def load(tmp_path: Path, **changes: str) -> Any:
    path = tmp_path / "p.ui"
    path.write_text(UI.format(**GOOD | changes), encoding="utf-8")
    return slicer.util.loadUI(str(path))


def test_the_connections_of_a_ui_file_are_made(tmp_path: Path) -> None:
    panel = load(tmp_path)
    panel.setMRMLScene(slicer.mrmlScene)
    combo = slicer.util.childWidgetVariables(panel).w
    assert combo.mrmlScene() is slicer.mrmlScene
    assert combo.noneEnabled


@pytest.mark.parametrize("change", [
    {"kind": "qMRMLNodeComboBoks"}, {"kind": "ctkNoSuchWidget"}, {"prop": "noneAllowed"}, {"header": "combo.h"},
    {"signal": "sceneChanged(vtkMRMLScene*)"}, {"slot": "setScene(vtkMRMLScene*)"}])
def test_a_ui_file_that_slicer_would_grumble_about_is_refused(tmp_path: Path, change: dict[str, str]) -> None:
    with pytest.raises(StandInError):
        load(tmp_path, **change)
