"""The modules `qt` and `ctk`: Qt's classes under one name, without what Qt 6 added."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtGui

from . import ctk_widgets, facts, pythonqt
from .errors import StandInError, require_main_thread
from .ui_loader import QUiLoader

GONE_IN_QT6 = {"QTextCodec", "QRegExp", "QRegExpValidator", "QDesktopWidget", "QStringRef", "QLinkedList", "QGLWidget",
               "QMatrix"}
OTHER_NAMES = {"Qt", "Signal", "Slot"}


class StrictModule(ModuleType):
    """A module of Slicer that is used on the main thread and has no more names than the real one."""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__"):
            require_main_thread(f"{ModuleType.__getattribute__(self, '__name__')}.{name}")
        return ModuleType.__getattribute__(self, name)

    def __getattr__(self, name: str) -> Any:
        if name in GONE_IN_QT6:
            raise StandInError(f"qt.{name} exists in Qt 5 and is gone in Qt 6; the module shall run with both")
        raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")


class QSyntaxHighlighter(QtGui.QSyntaxHighlighter):
    """As measured in Slicer: the highlightBlock of a Python subclass is never called."""

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        if "highlightBlock" in vars(cls):
            del cls.highlightBlock

    def highlightBlock(self, text: str) -> None:
        pass


def _signal(*types: Any, **named: Any) -> Any:
    """Signals of Python subclasses may name C++ types as text; PySide carries them as Python objects."""
    kept = [object if isinstance(t, str) and not t.startswith("Q") else t for t in types]
    return QtCore.Signal(*kept, **named)


def qt_module() -> ModuleType:
    qt = StrictModule("qt", "Qt as PythonQt shows it.")
    for module in pythonqt.MODULES:
        for name in dir(module):
            if (name[0] == "Q" and not facts.is_qt6_class(name)) or name in OTHER_NAMES:
                setattr(qt, name, getattr(module, name))
    qt.__dict__.update(QUiLoader=QUiLoader, QSyntaxHighlighter=pythonqt.model(QSyntaxHighlighter), Signal=_signal)
    return qt


def ctk_module() -> ModuleType:
    ctk = StrictModule("ctk", "The widgets of the Common Toolkit.")
    ctk.__dict__.update(ctk_widgets.MODELS)
    return ctk
