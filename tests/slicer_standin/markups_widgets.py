"""Models of the widgets that place and edit markups; place mode is the scene's own, so real views obey it."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from .ctk_widgets import row, setter, stored
from .mrml_widgets import SCENE_SIGNAL, Watch, _must_be, _Scene
from .pythonqt import SET_PROPERTY, model
from .signals import fire

PLACE = slicer.vtkMRMLInteractionNode.Place


@model
class qSlicerMarkupsPlaceWidget(_Scene, QtWidgets.QWidget):
    """Turns place mode on and off for its node; tells when the mode ends by itself."""

    _sceneChanged = Signal(object)
    activeMarkupsPlaceModeChanged, activeMarkupsFiducialPlaceModeChanged = Signal(bool), Signal(bool)
    _signals = SCENE_SIGNAL
    deleteAllControlPointsOptionVisible = stored(bool, "deleteAllControlPointsOptionVisible", True)
    deleteAllMarkupsOptionVisible = stored(bool, "deleteAllMarkupsOptionVisible", True)
    unsetAllControlPointsOptionVisible = stored(bool, "unsetAllControlPointsOptionVisible", True)
    unsetLastControlPointOptionVisible = stored(bool, "unsetLastControlPointOptionVisible", True)
    placeModePersistency = stored(bool, "placeModePersistency", False)
    placeMultipleMarkups = stored(int, "placeMultipleMarkups", 0)
    defaultNodeColor = stored(QtGui.QColor, "defaultNodeColor", QtGui.QColor(255, 127, 127))
    buttonsVisible = Property(bool, lambda self: not self._place.isHidden(), lambda self, on: self._show_buttons(on))
    setPlaceModePersistency, setButtonsVisible = setter("placeModePersistency"), setter("buttonsVisible")
    setDeleteAllControlPointsOptionVisible = setter("deleteAllControlPointsOptionVisible")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node, self._told, self._watch = None, False, Watch(self)
        self._place, self._delete = QtWidgets.QPushButton("Place"), QtWidgets.QPushButton("Delete")
        self._place.checkable = True
        row(self, self._place, self._delete)
        self._place.enabled = self._delete.enabled = False
        self._place.connect("clicked(bool)", self._set_placing)
        self._delete.connect("clicked()", self.deleteAllPoints)

    def _show_buttons(self, on: bool) -> None:
        self._place.visible = self._delete.visible = on

    # ---- the nodes of the application that hold the mode

    def _singleton(self, kind: str) -> Any:
        return self._scene.GetSingletonNode("Singleton", kind) if self._scene is not None else None

    def interactionNode(self) -> Any:
        return self._singleton("vtkMRMLInteractionNode")

    def selectionNode(self) -> Any:
        return self._singleton("vtkMRMLSelectionNode")

    def _scene_set(self) -> None:
        self._observe()

    def _observe(self) -> None:
        self._watch.off()
        if self._scene is None:
            return
        interaction, selection = self.interactionNode(), self.selectionNode()
        self._watch.on(interaction, [interaction.InteractionModeChangedEvent], lambda *_: self._look())
        self._watch.on(selection, [selection.ActivePlaceNodeIDChangedEvent], lambda *_: self._look())
        self._watch.on(self._scene, [self._scene.NodeRemovedEvent, self._scene.EndCloseEvent], lambda *_: self._gone())

    def _gone(self) -> None:
        if self._node is not None and self._scene.GetNodeByID(self._node.GetID() or "") is not self._node:
            self.setCurrentNode(None)

    def _look(self) -> None:
        placing = self._placing()
        self._place.checked = placing
        if placing != self._told:
            self._told = placing
            fire(self, "activeMarkupsPlaceModeChanged(bool)", placing)
            fire(self, "activeMarkupsFiducialPlaceModeChanged(bool)", placing)

    # ---- what a panel uses

    def setCurrentNode(self, node: Any) -> None:
        _must_be(node, "vtkMRMLNode", "qSlicerMarkupsPlaceWidget.setCurrentNode")
        if self._placing() and node is not self._node:
            self._set_placing(False)
        self._node = node
        self._place.enabled = self._delete.enabled = node is not None
        self._look()

    def currentNode(self) -> Any:
        return self._node

    def _is_active(self) -> bool:
        return (self._node is not None and self._scene is not None
                and self.selectionNode().GetActivePlaceNodeID() == self._node.GetID())

    def _set_active(self, on: bool) -> None:
        if self._node is None or self._scene is None:
            return
        selection = self.selectionNode()
        selection.SetReferenceActivePlaceNodeClassName(self._node.GetClassName() if on else "")
        selection.SetActivePlaceNodeID(self._node.GetID() if on else None)

    currentNodeActive = Property(bool, _is_active, _set_active)
    setCurrentNodeActive = setter("currentNodeActive")

    def _placing(self) -> bool:
        return self._is_active() and self.interactionNode().GetCurrentInteractionMode() == PLACE

    def _set_placing(self, on: bool) -> None:
        if self._node is None or self._scene is None or on == self._placing():
            self._look()
            return
        if on:
            self._set_active(True)
            self.interactionNode().SetPlaceModePersistence(int(self.placeModePersistency))
            self.interactionNode().SetCurrentInteractionMode(PLACE)
        else:
            self.interactionNode().SetCurrentInteractionMode(slicer.vtkMRMLInteractionNode.ViewTransform)
        self._look()

    placeModeEnabled = Property(bool, _placing, _set_placing)
    setPlaceModeEnabled = setter("placeModeEnabled")

    def placeButton(self) -> Any:
        return self._place

    def deleteButton(self) -> Any:
        return self._delete

    def deleteAllPoints(self) -> None:
        if self._node is not None:
            self._node.RemoveAllControlPoints()

    def deleteLastPoint(self) -> None:
        if self._node is not None and self._node.GetNumberOfControlPoints():
            self._node.RemoveNthControlPoint(self._node.GetNumberOfControlPoints() - 1)


@model
class qMRMLMarkupsROIWidget(QtWidgets.QWidget):
    """Editing of a box by numbers; only the flags are modelled."""

    displayClippingBoxChanged = Signal(bool)

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node, self._scene = None, None
        self._label = QtWidgets.QLabel("")
        row(self, self._label)
        SET_PROPERTY(self, "enabled", False)

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene

    def setMRMLMarkupsNode(self, node: Any) -> None:
        _must_be(node, "vtkMRMLMarkupsNode", "qMRMLMarkupsROIWidget.setMRMLMarkupsNode")
        self._node = node
        SET_PROPERTY(self, "enabled", node is not None)

    def mrmlROINode(self) -> Any:
        return self._node

    def setInteractiveMode(self, on: bool) -> None:
        if self._node is not None and self._node.GetDisplayNode() is not None:
            self._node.GetDisplayNode().SetHandlesInteractive(bool(on))

    def setInsideOut(self, on: bool) -> None:
        if self._node is not None:
            self._node.SetInsideOut(bool(on))

    def setDisplayClippingBox(self, on: bool) -> None:
        if self._node is not None:
            self._node.SetDisplayVisibility(bool(on))
            fire(self, "displayClippingBoxChanged(bool)", bool(on))


MODELS: dict[str, type] = {cls.__name__: cls for cls in (qSlicerMarkupsPlaceWidget, qMRMLMarkupsROIWidget)}
