"""Our parameterNodeWrapper keeps typed values in the node and joins them to widgets by the exact class."""

from __future__ import annotations

import enum
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import ctk
import pytest
import qt
import slicer
from slicer.parameterNodeWrapper import Maximum, Minimum, WithinRange, parameterNodeWrapper
from slicer_standin import drive
from slicer_standin.errors import StandInError


class Quality(enum.Enum):
    DRAFT = 1
    BEST = 2


@parameterNodeWrapper
class Parameters:
    report: str
    seed: int = 7
    strength: Annotated[float, WithinRange(0, 10)] = 2.5
    quick: bool = True
    quality: Quality = Quality.DRAFT
    folder: Path
    volume: slicer.vtkMRMLScalarVolumeNode


@pytest.fixture
def parameters() -> Any:
    return Parameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "parameters"))


def ui(**widgets: Any) -> Any:
    """Widgets as childWidgetVariables returns them, each named for its parameter."""
    for name, widget in widgets.items():
        widget.setProperty("SlicerParameterName", name)
    return SimpleNamespace(**widgets)


def test_defaults_and_values_have_their_types(parameters: Any) -> None:
    assert (parameters.report, parameters.seed, parameters.strength, parameters.quick) == ("", 7, 2.5, True)
    assert (parameters.quality, parameters.folder, parameters.volume) == (Quality.DRAFT, Path("."), None)
    parameters.quality, parameters.quick, parameters.folder = Quality.BEST, False, Path("/tmp")
    again = Parameters(parameters.parameterNode)
    assert (again.quality, again.quick, again.folder) == (Quality.BEST, False, Path("/tmp"))


@pytest.mark.parametrize(("name", "value"), [("seed", "7"), ("seed", True), ("report", 3), ("volume", "id")])
def test_a_value_of_another_type_is_refused(parameters: Any, name: str, value: Any) -> None:
    with pytest.raises(TypeError):
        setattr(parameters, name, value)


def test_a_value_out_of_range_is_refused(parameters: Any) -> None:
    with pytest.raises(ValueError, match="within"):
        parameters.strength = 11.0


def test_a_node_reference_follows_the_scene(parameters: Any) -> None:
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "a")
    parameters.volume = volume
    assert parameters.volume is volume
    slicer.mrmlScene.RemoveNode(volume)
    assert parameters.volume is None


def test_widgets_and_parameters_follow_each_other_until_they_are_parted(parameters: Any) -> None:
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes, selector.noneEnabled = ["vtkMRMLScalarVolumeNode"], True
    selector.setMRMLScene(slicer.mrmlScene)
    widgets = ui(report=qt.QTextEdit(), seed=qt.QSpinBox(), strength=ctk.ctkSliderWidget(), quick=qt.QCheckBox(),
                 quality=qt.QComboBox(), folder=ctk.ctkPathLineEdit(), volume=selector)
    tag = parameters.connectParametersToGui(vars(widgets))
    assert (widgets.seed.value, widgets.strength.value, widgets.strength.maximum) == (7, 2.5, 10)
    widgets.report.plainText = "No effusion."
    widgets.seed.value = 9
    widgets.quality.currentText = "BEST"
    assert (parameters.report, parameters.seed, parameters.quality) == ("No effusion.", 9, Quality.BEST)
    parameters.quick = False
    assert widgets.quick.checked is False
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "a")
    selector.setCurrentNode(volume)
    assert parameters.volume is volume
    parameters.disconnectGui(tag)
    widgets.seed.value = 11
    assert parameters.seed == 9
    parameters.seed = 12
    assert widgets.seed.value == 11


def test_connect_gui_finds_widgets_by_their_property_and_returns_no_tag(parameters: Any) -> None:
    widgets = ui(seed=qt.QSpinBox())
    assert parameters.connectGui(widgets) is None
    widgets.seed.value = 9
    assert parameters.seed == 9


def test_a_text_that_is_typed_is_written_back_at_each_key_so_its_caret_jumps(parameters: Any) -> None:
    widgets = ui(report=qt.QTextEdit())
    parameters.connectGui(widgets)
    drive.type_text(widgets.report, "abc")
    assert widgets.report.plainText == "cba"
    assert not widgets.report.document.isUndoAvailable()


def test_the_limits_of_a_number_are_those_of_its_parameter_whatever_the_widget_had() -> None:
    @parameterNodeWrapper
    class Numbers:
        free: int
        within: Annotated[int, WithinRange(1, 6)] = 1
        between: Annotated[int, Minimum(2), Maximum(5)] = 4
        above: Annotated[int, Minimum(3)] = 3

    numbers = Numbers(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "numbers"))
    boxes = {name: qt.QSpinBox() for name in ("free", "within", "between", "above")}
    for box in boxes.values():
        box.setRange(0, 99)
    numbers.connectParametersToGui(boxes)
    assert {name: (box.minimum, box.maximum) for name, box in boxes.items()} == {
        "free": (-2**31, 2**31 - 1), "within": (1, 6), "between": (2, 5), "above": (3, 2**31 - 1)}
    with pytest.raises(StandInError, match="WithinRange"):
        numbers.connectParametersToGui({"above": qt.QSlider()})


@pytest.mark.parametrize("widget", ["QPlainTextEdit", "QTextBrowser"])
def test_a_widget_that_slicer_does_not_know_is_refused(parameters: Any, widget: str) -> None:
    with pytest.raises(StandInError, match="no connector"):
        parameters.connectGui(ui(report=getattr(qt, widget)()))


def test_a_subclass_of_a_known_widget_is_refused(parameters: Any) -> None:
    class Editor(qt.QTextEdit):
        pass

    with pytest.raises(StandInError, match="no connector"):
        parameters.connectGui(ui(report=Editor()))


def test_a_type_that_the_wrapper_does_not_take_is_refused() -> None:
    with pytest.raises(StandInError):
        @parameterNodeWrapper
        class Wrong:
            value: object
