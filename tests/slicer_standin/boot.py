"""Starts the stand-in: after `start()` a module can be imported as inside Slicer.

One process has one stand-in, as one process has one Slicer. `reset()` empties it
between tests, and `flavour("5.10")` turns it into the older one.
"""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any


class MainThreadModule(ModuleType):
    """The module slicer: what belongs to the main thread is not handed out in another."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("mrmlScene", "app", "modules"):
            from .errors import require_main_thread

            require_main_thread(f"slicer.{name}")
        return ModuleType.__getattribute__(self, name)


class StandIn:
    """What the tests get hold of."""

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
        _check_pyside()
        import slicer

        from . import launcher, pythonqt
        from .dialogs import Dialogs
        from .errors import slips
        from .modules import LoadedModule, Modules
        from .packages import Packages
        from .samples import Samples
        from .scene import World

        pythonqt.patch()
        self.slips, self.folder = slips, folder
        slips.listen()
        self._install_qt()
        from .application import qSlicerApplication

        self.app = qSlicerApplication(folder)
        self.world = World(folder)
        self.scene, self.logics = self.world.scene, self.world.logics
        self.app._join(self.world)
        self.dialogs, self.packages, self.samples = Dialogs(), Packages(), Samples()
        self._loaded: list[Any] = []
        self.selected: list[str] = []
        modules = Modules()
        for name, logic in self.logics.items():
            setattr(modules, name.lower(), LoadedModule(name, logic))
        slicer.mrmlScene, slicer.app, slicer.modules = self.scene, self.app, modules
        slicer.__class__ = MainThreadModule
        self.dialogs.install()
        self.dialogs.install_qt()
        slicer.util.selectModule = self._select
        slicer.util.selectedModule = lambda: self.selected[-1] if self.selected else ""
        self._install_python()
        self._launch = slicer.util.launchConsoleProcess
        launcher.add_python_slicer(folder)
        self.flavour("5.12")
        self._widgets_before = set(self.app.topLevelWidgets())

    def _install_qt(self) -> None:
        import slicer

        from . import ctk_widgets, markups_widgets, mrml_widgets, segment_widgets
        from .qt_module import ctk_module, qt_module
        from .ui_loader import QUiLoader

        sys.modules["qt"], sys.modules["ctk"] = qt_module(), ctk_module()
        own = mrml_widgets.MODELS | segment_widgets.MODELS | markups_widgets.MODELS
        for name, cls in own.items():
            setattr(slicer, name, cls)
        QUiLoader.models = ctk_widgets.MODELS | own

    def _install_python(self) -> None:
        import slicer

        from . import parameters, scripted

        parts = {"i18n": {"tr": lambda text: _translated("", text), "translate": _translated},
                 "ScriptedLoadableModule": {
                     n: c for n, c in vars(scripted).items() if n.startswith("ScriptedLoadable")},
                 "parameterNodeWrapper": {n: getattr(parameters, n) for n in (
                     "parameterNodeWrapper", "Default", "WithinRange", "Minimum", "Maximum", "Choice", "Decimals",
                     "SingleStep", "createGuiConnector")}}
        for name, contents in parts.items():
            module = ModuleType(f"slicer.{name}")
            module.__dict__.update(contents)
            sys.modules[module.__name__] = module
            setattr(slicer, name, module)

    def _select(self, module: Any) -> None:
        name = module if isinstance(module, str) else module.name
        self.selected.append(name)

    # ---- what a test does

    def flavour(self, version: str) -> None:
        """Be Slicer 5.10 or 5.12."""
        import slicer

        from .application import VERSIONS

        self.version = version
        self.app._version = VERSIONS[version]
        self.packages.install(version)
        sys.modules["SampleData"] = self.samples.module(version)
        slicer.util.launchConsoleProcess = self._launch if version != "5.10" else _launch_of_5_10(self._launch)

    def load(self, path: Path) -> Any:
        """A scripted module from its file, fresh."""
        from .modules import ScriptedModule, forget

        forget(path.stem)
        module = ScriptedModule(path, self.app)
        self._loaded.append(module)
        return module

    def start_up(self) -> None:
        """Tell the modules that the application has started."""
        self.app.startupCompleted.emit()

    def reset(self) -> list[BaseException]:
        """Close what is open and empty the scene; the exceptions that nobody had caught."""
        import slicer

        from .drive import settle

        if self._loaded:
            _stop_timers()
        while self._loaded:
            self._loaded.pop().unload()
        self.app.disconnect("startupCompleted()")
        for widget in set(self.app.topLevelWidgets()) - self._widgets_before:
            widget.close()
            widget.deleteLater()
        settle()
        self.world.clear()
        self.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self.app.userSettings().clear()
        self.dialogs.forget()
        self.packages.forget()
        self.samples.forget()
        self.selected.clear()
        self.flavour("5.12")
        left = self.slips.take()
        self.slips.listen()   # pytest puts its own hooks in for each test
        return left


def _translated(context: str, text: str) -> str:
    """The words themselves; Slicer asks Qt for them, and so only on the main thread."""
    from .errors import require_main_thread

    require_main_thread("slicer.i18n")
    return text


def _stop_timers() -> None:
    """When Slicer quits, no timer fires any more between a module's cleanup and the end of its widgets."""
    from PySide6 import QtCore
    from shiboken6 import isValid

    for timer in [thing for thing in gc.get_objects() if issubclass(type(thing), QtCore.QTimer)]:
        if isValid(timer):
            timer.stop()


def _check_pyside() -> None:
    """The wheel 6.12.0 gives one reference to None away with each call; below Python 3.12 that ends in an abort."""
    import PySide6

    from .errors import StandInError

    if PySide6.__version__ == "6.12.0" and sys.version_info < (3, 12):
        raise StandInError("PySide6 6.12.0 aborts on this Python: install PySide6-Essentials 6.11")


def _launch_of_5_10(launch: Callable[..., Any]) -> Callable[..., Any]:
    def launchConsoleProcess(args: Any, useStartupEnvironment: bool = True, updateEnvironment: Any = None,
                             cwd: Any = None) -> Any:
        return launch(args, useStartupEnvironment=useStartupEnvironment, updateEnvironment=updateEnvironment, cwd=cwd)

    return launchConsoleProcess


def start() -> StandIn:
    """The stand-in of this process; made on the first call."""
    running = sys.modules.get("slicer_standin_running")
    if running is None:
        keep = tempfile.TemporaryDirectory(prefix="slicer-standin-")
        running = SimpleNamespace(stand_in=StandIn(Path(keep.name)), keep=keep)
        sys.modules["slicer_standin_running"] = running  # type: ignore[assignment]
    return running.stand_in  # type: ignore[no-any-return]
