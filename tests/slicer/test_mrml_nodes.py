"""Results become MRML nodes at the right place, with names, colours, codes and their account: Slicer's own nodes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import vtk

from text2ct.provenance import ALTERED, Provenance
from text2ct.report.finding import Finding, LedgerEntry
from text2ct.requests import Result
from text2ct.volume import CTVolume, LabelVolume, Segment

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: work on MRML nodes is not tested")
from Text2CTSlicerLib import accounts, nodes, reading  # noqa: E402

pytestmark = pytest.mark.usefixtures("slicer_app")
PROVENANCE = Provenance("phantom", "generate", 11, preset="draft", created="2030-01-01T00:00:00+00:00")


def add_ct(ct: CTVolume, like: Any = None) -> Any:
    return nodes.add_ct(ct, "CT (phantom, seed 11)", PROVENANCE, like)


def add_labels(layers: list[LabelVolume], like: Any) -> Any:
    return nodes.add_segmentation(layers, "labels", PROVENANCE, like)


def mask(node: Any, name: str, reference: Any) -> np.ndarray:
    """A segment on the voxels of the reference, turned back to (i, j, k)."""
    id_ = node.GetSegmentation().GetSegmentIdBySegmentName(name)
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, id_, reference).transpose(2, 1, 0) > 0


def test_every_voxel_and_the_geometry_arrive_unchanged(ct: CTVolume) -> None:
    node = add_ct(ct)
    assert slicer.util.arrayFromVolume(node).dtype == np.int16
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node).transpose(2, 1, 0), ct.voxels)
    np.testing.assert_allclose(reading.affine_of(node), ct.affine, atol=1e-9)


@pytest.mark.parametrize("code", ["RAS", "LPS", "SAR", "PIL"])
def test_a_volume_in_any_orientation_keeps_its_value_at_a_point_of_the_patient(ct: CTVolume, code: str) -> None:
    turned = ct.reoriented(code)
    node = add_ct(turned)
    for index in ((0, 0, 0), (1, 2, 3), (6, 5, 4)):
        ras = ct.grid.to_ras(index)
        i, j, k = np.linalg.solve(reading.affine_of(node), [*ras, 1])[:3].round().astype(int)
        assert node.GetImageData().GetScalarComponentAsDouble(i, j, k, 0) == ct.voxels[index]


def test_the_node_keeps_its_own_copy_of_the_voxels(ct: CTVolume) -> None:
    voxels = ct.voxels.copy()
    node = add_ct(CTVolume(voxels, ct.affine))
    voxels[:] = 0
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(node).transpose(2, 1, 0), ct.voxels)


def test_the_ct_is_shown_in_the_lung_window(ct: CTVolume) -> None:
    display = add_ct(ct).GetDisplayNode()
    assert (display.GetAutoWindowLevel(), display.GetWindow(), display.GetLevel()) == (0, 1400, -500)


def test_segments_have_their_names_colours_and_ids(ct: CTVolume, labels: LabelVolume) -> None:
    node = add_labels([labels], add_ct(ct))
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    assert ids == ["lung_ul_l", "heart", "n1"]
    for id_, segment in zip(ids, labels.segments, strict=True):
        assert segmentation.GetSegment(id_).GetName() == segment.name
        np.testing.assert_allclose(segmentation.GetSegment(id_).GetColor(), segment.color)


def test_segments_cover_the_voxels_of_their_labels_at_the_place_of_the_ct(ct: CTVolume, labels: LabelVolume) -> None:
    ct_node = add_ct(ct)
    node = add_labels([labels], ct_node)
    for segment in labels.segments:
        np.testing.assert_array_equal(mask(node, segment.name, ct_node), labels.mask(segment.name))


def test_labels_in_another_orientation_than_the_ct_still_lie_on_it(ct: CTVolume, labels: LabelVolume) -> None:
    ct_node = add_ct(ct)
    node = add_labels([labels.reoriented("SAR")], ct_node)
    np.testing.assert_array_equal(mask(node, "Knötchen", ct_node), labels.mask("Knötchen"))


def test_layers_may_overlap_and_repeat_an_id_and_both_are_kept_whole(ct: CTVolume, labels: LabelVolume) -> None:
    voxels = np.zeros(ct.shape, np.uint16)
    voxels[2:5, 2:4, 0:3] = 1
    findings = LabelVolume(voxels, ct.affine, (Segment(1, "nodule", (1, 0.5, 0), "heart"),), "findings")
    ct_node = add_ct(ct)
    node = add_labels([labels, findings], ct_node)
    assert (mask(node, "nodule", ct_node) & mask(node, "lung_upper_lobe_left", ct_node)).any()
    np.testing.assert_array_equal(mask(node, "nodule", ct_node), voxels > 0)
    np.testing.assert_array_equal(mask(node, "heart", ct_node), labels.mask("heart"))
    assert node.GetSegmentation().GetNumberOfLayers("Binary labelmap") == 2


def test_a_segment_can_be_shown_in_3d(ct: CTVolume, labels: LabelVolume) -> None:
    node = add_labels([labels], add_ct(ct))
    assert node.CreateClosedSurfaceRepresentation()
    assert node.GetClosedSurfaceInternalRepresentation("heart").GetNumberOfPoints() > 0


def test_every_node_says_that_it_is_synthetic_and_how_it_was_made(ct: CTVolume, labels: LabelVolume) -> None:
    entry = LedgerEntry(Finding("pleural_effusion", side="right"), "shown", "fluid", True, 210.4, "ml", (1, 2, 3))
    added = nodes.add_result(Result(PROVENANCE, ct, (labels,), (entry,), notes=("Not drawn: x.",)), "effusion",
                             report="Right effusion.")
    for node in added.nodes:
        assert node.GetName().startswith("SYNTHETIC effusion (phantom, seed 11)")
        assert node.GetAttribute(accounts.SYNTHETIC) == "true"
    for node in (added.ct, added.segmentation):
        assert accounts.stamp_of(node).provenance == PROVENANCE
    text = added.account.GetText()
    for word in (PROVENANCE.notice, "seed 11", "Not drawn: x.", "Right effusion."):
        assert word in text
    (row,) = accounts.ledger_rows(added.ledger)
    assert (row.finding, row.shown, row.as_asked, row.measured) == ("pleural effusion right", "shown", "yes", "210 ml")
    assert row.place == (1, 2, 3)


def test_a_ledger_line_without_a_place_has_none(ct: CTVolume) -> None:
    entry = LedgerEntry(Finding("fracture", certainty="absent"), "can't tell", "none")
    added = nodes.add_result(Result(PROVENANCE, ct, (), (entry,)), "normal chest")
    assert [row.place for row in accounts.ledger_rows(added.ledger)] == [None]


def test_what_was_changed_since_is_told(ct: CTVolume, labels: LabelVolume) -> None:
    added = nodes.add_result(Result(PROVENANCE, ct, (labels,)), "x")
    assert accounts.verify(added.ct) == accounts.verify(added.segmentation) == []
    slicer.util.arrayFromVolume(added.ct)[0, 0, 0] += 1
    assert "voxels" in " ".join(accounts.verify(added.ct))
    other = add_ct(ct)
    other.SetOrigin(1, 2, 3)
    assert "geometry" in " ".join(accounts.verify(other))
    added.segmentation.GetSegmentation().RemoveSegment("heart")
    assert accounts.verify(added.segmentation)


def test_a_volume_of_somebody_else_is_not_ours(ct: CTVolume) -> None:
    from text2ct.errors import NotOurs

    with pytest.raises(NotOurs, match="no account"):
        accounts.verify(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode"))


def test_the_account_and_its_proof_survive_a_saved_scene(ct: CTVolume, labels: LabelVolume, tmp_path: Path) -> None:
    nodes.add_result(Result(PROVENANCE, ct, (labels,)), "x", report="Effusion.")
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert save_all(tmp_path)
    slicer.mrmlScene.Clear()
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    assert slicer.mrmlScene.Import()
    volume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    segmentation = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    assert accounts.stamp_of(volume).provenance == PROVENANCE
    assert accounts.verify(volume) == []
    assert accounts.verify(segmentation) == []
    assert "Effusion." in slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLTextNode").GetText()


def test_everything_is_found_again_in_a_scene_bundle(ct: CTVolume, labels: LabelVolume, tmp_path: Path) -> None:
    entry = LedgerEntry(Finding("pleural_effusion", side="right"), "shown", "fluid", True, 210.4, "ml", (1, 2, 3))
    nodes.add_result(Result(PROVENANCE, ct, (labels,), (entry,)), "x", report="Effusion.")
    assert slicer.mrmlScene.WriteToMRB(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear()
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    volume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    segmentation, ledger, account = accounts.tied(volume)
    read = reading.ct_from(volume)
    assert (read.voxels == ct.voxels).all()
    assert read.same_grid(ct, 1e-6)
    assert accounts.verify(volume) == accounts.verify(segmentation) == []
    assert accounts.ledger_rows(ledger)[0].place == (1, 2, 3)
    assert "Effusion." in account.GetText()


def save_all(folder: Path) -> bool:
    """Write the scene and every storable node beside it, as Slicer's save dialog does."""
    endings = {"vtkMRMLScalarVolumeNode": ".nrrd", "vtkMRMLSegmentationNode": ".seg.nrrd", "vtkMRMLTextNode": ".txt"}
    for n, (kind, ending) in enumerate(endings.items()):
        for node in slicer.util.getNodesByClass(kind):
            node.AddDefaultStorageNode()
            node.GetStorageNode().SetFileName(str(folder / f"{n}{ending}"))
            if not node.GetStorageNode().WriteData(node):
                return False
    return bool(slicer.mrmlScene.Commit())


def test_a_painted_volume_keeps_the_type_the_fractions_and_the_transform_of_its_input(ct: CTVolume) -> None:
    values = ct.voxels.transpose(2, 1, 0).astype(np.float32) + np.float32(0.25)
    volume = slicer.util.addVolumeFromArray(values)
    volume.SetIJKToRASMatrix(nodes._matrix(ct.affine))
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    given = reading.ct_from(volume)
    painted = given.voxels.copy()
    painted[1:3, 1:3, 1:3] = 333
    altered = Provenance("phantom", "lesion", 3, notice=ALTERED)
    added = nodes.add_result(Result(altered, CTVolume(painted, given.affine)), "lesion", volume)
    result = slicer.util.arrayFromVolume(added.ct)
    outside = (painted == given.voxels).transpose(2, 1, 0)
    assert result.dtype == np.float32
    assert (result[outside] == values[outside]).all()
    assert (result[~outside] == 333).all()
    assert added.ct.GetTransformNodeID() == transform.GetID()
    assert (reading.affine_of(added.ct) == reading.affine_of(volume)).all()


def test_a_result_comes_also_when_its_input_was_cropped_meanwhile(ct: CTVolume) -> None:
    volume = add_ct(ct)
    volume.SetAndObserveImageData(nodes._image(ct.voxels[:-1]))
    added = nodes.add_result(Result(PROVENANCE, ct), "lesion", volume)
    assert reading.ct_from(added.ct) == ct


def test_a_preview_is_one_node_that_is_not_saved(ct: CTVolume) -> None:
    node = nodes.show_preview(ct, None)
    small = ct.window((0, 0, 0), (2, 2, 2))
    assert nodes.show_preview(small, node) is node
    assert node.GetSaveWithScene() == 0
    assert reading.ct_from(node) == small
    slicer.mrmlScene.RemoveNode(node)
    assert nodes.show_preview(ct, node) is not node


def test_two_hundred_results_leave_no_node_behind(ct: CTVolume, labels: LabelVolume) -> None:
    entry = LedgerEntry(Finding("pleural_effusion"), "shown", "fluid")
    nodes.remove(nodes.add_result(Result(PROVENANCE, ct, (labels,), (entry,)), "first"))
    before = kinds()
    for _ in range(200):
        nodes.remove(nodes.add_result(Result(PROVENANCE, ct, (labels,), (entry,)), "again"))
    assert kinds() == before


def kinds() -> Counter[str]:
    return Counter(node.GetClassName() for node in slicer.util.getNodesByClass("vtkMRMLNode"))


def test_segments_carry_the_codes_of_slicers_terminology(ct: CTVolume, labels: LabelVolume) -> None:
    node = add_labels([labels], add_ct(ct))
    part = node.GetSegmentation().GetSegment("lung_ul_l")
    value = vtk.reference("")
    assert part.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), value)
    context, category, kind, side, *_ = str(value).split("~")
    assert context == "Segmentation category and type - 3D Slicer General Anatomy list"
    assert category == "SCT^91723000^Anatomical Structure"
    assert (kind, side) == ("SCT^45653009^Upper lobe of lung", "SCT^7771000^Left")


def test_a_second_run_gets_a_name_of_its_own(ct: CTVolume) -> None:
    assert add_ct(ct).GetName() != add_ct(ct).GetName()


def test_a_segmentation_written_by_slicer_is_read_back_by_us(ct: CTVolume, labels: LabelVolume, tmp_path: Path) -> None:
    from text2ct.formats import seg_nrrd

    node = add_labels([labels], add_ct(ct))
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
