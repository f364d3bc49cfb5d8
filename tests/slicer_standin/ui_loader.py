"""QUiLoader as Slicer has it, but strict about what a .ui file says.

A property, signal or slot that the real class does not have is a warning at most in
Slicer; here it is an error with the file's name.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from PySide6 import QtCore, QtUiTools

from . import facts
from .errors import StandInError
from .pythonqt import Loading

CUSTOM = ("qMRML", "qSlicer", "ctk")
PARTS_OF_LAYOUTS = {"spacer", "layout"}


class _Factory(QtUiTools.QUiLoader):
    """Makes our models for the custom classes."""

    def __init__(self, models: dict[str, type]) -> None:
        super().__init__()
        self._models = models

    def createWidget(self, class_name: str, parent: Any = None, name: str = "") -> Any:
        if class_name in self._models:
            widget = self._models[class_name](parent)
            widget.setObjectName(name)
            return widget
        return QtUiTools.QUiLoader.createWidget(self, class_name, parent, name)


class QUiLoader:
    """`load(file)` returns the widget that the file describes."""

    models: dict[str, type] = {}  # noqa: RUF012

    def load(self, file: Any, parent: Any = None) -> Any:
        path = file.fileName()
        root = ET.fromstring(bytes(file.readAll().data()))
        self._check(root, path)
        wires = [wire for part in root.findall("connections") for wire in part]
        for part in root.findall("connections"):
            root.remove(part)
        device = QtCore.QBuffer()
        device.setData(ET.tostring(root))
        device.open(QtCore.QIODevice.ReadOnly)
        with Loading():
            panel = _Factory(self.models).load(device, parent)
        for wire in wires:
            _connect(panel, wire, path)
        return panel

    def _check(self, root: ET.Element, path: str) -> None:
        declared = {}
        for custom in root.iter("customwidget"):
            name, header = custom.findtext("class", ""), custom.findtext("header", "")
            declared[name] = header
            if header != f"{name}.h":
                raise StandInError(f"{path}: the header of {name} is {name}.h, and not {header}")
        names: set[str] = set()
        for widget in root.iter("widget"):
            name, kind = widget.get("name", ""), widget.get("class", "")
            if name in names:
                raise StandInError(f"{path}: two widgets are called {name}")
            names.add(name)
            if kind.startswith(CUSTOM) and kind not in declared:
                raise StandInError(f"{path}: {kind} is not among the custom widgets")
            if kind.startswith(CUSTOM) and kind not in self.models:
                raise StandInError(f"{path}: the stand-in has no model of {kind}")
            _check_properties(widget, kind, path)


def _check_properties(widget: ET.Element, kind: str, path: str) -> None:
    known = facts.of_class(kind)
    if known is None:
        return
    for part in widget.findall("property"):
        name = part.get("name", "")
        if name not in known.properties and part.get("stdset") != "0":
            raise StandInError(f"{path}: {kind} {widget.get('name')} has no property '{name}'")
        if name in known.properties and not known.properties[name].writable:
            raise StandInError(f"{path}: '{name}' of {kind} cannot be set")


def _find(panel: Any, name: str) -> Any:
    return panel if panel.objectName == name else panel.findChild("QObject", name)


def _connect(panel: Any, wire: ET.Element, path: str) -> None:
    said = {tag: wire.findtext(tag, "") for tag in ("sender", "signal", "receiver", "slot")}
    sender, receiver = _find(panel, said["sender"]), _find(panel, said["receiver"])
    if sender is None or receiver is None:
        raise StandInError(f"{path}: the connection {said} names a widget that is not there")
    known = facts.of_class(receiver.className())
    if known is not None and said["slot"] not in known.slots | known.signals:
        raise StandInError(f"{path}: {known.name} has no slot {said['slot']}")
    sender.connect(said["signal"], getattr(receiver, said["slot"].split("(")[0]))
