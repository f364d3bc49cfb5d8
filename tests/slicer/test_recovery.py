"""Jobs of an earlier session become what they were to become: a CT, a mask or a measurement, and each once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import slicer
from flows import REPORT, box_in, finish, small_ct, status, volumes
from slicer_standin import drive

Turn = Callable[..., Any]


class Kept:
    """A place that has kept the results of an earlier session; `asked` counts who asked for them."""

    key = title = "kept"

    def __init__(self, *results: Any) -> None:
        self.results, self.asked = results, 0

    def attach(self, job_id: str) -> Any:
        self.asked += 1
        return Ended(job_id, self.results[int(job_id)])


class Ended:
    def __init__(self, id: str, result: Any) -> None:
        self.id, self._result = id, result

    def follow(self, progress: Any, cancel: Any) -> Any:
        return self._result


def recover(panel: Any, turn_until: Turn, place: Kept, task: str) -> None:
    from Text2CTSlicerLib.settings import RememberedJob

    for number in range(len(place.results)):
        panel.logic.settings.remember_job(RememberedJob(str(number), place.key, f"{task} in Patient", task))
    panel.logic.jobs.recover(place, panel._delivery_for)
    finish(panel, turn_until)


def result_of(request: Any) -> Any:
    from text2ct.engines.run import run

    return run(request)


def lesion_in(ct: Any, parts: str) -> Any:
    from Text2CTSlicerLib import boxes, reading

    from text2ct.requests import InsertLesion

    roi = boxes.new_box(ct)
    roi.SetSize(14, 14, 14)
    request = InsertLesion(reading.ct_from(ct), boxes.box_of(roi, ct), parts=parts, seed=1)
    slicer.mrmlScene.RemoveNode(roi)
    return result_of(request)


def measurement_of(ct: Any) -> Any:
    from Text2CTSlicerLib import reading

    from text2ct.requests import ScoreCT

    return result_of(ScoreCT(reading.ct_from(ct), REPORT))


def test_a_mask_is_found_again_on_its_ct_and_is_taken_to_paint_with(here: Any, turn_until: Turn) -> None:
    small_ct(size=40)
    ct = small_ct()
    recover(here, turn_until, Kept(lesion_in(ct, "mask")), "lesion")
    (mask,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    assert mask.GetNodeReference(role) is ct
    assert here.uis["Lesion"].maskSelector.currentNode() is mask
    assert status(here).startswith("The mask is in")
    assert volumes() == []
    assert here.logic.settings.jobs() == []


def test_a_mask_whose_ct_is_gone_is_kept(here: Any, turn_until: Turn) -> None:
    ct = small_ct()
    made = lesion_in(ct, "mask")
    slicer.mrmlScene.RemoveNode(ct)
    recover(here, turn_until, Kept(made), "lesion")
    (mask,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert mask.GetSegmentation().GetNumberOfSegments() == 1
    assert mask.GetName() in status(here)
    assert here.logic.settings.jobs() == []


def test_a_painted_ct_is_found_again_beside_its_input(here: Any, turn_until: Turn) -> None:
    from Text2CTSlicerLib import accounts

    ct = small_ct()
    recover(here, turn_until, Kept(lesion_in(ct, "both")), "lesion")
    (painted,) = volumes()
    assert accounts.source_of(painted) is ct
    assert here.uis["Result"].resultSelector.currentNode() is painted
    assert here.logic.settings.jobs() == []


@pytest.mark.parametrize("there", [True, False])
def test_a_measurement_is_found_again_with_its_ct_or_without(here: Any, turn_until: Turn, there: bool) -> None:
    from Text2CTSlicerLib import accounts

    ct = small_ct()
    made = measurement_of(ct)
    if not there:
        slicer.mrmlScene.RemoveNode(ct)
    recover(here, turn_until, Kept(made), "score")
    (table,) = slicer.util.getNodesByClass("vtkMRMLTableNode")
    assert len(accounts.ledger_rows(table)) == len(made.ledger) > 0
    assert not there or accounts.tied(ct)[1] is table
    assert there or table.GetName() in status(here)
    assert here.logic.settings.jobs() == []


def test_a_result_that_cannot_be_loaded_is_tried_once_a_session(here: Any, turn_until: Turn) -> None:
    from text2ct.provenance import Provenance
    from text2ct.requests import Result

    place = Kept(Result(Provenance("phantom", "lesion", 1)))
    for _again in range(3):
        recover(here, turn_until, place, "lesion")
    assert place.asked == 1
    assert [job.state for job in here.logic.jobs.rows()] == ["failed"]
    assert len(here.logic.settings.jobs()) == 1  # the next session may read it


def test_a_mask_that_was_under_way_when_slicer_ended_comes_from_the_local_process(
        panel: Any, module: Any, turn_until: Turn) -> None:
    ct = small_ct()
    box_in(panel, ct)
    drive.click(panel.uis["Lesion"].maskButton)
    turn_until(panel.logic.settings.jobs, 120)
    panel.cleanup()
    again = module("Text2CTSlicer")
    again.widgetRepresentation().show()
    again.enter()
    finish(again.widget, turn_until)
    assert [node.GetSegmentation().GetNumberOfSegments()
            for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")] == [1]
    assert again.widget.logic.settings.jobs() == []
