"""Drawing boxes in the slice views: placing an ROI by two clicks, and hearing when a box is moved."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
import vtk
from slicer.i18n import tr as _

from . import boxes, display

_EVERY_MS = 50


class BoxDrawing:
    """Places ROI nodes and watches the current one; `on_box` is called after changes of it.

    A box that is pulled changes many times a second, and each change is told by several
    events: `on_box` is called for all those of a moment together.
    """

    def __init__(self, on_box: Callable[[slicer.vtkMRMLMarkupsROINode | None], None],
                 say: Callable[[str], None]) -> None:
        self._on_box, self._say = on_box, say
        self._watched: slicer.vtkMRMLMarkupsROINode | None = None
        self._observers: list[int] = []
        self._pause = qt.QTimer()
        self._pause.singleShot = True
        self._pause.setInterval(_EVERY_MS)
        self._pause.connect("timeout()", self._tell)

    def draw(self, ct: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """Let the user click two opposite corners; pressed again while doing so, stop."""
        interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
        selection = slicer.mrmlScene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
        if interaction is None or selection is None:
            self._say(_("There are no views to draw in; press 'Box here' instead."))
            return
        if interaction.GetCurrentInteractionMode() == interaction.Place:
            interaction.SwitchToViewTransformMode()
            self._leave(selection.GetActivePlaceNodeID())
            return
        if ct is None:
            self._say(_("Choose the CT first, then draw the box in it."))
            return
        roi = self._watched if self._watched is not None and boxes.is_empty(self._watched) else boxes.empty_box()
        self._on_box(roi)
        selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsROINode")
        selection.SetActivePlaceNodeID(roi.GetID())
        interaction.SetPlaceModePersistence(0)
        interaction.SwitchToSinglePlaceMode()
        self._say(_("Click two opposite corners of the lesion in a slice view; then pull the handles."))

    def put(self, ct: slicer.vtkMRMLScalarVolumeNode | None) -> None:
        """A box where the slice views cross."""
        if ct is None:
            self._say(_("Choose the CT first, then put the box into it."))
            return
        center = display.crossing()
        self._on_box(boxes.new_box(ct, center if center is not None and boxes.is_inside(center, ct) else None))

    def watch(self, roi: slicer.vtkMRMLMarkupsROINode | None) -> None:
        """Follow this box from now on."""
        self.close()
        self._watched = roi
        if roi is not None:
            for event in (slicer.vtkMRMLMarkupsNode.PointModifiedEvent, vtk.vtkCommand.ModifiedEvent,
                          slicer.vtkMRMLTransformableNode.TransformModifiedEvent):
                self._observers.append(roi.AddObserver(event, self._changed))
        self._on_box(roi)

    def _changed(self, caller: slicer.vtkMRMLMarkupsROINode, event: str) -> None:
        if not self._pause.active:
            self._pause.start()

    def _tell(self) -> None:
        self._on_box(self._watched)

    def _leave(self, node_id: str | None) -> None:
        """The drawing was stopped: a box without a size is of no use to anybody."""
        roi = slicer.mrmlScene.GetNodeByID(node_id) if node_id else None
        if roi is not None and roi.IsA("vtkMRMLMarkupsROINode") and boxes.is_empty(roi):
            slicer.mrmlScene.RemoveNode(roi)
        self._say(_("No box was drawn."))

    def close(self) -> None:
        """Follow none."""
        self._pause.stop()
        for observer in self._observers:
            if self._watched is not None:
                self._watched.RemoveObserver(observer)
        self._observers, self._watched = [], None
