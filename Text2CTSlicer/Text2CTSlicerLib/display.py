"""What the slice views show: a result in its window, several beside each other, a place worth looking at.

All through MRML and `slicer.util`, so that it needs no Qt and does nothing where there
are no views.
"""

from __future__ import annotations

from collections.abc import Sequence

import slicer

from .boxes import to_world

WINDOWS = {"lung": (1400.0, -500.0), "soft": (400.0, 40.0)}
_COMPARE = {n: 0x7C70 + n for n in range(2, 7)}  # numbers of our layouts among those of all extensions


def show(ct: slicer.vtkMRMLScalarVolumeNode, window: str = "") -> None:
    """The CT in all slice views, fitted; `window` is one of WINDOWS."""
    if window and ct.GetDisplayNode() is not None:
        ct.GetDisplayNode().AutoWindowLevelOff()
        ct.GetDisplayNode().SetWindowLevel(*WINDOWS[window])
    slicer.util.setSliceViewerLayers(background=ct, fit=True)


def jump(place: tuple[float, float, float], node: slicer.vtkMRMLTransformableNode | None = None) -> None:
    """All slice views to a point, given in the frame of `node`."""
    r, a, s = to_world(place, node) if node is not None else place
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, r, a, s, slicer.vtkMRMLSliceNode.CenteredJumpSlice)


def compare(cts: Sequence[slicer.vtkMRMLScalarVolumeNode]) -> None:
    """Up to six CTs beside each other in axial views that move together."""
    shown = list(cts)[:max(_COMPARE)]
    if len(shown) < 2:
        for ct in shown:
            show(ct)
        return
    manager, layout = slicer.app.layoutManager(), _COMPARE[len(shown)]
    names = [f"Text2CT{n}" for n in range(1, len(shown) + 1)]
    node = manager.layoutLogic().GetLayoutNode()
    if not node.IsLayoutDescription(layout):
        node.AddLayoutDescription(layout, _description(names))
    manager.setLayout(layout)
    for name, ct in zip(names, shown, strict=True):
        logic = manager.sliceWidget(name).sliceLogic()
        composite = logic.GetSliceCompositeNode()
        composite.SetLinkedControl(True)
        composite.SetBackgroundVolumeID(ct.GetID())
        logic.FitSliceToAll()


def _description(names: Sequence[str]) -> str:
    """The layout in Slicer's XML: rows of at most three axial views."""
    views = [f'<item><view class="vtkMRMLSliceNode" singletontag="{name}">'
             f'<property name="orientation" action="default">Axial</property>'
             f'<property name="viewlabel" action="default">{number}</property></view></item>'
             for number, name in enumerate(names, 1)]
    rows = [views] if len(views) <= 3 else [views[:(len(views) + 1) // 2], views[(len(views) + 1) // 2:]]
    lines = "".join(f'<item><layout type="horizontal">{"".join(row)}</layout></item>' for row in rows)
    return f'<layout type="vertical">{lines}</layout>'
