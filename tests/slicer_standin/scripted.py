"""slicer.ScriptedLoadableModule: the four base classes, as far as a module leans on them."""

from __future__ import annotations

import unittest
from pathlib import Path
from typing import Any

import slicer.util
from PySide6 import QtGui, QtWidgets

from .mrml_widgets import qMRMLWidget


class ModuleParent:
    """The C++ side of a scripted module: what the module's class fills in, and nothing else."""

    def __init__(self, name: str, path: Path) -> None:
        self.__dict__.update(name=name, moduleName=name, path=str(path), title=name, categories=[], dependencies=[],
                             contributors=[], helpText="", acknowledgementText="", hidden=False, icon=None,
                             widgetRepresentationCreationEnabled=True, index=-1)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__dict__:
            raise AttributeError(f"'{name}' does not exist on qSlicerScriptedLoadableModule and creating new attributes"
                                 " on C++ objects is not allowed")
        wanted = {"categories": list, "dependencies": list, "contributors": list, "title": str, "helpText": str}
        if name in wanted and not isinstance(value, wanted[name]):
            raise AttributeError(f"Property '{name}' does not accept an object of type {type(value).__name__}")
        self.__dict__[name] = value


class ScriptedLoadableModule:
    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__
        icon = Path(parent.path).parent / "Resources" / "Icons" / f"{self.moduleName}.png"
        if icon.is_file():
            parent.icon = QtGui.QIcon(str(icon))

    def resourcePath(self, name: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / name)

    def getDefaultModuleDocumentationLink(self, docPage: str | None = None) -> str:
        return f'<p>For more information see the <a href="https://example.org">{self.moduleName}</a> documentation.</p>'

    def setup(self) -> None:
        pass


class ScriptedLoadableModuleWidget:
    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.developerMode = slicer.util.settingsValue("Developer/DeveloperMode", False, converter=slicer.util.toBool)
        alone = parent is None
        if alone:
            parent = qMRMLWidget()
            parent.setLayout(QtWidgets.QVBoxLayout())
            parent.setMRMLScene(slicer.mrmlScene)
        self.parent, self.layout = parent, parent.layout()
        setattr(slicer.modules, type(self).__name__, self)
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)
        if alone:
            self.setup()
            self.parent.show()

    def resourcePath(self, name: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / name)

    def setup(self) -> None:
        pass

    def cleanup(self) -> None:
        pass

    def onReload(self) -> None:
        slicer.util.reloadScriptedModule(self.moduleName)

    def _onModuleAboutToBeUnloaded(self, name: str) -> None:
        if name == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._onModuleAboutToBeUnloaded)


class ScriptedLoadableModuleLogic:
    def __init__(self, parent: Any = None) -> None:
        self.mrmlScene = slicer.mrmlScene
        self.moduleName = parent.moduleName if parent is not None else type(self).__name__.removesuffix("Logic")
        self.isSingletonParameterNode = True

    def getParameterNode(self) -> Any:
        found = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        return found if found is not None and self.isSingletonParameterNode else self.createParameterNode()

    def getAllParameterNodes(self) -> list[Any]:
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        return [node for node in nodes if node.GetAttribute("ModuleName") == self.moduleName]

    def createParameterNode(self) -> Any:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
        node.UnRegister(None)
        if self.isSingletonParameterNode:
            node.SetSingletonTag(self.moduleName)
        node.SetAttribute("ModuleName", self.moduleName)
        node.SetModuleName(self.moduleName)
        node.SetName(slicer.mrmlScene.GenerateUniqueName(self.moduleName))
        return slicer.mrmlScene.AddNode(node)


class ScriptedLoadableModuleTest(unittest.TestCase):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.messageDelay = 0

    def delayDisplay(self, message: str, requestedDelay: Any = None, msec: Any = None) -> None:
        slicer.util.delayDisplay(message)
        slicer.app.processEvents()

    def takeScreenshot(self, name: str, description: str = "", type: int = -1) -> None:
        pass

    def runTest(self) -> None:
        pass
