"""Volumes, segments and boxes of Slicer's own nodes become values, whatever transforms they lie under."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from text2ct.errors import BadInput
from text2ct.volume import CTVolume, LabelVolume

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: work on MRML nodes is not tested")
from Text2CTSlicerLib import boxes, nodes, reading  # noqa: E402

pytestmark = pytest.mark.usefixtures("slicer_app")
RANDOM_BOXES = 1000


def volume_of(ct: CTVolume, dtype: Any = np.int16) -> Any:
    node = slicer.util.addVolumeFromArray(ct.voxels.transpose(2, 1, 0).astype(dtype))
    node.SetIJKToRASMatrix(nodes._matrix(ct.affine))
    return node


def transform(matrix: np.ndarray) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(nodes._matrix(matrix))
    return node


def turned(rng: np.random.Generator, shift: float = 100.0) -> np.ndarray:
    """A random rigid motion."""
    matrix = np.eye(4)
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q *= np.sign(np.diag(r))
    matrix[:3, :3] = q * np.sign(np.linalg.det(q))
    matrix[:3, 3] = rng.uniform(-shift, shift, 3)
    return matrix


def place(roi: Any, to_world: np.ndarray, center: np.ndarray, size: np.ndarray) -> None:
    """An ROI with its own turned axes, as the handles of Slicer make it."""
    matrix = to_world.copy()
    matrix[:3, 3] = center
    roi.SetSize(*size)
    roi.SetAndObserveObjectToNodeMatrix(nodes._matrix(matrix))


@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.float64, np.int32])
def test_a_volume_of_any_number_type_is_read_as_whole_hu(dtype: Any) -> None:
    ct = CTVolume(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.diag([1.5, 2, 3, 1]))
    assert reading.ct_from(volume_of(ct, dtype)) == ct


def test_the_values_are_a_copy_that_outlives_the_node(ct: CTVolume) -> None:
    node = volume_of(ct)
    read = reading.ct_from(node)
    slicer.util.arrayFromVolume(node)[:] = 7
    slicer.mrmlScene.RemoveNode(node)
    assert read == ct


def test_what_is_no_single_ct_is_refused_with_a_sentence(ct: CTVolume) -> None:
    add = slicer.mrmlScene.AddNewNodeByClass
    colour = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4, 3), np.uint8), nodeClassName="vtkMRMLVectorVolumeNode")
    label = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.uint8), nodeClassName="vtkMRMLLabelMapVolumeNode")
    holes = volume_of(ct, np.float32)
    slicer.util.arrayFromVolume(holes)[0, 0, 0] = np.nan
    for node, words in ((None, "choose the volume"), (add("vtkMRMLScalarVolumeNode"), "no image"),
                        (colour, "colour image or a time series"), (label, "label map"), (holes, "no numbers")):
        with pytest.raises(BadInput, match=words):
            reading.ct_from(node)


def test_segments_are_read_on_the_grid_of_the_ct_whatever_transforms_both_lie_under(
        ct: CTVolume, labels: LabelVolume) -> None:
    volume = volume_of(ct)
    segmentation = nodes.add_segmentation([labels], "x", provenance(), volume)
    move = transform(turned(np.random.default_rng(4)))
    for node in (volume, segmentation):
        node.SetAndObserveTransformNodeID(move.GetID())
    read = reading.labels_from(segmentation, volume)
    assert [s.name for s in read.segments] == [s.name for s in labels.segments]
    for segment in labels.segments:
        assert (read.mask(segment.name) == labels.mask(segment.name)).all()
    (only,) = reading.labels_from(segmentation, volume, ["heart"]).segments
    assert only.name == "heart"


def test_a_segment_that_was_removed_is_named_as_gone(ct: CTVolume, labels: LabelVolume) -> None:
    volume = volume_of(ct)
    segmentation = nodes.add_segmentation([labels], "x", provenance(), volume)
    with pytest.raises(BadInput, match="no longer"):
        reading.labels_from(segmentation, volume, ["gone"])


def test_random_boxes_cover_the_voxels_they_were_drawn_around() -> None:
    rng = np.random.default_rng(8)
    ct = CTVolume(np.zeros((40, 50, 30), np.int16), turned(rng) @ np.diag([0.8, 0.7, 2.5, 1]))
    volume, roi = volume_of(ct), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    for case in range(RANDOM_BOXES):
        low = rng.integers(0, np.array(ct.shape) - 1)
        high = low + rng.integers(1, np.array(ct.shape) - low + 1)
        edges = [turned(rng) if under else np.eye(4) for under in rng.integers(0, 2, 2)]
        volume_to_world, roi_to_world = edges
        volume.SetAndObserveTransformNodeID(transform(volume_to_world).GetID() if case % 2 else None)
        roi.SetAndObserveTransformNodeID(transform(roi_to_world).GetID() if case % 3 == 0 else None)
        to_roi = np.linalg.inv(roi_to_world if case % 3 == 0 else np.eye(4))
        world = (volume_to_world if case % 2 else np.eye(4)) @ ct.affine
        center = (to_roi @ world @ [*((low + high - 1) / 2), 1])[:3]
        axes = np.eye(4)
        axes[:3, :3] = (to_roi @ world)[:3, :3] / ct.spacing
        place(roi, axes, center, (high - low) * np.array(ct.spacing))
        assert boxes.voxel_window(roi, volume) == (tuple(low), tuple(high)), case
        slicer.mrmlScene.RemoveNode(volume.GetParentTransformNode())
        slicer.mrmlScene.RemoveNode(roi.GetParentTransformNode())


def test_a_sheared_frame_gives_the_upright_box_around() -> None:
    ct = CTVolume(np.zeros((20, 20, 20), np.int16), np.eye(4))
    volume, roi = volume_of(ct), slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    roi.SetCenter(10, 10, 10)
    roi.SetSize(4, 4, 4)
    shear = np.eye(4)
    shear[0, 1] = 0.5
    volume.SetAndObserveTransformNodeID(transform(shear).GetID())
    box = boxes.box_of(roi, volume)
    np.testing.assert_allclose(box.size, (6, 4, 4), atol=1e-4)


def test_a_box_that_was_not_drawn_is_asked_for(ct: CTVolume) -> None:
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode")
    with pytest.raises(BadInput, match="two opposite corners"):
        boxes.box_of(roi, volume_of(ct))
    with pytest.raises(BadInput, match="draw one"):
        boxes.box_of(None, volume_of(ct))


def test_a_new_box_lies_in_the_middle_of_the_ct_or_where_asked(ct: CTVolume) -> None:
    volume = volume_of(ct)
    middle = ct.grid.to_ras((np.array(ct.shape) - 1) / 2)
    np.testing.assert_allclose(boxes.new_box(volume).GetCenter(), middle, atol=1e-3)
    assert boxes.new_box(volume, (1, 2, 3)).GetCenter() == pytest.approx((1, 2, 3))
    low, high = boxes.voxel_window(boxes.new_box(volume), volume)
    assert all(a < b for a, b in zip(low, high, strict=True))


def test_how_a_box_lies_to_an_organ_is_told() -> None:
    voxels = np.zeros((20, 20, 20), np.uint8)
    voxels[5:15, 5:15, 5:15] = 1
    from text2ct.geometry import Box
    from text2ct.volume import Segment

    labels = LabelVolume(voxels, np.eye(4), (Segment(1, "liver", (1, 0, 0)),))

    def told(x: float, size: float = 4.0) -> tuple[str, float]:
        said = boxes.relation(Box((x, 9.5, 9.5), (size, size, size)), labels, "liver")
        assert said.kind == "no organ" or "liver" in said.sentence or "image" in said.sentence
        return said.kind, said.fraction

    assert told(9.5) == ("inside", 1.0)
    assert told(4.5) == ("partly", 0.5)
    assert told(1.5) == ("outside", 0.0)
    assert told(90.0) == ("outside", 0.0)
    assert boxes.relation(Box((9.5, 9.5, 9.5), (4, 4, 4)), None).kind == "no organ"


def provenance() -> Any:
    from text2ct.provenance import Provenance

    return Provenance("phantom", "generate", 1)
