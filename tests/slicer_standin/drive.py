"""A user's hands: turn the event loop, press, type, take a picture."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets


@dataclass(frozen=True)
class Turning:
    """How the event loop ran while a test waited."""

    turns: int
    seconds: float
    longest: float     # the longest that the loop stood still

    @property
    def per_second(self) -> float:
        return self.turns / self.seconds if self.seconds else float("inf")


def turn_until(condition: Callable[[], Any], seconds: float = 30.0) -> Turning:
    """Turn the event loop until the condition holds; fails after `seconds`.

    A turn is a tick of a 10 ms timer, so `per_second` is at most 100, and whatever holds
    the main thread up shows in it.
    """
    ticks: list[float] = [time.monotonic()]
    timer = QtCore.QTimer()
    timer.connect("timeout()", lambda: ticks.append(time.monotonic()))
    timer.start(10)
    begin = ticks[0]
    try:
        while not condition():
            QtWidgets.QApplication.processEvents(QtCore.QEventLoop.WaitForMoreEvents, 50)
            if time.monotonic() - begin > seconds:
                raise TimeoutError(f"still not so after {seconds} s")
    finally:
        timer.stop()
    ticks.append(time.monotonic())
    gaps = [b - a for a, b in itertools.pairwise(ticks)]
    return Turning(len(ticks) - 2, ticks[-1] - begin, max(gaps))


def settle() -> None:
    """Let what is queued happen."""
    for _ in range(3):
        QtWidgets.QApplication.processEvents()
        QtWidgets.QApplication.sendPostedEvents(None, int(QtCore.QEvent.DeferredDelete.value))


def _mouse(widget: Any, kind: Any, at: Any) -> None:
    buttons = QtCore.Qt.LeftButton if kind == QtCore.QEvent.MouseButtonPress else QtCore.Qt.NoButton
    event = QtGui.QMouseEvent(kind, QtCore.QPointF(at), QtCore.QPointF(widget.mapToGlobal(at)), QtCore.Qt.LeftButton,
                              buttons, QtCore.Qt.NoModifier)
    QtWidgets.QApplication.sendEvent(widget, event)


def click(widget: Any) -> None:
    """Press with the mouse, as a user can: only what is shown and enabled."""
    if not widget.isVisible() or not widget.isEnabled():
        raise AssertionError(f"{widget.className()} '{widget.objectName}' cannot be pressed: "
                             f"visible {widget.isVisible()}, enabled {widget.isEnabled()}")
    x = 8 if isinstance(widget, (QtWidgets.QCheckBox, QtWidgets.QRadioButton)) else widget.width // 2
    y = 10 if hasattr(widget, "hitButton") and widget.height > 40 else widget.height // 2
    at = QtCore.QPoint(x, y)
    _mouse(widget, QtCore.QEvent.MouseButtonPress, at)
    _mouse(widget, QtCore.QEvent.MouseButtonRelease, at)
    settle()


def press(widget: Any, key: Any, modifiers: Any = QtCore.Qt.NoModifier, text: str = "") -> None:
    """One key; a shortcut of the window has the first word, as in a real one."""
    override = QtGui.QKeyEvent(QtCore.QEvent.ShortcutOverride, key, modifiers, text)
    override.ignore()
    QtWidgets.QApplication.sendEvent(widget, override)
    if not override.isAccepted() and modifiers != QtCore.Qt.NoModifier and _shortcut(widget, key, modifiers):
        settle()
        return
    for kind in (QtCore.QEvent.KeyPress, QtCore.QEvent.KeyRelease):
        QtWidgets.QApplication.sendEvent(widget, QtGui.QKeyEvent(kind, key, modifiers, text))
    settle()


def _shortcut(widget: Any, key: Any, modifiers: Any) -> bool:
    """The offscreen platform delivers no shortcuts; find the one that is meant and fire it."""
    wanted = QtGui.QKeySequence(QtCore.QKeyCombination(modifiers, key))
    for shortcut in widget.window().findChildren("QShortcut"):
        owner = shortcut.parent()
        near = owner is widget or owner.isAncestorOf(widget) or shortcut.context == QtCore.Qt.WindowShortcut
        if shortcut.key == wanted and shortcut.enabled and near:
            shortcut.activated.emit()
            return True
    return False


def type_text(widget: Any, text: str) -> None:
    """Type into an editor, key by key."""
    for letter in text:
        key = QtCore.Qt.Key_Return if letter == "\n" else QtCore.Qt.Key_A
        for kind in (QtCore.QEvent.KeyPress, QtCore.QEvent.KeyRelease):
            QtWidgets.QApplication.sendEvent(widget, QtGui.QKeyEvent(kind, key, QtCore.Qt.NoModifier, letter))
    settle()


def grab(widget: Any, path: Path) -> Path:
    """A picture of a widget as it is drawn offscreen."""
    settle()
    path.parent.mkdir(parents=True, exist_ok=True)
    if not widget.grab().save(str(path)):
        raise OSError(f"{path} could not be written")
    return path
