"""The application around the scene: what slicer.app, slicer.util and the neighbours of a module answer."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from slicer_standin import drive
from slicer_standin.errors import StandInError


@pytest.fixture
def volume() -> Any:
    voxels = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    node = slicer.util.addVolumeFromArray(voxels, name="volume")
    node.SetSpacing(1, 2, 3)
    return node


def test_a_saved_scene_comes_back_with_its_nodes_and_references(volume: Any, tmp_path: Path) -> None:
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    mask = np.zeros((4, 5, 6), np.uint8)
    mask[1, 2, 3] = 1
    segmentation.GetSegmentation().AddEmptySegment("lung", "Lung")
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "lung", volume)
    volume.SetAttribute("Text2CT.Synthetic", "true")
    path = tmp_path / "scene.mrb"
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(False)
    slicer.util.loadScene(str(path))
    again = slicer.util.getNode("volume")
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(again).ravel(), np.arange(120))
    assert again.GetAttribute("Text2CT.Synthetic") == "true"
    assert slicer.util.getNode("organs").GetSegmentation().GetSegment("lung").GetName() == "Lung"


def test_a_volume_goes_through_a_file(volume: Any, tmp_path: Path) -> None:
    assert slicer.util.saveNode(volume, str(tmp_path / "v.nrrd"))
    again = slicer.util.loadVolume(str(tmp_path / "v.nrrd"))
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(again), slicer.util.arrayFromVolume(volume))
    with pytest.raises(RuntimeError):
        slicer.util.loadVolume(str(tmp_path / "absent.nrrd"))


def test_nodes_that_slicer_files_have_a_subject_hierarchy_item_by_themselves(volume: Any) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(volume)
    assert item
    assert hierarchy.GetItemName(item) == "volume"
    slicer.mrmlScene.RemoveNode(volume)
    assert not hierarchy.GetItemByDataNode(volume)


def test_a_volume_is_shown_in_all_slice_views_and_fitted(volume: Any) -> None:
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    layouts = slicer.app.layoutManager()
    assert set(layouts.sliceViewNames()) == {"Red", "Green", "Yellow"}
    for name in layouts.sliceViewNames():
        assert layouts.sliceWidget(name).mrmlSliceCompositeNode().GetBackgroundVolumeID() == volume.GetID()
    before = layouts.sliceWidget("Red").mrmlSliceNode().GetSliceOffset()
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 1.0, 2.0, before + 3.0, 0)
    assert layouts.sliceWidget("Red").mrmlSliceNode().GetSliceOffset() == pytest.approx(before + 3)


def test_a_layout_brings_its_views_and_is_told() -> None:
    layouts, heard = slicer.app.layoutManager(), []
    layouts.connect("layoutChanged(int)", heard.append)
    compare = slicer.vtkMRMLLayoutNode.SlicerLayoutCompareView
    layouts.setLayout(compare)
    assert layouts.layout == compare
    assert heard == [compare]
    assert len(layouts.sliceViewNames()) > 0
    assert all(layouts.sliceWidget(name).sliceLogic() for name in layouts.sliceViewNames())


def test_what_has_no_model_says_so() -> None:
    with pytest.raises(StandInError):
        slicer.app.layoutManager().sliceWidget("Red").sliceView().cornerAnnotation()
    with pytest.raises(StandInError):
        slicer.app.openUrl("http://127.0.0.1")
    with pytest.raises(AttributeError):
        slicer.modules.nosuchmodule  # noqa: B018


# ---- pop-ups and packages


def test_pop_ups_are_recorded_and_answered_by_the_test(slicer_app: Any) -> None:
    slicer_app.dialogs.answer = [True, False]
    assert slicer.util.confirmOkCancelDisplay("install?")
    assert not slicer.util.confirmYesNoDisplay("sure?")
    slicer.util.errorDisplay("it failed", detailedText="the log")
    assert [(one.kind, one.text) for one in slicer_app.dialogs.shown] == [
        ("confirmOkCancelDisplay", "install?"), ("confirmYesNoDisplay", "sure?"), ("errorDisplay", "it failed")]
    assert slicer_app.dialogs.shown[-1].options["detailedText"] == "the log"


def test_a_file_dialog_returns_what_the_test_says(slicer_app: Any) -> None:
    slicer_app.dialogs.file = "/tmp/out"
    assert qt.QFileDialog.getExistingDirectory(None, "Where to?") == "/tmp/out"


def test_the_two_versions_differ_in_what_installs_and_what_launches(flavour: str) -> None:
    old = flavour == "5.10"
    assert (slicer.app.majorVersion, slicer.app.minorVersion) == (5, 10 if old else 12)
    assert hasattr(slicer, "packaging") is not old
    if old:
        with pytest.raises(ImportError):
            importlib.import_module("slicer.packaging")
        with pytest.raises(TypeError):
            slicer.util.launchConsoleProcess([sys.executable], blocking=False)
        with pytest.raises(TypeError):
            slicer.util.pip_install("numpy", requester="Text2CT")
    else:
        packaging = importlib.import_module("slicer.packaging")
        assert packaging.pip_check("numpy>=1")
        assert not packaging.pip_check(["no-such-package-at-all"])


def test_installing_only_records_and_can_fail(slicer_app: Any) -> None:
    slicer.packaging.pip_ensure(["numpy>=1", "no-such-package-at-all"], requester="Text2CT")
    assert slicer_app.packages.installed == ["no-such-package-at-all"]
    assert len(slicer_app.dialogs.shown) == 1
    slicer_app.packages.failure = RuntimeError("no network")
    with pytest.raises(RuntimeError, match="no network"):
        slicer.util.pip_install("no-such-package-at-all")


def test_the_pytorch_extension_is_asked_and_nothing_is_installed(slicer_app: Any) -> None:
    import PyTorchUtils

    logic = PyTorchUtils.PyTorchUtilsLogic()
    slicer_app.packages.torch_is_there = False
    assert not logic.torchInstalled()
    logic.installTorch(askConfirmation=True, torchVersionRequirement=">=2.4")
    assert logic.torchInstalled()
    assert slicer_app.packages.torch == [{"askConfirmation": True, "requirement": ">=2.4"}]


def test_sample_data_is_registered_and_its_downloader_run(slicer_app: Any) -> None:
    import SampleData

    made = []
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Text2CT", sampleName="Chest", uris="", fileNames="chest", nodeNames="Chest",
        customDownloader=lambda source: made.append((source.sampleName, source.nodeNames)))
    slicer_app.samples.press("Chest")
    assert made == [("Chest", ["Chest"])]


@pytest.mark.parametrize(("source", "error"), [
    ({"catgory": "Text2CT"}, TypeError), ({"fileNames": "a", "nodeNames": "a"}, TypeError),
    ({"uris": ["a"], "nodeNames": ["a"]}, TypeError), ({"uris": ["a", "b"], "fileNames": ["a"]}, ValueError)])
def test_a_sample_that_slicer_would_not_take_is_refused(
        slicer_app: Any, source: dict[str, Any], error: type[Exception]) -> None:
    import SampleData

    with pytest.raises(error):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(**source)
    assert SampleData.SampleDataLogic.sampleDataSourcesByCategory("Text2CT") == []


# ---- processes


def test_a_console_process_that_does_not_block_tells_its_lines_and_its_end() -> None:
    lines: list[str] = []
    ended: list[int] = []
    slicer.util.launchConsoleProcess([sys.executable, "-c", "print('one'); print('two')"], blocking=False,
                                     logCallback=lines.append, completedCallback=ended.append)
    drive.turn_until(lambda: ended, 20)
    assert (lines, ended) == (["one", "two"], [0])


def test_python_slicer_is_a_launcher_whose_child_outlives_it_but_keeps_its_standard_input(tmp_path: Path) -> None:
    launcher = shutil.which("PythonSlicer")
    assert launcher is not None
    told = tmp_path / "child.json"
    code = ("import json, os, sys; open(sys.argv[1] + '~', 'w').write(json.dumps([os.getpid(), os.getppid()])); "
            "os.replace(sys.argv[1] + '~', sys.argv[1]); sys.stdin.read()")
    with subprocess.Popen([launcher, "-c", code, str(told)], stdin=subprocess.PIPE) as process:
        while not told.exists():
            time.sleep(0.02)
        child, parent = json.loads(told.read_text())
        assert parent == process.pid != child
        process.kill()
        process.wait()
        os.kill(child, 0)   # it lives: this raises when it does not
        assert process.stdin is not None
        process.stdin.close()
        drive.turn_until(lambda: not _lives(child), 20)


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


# ---- the event loop


def test_turning_counts_turns_and_sees_the_loop_stand_still() -> None:
    begin = time.monotonic()
    turning = drive.turn_until(lambda: time.monotonic() - begin > 0.5, 5)
    assert turning.per_second > 20
    qt.QTimer.singleShot(50, lambda: time.sleep(0.4))
    begin = time.monotonic()
    assert drive.turn_until(lambda: time.monotonic() - begin > 0.6, 5).longest > 0.3
    with pytest.raises(TimeoutError):
        drive.turn_until(lambda: False, 0.1)


def test_only_what_is_shown_and_enabled_can_be_pressed() -> None:
    button = qt.QPushButton("a")
    with pytest.raises(AssertionError, match="cannot be pressed"):
        drive.click(button)
    heard: list[int] = []
    button.connect("clicked()", lambda: heard.append(1))
    button.show()
    drive.click(button)
    assert heard == [1]


def test_a_shortcut_of_the_panel_fires() -> None:
    window, heard = qt.QWidget(), []
    edit = qt.QTextEdit(window)
    shortcut = qt.QShortcut(qt.QKeySequence("Ctrl+Return"), window)
    shortcut.connect("activated()", lambda: heard.append(1))
    window.show()
    drive.press(edit, qt.Qt.Key_Return, qt.Qt.ControlModifier)
    assert heard == [1]
