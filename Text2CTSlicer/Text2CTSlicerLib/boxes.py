"""Boxes that a clinician draws: Markups ROI nodes to boxes in the frame of a CT, and what lies in them.

The ROI and the CT may each lie under transforms, and the ROI may be turned. The box is
given in the CT's own frame (see reading). A transform that bends or shears it gives the
upright box around it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .reading import affine_of, array_of_matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from text2ct.geometry import Box
    from text2ct.volume import LabelVolume

_SIGNS = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
_STRAIGHT_MM = 1e-3
_WHOLE = 0.99
_USUAL_MM = 40.0
FILL = 0.15  # opacity of a box, so that the image shows through
_ENOUGH = 50_000  # voxels looked at to judge a box


@dataclass(frozen=True)
class Relation:
    """How a box lies to an organ, with the share of the box that the organ fills and a sentence for the panel."""

    kind: Literal["inside", "partly", "outside", "no organ"]
    fraction: float
    sentence: str


def box_of(roi: slicer.vtkMRMLMarkupsROINode | None, ct: slicer.vtkMRMLVolumeNode) -> Box:
    """The box of an ROI node in the frame of a CT node."""
    from text2ct.errors import BadInput
    from text2ct.geometry import Box

    if roi is None:
        raise BadInput(_("There is no box; draw one in the slice views."))
    size = np.array(roi.GetSize())
    if not (np.isfinite(size).all() and size.min() > 0):
        raise BadInput(_("The box '{name}' is not drawn yet; click two opposite corners in a slice view.").format(
            name=roi.GetName()))
    object_to_world = array_of_matrix(roi.GetObjectToWorldMatrix())
    world = (_SIGNS * size) @ object_to_world[:3, :3].T + object_to_world[:3, 3]
    corners = _moved(world, None, ct.GetParentTransformNode())
    edges = np.array([_edges(corners, axis) for axis in range(3)])
    sizes, means = np.linalg.norm(edges.mean(1), axis=1), edges.mean(1)
    axes = means / sizes[:, None]
    bent = np.abs(edges - means[:, None]).max() > _STRAIGHT_MM
    if bent or np.abs(axes @ axes.T - np.eye(3)).max() > _STRAIGHT_MM:
        return Box.between(corners.min(0), corners.max(0))
    center, edge, turn = corners.mean(0).tolist(), sizes.tolist(), axes.tolist()
    return Box(tuple(center), tuple(edge), tuple(tuple(axis) for axis in turn))


def voxel_window(roi: slicer.vtkMRMLMarkupsROINode, ct: slicer.vtkMRMLVolumeNode) -> tuple[tuple, tuple]:
    """The half-open window of voxels [low, high) of a CT that an ROI covers."""
    return box_of(roi, ct).voxels_in(_grid(ct))


def relation(box: Box, labels: LabelVolume | None, name: str = "") -> Relation:
    """How a box lies to the segment called `name`."""
    if labels is None or not name:
        return Relation("no organ", 0.0, _("No organ is chosen; the box is taken as it is."))
    low, high = box.voxels_in(labels.grid)
    step = max(1, round((np.prod(np.subtract(high, low), dtype=float) / _ENOUGH) ** (1 / 3)))
    looked = tuple(slice(a, b, step) for a, b in zip(low, high, strict=True))
    inside = _within(box, labels, looked)
    if not inside.any():
        return Relation("outside", 0.0, _("The box lies outside the image; move it."))
    organ = labels.voxels[looked] == labels.named(name).value
    share = float((organ & inside).sum() / inside.sum())
    said = name.replace("_", " ")
    if share >= _WHOLE:
        return Relation("inside", share, _("The box lies inside {organ}.").format(organ=said))
    if share > 0:
        return Relation("partly", share, _("{percent:.0f} % of the box lie in {organ}.").format(
            percent=max(1.0, 100 * share), organ=said))
    return Relation("outside", 0.0, _("The box lies outside {organ}; move it or choose another organ.").format(
        organ=said))


def empty_box() -> slicer.vtkMRMLMarkupsROINode:
    """An ROI node in the scene that has no place yet, to be drawn."""
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode",
                                             slicer.mrmlScene.GenerateUniqueName(_("Lesion box")))
    roi.CreateDefaultDisplayNodes()
    display = roi.GetDisplayNode()
    if display is not None:
        display.SetFillOpacity(FILL)
        display.SetHandlesInteractive(True)
        display.SetPropertiesLabelVisibility(False)  # the name would lie over the place that is looked at
    return roi


def is_empty(roi: slicer.vtkMRMLMarkupsROINode) -> bool:
    """Whether an ROI is still to be drawn."""
    return min(roi.GetSize()) <= 0


def new_box(ct: slicer.vtkMRMLVolumeNode,
            center: tuple[float, float, float] | None = None) -> slicer.vtkMRMLMarkupsROINode:
    """An ROI node in the scene around a world point (the middle of the CT), of a lesion's size."""
    bounds = np.zeros(6)
    ct.GetRASBounds(bounds)
    low, high = bounds[::2], bounds[1::2]
    roi = empty_box()
    roi.SetCenter(*(center if center is not None else (low + high) / 2))
    roi.SetSize(*np.minimum(_USUAL_MM, (high - low) / 2))
    return roi


def is_inside(point: tuple[float, float, float], ct: slicer.vtkMRMLVolumeNode) -> bool:
    """Whether a world point lies in the image of a CT."""
    local = _moved(np.array([point]), None, ct.GetParentTransformNode())[0]
    grid = _grid(ct)
    ijk = grid.to_ijk(local)
    return bool((ijk >= 0).all() and (ijk <= np.array(grid.shape) - 1).all())


def _edges(corners: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """The four edges along one axis of eight corners in the order of _SIGNS."""
    high = _SIGNS[:, axis] > 0
    return corners[high] - corners[~high]


def _moved(points: NDArray[np.float64], source: slicer.vtkMRMLTransformNode | None,
           target: slicer.vtkMRMLTransformNode | None) -> NDArray[np.float64]:
    """Points of one frame in another; None is the world."""
    way = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, way)
    return np.array([way.TransformPoint(point) for point in points])


def to_world(point: tuple[float, float, float], node: slicer.vtkMRMLTransformableNode) -> tuple[float, float, float]:
    """A point of a node's own frame in the world, where the slice views are."""
    x, y, z = _moved(np.array([point]), node.GetParentTransformNode(), None)[0].tolist()
    return (x, y, z)


def _grid(ct: slicer.vtkMRMLVolumeNode):
    from text2ct.geometry import Grid

    return Grid(tuple(ct.GetImageData().GetDimensions()), affine_of(ct))


def _within(box: Box, labels: LabelVolume, looked: tuple[slice, ...]) -> NDArray[np.bool_]:
    """Which voxels of a window have their centre in the (turned) box."""
    ijk = np.stack(np.meshgrid(*[np.arange(s.start, s.stop, s.step) for s in looked], indexing="ij"), -1)
    offset = (labels.grid.to_ras(ijk.reshape(-1, 3)) - box.center) @ np.array(box.axes).T
    return (np.abs(offset) <= np.array(box.size) / 2 + 1e-6).all(1).reshape(ijk.shape[:3])
