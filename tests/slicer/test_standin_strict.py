"""Each thing that PythonQt refuses, or that Slicer only grumbles about, is refused here."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import ctk
import numpy as np
import pytest
import qt
import slicer
from slicer_standin import drive
from slicer_standin.errors import StandInError

# ---- attributes and properties


def test_an_unknown_attribute_is_refused_for_reading_and_writing() -> None:
    button = qt.QPushButton()
    with pytest.raises(AttributeError):
        _ = button.colour
    with pytest.raises(AttributeError, match="creating new attributes on C\\+\\+ objects is not allowed"):
        button.colour = "red"
    with pytest.raises(AttributeError):
        button._mine = 1


def test_an_unknown_attribute_of_a_model_is_refused_too() -> None:
    combo = slicer.qMRMLNodeComboBox()
    with pytest.raises(AttributeError):
        combo.helper = 1
    with pytest.raises(AttributeError):
        _ = combo.helper


def test_a_python_subclass_may_have_attributes_of_its_own() -> None:
    class Dialog(qt.QDialog):
        def __init__(self) -> None:
            super().__init__()
            self.answer = 42

    assert Dialog().answer == 42


def test_a_property_is_a_value_and_no_method() -> None:
    for widget, name in ((qt.QPushButton("a"), "text"), (qt.QSpinBox(), "value"), (qt.QComboBox(), "currentData"),
                         (qt.QTextEdit(), "plainText"), (ctk.ctkCollapsibleButton(), "collapsed")):
        with pytest.raises(TypeError):
            getattr(widget, name)()


def test_the_isX_getters_and_the_setX_setters_are_methods_beside_the_properties() -> None:
    button = qt.QPushButton("a")
    button.setEnabled(False)
    assert not button.isEnabled()
    button.setText("b")
    assert button.text == "b"


@pytest.mark.parametrize(("value", "text"), [(Path("/a"), "/a"), (5, "5"), (None, "None")])
def test_a_text_property_takes_anything_as_its_word(value: Any, text: str) -> None:
    label = qt.QLabel()
    label.text = value
    assert label.text == text


@pytest.mark.parametrize("value", [3.7, np.int64(3), np.float32(3.2), "3"])
def test_a_whole_number_property_cuts_what_is_a_number(value: Any) -> None:
    spin = qt.QSpinBox()
    spin.value = value
    assert spin.value == 3


def test_a_number_property_refuses_what_is_none() -> None:
    with pytest.raises(AttributeError, match="does not accept"):
        qt.QSpinBox().value = "many"


def test_a_truth_property_takes_anything_by_its_truth() -> None:
    button = qt.QPushButton()
    button.enabled = []
    assert button.enabled is False


def test_a_path_given_to_a_method_is_refused() -> None:
    with pytest.raises(TypeError, match="use str"):
        qt.QLabel().setText(Path("/a"))


def test_a_list_of_strings_is_read_as_a_tuple() -> None:
    combo = slicer.qMRMLNodeComboBox()
    combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    assert combo.nodeTypes == ("vtkMRMLScalarVolumeNode",)


def test_dynamic_properties_are_readable_as_attributes() -> None:
    label = qt.QLabel()
    label.setProperty("SlicerParameterName", "report")
    assert label.SlicerParameterName == "report"


# ---- signals


@pytest.mark.parametrize("signal", ["clicked(int)", "pushed()", "clicked", ""])
def test_an_unknown_signal_is_refused(signal: str) -> None:
    with pytest.raises(StandInError):
        qt.QPushButton().connect(signal, print)


def test_a_signal_that_only_qt_5_has_is_refused() -> None:
    with pytest.raises(StandInError, match="does not exist in Qt 6"):
        qt.QComboBox().connect("currentIndexChanged(QString)", print)


def test_an_overloaded_signal_must_be_named_by_its_signature() -> None:
    combo = qt.QComboBox()
    with pytest.raises(StandInError, match="several signatures"):
        combo.currentIndexChanged.connect(print)
    assert combo.connect("currentIndexChanged(int)", print)


def test_what_cannot_be_called_cannot_be_connected() -> None:
    with pytest.raises(StandInError):
        qt.QPushButton().connect("clicked()", "not a function")


def test_the_three_ways_to_connect_work() -> None:
    button, heard = qt.QPushButton(), []
    button.connect("clicked()", lambda: heard.append("a"))
    button.connect("clicked(bool)", lambda: heard.append("b"))
    button.clicked.connect(lambda on: heard.append(bool(on)))
    button.click()
    assert heard == ["a", "b", False]


def test_a_slot_gets_at_most_as_many_arguments_as_it_takes_and_defaults_count() -> None:
    button, heard = qt.QPushButton(), []
    button.connect("clicked(bool)", lambda name="mine": heard.append(name))
    button.click()
    assert heard == [False]


def test_a_connection_can_be_taken_away() -> None:
    button, heard = qt.QPushButton(), []

    def slot() -> None:
        heard.append(1)

    button.connect("clicked()", slot)
    assert button.disconnect("clicked()", slot)
    assert not button.disconnect("clicked()", slot)
    button.click()
    assert heard == []


def test_enums_arrive_in_a_slot_as_numbers() -> None:
    process, heard = qt.QProcess(), []
    process.connect("finished(int,QProcess::ExitStatus)", lambda *arguments: heard.append(arguments))
    process.start("sh", ["-c", "exit 3"])
    drive.turn_until(lambda: heard, 10)
    assert heard == [(3, 0)]


# ---- exceptions


def test_an_exception_in_a_slot_goes_no_further_and_is_noted(slicer_app: Any, capfd: Any) -> None:
    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    (error,) = slicer_app.slips.take()
    assert isinstance(error, ZeroDivisionError)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_an_exception_in_a_timer_is_noted(slicer_app: Any) -> None:
    qt.QTimer.singleShot(0, lambda: 1 / 0)
    drive.turn_until(lambda: slicer_app.slips.exceptions, 5)
    assert isinstance(slicer_app.slips.take()[0], ZeroDivisionError)


def test_an_exception_in_an_event_handler_is_noted(slicer_app: Any) -> None:
    class Canvas(qt.QWidget):
        def paintEvent(self, event: Any) -> None:
            event.noSuchThing()

    canvas = Canvas()
    canvas.show()
    drive.turn_until(lambda: slicer_app.slips.exceptions, 5)
    assert isinstance(slicer_app.slips.take()[0], AttributeError)


def test_an_exception_in_an_observer_of_the_scene_is_noted(slicer_app: Any, capfd: Any) -> None:
    tag = slicer.mrmlScene.AddObserver(slicer.mrmlScene.NodeAddedEvent, lambda *_: 1 / 0)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    slicer.mrmlScene.RemoveObserver(tag)
    assert isinstance(slicer_app.slips.take()[0], ZeroDivisionError)


# ---- threads


@pytest.mark.parametrize("use", [
    lambda button: button.text, lambda button: setattr(button, "text", "b"), lambda button: button.click(),
    lambda button: qt.QLabel("a"), lambda button: slicer.mrmlScene.GetNumberOfNodes(),
    lambda button: slicer.util.pip_install("numpy"), lambda button: slicer.util.errorDisplay("no"),
    lambda button: slicer.i18n.tr("words"), lambda button: slicer.i18n.translate("context", "words")])
def test_qt_and_the_scene_are_refused_in_another_thread(slicer_app: Any, use: Any) -> None:
    button, raised = qt.QPushButton("a"), []

    def work() -> None:
        try:
            use(button)
        except StandInError as error:
            raised.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "main thread" in raised[0]
    assert slicer_app.slips.take()


# ---- what Qt and PythonQt do otherwise than PySide6


def test_highlight_block_of_a_python_subclass_is_never_called() -> None:
    called = []

    class Highlighter(qt.QSyntaxHighlighter):
        def highlightBlock(self, text: str) -> None:
            called.append(text)

    edit = qt.QTextEdit()
    highlighter = Highlighter(edit.document)
    edit.plainText = "effusion"
    highlighter.rehighlight()
    drive.settle()
    assert called == []


def test_extra_selections_colour_text_and_leave_undo_alone() -> None:
    edit = qt.QTextEdit()
    edit.insertPlainText("effusion")
    selection = qt.QTextEdit.ExtraSelection()
    cursor = edit.textCursor()
    cursor.setPosition(0)
    cursor.setPosition(4, qt.QTextCursor.KeepAnchor)
    selection.cursor = cursor
    selection.format.setBackground(qt.QColor("yellow"))
    edit.setExtraSelections([selection])
    assert len(edit.extraSelections()) == 1
    edit.undo()
    assert edit.plainText == ""


def test_an_event_filter_in_python_is_called() -> None:
    class Filter(qt.QObject):
        def eventFilter(self, watched: Any, event: Any) -> bool:
            if event.type() == qt.QEvent.KeyPress:
                keys.append(event.key())
            return False

    keys: list[int] = []
    edit, listener = qt.QTextEdit(), Filter()
    edit.installEventFilter(listener)
    drive.press(edit, qt.Qt.Key_A, text="a")
    assert keys == [qt.Qt.Key_A]


def test_both_manners_of_exec_and_of_enums_exist() -> None:
    loop = qt.QEventLoop()
    qt.QTimer.singleShot(0, loop.quit)
    assert loop.exec_() == 0
    assert qt.Qt.AlignCenter == qt.Qt.AlignmentFlag.AlignCenter


def test_settings_are_in_a_file_of_the_test(slicer_app: Any) -> None:
    settings = qt.QSettings()
    settings.setValue("Text2CT/server", "http://127.0.0.1")
    assert qt.QSettings().value("Text2CT/server") == "http://127.0.0.1"
    assert Path(settings.fileName()).is_relative_to(slicer_app.folder)


def test_a_modal_dialog_that_no_test_answers_is_refused(slicer_app: Any) -> None:
    dialog = qt.QDialog()
    with pytest.raises(StandInError, match="modal"):
        dialog.exec_()
    slicer_app.dialogs.modal = lambda shown: 1
    assert dialog.exec_() == 1


def test_an_exception_in_a_thread_is_noted(slicer_app: Any) -> None:
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    assert isinstance(slicer_app.slips.take()[0], ZeroDivisionError)


def test_windows_that_a_test_leaves_open_are_closed_after_it(slicer_app: Any) -> None:
    window = qt.QDialog()
    window.show()
    slicer_app.reset()
    assert window not in slicer_app.app.topLevelWidgets()
