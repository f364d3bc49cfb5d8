"""The stand-in agrees with what a running Slicer reported: same properties, same writability, same signals."""

from __future__ import annotations

from typing import Any

import pytest
import qt
import slicer
from slicer_standin import facts
from slicer_standin.errors import StandInError
from slicer_standin.pythonqt import face_of
from slicer_standin.ui_loader import QUiLoader

# Plain C++ methods, which the measurement could not list; named in Slicer's documentation and used by its modules.
PLAIN_METHODS = {
    "ctkCollapsibleButton": {"setCollapsed", "setFlat", "setContentsLineWidth"},
    "ctkCollapsibleGroupBox": {"setCollapsed"},
    "ctkSliderWidget": {"setMinimum", "setMaximum", "setSingleStep", "setSuffix", "setRange"},
    "ctkDoubleSpinBox": {"setMinimum", "setMaximum", "setSingleStep", "setSuffix", "setRange"},
    "ctkFittedTextBrowser": {"setCollapsed"},
    "ctkComboBox": {"setDefaultText"},
    "ctkMenuButton": {"setMenu", "menu"},
    "qMRMLWidget": {"mrmlScene"},
    "qMRMLCollapsibleButton": {"mrmlScene", "setCollapsed", "setFlat", "setContentsLineWidth"},
    "qMRMLNodeComboBox": {"mrmlScene", "currentNode", "nodeCount", "nodeFromIndex", "addAttribute"},
    "qMRMLSegmentSelectorWidget": {"mrmlScene", "currentNode", "currentNodeID", "currentSegmentID",
                                   "selectedSegmentIDs"},
    "qMRMLSegmentsTableView": {"mrmlScene", "segmentationNode", "selectedSegmentIDs", "setSelectedSegmentIDs"},
    "qMRMLSegmentationShow3DButton": {"segmentationNode"},
    "qSlicerMarkupsPlaceWidget": {"mrmlScene", "currentNode", "interactionNode", "selectionNode", "placeButton",
                                  "deleteButton"},
    "qMRMLMarkupsROIWidget": {"mrmlROINode"},
}
HANDLERS = {"event", "paintEvent", "hitButton", "staticMetaObject", "STEPS"}
OFFERED = [name for name in facts.class_names() if hasattr(qt, name) or name in QUiLoader.models]
MODELS = [name for name in OFFERED if name in QUiLoader.models]


@pytest.fixture
def make() -> Any:
    """Makes an object of a class; a shortcut needs a parent that stays."""
    parent = qt.QWidget()

    def one(name: str) -> Any:
        cls = QUiLoader.models.get(name) or getattr(qt, name)
        return cls(parent) if name == "QShortcut" else cls()

    return one


def test_the_classes_that_panels_are_made_of_are_offered() -> None:
    wanted = {"qMRMLWidget", "qMRMLNodeComboBox", "qMRMLSegmentSelectorWidget", "qMRMLSegmentsTableView",
              "qSlicerMarkupsPlaceWidget", "qMRMLMarkupsROIWidget", "qMRMLSegmentationShow3DButton",
              "ctkCollapsibleButton", "ctkSliderWidget", "ctkPathLineEdit", "ctkComboBox", "ctkMenuButton",
              "ctkMessageBox", "ctkFittedTextBrowser", "ctkSearchBox", "ctkDoubleSpinBox", "ctkCollapsibleGroupBox"}
    assert wanted <= set(MODELS)
    assert len(OFFERED) > 45


@pytest.mark.parametrize("name", OFFERED)
def test_each_measured_property_is_there_as_measured_or_says_that_it_has_no_model(make: Any, name: str) -> None:
    widget, known = make(name), facts.of_class(name)
    assert known is not None
    missing = []
    for prop in known.properties.values():
        try:
            getattr(widget, prop.name)
        except StandInError:
            missing.append(prop.name)
            continue
        meta = widget.metaObject()
        assert meta.property(meta.indexOfProperty(prop.name)).isWritable() == prop.writable, prop.name
    assert len(missing) < len(known.properties) / 2


@pytest.mark.parametrize("name", OFFERED)
def test_a_property_that_cannot_be_written_in_slicer_cannot_be_written_here(make: Any, name: str) -> None:
    widget, known = make(name), facts.of_class(name)
    assert known is not None
    for prop in known.properties.values():
        if not prop.writable:
            with pytest.raises(AttributeError, match="not writable"):
                setattr(widget, prop.name, 1)


@pytest.mark.parametrize("name", OFFERED)
def test_each_measured_signal_can_be_connected_or_says_that_it_has_no_model(make: Any, name: str) -> None:
    widget, known = make(name), facts.of_class(name)
    assert known is not None
    connected = 0
    for signal in known.signals:
        try:
            connected += widget.connect(signal, lambda: None)
        except StandInError as error:
            assert "no model" in str(error) or "does not exist in Qt 6" in str(error)
    assert connected >= len(known.signals) / 2


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_no_name_that_the_real_class_lacks(name: str) -> None:
    known = facts.of_class(name)
    if known is None:
        pytest.skip(f"{name} was not measured")
    face = face_of(QUiLoader.models[name])
    real = set(known.properties) | {s.split("(")[0] for s in known.signals | known.slots}
    invented = {n for n in face.model_names if not n.startswith("_")} - real - PLAIN_METHODS.get(name, set()) - HANDLERS
    setters = {f"set{p[0].upper()}{p[1:]}" for p in known.properties}
    assert invented <= setters


@pytest.mark.parametrize(("kind", "name"), [
    ("QComboBox", "setLabelDrawingMode"), ("QFormLayout", "setRowVisible"), ("QProcess", "startCommand"),
    ("QWidget", "setScreen"), ("QCheckBox", "checkStateChanged"), ("QLabel", "accessibleIdentifier")])
def test_names_that_came_with_qt_6_are_not_there(kind: str, name: str) -> None:
    assert not hasattr(getattr(qt, kind)(), name)


@pytest.mark.parametrize("name", ["QEventPoint", "QStringConverter", "QPermission", "QKeyCombination"])
def test_classes_that_came_with_qt_6_are_not_there(name: str) -> None:
    with pytest.raises(AttributeError):
        getattr(qt, name)


@pytest.mark.parametrize("name", ["QTextCodec", "QRegExp"])
def test_classes_that_went_with_qt_6_say_so(name: str) -> None:
    with pytest.raises(StandInError, match="gone in Qt 6"):
        getattr(qt, name)


def test_the_widgets_of_slicer_are_found_where_slicer_has_them() -> None:
    assert slicer.qMRMLNodeComboBox is QUiLoader.models["qMRMLNodeComboBox"]
