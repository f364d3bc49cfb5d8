"""The stand-in carries the real module: from a typed report through a real process to nodes in the scene."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import slicer
from slicer_standin import drive


def cts() -> list[Any]:
    return [n for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if n.IsA("vtkMRMLScalarVolumeNode")]


def generate(panel: Any, report: str = "Small left pleural effusion.") -> None:
    drive.type_text(panel.uis["Report"].reportEdit, report)
    drive.click(panel.uis["Report"].generateButton)


def status(panel: Any) -> str:
    return str(panel.uis["Jobs"].statusLabel.text)


def test_a_typed_report_becomes_nodes_and_the_application_stays_alive(
        panel: Any, turn_until: Any, slicer_app: Any, flavour: str) -> None:
    generate(panel)
    turning = turn_until(lambda: status(panel).startswith("Done"), 120)
    assert turning.per_second > 20
    (segmentation,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert segmentation.GetSegmentation().GetNumberOfSegments() > 0
    shown = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode().GetBackgroundVolumeID()
    assert slicer.mrmlScene.GetNodeByID(shown).GetImageData().GetScalarRange()[0] < -900
    assert slicer_app.dialogs.texts == []
    assert slicer_app.packages.installed == []


def test_a_cancelled_run_leaves_an_empty_scene_and_a_free_panel(panel: Any, turn_until: Any) -> None:
    generate(panel)
    turn_until(lambda: "drawing" in status(panel) or "building" in status(panel), 60)
    drive.click(panel.uis["Jobs"].cancelButton)
    turn_until(lambda: "ancel" in status(panel) and not panel.uis["Jobs"].cancelButton.enabled, 60)
    drive.settle()
    assert slicer.util.getNodesByClass("vtkMRMLSegmentationNode") == []
    assert panel.uis["Report"].generateButton.enabled


def test_the_module_can_be_reloaded_and_still_opens(module: Any, panel: Any) -> None:
    before = panel
    loaded = slicer.modules.text2ctslicer
    slicer.util.reloadScriptedModule("Text2CTSlicer")
    assert loaded.widget is not before
    assert slicer.modules.Text2CTSlicerWidget is loaded.widget
    loaded.enter()
    assert loaded.widget.uis["Report"].reportEdit.plainText == ""


def test_loading_it_again_takes_fresh_files_of_the_lib_package(module: Any) -> None:
    module("Text2CTSlicer")
    first = sys.modules["Text2CTSlicerLib"]
    module("Text2CTSlicer")
    assert sys.modules["Text2CTSlicerLib"] is not first


def test_the_panel_can_be_drawn(panel: Any, tmp_path: Path) -> None:
    picture = drive.grab(panel.parent, tmp_path / "panel.png")
    assert picture.stat().st_size > 5000


@pytest.mark.parametrize("name", ["Backend", "Report", "Lesion", "Jobs", "Result"])
def test_each_panel_file_agrees_with_the_measured_classes(name: str) -> None:
    folder = Path(__file__).resolve().parents[2] / "Text2CTSlicer" / "Resources" / "UI"
    widget = slicer.util.loadUI(str(folder / f"{name}.ui"))
    widget.setMRMLScene(slicer.mrmlScene)
