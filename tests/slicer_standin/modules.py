"""slicer.modules, and how a scripted module comes, is reloaded and goes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer
from PySide6 import QtWidgets
from PySide6.QtCore import Signal

from .errors import StandInError
from .mrml_widgets import SCENE_SIGNAL, _Scene
from .pythonqt import model
from .scripted import ModuleParent


@model
class qSlicerScriptedLoadableModuleWidget(_Scene, QtWidgets.QWidget):
    """The panel of a scripted module as the application holds it; a reload makes its Python side anew."""

    _sceneChanged = Signal(object)
    _signals = SCENE_SIGNAL

    def __init__(self, set_up: Callable[[], None]) -> None:
        super().__init__()
        self._set_up = set_up
        self.setLayout(QtWidgets.QVBoxLayout())
        self.setMRMLScene(slicer.mrmlScene)

    def reload(self) -> None:
        self._set_up()


class LoadedModule:
    """slicer.modules.<name> of a module that is written in C++: its logic."""

    def __init__(self, name: str, logic: Any = None, path: str = "") -> None:
        self.name, self.path, self._logic = name, path, logic
        self.title = name

    def logic(self) -> Any:
        return self._logic

    def widgetRepresentation(self) -> Any:
        raise StandInError(f"the widget of the module {self.name} has no model in the stand-in")


class Modules:
    """The namespace slicer.modules: lower-case names, and attributes that modules themselves set."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"there is no module '{name}' in the stand-in")


class ScriptedModule:
    """A scripted module as the application holds it."""

    def __init__(self, path: Path, app: Any) -> None:
        self.path, self.name, self._app = str(path), path.stem, app
        self._folder = str(path.parent)
        self._panel: Any = None
        self._window: Any = None
        self.widget: Any = None
        if self._folder not in sys.path:
            sys.path.insert(0, self._folder)
        self.source = self._import()
        self.parent = ModuleParent(self.name, path)
        setattr(slicer.modules, self.name.lower(), self)
        app.moduleManager()._modules[self.name] = self
        self.module = getattr(self.source, self.name)(self.parent)
        self.title = self.parent.title

    def _import(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location(self.name, self.path)
        assert spec is not None
        assert spec.loader is not None
        source = importlib.util.module_from_spec(spec)
        sys.modules[self.name] = source
        spec.loader.exec_module(source)
        return source

    def logic(self) -> Any:
        return slicer.vtkSlicerScriptedLoadableModuleLogic()

    def widgetRepresentation(self) -> Any:
        """The panel; made on the first call, as when the user opens the module."""
        if self._panel is None:
            self._panel = qSlicerScriptedLoadableModuleWidget(self._set_up)
            self._set_up()
        return self._panel

    def _set_up(self) -> None:
        self.widget = getattr(sys.modules[self.name], f"{self.name}Widget")(self._panel)
        self.widget.setup()

    def open(self) -> None:
        """As when the user chooses the module: its panel in a scroll area of the main window, and entered."""
        scroll = QtWidgets.QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(self.widgetRepresentation())
        scroll.resize(580, 800)
        scroll.show()
        self._window = scroll
        self.enter()

    def enter(self) -> None:
        if hasattr(self.widget, "enter"):
            self.widget.enter()

    def exit(self) -> None:
        if hasattr(self.widget, "exit"):
            self.widget.exit()

    def reload(self) -> None:
        """What the button "Reload" does."""
        slicer.util.reloadScriptedModule(self.name)

    def unload(self) -> None:
        """The application closes: the widget cleans up, and the names of the module are forgotten."""
        self._app.moduleManager().moduleAboutToBeUnloaded.emit(self.name)
        if self._panel is not None:
            self._panel.close()
            self._panel.deleteLater()
            QtWidgets.QApplication.processEvents()
        self._panel = self.widget = self._window = None
        for name in (self.name.lower(), f"{self.name}Widget"):
            if name in vars(slicer.modules):
                delattr(slicer.modules, name)
        self._app.moduleManager()._modules.pop(self.name, None)
        forget(self.name)


def forget(name: str) -> None:
    """Take a module and its Lib package out of Python, so that the next load is a fresh one."""
    for loaded in [m for m in sys.modules if m == name or m.split(".")[0] == f"{name}Lib"]:
        del sys.modules[loaded]
