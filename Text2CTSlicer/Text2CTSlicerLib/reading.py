"""MRML nodes to values of text2ct: the only place where Slicer's arrays (k, j, i) become ours (i, j, k).

A volume is taken in its own frame, without the transform that it may lie under: the
result goes under the same transform, so its geometry is the input's to the last digit.
Voxels are copied: the work outlives the node, which the user may edit or delete.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from text2ct.geometry import Affine
    from text2ct.volume import CTVolume, LabelVolume


def ct_from(node: slicer.vtkMRMLScalarVolumeNode | None) -> CTVolume:
    """The CT of a scalar volume node; fractions are rounded to whole Hounsfield units."""
    from text2ct.errors import BadInput
    from text2ct.formats.limits import whole_hu
    from text2ct.volume import CTVolume

    if node is None:
        raise BadInput(_("No CT is chosen; choose the volume to work on."))
    name = _("The volume '{name}'").format(name=node.GetName())
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise BadInput(_("{volume} is a label map; choose the CT itself.").format(volume=name))
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        raise BadInput(_("{volume} has no image; load it again or choose another.").format(volume=name))
    if image.GetNumberOfScalarComponents() != 1:
        raise BadInput(_("{volume} has {count} values a voxel, so it is a colour image or a time series; "
                         "choose a single 3D CT.").format(volume=name, count=image.GetNumberOfScalarComponents()))
    return CTVolume(whole_hu(array_of(image), name, round_values=True).copy(order="K"), affine_of(node))


def volume_with(digest: str) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The volume of the scene whose CT has this digest, if it is there."""
    from text2ct.digest import voxel_digest
    from text2ct.errors import BadInput

    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        try:
            if voxel_digest(ct_from(node)) == digest:
                return node
        except BadInput:
            continue
    return None


def labels_from(segmentation: slicer.vtkMRMLSegmentationNode, like: slicer.vtkMRMLVolumeNode,
                segment_ids: Sequence[str] = ()) -> LabelVolume:
    """Segments (all, or those named) on the grid of a volume; where they overlap, the later one wins."""
    from text2ct.volume import LabelVolume, Segment

    parts = segmentation.GetSegmentation()
    ids = list(segment_ids) or list(parts.GetSegmentIDs())
    voxels = np.zeros(like.GetImageData().GetDimensions(), np.uint16)
    segments = []
    for value, segment_id in enumerate(ids, 1):
        part = parts.GetSegment(segment_id)
        voxels[mask_array(segmentation, segment_id, like)] = value
        segments.append(Segment(value, part.GetName(), tuple(part.GetColor()), segment_id))
    return LabelVolume(voxels, affine_of(like), tuple(segments), segmentation.GetName() or "labels")


def mask_array(segmentation: slicer.vtkMRMLSegmentationNode, segment_id: str,
               like: slicer.vtkMRMLVolumeNode) -> NDArray[np.bool_]:
    """Where a segment is, on the grid of a volume, whatever transforms both lie under."""
    from text2ct.errors import BadInput

    if segmentation.GetSegmentation().GetSegment(segment_id) is None:
        raise BadInput(_("The segment is no longer in '{name}'; choose another.").format(name=segmentation.GetName()))
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment_id, like)
    return np.asarray(array != 0).transpose(2, 1, 0)


def array_of(image: vtk.vtkImageData) -> NDArray[Any]:
    """The voxels (i, j, k) of a VTK image of one value a voxel; a view, not a copy."""
    i, j, k = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i).transpose(2, 1, 0)


def affine_of(node: slicer.vtkMRMLVolumeNode) -> Affine:
    """From voxels to the node's own RAS millimetres."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return array_of_matrix(matrix)


def array_of_matrix(matrix: vtk.vtkMatrix4x4) -> Affine:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
