"""Models of the widgets that show segments: the table, the selector, the 3D button."""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Property, Signal

from .ctk_widgets import row, setter, stored
from .mrml_widgets import SCENE_SIGNAL, Watch, _must_be, _Scene, eliding_box, qMRMLNodeComboBox
from .pythonqt import SET_PROPERTY, model
from .signals import fire

SEGMENT_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified")


def segment_ids(node: Any) -> list[str]:
    """The segments of a node that may be None."""
    segmentation = node.GetSegmentation() if node is not None else None
    return [] if segmentation is None else [
        segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())]


def watch_segments(watch: Watch, node: Any, answer: Any) -> None:
    watch.off()
    if node is not None and node.GetSegmentation() is not None:
        watch.on(node.GetSegmentation(), [getattr(slicer.vtkSegmentation, e) for e in SEGMENT_EVENTS], answer)


@model
class qMRMLSegmentSelectorWidget(_Scene, QtWidgets.QWidget):
    """A node and one of its segments; the first segment is chosen unless None is allowed."""

    _sceneChanged, _nodeChanged, _anyNode = Signal(object), Signal(object), Signal(bool)
    currentSegmentChanged, segmentSelectionChanged = Signal(str), Signal("QStringList")
    _signals = SCENE_SIGNAL | {
        "currentNodeChanged(vtkMRMLNode*)": "_nodeChanged", "currentNodeChanged(bool)": "_anyNode"}
    noneEnabled = stored(bool, "noneEnabled", False)
    multiSelection = stored(bool, "multiSelection", False)
    editEnabled = stored(bool, "editEnabled", False)
    selectNodeUponCreation = stored(bool, "selectNodeUponCreation", False)
    horizontalLayout = stored(bool, "horizontalLayout", False)
    segmentationNodeSelectorVisible = Property(bool, lambda self: not self._nodes.isHidden(),
                                               lambda self, on: self._nodes.setVisible(on))

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._nodes, self._box, self._watch = qMRMLNodeComboBox(), eliding_box(), Watch(self)
        self._segment, self._many, self._ids = "", (), []
        self._nodes.nodeTypes, self._nodes.noneEnabled = ["vtkMRMLSegmentationNode"], True
        self._nodes.addEnabled = False
        row(self, self._nodes, self._box)
        self._nodes.connect("currentNodeChanged(vtkMRMLNode*)", self._node_changed)
        self._box.connect("activated(int)", lambda index: self._choose(self._ids[index]))

    def _scene_set(self) -> None:
        self._nodes.setMRMLScene(self._scene)

    def _changed(self, name: str) -> None:
        if name == "noneEnabled":
            self._refill()

    def _node_changed(self, node: Any) -> None:
        watch_segments(self._watch, node, lambda *_: self._refill())
        self._refill()
        fire(self, "currentNodeChanged(vtkMRMLNode*)", node)
        fire(self, "currentNodeChanged(bool)", node is not None)

    def _refill(self) -> None:
        node = self.currentNode()
        ids = segment_ids(node)
        names = [node.GetSegmentation().GetSegment(i).GetName() for i in ids]
        self._ids = ([""] if self.noneEnabled else []) + ids
        self._box.clear()
        self._box.addItems((["None"] if self.noneEnabled else []) + names)
        if self._segment not in ids:
            self._choose("" if self.noneEnabled or not ids else ids[0])
        else:
            self._box.currentIndex = self._ids.index(self._segment)

    def _choose(self, segment: str) -> None:
        if segment in self._ids:
            self._box.currentIndex = self._ids.index(segment)
        if segment != self._segment:
            self._segment = segment
            fire(self, "currentSegmentChanged(QString)", segment)

    def currentNode(self) -> Any:
        return self._nodes.currentNode()

    def currentNodeID(self) -> str:
        return str(self._nodes.currentNodeID)

    def setCurrentNode(self, node: Any) -> None:
        _must_be(node, "vtkMRMLNode", "qMRMLSegmentSelectorWidget.setCurrentNode")
        self._nodes.setCurrentNode(node)

    def setCurrentNodeID(self, identity: str) -> None:
        self._nodes.currentNodeID = identity

    def currentSegmentID(self) -> str:
        return self._segment

    def setCurrentSegmentID(self, segment: str) -> None:
        if segment in self._ids:
            self._choose(segment)

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        return self._many if self.multiSelection else ((self._segment,) if self._segment else ())

    def setSelectedSegmentIDs(self, segments: Any) -> None:
        wanted = tuple(s for s in segments if s in self._ids)
        if wanted != self._many:
            self._many = wanted
            fire(self, "segmentSelectionChanged(QStringList)", list(wanted))


@model
class qMRMLSegmentsTableView(_Scene, QtWidgets.QWidget):
    """The segments of a node, with their colour and name."""

    _sceneChanged, _aboutToBeModified = Signal(object), Signal(str)
    selectionChanged = Signal(QtCore.QItemSelection, QtCore.QItemSelection)
    _signals = SCENE_SIGNAL | {"segmentAboutToBeModified(QString)": "_aboutToBeModified"}
    headerVisible = stored(bool, "headerVisible", True)
    visibilityColumnVisible = stored(bool, "visibilityColumnVisible", True)
    colorColumnVisible = stored(bool, "colorColumnVisible", True)
    opacityColumnVisible = stored(bool, "opacityColumnVisible", True)
    statusColumnVisible = stored(bool, "statusColumnVisible", False)
    layerColumnVisible = stored(bool, "layerColumnVisible", False)
    filterBarVisible = stored(bool, "filterBarVisible", False)
    readOnly = stored(bool, "readOnly", False)
    jumpToSelectedSegmentEnabled = stored(bool, "jumpToSelectedSegmentEnabled", False)
    textFilter = stored(str, "textFilter", "")
    selectionMode = stored(int, "selectionMode", 3)
    segmentCount = Property(int, lambda self: len(self._ids))

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node, self._watch, self._ids = None, Watch(self), []
        self._table = QtWidgets.QTableWidget(0, 2)
        self._table.setHorizontalHeaderLabels(["", "Name"])
        self._table.selectionBehavior = QtWidgets.QAbstractItemView.SelectRows
        self._table.horizontalHeader().stretchLastSection = True
        row(self, self._table)
        self._table.connect("itemSelectionChanged()", lambda: fire(
            self, "selectionChanged(QItemSelection,QItemSelection)", self._table.selectionModel().selection,
            QtCore.QItemSelection()))

    def setSegmentationNode(self, node: Any) -> None:
        _must_be(node, "vtkMRMLSegmentationNode", "qMRMLSegmentsTableView.setSegmentationNode")
        self._node = node
        watch_segments(self._watch, node, lambda *_: self._refill())
        self._refill()

    def segmentationNode(self) -> Any:
        return self._node

    def _refill(self) -> None:
        chosen = self.selectedSegmentIDs()
        self._ids = segment_ids(self._node)
        self._table.rowCount = len(self._ids)
        for line, identity in enumerate(self._ids):
            segment, colour = self._node.GetSegmentation().GetSegment(identity), QtWidgets.QTableWidgetItem()
            colour.setBackground(QtGui.QColor.fromRgbF(*segment.GetColor()))
            self._table.setItem(line, 0, colour)
            self._table.setItem(line, 1, QtWidgets.QTableWidgetItem(segment.GetName()))
        kept = [i for i in chosen if i in self._ids]
        if kept != list(self.selectedSegmentIDs()):
            self.setSelectedSegmentIDs(kept)

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        rows = sorted({index.row() for index in self._table.selectedIndexes()})
        return tuple(self._ids[r] for r in rows if r < len(self._ids))

    def setSelectedSegmentIDs(self, segments: Any) -> None:
        self._table.clearSelection()
        self._table.selectionMode = QtWidgets.QAbstractItemView.MultiSelection
        for segment in segments:
            if segment in self._ids:
                self._table.selectRow(self._ids.index(segment))

    def clearSelectedSegments(self) -> None:
        self._table.clearSelection()

    setReadOnly, setHeaderVisible = setter("readOnly"), setter("headerVisible")
    setVisibilityColumnVisible, setColorColumnVisible = setter("visibilityColumnVisible"), setter("colorColumnVisible")
    setOpacityColumnVisible, setStatusColumnVisible = setter("opacityColumnVisible"), setter("statusColumnVisible")
    setFilterBarVisible, setSelectionMode = setter("filterBarVisible"), setter("selectionMode")
    setTextFilter = setter("textFilter")


@model
class qMRMLSegmentationShow3DButton(QtWidgets.QPushButton):
    """Makes and removes the closed surface of the segmentation; has no slot for the scene."""

    locked = stored(bool, "locked", False)
    setLocked = setter("locked")

    def __init__(self, parent: QtWidgets.QWidget | None = None) -> None:
        super().__init__(parent)
        self._node = None
        self.text, self.checkable, self.enabled = "Show 3D", True, False
        self.connect("toggled(bool)", self._toggled)

    def setSegmentationNode(self, node: Any) -> None:
        _must_be(node, "vtkMRMLSegmentationNode", "qMRMLSegmentationShow3DButton.setSegmentationNode")
        self._node = node
        SET_PROPERTY(self, "enabled", node is not None)
        self.setChecked(node is not None and node.GetSegmentation().ContainsRepresentation(self._surface()))

    def segmentationNode(self) -> Any:
        return self._node

    @staticmethod
    def _surface() -> str:
        return str(slicer.vtkSegmentationConverter.GetSegmentationClosedSurfaceRepresentationName())

    def _toggled(self, on: bool) -> None:
        if self._node is None:
            return
        if on:
            self._node.CreateClosedSurfaceRepresentation()
        else:
            self._node.RemoveClosedSurfaceRepresentation()


MODELS: dict[str, type] = {cls.__name__: cls for cls in (
    qMRMLSegmentSelectorWidget, qMRMLSegmentsTableView, qMRMLSegmentationShow3DButton)}
