"""slicer.app: the application's object, a real QApplication with what a module asks of it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal

from .layout import qSlicerLayoutManager
from .pythonqt import model
from .storage import qSlicerCoreIOManager

VERSIONS = {"5.10": (5, 10, 0), "5.12": (5, 12, 3)}


@model
class qSlicerModuleManager(QtCore.QObject):
    """Tells when modules go; `modules` of modules.py keeps them."""

    moduleLoaded, moduleAboutToBeUnloaded, moduleUnloaded = Signal(str), Signal(str), Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[str, Any] = {}

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def modulesNames(self) -> tuple[str, ...]:
        return tuple(self._modules)

    def factoryManager(self) -> Any:
        return SimpleNamespace(loadedModuleNames=lambda: tuple(self._modules),
                               isLoaded=lambda name: name in self._modules)


@model
class qSlicerApplication(QtWidgets.QApplication):
    startupCompleted = Signal()
    mrmlSceneChanged = Signal(object)

    def __init__(self, folder: Path) -> None:
        super().__init__(["Slicer"])
        self._folder = folder
        self._version, self._cursors, self._world, self._restarts = VERSIONS["5.12"], 0, None, 0
        self._modules = qSlicerModuleManager()
        self._layouts: Any = None
        self._io: Any = None
        (folder / "temporary").mkdir(exist_ok=True)
        self.setOrganizationName("StandIn")
        self.setApplicationName("Slicer")
        QtCore.QSettings.setDefaultFormat(QtCore.QSettings.IniFormat)
        QtCore.QSettings.setPath(QtCore.QSettings.IniFormat, QtCore.QSettings.UserScope, str(folder))

    def _join(self, world: Any) -> None:
        """Give the application its scene."""
        self._world = world
        self._layouts = qSlicerLayoutManager(world.scene, world.application_logic)
        self._io = qSlicerCoreIOManager(world.scene, world.logics)

    # ---- what it is

    majorVersion = Property(int, lambda self: self._version[0])
    minorVersion = Property(int, lambda self: self._version[1])
    temporaryPath = Property(str, lambda self: str(self._folder / "temporary"))
    cachePath = Property(str, lambda self: str(self._folder / "RemoteIO"))
    slicerHome = Property(str, lambda self: str(self._folder))
    slicerUserSettingsFilePath = Property(str, lambda self: str(self.userSettings().fileName()))
    defaultScenePath = Property(str, lambda self: str(self._folder))
    os = Property(str, lambda self: "linux")
    arch = Property(str, lambda self: "amd64")
    revision = Property(str, lambda self: "34000")
    applicationVersion = Property(str, lambda self: ".".join(map(str, self._version)))
    mainApplicationName = Property(str, lambda self: "Slicer")

    def testingEnabled(self) -> bool:
        return False

    def commandOptions(self) -> Any:
        return SimpleNamespace(testingEnabled=False, noMainWindow=True, runPythonAndExit=False)

    def isInstalled(self) -> bool:
        return True

    def mainWindow(self) -> None:
        return None

    def startupEnvironment(self) -> Any:
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
        return SimpleNamespace(keys=lambda: list(kept), value=lambda name: kept.get(name, ""))

    # ---- what it holds

    def mrmlScene(self) -> Any:
        return self._world.scene

    def applicationLogic(self) -> Any:
        return self._world.application_logic

    def layoutManager(self) -> Any:
        return self._layouts

    def coreIOManager(self) -> Any:
        return self._io

    ioManager = coreIOManager

    def moduleManager(self) -> Any:
        return self._modules

    def moduleLogic(self, name: str) -> Any:
        return self._world.logics.get(name)

    def userSettings(self) -> Any:
        return QtCore.QSettings()

    settings = revisionUserSettings = userSettings

    # ---- what it does

    def processEvents(self, *arguments: Any) -> None:
        QtWidgets.QApplication.processEvents(*arguments)

    def translate(self, context: str, text: str, *more: Any) -> str:
        return text

    def setOverrideCursor(self, cursor: Any) -> None:
        self._cursors += 1

    def restoreOverrideCursor(self) -> None:
        self._cursors = max(0, self._cursors - 1)

    def pauseRender(self) -> None:
        pass

    resumeRender = pauseRender

    def setRenderPaused(self, paused: bool) -> None:
        pass

    def restart(self) -> None:
        self._restarts += 1
