"""Values become MRML nodes at the right place, with names, colours and their account.

Run with Slicer's own nodes: `pip install slicer-core==5.12.4.0`; left out where that
package is not installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from text2ct.plain import from_plain
from text2ct.provenance import Provenance
from text2ct.volume import CTVolume, LabelVolume, Segment

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: work on MRML nodes is not tested")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Text2CTSlicer"))

from Text2CTSlicerLib import nodes  # noqa: E402

PROVENANCE = Provenance("phantom", "generate", 11, preset="draft", created="2030-01-01T00:00:00+00:00")


@pytest.fixture(autouse=True)
def scene() -> Iterator[Any]:
    """An empty scene with the module logics that nodes rely on in the application."""
    from vtkmodules.vtkCommonCore import vtkCollection

    scene, application = slicer.vtkMRMLScene(), slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    application.SetSliceLogics(vtkCollection())
    application.SetViewLogics(vtkCollection())
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLScene(scene)
    logic.SetMRMLApplicationLogic(application)
    application.SetModuleLogic("Segmentations", logic)
    slicer.mrmlScene = scene
    slicer.modules = SimpleNamespace(segmentations=SimpleNamespace(logic=lambda: logic))
    yield scene
    scene.Clear()


def ijk_to_ras(node: Any) -> np.ndarray:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])


def mask(node: Any, name: str, reference: Any) -> np.ndarray:
    """A segment on the voxels of the reference, turned back to (i, j, k)."""
    id_ = node.GetSegmentation().GetSegmentIdBySegmentName(name)
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, id_, reference).transpose(2, 1, 0) > 0


def test_every_voxel_and_the_geometry_arrive_unchanged(ct: CTVolume) -> None:
    node = nodes.add_ct(ct, PROVENANCE)
    assert slicer.util.arrayFromVolume(node).dtype == np.int16
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node).transpose(2, 1, 0), ct.voxels)
    np.testing.assert_allclose(ijk_to_ras(node), ct.affine, atol=1e-9)


@pytest.mark.parametrize("code", ["RAS", "LPS", "SAR", "PIL"])
def test_a_volume_in_any_orientation_keeps_its_value_at_a_point_of_the_patient(ct: CTVolume, code: str) -> None:
    turned = ct.reoriented(code)
    node = nodes.add_ct(turned, PROVENANCE)
    for index in ((0, 0, 0), (1, 2, 3), (6, 5, 4)):
        ras = ct.grid.to_ras(index)
        i, j, k = np.linalg.solve(ijk_to_ras(node), [*ras, 1])[:3].round().astype(int)
        assert node.GetImageData().GetScalarComponentAsDouble(i, j, k, 0) == ct.voxels[index]


def test_the_node_keeps_its_own_copy_of_the_voxels(ct: CTVolume) -> None:
    voxels = ct.voxels.copy()
    node = nodes.add_ct(CTVolume(voxels, ct.affine), PROVENANCE)
    voxels[:] = 0
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node).transpose(2, 1, 0), ct.voxels)


def test_the_ct_is_shown_in_the_lung_window(ct: CTVolume) -> None:
    display = nodes.add_ct(ct, PROVENANCE).GetDisplayNode()
    assert (display.GetAutoWindowLevel(), display.GetWindow(), display.GetLevel()) == (0, 1400, -500)


def test_segments_have_their_names_colours_and_ids(ct: CTVolume, labels: LabelVolume) -> None:
    node = nodes.add_segmentation([labels], nodes.add_ct(ct, PROVENANCE), PROVENANCE)
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    assert ids == ["lung_ul_l", "heart", "n1"]
    for id_, segment in zip(ids, labels.segments, strict=True):
        assert segmentation.GetSegment(id_).GetName() == segment.name
        np.testing.assert_allclose(segmentation.GetSegment(id_).GetColor(), segment.color)


def test_segments_cover_the_voxels_of_their_labels_at_the_place_of_the_ct(ct: CTVolume, labels: LabelVolume) -> None:
    ct_node = nodes.add_ct(ct, PROVENANCE)
    node = nodes.add_segmentation([labels], ct_node, PROVENANCE)
    for segment in labels.segments:
        np.testing.assert_array_equal(mask(node, segment.name, ct_node), labels.mask(segment.name))


def test_labels_in_another_orientation_than_the_ct_still_lie_on_it(ct: CTVolume, labels: LabelVolume) -> None:
    ct_node = nodes.add_ct(ct, PROVENANCE)
    node = nodes.add_segmentation([labels.reoriented("SAR")], ct_node, PROVENANCE)
    np.testing.assert_array_equal(mask(node, "Knötchen", ct_node), labels.mask("Knötchen"))


def test_layers_may_overlap_and_repeat_an_id_and_both_are_kept_whole(ct: CTVolume, labels: LabelVolume) -> None:
    voxels = np.zeros(ct.shape, np.uint16)
    voxels[2:5, 2:4, 0:3] = 1
    findings = LabelVolume(voxels, ct.affine, (Segment(1, "nodule", (1, 0.5, 0), "heart"),), "findings")
    ct_node = nodes.add_ct(ct, PROVENANCE)
    node = nodes.add_segmentation([labels, findings], ct_node, PROVENANCE)
    assert (mask(node, "nodule", ct_node) & mask(node, "lung_upper_lobe_left", ct_node)).any()
    np.testing.assert_array_equal(mask(node, "nodule", ct_node), voxels > 0)
    np.testing.assert_array_equal(mask(node, "heart", ct_node), labels.mask("heart"))
    assert node.GetSegmentation().GetNumberOfLayers("Binary labelmap") == 2


def test_a_segment_can_be_shown_in_3d(ct: CTVolume, labels: LabelVolume) -> None:
    node = nodes.add_segmentation([labels], nodes.add_ct(ct, PROVENANCE), PROVENANCE)
    assert node.CreateClosedSurfaceRepresentation()
    assert node.GetClosedSurfaceInternalRepresentation("heart").GetNumberOfPoints() > 0


def test_both_nodes_say_that_they_are_synthetic_and_how_they_were_made(ct: CTVolume, labels: LabelVolume) -> None:
    ct_node = nodes.add_ct(ct, PROVENANCE)
    for node in (ct_node, nodes.add_segmentation([labels], ct_node, PROVENANCE)):
        assert node.GetName().startswith("SYNTHETIC")
        assert node.GetAttribute(nodes.SYNTHETIC) == "true"
        assert from_plain(Provenance, json.loads(node.GetAttribute(nodes.PROVENANCE))) == PROVENANCE


def test_the_account_survives_a_saved_scene(ct: CTVolume, scene: Any, tmp_path: Path) -> None:
    nodes.add_ct(ct, PROVENANCE)
    scene.SetURL(str(tmp_path / "scene.mrml"))
    scene.Commit()
    again = slicer.vtkMRMLScene()
    again.SetURL(str(tmp_path / "scene.mrml"))
    again.Import()
    node = again.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    assert from_plain(Provenance, json.loads(node.GetAttribute(nodes.PROVENANCE))) == PROVENANCE


def test_a_second_run_gets_a_name_of_its_own(ct: CTVolume) -> None:
    assert nodes.add_ct(ct, PROVENANCE).GetName() != nodes.add_ct(ct, PROVENANCE).GetName()


def test_a_segmentation_written_by_slicer_is_read_back_by_us(ct: CTVolume, labels: LabelVolume, tmp_path: Path) -> None:
    from text2ct.formats import seg_nrrd

    node = nodes.add_segmentation([labels], nodes.add_ct(ct, PROVENANCE), PROVENANCE)
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "labels.seg.nrrd"))
    slicer.mrmlScene.AddNode(storage)
    assert storage.WriteData(node)
    (layer,) = seg_nrrd.read_layers(tmp_path / "labels.seg.nrrd")
    assert [s.name for s in layer.segments] == [s.name for s in labels.segments]
    for segment in labels.segments:
        points = labels.grid.to_ras(np.argwhere(labels.mask(segment.name)))
        found = layer.grid.to_ras(np.argwhere(layer.mask(segment.name)))
        np.testing.assert_allclose(np.sort(points, 0), np.sort(found, 0), atol=1e-3)
