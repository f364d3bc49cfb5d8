"""Which widget a parameter can be joined to: by the exact class, as in Slicer's wrapper.

As there, a value is written to its widget whether or not it is there already, and the limits
of a number are set by what is known of the parameter, whatever the panel's file says.
"""

from __future__ import annotations

import enum
import inspect
import math
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
WIDEST = {int: (-2**31, 2**31 - 1), float: (-math.inf, math.inf)}


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
    """Joins one widget to one parameter: reads it, writes it, and tells of its changes."""

    def __init__(self, widget: Any, parameter: Parameter, way: Way) -> None:
        self._widget, self._kind, self._way = widget, parameter.kind, way
        self._callback: Callable[[], None] | None = None
        if self._kind in WIDEST and type(widget) in _INT | _FLOAT:
            _set_limits(widget, parameter)
        if inspect.isclass(self._kind) and issubclass(self._kind, enum.Enum) and widget.count == 0:
            for choice in self._kind:
                widget.addItem(choice.name, choice)

    def onChanged(self, callback: Callable[[], None] | None) -> None:
        """Tell this of each change in the widget; None parts the two."""
        self._callback = callback
        if self._way.signal:
            join = self._widget.disconnect if callback is None else self._widget.connect
            join(self._way.signal, self.changed)

    def changed(self) -> None:
        if self._callback is not None:
            self._callback()

    def widget(self) -> Any:
        return self._widget

    def read(self) -> Any:
        return self._way.read(self._widget, self._kind)

    def write(self, value: Any) -> None:
        self._way.write(self._widget, value)


def _set_limits(widget: Any, parameter: Parameter) -> None:
    limits = parameter.limits()
    if isinstance(widget, SLIDERS) and None in limits:
        raise StandInError(f"{parameter.name}: a slider needs WithinRange")
    low, high = (widest if limit is None else limit
                 for limit, widest in zip(limits, WIDEST[parameter.kind], strict=True))
    widget.setRange(low, high)


def connector_for(widget: Any, parameter: Parameter) -> Connector:
    """The connector, or an error that names the widget's class; Slicer too fails on others."""
    way = _ways(parameter.kind).get(type(widget))
    if way is None:
        raise StandInError(f"parameterNodeWrapper has no connector from {widget.className()} to"
                           f" {parameter.name}: {parameter.kind}")
    return Connector(widget, parameter, way)
