"""Values of text2ct to MRML nodes: the only place where voxel arrays change their order.

The core has arrays (i, j, k), Slicer has them (k, j, i); the affine is the same for
both. Every node says in its name and its attributes that it is synthetic, and carries
the account of how it was made, so that a saved scene still tells.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from text2ct.geometry import Affine
    from text2ct.provenance import Provenance
    from text2ct.volume import CTVolume, LabelVolume

PREFIX = "SYNTHETIC"
SYNTHETIC = "Text2CT.Synthetic"
PROVENANCE = "Text2CT.Provenance"
LUNG_WINDOW, LUNG_LEVEL = 1400.0, -500.0


def add_ct(ct: CTVolume, provenance: Provenance) -> slicer.vtkMRMLScalarVolumeNode:
    """A scalar volume in the scene with the CT's voxels at the CT's place, in the lung window."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", _name("CT", provenance))
    node.SetIJKToRASMatrix(_matrix(ct.affine))
    node.SetAndObserveImageData(_fill(vtk.vtkImageData(), ct.voxels))
    _stamp(node, provenance)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevel(LUNG_WINDOW, LUNG_LEVEL)
    return node


def add_segmentation(layers: Sequence[LabelVolume], ct_node: slicer.vtkMRMLScalarVolumeNode,
                     provenance: Provenance) -> slicer.vtkMRMLSegmentationNode:
    """A segmentation in the scene with every segment of every layer, named and coloured.

    Segments of one layer share one image, as in a file that Slicer wrote itself;
    layers may overlap.
    """
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", _name("labels", provenance))
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct_node)
    segmentation = node.GetSegmentation()
    binary = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segmentation.SetSourceRepresentationName(binary)
    for layer in layers:
        image = slicer.vtkOrientedImageData()
        image.SetImageToWorldMatrix(_matrix(layer.affine))
        _fill(image, layer.voxels)
        for segment in layer.segments:
            part = slicer.vtkSegment()
            part.SetName(segment.name)
            part.SetColor(segment.color)
            part.SetLabelValue(segment.value)
            part.AddRepresentation(binary, image)
            segmentation.AddSegment(part, segmentation.GenerateUniqueSegmentID(segment.id or segment.name))
    _stamp(node, provenance)
    return node


def _name(what: str, provenance: Provenance) -> str:
    return slicer.mrmlScene.GenerateUniqueName(f"{PREFIX} {what} ({provenance.engine}, seed {provenance.seed})")


def _stamp(node: slicer.vtkMRMLNode, provenance: Provenance) -> None:
    from text2ct.plain import to_plain

    node.SetAttribute(SYNTHETIC, "true")
    node.SetAttribute(PROVENANCE, json.dumps(to_plain(provenance), ensure_ascii=True, allow_nan=False))


def _matrix(affine: Affine) -> vtk.vtkMatrix4x4:
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(affine.ravel().tolist())
    return matrix


def _fill(image: vtk.vtkImageData, voxels: NDArray[np.generic]) -> vtk.vtkImageData:
    """Give the image the voxels (i, j, k); VTK keeps them with i fastest, which is (k, j, i) in C order."""
    image.SetDimensions(voxels.shape)
    scalars = numpy_to_vtk(np.ascontiguousarray(voxels.transpose(2, 1, 0)).ravel(), deep=True)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    return image
