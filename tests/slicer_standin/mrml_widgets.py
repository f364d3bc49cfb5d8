"""Models of the qMRML widgets that choose nodes: live on the real scene, signalling in the measured order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import vtk
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal

from .ctk_widgets import ctkCollapsibleButton, row, setter, stored
from .errors import StandInError
from .pythonqt import model
from .signals import fire

RAW_CONNECT = QtCore.QObject.connect


class Watch:
    """Observers that are taken off together; the scene outlives the widgets."""

    def __init__(self, owner: Any) -> None:
        self._tags: list[tuple[Any, int]] = []
        RAW_CONNECT(owner, QtCore.SIGNAL("destroyed()"), self.off_for_good())

    def on(self, subject: Any, events: Iterable[Any], answer: Any) -> None:
        self._tags += [(subject, subject.AddObserver(event, answer)) for event in events]

    def off_for_good(self) -> Any:
        """A function that Qt keeps, and with it this object, until the widget is gone."""
        def off() -> None:
            self.off()

        return off

    def off(self) -> None:
        for subject, tag in self._tags:
            subject.RemoveObserver(tag)
        self._tags.clear()


def _must_be(node: Any, kind: str, who: str) -> None:
    """PythonQt refuses a node of another C++ type."""
    if node is not None and not (isinstance(node, vtk.vtkObject) and node.IsA(kind)):
        raise TypeError(f"{who} takes a {kind} or None, and not {node!r}")


class _Scene:
    """A widget that is told the scene and tells it on."""

    _scene: Any = None

    def setMRMLScene(self: Any, scene: Any) -> None:
        _must_be(scene, "vtkMRMLScene", f"{type(self).__name__}.setMRMLScene")
        if scene is not self._scene:
            self._scene = scene
            fire(self, "mrmlSceneChanged(vtkMRMLScene*)", scene)
            self._scene_set()

    def mrmlScene(self) -> Any:
        return self._scene

    def _scene_set(self) -> None:
        pass


SCENE_SIGNAL = {"mrmlSceneChanged(vtkMRMLScene*)": "_sceneChanged"}


@model
class qMRMLWidget(_Scene, QtWidgets.QWidget):
    _sceneChanged = Signal(object)
    _signals = SCENE_SIGNAL


@model
class qSlicerWidget(_Scene, QtWidgets.QWidget):
    _sceneChanged = Signal(object)
    _signals = SCENE_SIGNAL


@model
class qMRMLCollapsibleButton(_Scene, ctkCollapsibleButton):
    _sceneChanged = Signal(object)
    _signals = SCENE_SIGNAL


def eliding_box() -> QtWidgets.QComboBox:
    """A menu that cuts long names, as ctkComboBox does, and never makes a panel wider."""
    box = QtWidgets.QComboBox()
    box.sizeAdjustPolicy = QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon
    box.minimumContentsLength = 5
    return box


@model
class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Disabled until it has a scene; chooses the first node by itself unless None is allowed."""

    _nodeChanged, _anyNode, _idChanged = Signal(object), Signal(bool), Signal(str)
    _nodeAdded, _byUser, _byUserAction, _activated = Signal(object), Signal(object), Signal(object), Signal(object)
    _toBeRemoved, _toBeEdited, _renamed = Signal(object), Signal(object), Signal(str)
    _signals = {  # noqa: RUF012
        "currentNodeChanged(vtkMRMLNode*)": "_nodeChanged", "currentNodeChanged(bool)": "_anyNode",
        "currentNodeIDChanged(QString)": "_idChanged", "nodeAdded(vtkMRMLNode*)": "_nodeAdded",
        "nodeAddedByUser(vtkMRMLNode*)": "_byUser", "nodeAddedByUserAction(vtkMRMLNode*)": "_byUserAction",
        "nodeActivated(vtkMRMLNode*)": "_activated", "nodeAboutToBeRemoved(vtkMRMLNode*)": "_toBeRemoved",
        "nodeAboutToBeEdited(vtkMRMLNode*)": "_toBeEdited", "currentNodeRenamed(QString)": "_renamed"}
    nodeTypes = stored("QStringList", "nodeTypes", [])
    hideChildNodeTypes = stored("QStringList", "hideChildNodeTypes", [])
    noneEnabled = stored(bool, "noneEnabled", False)
    noneDisplay = stored(str, "noneDisplay", "None")
    addEnabled = stored(bool, "addEnabled", True)
    removeEnabled = stored(bool, "removeEnabled", True)
    editEnabled = stored(bool, "editEnabled", False)
    renameEnabled = stored(bool, "renameEnabled", False)
    showChildNodeTypes = stored(bool, "showChildNodeTypes", True)
    showHidden = stored(bool, "showHidden", False)
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    baseName = stored(str, "baseName", "")
    interactionNodeSingletonTag = stored(str, "interactionNodeSingletonTag", "")
    currentNodeID = Property(str, lambda self: self._id, lambda self, identity: self._choose(identity))
    setCurrentNodeID = setter("currentNodeID")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene, self._id, self._ids, self._filling, self._watch = None, "", [], False, Watch(self)
        self._attributes: list[tuple[str, str, str | None]] = []
        self._box = eliding_box()
        row(self, self._box)
        self._box.connect("activated(int)", lambda index: self._choose(self._ids[index]))
        self.enabled = False

    def _changed(self, name: str) -> None:
        if name in ("nodeTypes", "hideChildNodeTypes", "noneEnabled", "noneDisplay", "showChildNodeTypes",
                    "showHidden"):
            self._refill()

    # ---- the scene

    def setMRMLScene(self, scene: Any) -> None:
        _must_be(scene, "vtkMRMLScene", "qMRMLNodeComboBox.setMRMLScene")
        self._watch.off()
        self._scene = scene
        self.enabled = scene is not None
        if scene is not None:
            self._watch.on(scene, [scene.NodeAddedEvent], self._added)
            self._watch.on(scene, [scene.NodeAboutToBeRemovedEvent], self._leaving)
            self._watch.on(scene, [scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent,
                                   scene.EndBatchProcessEvent], lambda *_: self._refill())
        self._refill()

    def mrmlScene(self) -> Any:
        return self._scene

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _added(self, scene: Any, event: str, node: Any) -> None:
        if scene.IsBatchProcessing() or not self._accepts(node):
            return
        self._refill()
        fire(self, "nodeAdded(vtkMRMLNode*)", node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _leaving(self, scene: Any, event: str, node: Any) -> None:
        if node.GetID() in self._ids:
            fire(self, "nodeAboutToBeRemoved(vtkMRMLNode*)", node)

    def _accepts(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if any(node.IsA(kind) for kind in self.hideChildNodeTypes):
            return False
        for kind, name, value in self._attributes:
            if node.IsA(kind) and (node.GetAttribute(name) is None or value not in (None, node.GetAttribute(name))):
                return False
        return any(node.IsA(kind) if self.showChildNodeTypes else node.GetClassName() == kind
                   for kind in self.nodeTypes)

    def _nodes(self) -> list[Any]:
        if self._scene is None:
            return []
        every = (self._scene.GetNthNode(i) for i in range(self._scene.GetNumberOfNodes()))
        return [node for node in every if self._accepts(node)]

    def _refill(self) -> None:
        nodes = self._nodes()
        entries = ([("", self.noneDisplay)] if self.noneEnabled else []) + [(n.GetID(), n.GetName()) for n in nodes]
        self._ids = [identity for identity, _ in entries]
        self._box.clear()
        self._box.addItems([name for _, name in entries])
        if self._id and self._id in self._ids:
            self._box.currentIndex = self._ids.index(self._id)
        else:
            self._choose("" if self.noneEnabled or not self._ids else self._ids[0])

    # ---- the current node

    def _choose(self, identity: str) -> None:
        identity = identity if identity in self._ids else ""
        if identity in self._ids:
            self._box.currentIndex = self._ids.index(identity)
        if identity == self._id:
            return
        self._id = identity
        node = self.currentNode()
        fire(self, "currentNodeChanged(vtkMRMLNode*)", node)
        fire(self, "currentNodeChanged(bool)", node is not None)
        fire(self, "currentNodeIDChanged(QString)", identity)

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._id) if self._scene is not None and self._id else None

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            self._choose(node)
            return
        _must_be(node, "vtkMRMLNode", "qMRMLNodeComboBox.setCurrentNode")
        self._choose(node.GetID() if node is not None and node.GetID() else "")

    def setCurrentNodeIndex(self, index: int) -> None:
        self._choose(self._nodes()[index].GetID() if 0 <= index < self.nodeCount() else "")

    def nodeCount(self) -> int:
        return len(self._nodes())

    def nodeFromIndex(self, index: int) -> Any:
        return self._nodes()[index] if 0 <= index < self.nodeCount() else None

    def addAttribute(self, kind: str, name: str, value: str | None = None) -> None:
        self._attributes.append((kind, name, value))
        self._refill()

    def addNode(self, kind: str | None = None) -> Any:
        kinds = self.nodeTypes
        if self._scene is None or not kinds:
            raise StandInError("qMRMLNodeComboBox.addNode needs a scene and node types")
        node = self._scene.CreateNodeByClass(kind or kinds[0])
        node.UnRegister(None)
        node.SetName(self._scene.GenerateUniqueName(self.baseName or node.GetNodeTagName()))
        for _, name, value in self._attributes:
            node.SetAttribute(name, value or "")
        self._scene.AddNode(node)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        fire(self, "nodeAddedByUser(vtkMRMLNode*)", node)
        fire(self, "nodeAddedByUserAction(vtkMRMLNode*)", node)
        return node

    def removeCurrentNode(self) -> None:
        if self.currentNode() is not None:
            self._scene.RemoveNode(self.currentNode())


MODELS: dict[str, type] = {cls.__name__: cls for cls in (
    qMRMLWidget, qSlicerWidget, qMRMLCollapsibleButton, qMRMLNodeComboBox)}
