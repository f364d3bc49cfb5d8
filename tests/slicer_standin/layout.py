"""The layout manager: which views there are, with the real slice logics behind them and no pixels.

The layout node and the view nodes are made by Slicer's own layout logic, so a change of
layout makes the same nodes as in the application. `views.py` draws such nodes where a
test wants to see them.
"""

from __future__ import annotations

from typing import Any

import slicer
from PySide6 import QtCore
from PySide6.QtCore import Property, Signal

from .errors import StandInError
from .pythonqt import model
from .signals import fire

DEFAULT = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


class Stub:
    """An object of the application of which only some is modelled; the rest raises."""

    def __init__(self, what: str, **known: Any) -> None:
        self.__dict__.update(known, _what=what)

    def __getattr__(self, name: str) -> Any:
        raise StandInError(f"{self.__dict__['_what']}.{name} has no model in the stand-in")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.__dict__:
            raise StandInError(f"{self.__dict__['_what']}.{name} has no model in the stand-in")
        self.__dict__[name] = value


def _nothing(*_: Any) -> None:
    pass


class SliceWidget(Stub):
    """A slice view: the real logic and nodes."""

    def __init__(self, logic: Any) -> None:
        view = Stub("qMRMLSliceView", forceRender=_nothing, scheduleRender=_nothing, mrmlSliceNode=logic.GetSliceNode,
                    visible=True)
        bar = Stub("qMRMLSliceControllerWidget", setVisible=_nothing, fitSliceToBackground=logic.FitSliceToBackground,
                   setSliceOffsetValue=logic.SetSliceOffset, sliceLogic=lambda: logic,
                   setSliceLink=lambda on: logic.GetSliceCompositeNode().SetLinkedControl(int(on)))
        super().__init__("qMRMLSliceWidget", sliceLogic=lambda: logic, mrmlSliceNode=logic.GetSliceNode,
                         mrmlSliceCompositeNode=logic.GetSliceCompositeNode, sliceView=lambda: view,
                         sliceController=lambda: bar, fitSliceToBackground=logic.FitSliceToBackground,
                         setSliceOrientation=logic.GetSliceNode().SetOrientation, visible=True)


class ThreeDWidget(Stub):
    """A 3D view: the real node; what was asked of it is counted."""

    def __init__(self, node: Any) -> None:
        calls: list[str] = []

        def note(what: str) -> Any:
            return lambda *_: calls.append(what)

        view = Stub("qMRMLThreeDView", resetFocalPoint=note("resetFocalPoint"), resetCamera=note("resetCamera"),
                    forceRender=note("forceRender"), scheduleRender=note("scheduleRender"), mrmlViewNode=lambda: node,
                    rotateToViewAxis=note("rotateToViewAxis"), lookFromAxis=note("lookFromAxis"), visible=True)
        bar = Stub("qMRMLThreeDViewControllerWidget", setVisible=_nothing, resetFocalPoint=note("resetFocalPoint"))
        super().__init__("qMRMLThreeDWidget", threeDView=lambda: view, mrmlViewNode=lambda: node,
                         threeDController=lambda: bar, calls=calls)


@model
class qSlicerLayoutManager(QtCore.QObject):
    layoutChanged = Signal(int)

    def __init__(self, scene: Any, application_logic: Any) -> None:
        super().__init__()
        self._scene, self._application = scene, application_logic
        self._slices: dict[str, SliceWidget] = {}
        self._volumes: dict[str, ThreeDWidget] = {}
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(scene)
        self._node = self._logic.GetLayoutNode()
        self._told = -1
        self._node.AddObserver("ModifiedEvent", lambda *_: self._arrange())
        self.setLayout(DEFAULT)

    def _arrange(self) -> None:
        """A logic for each slice node that the layout made, and the nodes that it shows."""
        for index in range(self._scene.GetNumberOfNodesByClass("vtkMRMLSliceNode")):
            node = self._scene.GetNthNodeByClass(index, "vtkMRMLSliceNode")
            if node.GetLayoutName() not in self._slices:
                logic = slicer.vtkMRMLSliceLogic()
                logic.SetMRMLApplicationLogic(self._application)
                self._application.GetSliceLogics().AddItem(logic)
                logic.SetMRMLScene(self._scene)
                logic.SetSliceNode(node)
                logic.ResizeSliceNode(400, 400)
                self._slices[node.GetLayoutName()] = SliceWidget(logic)
        for index in range(self._scene.GetNumberOfNodesByClass("vtkMRMLViewNode")):
            node = self._scene.GetNthNodeByClass(index, "vtkMRMLViewNode")
            self._volumes.setdefault(node.GetLayoutName(), ThreeDWidget(node))
        if self._node.GetViewArrangement() != self._told:
            self._told = self._node.GetViewArrangement()
            fire(self, "layoutChanged(int)", self._told)

    def _shown(self, kind: str) -> list[str]:
        nodes = self._logic.GetViewNodes()
        shown = (nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems()))
        return [node.GetLayoutName() for node in shown if node.IsA(kind)]

    layout = Property(int, lambda self: self._node.GetViewArrangement(), lambda self, number: self.setLayout(number))

    def setLayout(self, number: int) -> None:
        self._node.SetViewArrangement(int(number))
        self._arrange()

    def layoutLogic(self) -> Any:
        return self._logic

    def sliceViewNames(self) -> tuple[str, ...]:
        """The slice views that the layout shows."""
        return tuple(self._shown("vtkMRMLSliceNode"))

    def sliceWidget(self, name: str) -> SliceWidget | None:
        return self._slices.get(name)

    def mrmlSliceLogics(self) -> Any:
        return self._application.GetSliceLogics()

    threeDViewCount = Property(int, lambda self: len(self._shown("vtkMRMLViewNode")))
    tableViewCount = Property(int, lambda self: len(self._shown("vtkMRMLTableViewNode")))
    plotViewCount = Property(int, lambda self: len(self._shown("vtkMRMLPlotViewNode")))

    def threeDWidget(self, which: int | str) -> ThreeDWidget | None:
        name = which if isinstance(which, str) else dict(enumerate(self._shown("vtkMRMLViewNode"))).get(which, "")
        return self._volumes.get(name)

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    def resetThreeDViews(self) -> None:
        for widget in self._volumes.values():
            widget.threeDView().resetFocalPoint()
