"""Results of text2ct to MRML nodes: the CT, its segmentation, its ledger and its account.

Every node says in its name and its attributes that it is synthetic, and carries the
stamp of how it was made, so that a saved scene still tells. The core has arrays
(i, j, k), VTK keeps them with i fastest; the affine is the same for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from . import accounts
from .reading import array_of, ct_from
from .terms import terminology_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from text2ct.geometry import Affine
    from text2ct.provenance import Provenance
    from text2ct.requests import Result
    from text2ct.volume import CTVolume, LabelVolume

PREFIX = "SYNTHETIC"
LUNG_WINDOW = (1400.0, -500.0)
FILL = 0.3  # of segments in slices, so that the CT is seen through them


@dataclass(frozen=True)
class Added:
    """The nodes of one result, and the folder of the subject hierarchy that holds them."""

    ct: slicer.vtkMRMLScalarVolumeNode | None
    segmentation: slicer.vtkMRMLSegmentationNode | None
    ledger: slicer.vtkMRMLTableNode | None
    account: slicer.vtkMRMLTextNode
    folder: int

    @property
    def nodes(self) -> list[slicer.vtkMRMLNode]:
        return [node for node in (self.ct, self.segmentation, self.ledger, self.account) if node is not None]


def add_result(result: Result, title: str, like: slicer.vtkMRMLScalarVolumeNode | None = None,
               report: str = "") -> Added:
    """All that a run made, as nodes in one folder; beside `like` when it was made from that volume."""
    made = result.provenance
    what = f"{title} ({made.engine}, seed {made.seed})"
    ct = segmentation = ledger = None
    if result.ct is not None:
        ct = add_ct(result.ct, what, made, like)
    if result.labels:
        segmentation = add_segmentation(result.labels, f"{what} labels", made, ct or like)
    if result.ledger:
        ledger = accounts.add_ledger(result.ledger, _name(f"{what} ledger"))
    account = accounts.add_account(result, report, _name(f"{what} account"))
    added = Added(ct, segmentation, ledger, account, 0)
    if ct is not None:
        accounts.tie(ct, segmentation, ledger, account)
        if like is not None:
            accounts.remember_source(ct, like)
    return Added(ct, segmentation, ledger, account, _into_folder(_name(what), added.nodes))


def add_ct(ct: CTVolume, what: str, provenance: Provenance,
           like: slicer.vtkMRMLScalarVolumeNode | None = None) -> slicer.vtkMRMLScalarVolumeNode:
    """A scalar volume with the CT's voxels at its place: as `like` has them where they are unchanged."""
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", _name(what))
    node.SetIJKToRASMatrix(_matrix(ct.affine))
    same_grid = like is not None and _holds(like, ct)
    node.SetAndObserveImageData(_image(_in_the_manner_of(ct, like) if same_grid else ct.voxels))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.AutoWindowLevelOff()
    source = like.GetDisplayNode() if like is not None else None
    display.SetWindowLevel(*((source.GetWindow(), source.GetLevel()) if source is not None else LUNG_WINDOW))
    if like is not None:
        node.SetAndObserveTransformNodeID(like.GetTransformNodeID())
    accounts.stamp(node, provenance, [ct], "ct")
    return node


def add_segmentation(layers: Sequence[LabelVolume], what: str, provenance: Provenance,
                     like: slicer.vtkMRMLScalarVolumeNode | None = None) -> slicer.vtkMRMLSegmentationNode:
    """A segmentation with every segment of every layer, named, coloured and coded.

    Segments of one layer share one image, as in a file that Slicer wrote itself;
    layers may overlap.
    """
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", _name(what))
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetOpacity2DFill(FILL)
    if like is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(like)
        node.SetAndObserveTransformNodeID(like.GetTransformNodeID())
    segmentation = node.GetSegmentation()
    binary = slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()
    segmentation.SetSourceRepresentationName(binary)
    kept = []
    for layer in layers:
        image = _image(layer.voxels, slicer.vtkOrientedImageData())
        image.SetImageToWorldMatrix(_matrix(layer.affine))
        kept.append([(_add_segment(segmentation, segment, binary, image), segment.value) for segment in layer.segments])
    accounts.stamp(node, provenance, layers, "labels")
    accounts.remember_layers(node, [(layer.title, rows) for layer, rows in zip(layers, kept, strict=True)])
    return node


def show_preview(ct: CTVolume, node: slicer.vtkMRMLScalarVolumeNode | None) -> slicer.vtkMRMLScalarVolumeNode:
    """The CT as it forms, in one node that is updated in place and not saved with the scene."""
    if node is None or node.GetScene() is None:
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", _name("preview"))
        node.SaveWithSceneOff()
        node.SetAttribute(accounts.SYNTHETIC, "true")
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SaveWithSceneOff()
        node.GetDisplayNode().AutoWindowLevelOff()
        node.GetDisplayNode().SetWindowLevel(*LUNG_WINDOW)
    node.SetIJKToRASMatrix(_matrix(ct.affine))
    node.SetAndObserveImageData(_image(ct.voxels))
    return node


def called(node: slicer.vtkMRMLNode) -> str:
    """The name of a node, without what every result of ours has in its name."""
    name = node.GetName()
    return name.removeprefix(PREFIX).split(" (")[0].strip() if accounts.stamp_of(node) is not None else name


def remove(added: Added) -> None:
    """Take the nodes of a result out of the scene again, and their folder."""
    for node in added.nodes:
        remove_node(node)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is not None and added.folder:
        hierarchy.RemoveItem(added.folder)


def remove_node(node: slicer.vtkMRMLNode | None) -> None:
    """Take a node out of the scene with the display and storage nodes that only it uses."""
    if node is None or node.GetScene() is None:
        return
    helpers = [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())] if isinstance(
        node, slicer.vtkMRMLDisplayableNode) else []
    helpers += [node.GetNthStorageNode(n) for n in range(node.GetNumberOfStorageNodes())]
    for gone in (node, *helpers):
        if gone is not None and gone.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(gone)


def _add_segment(segmentation: slicer.vtkSegmentation, segment: Any, binary: str,
                 image: slicer.vtkOrientedImageData) -> str:
    part = slicer.vtkSegment()
    part.SetName(segment.name)
    part.SetColor(segment.color)
    part.SetLabelValue(segment.value)
    part.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminology_of(segment.name))
    part.AddRepresentation(binary, image)
    segment_id = segmentation.GenerateUniqueSegmentID(segment.id or segment.name)
    segmentation.AddSegment(part, segment_id)
    return segment_id


def _into_folder(name: str, nodes: Sequence[slicer.vtkMRMLNode]) -> int:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    if hierarchy is None:
        return 0
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), name)
    for node in nodes:
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.SetItemParent(item, folder)
    return int(folder)


def _holds(like: slicer.vtkMRMLScalarVolumeNode, ct: CTVolume) -> bool:
    """Whether a node is (still) a volume on the grid of the CT."""
    from text2ct.errors import BadInput

    try:
        return ct.same_grid(ct_from(like).grid)
    except BadInput:
        return False


def _in_the_manner_of(ct: CTVolume, like: slicer.vtkMRMLScalarVolumeNode) -> NDArray[Any]:
    """The CT's voxels in the type of `like`, with the very values of `like` where nothing was painted."""
    theirs = array_of(like.GetImageData())
    if theirs.dtype == np.int16:
        return ct.voxels
    return np.where(ct.voxels == ct_from(like).voxels, theirs, ct.voxels).astype(theirs.dtype)


def _name(what: str) -> str:
    return slicer.mrmlScene.GenerateUniqueName(f"{PREFIX} {what}")


def _matrix(affine: Affine) -> vtk.vtkMatrix4x4:
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy(affine.ravel().tolist())
    return matrix


def _image(voxels: NDArray[Any], image: vtk.vtkImageData | None = None) -> vtk.vtkImageData:
    """A VTK image with the voxels (i, j, k), which VTK keeps with i fastest: (k, j, i) in C order."""
    image = image or vtk.vtkImageData()
    image.SetDimensions(voxels.shape)
    scalars = numpy_to_vtk(np.ascontiguousarray(voxels.transpose(2, 1, 0)).ravel(), deep=True)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    return image
