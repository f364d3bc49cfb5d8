"""Models of the ctk widgets that panels are made of.

They keep the values, the signals and which children are shown; how they look is only
near enough for a picture. What the real class offers beyond this raises when used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from .pythonqt import SET_PROPERTY, model
from .signals import fire

HEADER = 22


def stored(kind: Any, name: str, default: Any) -> Property:
    """A property that is kept and has no effect in the stand-in beyond `_changed`."""

    def get(self: Any) -> Any:
        return self.__dict__.get(f"_{name}", default)

    def put(self: Any, value: Any) -> None:
        if get(self) != value:
            self.__dict__[f"_{name}"] = value
            changed: Callable[[str], None] | None = getattr(self, "_changed", None)
            if changed is not None:
                changed(name)

    return Property(kind, get, put)


def setter(name: str) -> Callable[[Any, Any], None]:
    """The C++ setter of a property."""
    return lambda self, value: setattr(self, name, value)


def row(widget: QtWidgets.QWidget, *parts: QtWidgets.QWidget) -> None:
    """Lay the parts side by side without a margin."""
    layout = QtWidgets.QHBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part)


class _Folding:
    """What the two collapsible containers share: folded, they hide their children and remember which were hidden."""

    _collapsed = False
    _hidden_before: tuple[Any, ...] = ()

    def _fold(self: Any, folded: bool, header: int) -> bool:
        if folded == self._collapsed:
            return False
        self._collapsed = folded
        children = [c for c in self.children() if isinstance(c, QtWidgets.QWidget)]
        if folded:
            self._hidden_before = tuple(c for c in children if c.isHidden())
        for child in children:
            child.setVisible(not folded and child not in self._hidden_before)
        self.setMaximumHeight(header if folded else 16777215)
        return True


@model
class ctkCollapsibleButton(_Folding, QtWidgets.QAbstractButton):
    contentsCollapsed = Signal(bool)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(next((a for a in arguments if isinstance(a, QtWidgets.QWidget)), None))
        self.setText(next((a for a in arguments if isinstance(a, str)), ""))
        self.setCheckable(True)
        self.setChecked(True)
        self.setMinimumHeight(HEADER)
        self.connect("toggled(bool)", lambda on: self._set_collapsed(not on))

    def _set_collapsed(self, value: bool) -> None:
        if self._fold(bool(value), HEADER):
            self.setChecked(not value)
            fire(self, "contentsCollapsed(bool)", bool(value))

    collapsed = Property(bool, lambda self: self._collapsed, _set_collapsed)
    flat = stored(bool, "flat", False)
    collapsedHeight = stored(int, "collapsedHeight", 4)
    contentsLineWidth = stored(int, "contentsLineWidth", 1)
    contentsMidLineWidth = stored(int, "contentsMidLineWidth", 0)
    setCollapsed = setter("collapsed")
    collapse = setter("collapsed")
    setFlat = setter("flat")
    setContentsLineWidth = setter("contentsLineWidth")

    def event(self, event: QtCore.QEvent) -> bool:
        if event.type() in (QtCore.QEvent.LayoutRequest, QtCore.QEvent.Polish) and self.layout() is not None:
            wanted = QtCore.QMargins(8, HEADER + 4, 8, 6)
            if self.layout().contentsMargins() != wanted:
                self.layout().setContentsMargins(wanted)
        return bool(QtWidgets.QAbstractButton.event(self, event))

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < HEADER

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        painter.fillRect(0, 0, self.width, HEADER - 2, QtGui.QColor("#d8dee9"))
        painter.drawText(6, 15, ("▸ " if self._collapsed else "▾ ") + self.text)
        if not self.flat and not self._collapsed:
            painter.setPen(QtGui.QColor("#c0c6d2"))
            painter.drawRect(0, 0, self.width - 1, self.height - 1)


@model
class ctkCollapsibleGroupBox(_Folding, QtWidgets.QGroupBox):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.setCheckable(True)
        self.setChecked(True)
        self.connect("toggled(bool)", lambda on: self._set_collapsed(not on))

    def _set_collapsed(self, value: bool) -> None:
        if self._fold(bool(value), HEADER):
            self.setChecked(not value)

    collapsed = Property(bool, lambda self: self._collapsed, _set_collapsed)
    collapsedHeight = stored(int, "collapsedHeight", 14)
    setCollapsed = setter("collapsed")

    def expand(self, on: bool) -> None:
        self.collapsed = not on


def spun(kind: Any, name: str) -> Property:
    """A property that the spin box within keeps."""
    return Property(kind, lambda self: getattr(self._spin, name),
                    lambda self, value: setattr(self._spin, name, value))


class _Spun(QtWidgets.QWidget):
    """A widget around a spin box, which keeps its value and its limits."""

    valueChanged = Signal(float)
    decimalsChanged = Signal(int)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._spin = QtWidgets.QDoubleSpinBox()

    value = spun(float, "value")
    minimum = spun(float, "minimum")
    maximum = spun(float, "maximum")
    singleStep = spun(float, "singleStep")
    decimals = spun(int, "decimals")
    suffix = spun(str, "suffix")
    prefix = spun(str, "prefix")
    setValue, setMinimum, setMaximum = setter("value"), setter("minimum"), setter("maximum")
    setDecimals, setSingleStep, setSuffix = setter("decimals"), setter("singleStep"), setter("suffix")

    def setRange(self, low: float, high: float) -> None:
        self._spin.setRange(low, high)


class _Slider(_Spun):
    """A slider and a spin box for one floating-point value."""

    valueIsChanging = Signal(float)
    STEPS = 1000

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self._slider.setRange(0, self.STEPS)
        row(self, self._slider, self._spin)
        self._spin.connect("valueChanged(double)", self._moved)
        self._slider.connect("sliderMoved(int)", self._dragged)

    def _dragged(self, position: int) -> None:
        self.value = self.minimum + (self.maximum - self.minimum) * position / self.STEPS

    def _moved(self, value: float) -> None:
        span = self.maximum - self.minimum
        self._slider.value = int(self.STEPS * (value - self.minimum) / span) if span else 0
        fire(self, "valueIsChanging(double)", value)
        fire(self, "valueChanged(double)", value)

    tracking = stored(bool, "tracking", True)
    pageStep = stored(float, "pageStep", 10.0)
    tickInterval = stored(float, "tickInterval", 0.0)
    spinBoxVisible = Property(bool, lambda self: not self._spin.isHidden(),
                              lambda self, on: self._spin.setVisible(on))
    setSpinBoxVisible = setter("spinBoxVisible")


@model
class ctkSliderWidget(_Slider):
    pass


@model
class ctkDoubleSpinBox(_Spun):
    _valueText = Signal(str)
    editingFinished = Signal()
    _signals = {"valueChanged(QString)": "_valueText"}  # noqa: RUF012

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        row(self, self._spin)
        self._spin.connect("valueChanged(double)", self._moved)
        self._spin.connect("editingFinished()", lambda: fire(self, "editingFinished()"))

    def _moved(self, value: float) -> None:
        fire(self, "valueChanged(double)", value)
        fire(self, "valueChanged(QString)", self._spin.text)

    readOnly = spun(bool, "readOnly")
    cleanText = Property(str, lambda self: self._spin.cleanText)


@model
class ctkPathLineEdit(QtWidgets.QWidget):
    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(next((a for a in arguments if isinstance(a, QtWidgets.QWidget)), None))
        self._box, self._browse = QtWidgets.QComboBox(), QtWidgets.QToolButton()
        self._box.editable = True
        self._browse.text = "…"
        row(self, self._box, self._browse)
        self._box.connect("editTextChanged(QString)", lambda text: fire(self, "currentPathChanged(QString)", text))

    currentPath = Property(str, lambda self: self._box.currentText, lambda self, path: self._box.setEditText(path))
    settingKey = stored(str, "settingKey", "")
    label = stored(str, "label", "")
    nameFilters = stored("QStringList", "nameFilters", [])
    filters = stored(int, "filters", 0x6007)
    options = stored(int, "options", 0)
    minimumContentsLength = stored(int, "minimumContentsLength", 17)
    showBrowseButton = Property(bool, lambda self: not self._browse.isHidden(),
                                lambda self, on: self._browse.setVisible(on))
    showHistoryButton = stored(bool, "showHistoryButton", True)
    setCurrentPath = setter("currentPath")
    setCurrentDirectory = setter("currentPath")

    def addCurrentPathToHistory(self) -> None:
        if self.currentPath and self._box.findText(self.currentPath) < 0:
            self._box.addItem(self.currentPath)


@model
class ctkFittedTextBrowser(QtWidgets.QTextBrowser):
    collapsed = stored(bool, "collapsed", True)
    showDetailsText = stored(str, "showDetailsText", "Show details...")
    hideDetailsText = stored(str, "hideDetailsText", "Hide details.")
    setCollapsed = setter("collapsed")

    def setCollapsibleText(self, text: str) -> None:
        self.setText(text)


@model
class ctkSearchBox(QtWidgets.QLineEdit):
    showSearchIcon = stored(bool, "showSearchIcon", False)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self.placeholderText = "Search..."


@model
class ctkComboBox(QtWidgets.QComboBox):
    defaultText = stored(str, "defaultText", "")
    forceDefault = stored(bool, "forceDefault", False)

    def _choose_data(self, text: str) -> None:
        self.currentIndex = next((i for i in range(self.count) if str(self.itemData(i)) == text), -1)

    currentUserDataAsString = Property(str, lambda self: str(self.currentData or ""), _choose_data)
    setCurrentUserDataAsString = setter("currentUserDataAsString")
    setDefaultText = setter("defaultText")


@model
class ctkCheckBox(QtWidgets.QCheckBox):
    pass


@model
class ctkMenuButton(QtWidgets.QPushButton):
    """The menu opens by the arrow alone; a click on the text is a click."""

    def setMenu(self, menu: QtWidgets.QMenu) -> None:
        self._menu = menu

    def menu(self) -> Any:
        return self.__dict__.get("_menu")


@model
class ctkMessageBox(QtWidgets.QMessageBox):
    dontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")
    dontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)
    dontShowAgain = stored(bool, "dontShowAgain", False)


@model
class ctkDirectoryButton(QtWidgets.QPushButton):
    directoryChanged = Signal(str)
    directorySelected = Signal(str)
    caption = stored(str, "caption", "")
    directory = stored(str, "directory", "")

    def _changed(self, name: str) -> None:
        if name == "directory":
            SET_PROPERTY(self, "text", self.directory)
            fire(self, "directoryChanged(QString)", self.directory)


MODELS: dict[str, type] = {cls.__name__: cls for cls in (
    ctkCollapsibleButton, ctkCollapsibleGroupBox, ctkSliderWidget, ctkDoubleSpinBox, ctkPathLineEdit,
    ctkFittedTextBrowser, ctkSearchBox, ctkComboBox, ctkCheckBox, ctkMenuButton, ctkMessageBox, ctkDirectoryButton)}
