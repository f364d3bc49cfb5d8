"""Both flows from the panel to the scene: by real MRML, the real .ui files, the phantom, and a real local process."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from flows import REPORT, box_in, finish, generate, servers, small_ct, status, volumes, write
from slicer_standin import drive

Turn = Callable[..., Any]


def test_a_report_becomes_a_ct_in_a_local_process_while_slicer_stays_usable(panel: Any, turn_until: Turn) -> None:
    turning = generate(panel, turn_until, "22 mm nodule in the left upper lobe. " + REPORT)
    assert turning.per_second > 20
    (ct,) = volumes()
    assert ct.GetName() == "SYNTHETIC LUL lung nodule (phantom, seed 0)"
    assert (ct.GetDisplayNode().GetWindow(), ct.GetDisplayNode().GetLevel()) == (1400, -500)
    red = slicer.app.layoutManager().sliceWidget("Red")
    assert red.mrmlSliceCompositeNode().GetBackgroundVolumeID() == ct.GetID()
    tree = panel.uis["Result"].ledgerTree
    shown = {tree.topLevelItem(n).text(0): tree.topLevelItem(n).text(1) for n in range(tree.topLevelItemCount)}
    assert shown["pleural effusion right"] == "✓ shown"
    assert shown["no pneumothorax"] == "✓ not shown"
    assert "seed 0" in panel.uis["Result"].madeLabel.text


def test_cancel_ends_the_run_and_the_next_one_works(panel: Any, turn_until: Turn) -> None:
    panel.uis["Report"].presetBox.setCurrentIndex(panel.uis["Report"].presetBox.findData("standard"))
    write(panel, REPORT)
    drive.click(panel.uis["Report"].generateButton)
    turn_until(lambda: "building" in panel.logic.jobs.log(1), 120)
    drive.click(panel.uis["Jobs"].cancelButton)
    finish(panel, turn_until, 30)
    assert panel.logic.jobs.rows()[0].state == "cancelled"
    assert "ancelled" in status(panel)
    assert volumes() == []
    panel.uis["Report"].presetBox.setCurrentIndex(panel.uis["Report"].presetBox.findData("draft"))
    generate(panel, turn_until)
    assert len(volumes()) == 1


def test_a_server_that_is_killed_mid_job_comes_back_and_finishes_it(panel: Any, turn_until: Turn) -> None:
    write(panel, REPORT)
    drive.click(panel.uis["Report"].generateButton)
    turn_until(lambda: "drawing" in panel.logic.jobs.log(1) or "patient" in panel.logic.jobs.log(1), 120)
    for pid in servers():
        os.kill(pid, signal.SIGKILL)
    finish(panel, turn_until)
    assert status(panel).startswith("Done")
    assert len(volumes()) == 1


def test_a_job_is_found_again_after_slicer_was_gone(panel: Any, module: Any, turn_until: Turn) -> None:
    write(panel, REPORT)
    drive.click(panel.uis["Report"].generateButton)
    turn_until(panel.logic.settings.jobs, 120)
    panel.cleanup()
    assert volumes() == []
    again = module("Text2CTSlicer")
    again.widgetRepresentation().show()
    again.enter()
    finish(again.widget, turn_until)
    assert [node.GetName() for node in volumes()] == ["SYNTHETIC right pleural effusion (phantom, seed 0)"]
    assert again.widget.logic.settings.jobs() == []


def test_ctrl_enter_generates(here: Any, turn_until: Turn) -> None:
    write(here, REPORT)
    drive.press(here.uis["Report"].reportEdit, qt.Qt.Key_Return, qt.Qt.ControlModifier)
    finish(here, turn_until)
    assert len(volumes()) == 1


def test_variants_are_shown_beside_each_other_and_move_together(here: Any, turn_until: Turn) -> None:
    here.uis["Report"].variantsBox.value = 2
    here.uis["Report"].seedBox.value = 5
    generate(here, turn_until)
    first, second = volumes()
    assert "seed 5" in first.GetName()
    assert "seed 6" in second.GetName()
    for name, ct in (("Text2CT1", first), ("Text2CT2", second)):
        composite = slicer.app.layoutManager().sliceWidget(name).mrmlSliceCompositeNode()
        assert composite.GetBackgroundVolumeID() == ct.GetID()
        assert composite.GetLinkedControl()


def test_a_click_in_the_ledger_jumps_to_the_finding(here: Any, turn_until: Turn) -> None:
    generate(here, turn_until, "20 mm nodule in the left lower lobe.")
    from Text2CTSlicerLib import accounts

    (row,) = accounts.ledger_rows(accounts.tied(volumes()[0])[1])
    slices = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    slices.SetSliceOffset(999)
    tree = here.uis["Result"].ledgerTree
    tree.itemClicked.emit(tree.topLevelItem(0), 0)
    assert slices.GetSliceOffset() == pytest.approx(row.place[2], abs=0.1)


def test_verify_tells_what_was_changed(here: Any, turn_until: Turn) -> None:
    generate(here, turn_until)
    drive.click(here.uis["Result"].verifyButton)
    assert status(here).count("unchanged") == 2
    slicer.util.arrayFromVolume(volumes()[0])[3, 3, 3] += 5
    drive.click(here.uis["Result"].verifyButton)
    assert "CHANGED" in status(here)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_a_lesion_is_masked_edited_and_painted_into_a_copy(here: Any, turn_until: Turn, dtype: Any) -> None:
    from Text2CTSlicerLib import boxes, reading

    ct = small_ct(dtype)
    move = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    move.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.array(
        [[0, -1, 0, 12.0], [1, 0, 0, -3], [0, 0, 1, 40], [0, 0, 0, 1]])))
    ct.SetAndObserveTransformNodeID(move.GetID())
    before = slicer.util.arrayFromVolume(ct).copy()
    roi = box_in(here, ct)
    drive.click(here.uis["Lesion"].maskButton)
    finish(here, turn_until)
    masks = here.uis["Lesion"].maskSelector.currentNode()
    segment = here.uis["Lesion"].maskSelector.currentSegmentID()
    shape = reading.mask_array(masks, segment, ct)
    low, high = boxes.voxel_window(roi, ct)
    inside = np.zeros(shape.shape, bool)
    inside[tuple(map(slice, low, high))] = True
    assert shape.any()
    assert not (shape & ~inside).any()
    drive.click(here.uis["Lesion"].paintButton)
    finish(here, turn_until)
    (painted,) = volumes()
    after = slicer.util.arrayFromVolume(painted)
    changed = (after != before).transpose(2, 1, 0)
    assert after.dtype == before.dtype
    assert changed.any()
    assert not (changed & ~inside).any()
    assert (slicer.util.arrayFromVolume(ct) == before).all()
    np.testing.assert_allclose(reading.affine_of(painted), reading.affine_of(ct), atol=1e-6)
    assert painted.GetTransformNodeID() == move.GetID()


def test_two_boxes_in_one_go_are_both_painted(here: Any, turn_until: Turn) -> None:
    from Text2CTSlicerLib import boxes

    ct = small_ct()
    rois = [box_in(here, ct, 10), box_in(here, ct, 10)]
    middle = np.array(rois[0].GetCenter())
    rois[0].SetCenter(*(middle - 9))
    rois[1].SetCenter(*(middle + 9))
    drive.settle()
    box_list = here.uis["Lesion"].boxList
    for number in range(2):
        box_list.item(number).setCheckState(qt.Qt.Checked)
    drive.click(here.uis["Lesion"].paintButton)
    finish(here, turn_until)
    (painted,) = volumes()
    changed = (slicer.util.arrayFromVolume(painted) != slicer.util.arrayFromVolume(ct)).transpose(2, 1, 0)
    for roi in rois:
        low, high = boxes.voxel_window(roi, ct)
        assert changed[tuple(map(slice, low, high))].any()
    segmentation = [n for n in slicer.util.getNodesByClass("vtkMRMLSegmentationNode") if "labels" in n.GetName()][-1]
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 2


def test_the_box_is_checked_against_the_organ_at_once(here: Any, turn_until: Turn) -> None:
    from Text2CTSlicerLib import nodes, reading

    from text2ct.provenance import Provenance
    from text2ct.volume import LabelVolume, Segment

    ct = small_ct()
    i, j, k = ct.GetImageData().GetDimensions()
    voxels = np.zeros((i, j, k), np.uint8)
    voxels[: i // 2] = 1
    labels = LabelVolume(voxels, reading.affine_of(ct), (Segment(1, "liver", (1, 0, 0)),))
    organs = nodes.add_segmentation([labels], "organs", Provenance("phantom", "generate", 1), ct)
    roi = box_in(here, ct, 8)
    here.uis["Lesion"].organSelector.setCurrentNode(organs)
    here.uis["Lesion"].organSelector.setCurrentSegmentID("liver")
    drive.settle()
    assert "% of the box lie in liver" in here.uis["Lesion"].relationLabel.text
    roi.SetCenter(*labels.grid.to_ras((i // 4, j // 2, k // 2)))
    turn_until(lambda: here.uis["Lesion"].relationLabel.text == "The box lies inside liver.", 5)
    roi.SetCenter(*labels.grid.to_ras((i - 5, j // 2, k // 2)))
    turn_until(lambda: "outside liver" in here.uis["Lesion"].relationLabel.text, 5)
