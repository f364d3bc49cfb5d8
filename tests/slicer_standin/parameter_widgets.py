"""Which widget a parameter can be joined to: by the exact class, as in Slicer's wrapper."""

from __future__ import annotations

import enum
import inspect
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import slicer
from PySide6 import QtWidgets

from .ctk_widgets import (
    ctkCheckBox,
    ctkComboBox,
    ctkDirectoryButton,
    ctkDoubleSpinBox,
    ctkPathLineEdit,
    ctkSliderWidget,
)
from .errors import StandInError
from .mrml_widgets import qMRMLNodeComboBox

if TYPE_CHECKING:
    from .parameters import Parameter

SLIDERS = (QtWidgets.QSlider, ctkSliderWidget)


@dataclass(frozen=True)
class Way:
    """How the value of a class of widgets is read, written and heard of."""

    signal: str
    read: Callable[[Any, Any], Any]
    write: Callable[[Any, Any], None]


def _plain(name: str, signal: str) -> Way:
    return Way(signal, lambda widget, kind: getattr(widget, name), lambda widget, value: setattr(widget, name, value))


def _choose(widget: Any, value: Any) -> None:
    if isinstance(value, int) and not isinstance(value, enum.Enum):
        widget.currentIndex = value
        return
    text = value.name if isinstance(value, enum.Enum) else str(value)
    index = widget.findData(value)
    widget.currentIndex = index if index >= 0 else widget.findText(text)


def _chosen(widget: Any, kind: Any) -> Any:
    if kind is int:
        return widget.currentIndex
    data = widget.currentData
    if inspect.isclass(kind) and issubclass(kind, enum.Enum):
        return data if isinstance(data, kind) else kind[widget.currentText]
    return data if isinstance(data, str) else widget.currentText


_TEXT = {QtWidgets.QLineEdit: _plain("text", "textChanged(QString)"),
         QtWidgets.QTextEdit: _plain("plainText", "textChanged()"), QtWidgets.QLabel: _plain("text", "")}
_BOOL = dict.fromkeys((QtWidgets.QCheckBox, ctkCheckBox, QtWidgets.QPushButton), _plain("checked", "toggled(bool)"))
_INT = dict.fromkeys((QtWidgets.QSpinBox, QtWidgets.QSlider), _plain("value", "valueChanged(int)"))
_FLOAT = dict.fromkeys((QtWidgets.QDoubleSpinBox, ctkSliderWidget, ctkDoubleSpinBox),
                       _plain("value", "valueChanged(double)"))
_COMBO = dict.fromkeys((QtWidgets.QComboBox, ctkComboBox), Way("currentIndexChanged(int)", _chosen, _choose))
_PATH = {ctkPathLineEdit: Way("currentPathChanged(QString)", lambda w, kind: kind(w.currentPath),
                              lambda w, value: setattr(w, "currentPath", str(value))),
         ctkDirectoryButton: Way("directoryChanged(QString)", lambda w, kind: kind(w.directory),
                                 lambda w, value: setattr(w, "directory", str(value)))}
_NODE = {qMRMLNodeComboBox: Way("currentNodeChanged(vtkMRMLNode*)", lambda w, kind: w.currentNode(),
                                lambda w, value: w.setCurrentNode(value))}


def _ways(kind: Any) -> dict[type, Way]:
    if not inspect.isclass(kind):
        return {}
    if issubclass(kind, enum.Enum):
        return _COMBO
    if issubclass(kind, pathlib.PurePath):
        return _PATH
    if issubclass(kind, slicer.vtkMRMLNode):
        return _NODE
    return {bool: _BOOL, int: _INT | _COMBO, float: _FLOAT, str: _TEXT | _COMBO}.get(kind, {})


class Connector:
    """One widget and one parameter; each follows the other."""

    def __init__(self, widget: Any, parameter: Parameter, wrapper: Any, way: Way) -> None:
        self._widget, self._parameter, self._wrapper, self._way = widget, parameter, wrapper, way
        self._tag: int | None = None
        self._busy = False

    def start(self) -> None:
        limits = self._parameter.limits()
        if limits is not None and hasattr(self._widget, "minimum"):
            self._widget.minimum, self._widget.maximum = limits.minimum, limits.maximum
        kind = self._parameter.kind
        if inspect.isclass(kind) and issubclass(kind, enum.Enum) and self._widget.count == 0:
            for choice in kind:
                self._widget.addItem(choice.name, choice)
        self._to_widget()
        if self._way.signal:
            self._widget.connect(self._way.signal, self._to_parameter)
        self._tag = self._wrapper.AddObserver("ModifiedEvent", lambda *_: self._to_widget())

    def stop(self) -> None:
        if self._way.signal:
            self._widget.disconnect(self._way.signal, self._to_parameter)
        if self._tag is not None:
            self._wrapper.RemoveObserver(self._tag)

    def _to_widget(self) -> None:
        value = self._wrapper.getValue(self._parameter.name)
        if not self._busy and value != self._way.read(self._widget, self._parameter.kind):
            self._busy = True
            try:
                self._way.write(self._widget, value)
            finally:
                self._busy = False

    def _to_parameter(self) -> None:
        if not self._busy:
            self._busy = True
            try:
                self._wrapper.setValue(self._parameter.name, self._way.read(self._widget, self._parameter.kind))
            finally:
                self._busy = False


def connector_for(widget: Any, parameter: Parameter, wrapper: Any) -> Connector:
    """The connector, or an error that names the widget's class; Slicer too fails on others."""
    way = _ways(parameter.kind).get(type(widget))
    if way is None:
        raise StandInError(f"parameterNodeWrapper has no connector from {widget.className()} to"
                           f" {parameter.name}: {parameter.kind}")
    if isinstance(widget, SLIDERS) and parameter.limits() is None:
        raise StandInError(f"{parameter.name}: a slider needs WithinRange")
    return Connector(widget, parameter, wrapper, way)
