"""What the slice views show: a result in its window, several beside each other, a place worth looking at.

All through MRML and `slicer.util`, so that it needs no Qt and does nothing where there
are no views.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer

from . import accounts
from .boxes import to_world
from .reading import array_of_matrix

WINDOWS = {"lung": (1400.0, -500.0), "soft": (400.0, 40.0)}
_PARALLEL = 1e-3
_COMPARE = {n: 0x7C70 + n for n in range(2, 7)}  # numbers of our layouts among those of all extensions


def show(ct: slicer.vtkMRMLScalarVolumeNode, window: str = "") -> None:
    """The CT with its labels in all slice views; `window` is one of WINDOWS.

    The views stay where they are when they show a CT of the same place, such as the one
    that a lesion was painted into.
    """
    if window and ct.GetDisplayNode() is not None:
        ct.GetDisplayNode().AutoWindowLevelOff()
        ct.GetDisplayNode().SetWindowLevel(*WINDOWS[window])
    before = shown()
    slicer.util.setSliceViewerLayers(background=ct, fit=before is None or _bounds(before) != _bounds(ct))
    _label([ct])


def shown() -> slicer.vtkMRMLScalarVolumeNode | None:
    """What the first slice view shows."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        node = slicer.mrmlScene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
        if node is not None and node.IsA("vtkMRMLScalarVolumeNode"):
            return node
    return None


def crossing() -> tuple[float, float, float] | None:
    """The point where the three usual slice views cross, if they do."""
    nodes = [slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{name}") for name in ("Red", "Green", "Yellow")]
    if None in nodes:
        return None
    planes = np.array([array_of_matrix(node.GetSliceToRAS()) for node in nodes])
    normals, origins = planes[:, :3, 2], planes[:, :3, 3]
    if abs(np.linalg.det(normals)) < _PARALLEL:
        return None
    r, a, s = np.linalg.solve(normals, (normals * origins).sum(1)).tolist()
    return (r, a, s)


def jump(place: tuple[float, float, float], node: slicer.vtkMRMLTransformableNode | None = None) -> None:
    """All slice views to a point, given in the frame of `node`."""
    r, a, s = to_world(place, node) if node is not None else place
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, r, a, s, slicer.vtkMRMLSliceNode.CenteredJumpSlice)


def compare(cts: Sequence[slicer.vtkMRMLScalarVolumeNode]) -> None:
    """Up to six CTs beside each other in axial views that move together."""
    several = list(cts)[:max(_COMPARE)]
    if len(several) < 2:
        for ct in several:
            show(ct)
        return
    manager, layout = slicer.app.layoutManager(), _COMPARE[len(several)]
    names = [f"Text2CT{n}" for n in range(1, len(several) + 1)]
    node = manager.layoutLogic().GetLayoutNode()
    if not node.IsLayoutDescription(layout):
        node.AddLayoutDescription(layout, _description(names))
    manager.setLayout(layout)
    logics = [manager.sliceWidget(name).sliceLogic() for name in names]
    for logic, ct in zip(logics, several, strict=True):
        composite = logic.GetSliceCompositeNode()
        composite.SetLinkedControl(True)
        composite.SetBackgroundVolumeID(ct.GetID())
        logic.FitSliceToAll()
    _label(several, [logic.GetSliceNode().GetID() for logic in logics])


def _label(cts: Sequence[slicer.vtkMRMLScalarVolumeNode], views: Sequence[str] = ()) -> None:
    """Show the labels of these CTs and hide those of our other ones, which are of other patients.

    With `views`, the labels of each CT are drawn in its own view alone.
    """
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        labels = accounts.tied(node)[0]
        if labels is not None and labels.GetDisplayNode() is not None:
            labels.GetDisplayNode().SetVisibility(any(labels in _labels_of(ct) for ct in cts))
            labels.GetDisplayNode().RemoveAllViewNodeIDs()
    for ct, view in zip(cts, views, strict=False):
        for labels in _labels_of(ct):
            labels.GetDisplayNode().AddViewNodeID(view)


def _labels_of(ct: slicer.vtkMRMLScalarVolumeNode | None) -> list[slicer.vtkMRMLSegmentationNode]:
    """The labels of a CT, and of those that it was painted from."""
    found = []
    while ct is not None:
        found.append(accounts.tied(ct)[0])
        ct = accounts.source_of(ct)
    return [labels for labels in found if labels is not None]


def _bounds(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[float, ...]:
    bounds = np.zeros(6)
    node.GetRASBounds(bounds)
    return tuple(bounds.round(3).tolist())


def _description(names: Sequence[str]) -> str:
    """The layout in Slicer's XML: rows of at most three axial views."""
    views = [f'<item><view class="vtkMRMLSliceNode" singletontag="{name}">'
             f'<property name="orientation" action="default">Axial</property>'
             f'<property name="viewlabel" action="default">{number}</property></view></item>'
             for number, name in enumerate(names, 1)]
    rows = [views] if len(views) <= 3 else [views[:(len(views) + 1) // 2], views[(len(views) + 1) // 2:]]
    lines = "".join(f'<item><layout type="horizontal">{"".join(row)}</layout></item>' for row in rows)
    return f'<layout type="vertical">{lines}</layout>'
