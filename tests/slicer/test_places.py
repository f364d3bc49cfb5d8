"""Changing where requests are run: a place is let go off the main thread, when its last job has ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import qt
from flows import REPORT, box_in, finish, run_in, servers, small_ct, status, volumes, write
from slicer_standin import drive

Turn = Callable[..., Any]


class Place:
    """A place whose jobs wait for `go`; it notes on which thread it was closed."""

    def __init__(self, key: str) -> None:
        self.key = self.title = key
        self.go, self.started, self.closed = threading.Event(), 0, []  # type: ignore[var-annotated]

    def start(self, request: Any, progress: Any, cancel: Any) -> Any:
        self.started += 1
        return Waiting(self.go, request)

    def close(self) -> None:
        self.closed.append(threading.current_thread())


class Waiting:
    id = ""

    def __init__(self, go: threading.Event, request: Any) -> None:
        self._go, self._request = go, request

    def follow(self, progress: Any, cancel: Any) -> Any:
        from text2ct.engines.run import run

        while not self._go.wait(0.02):
            cancel.check()
        return run(self._request, progress, cancel)


@pytest.fixture
def places(slicer_app: Any, module: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Place]:
    """The places that the panel has made, by key; `panel` comes from `opened`."""
    made: dict[str, Place] = {}

    def backend_of(key: str, secret: Any) -> Place:
        assert key not in made, "a place that was there was made again"
        return made.setdefault(key, Place(key))

    run_in("process")
    opened = module("Text2CTSlicer")
    import Text2CTSlicerLib.panel_backend as panel_backend

    monkeypatch.setattr(panel_backend, "backend_of", backend_of)
    opened.open()
    drive.settle()
    made["panel"] = opened.widget
    return made


def go_to(panel: Any, place: str) -> None:
    panel.uis["Backend"].backendSection.collapsed = False
    box = panel.uis["Backend"].placeBox
    drive.press(box, qt.Qt.Key_Home)
    while box.currentData != place:
        drive.press(box, qt.Qt.Key_Down)


def begin(panel: Any) -> None:
    write(panel, REPORT)
    drive.click(panel.uis["Report"].generateButton)


def test_a_place_that_is_left_stays_until_its_jobs_have_ended(places: dict[str, Any], turn_until: Turn) -> None:
    panel = places.pop("panel")
    begin(panel)
    turn_until(lambda: places["process"].started, 20)
    go_to(panel, "here")
    assert places["process"].closed == []
    places["process"].go.set()
    finish(panel, turn_until, 60)
    turn_until(lambda: places["process"].closed, 20)
    assert status(panel).startswith("Done")
    assert len(volumes()) == 1
    assert threading.main_thread() not in places["process"].closed
    assert places["here"].closed == []


def test_a_place_without_jobs_is_let_go_at_once_and_not_on_the_main_thread(
        places: dict[str, Any], turn_until: Turn) -> None:
    panel = places.pop("panel")
    go_to(panel, "here")
    turn_until(lambda: places["process"].closed, 20)
    assert threading.main_thread() not in places["process"].closed


def test_a_place_that_is_chosen_again_while_its_job_runs_is_the_same_and_stays(
        places: dict[str, Any], turn_until: Turn) -> None:
    panel = places.pop("panel")
    begin(panel)
    turn_until(lambda: places["process"].started, 20)
    go_to(panel, "here")
    go_to(panel, "process")
    places["process"].go.set()
    finish(panel, turn_until, 60)
    turn_until(lambda: places["here"].closed, 20)
    assert places["process"].closed == []


def test_the_second_box_is_painted_where_the_first_one_was(places: dict[str, Any], turn_until: Turn) -> None:
    panel = places.pop("panel")
    ct = small_ct()
    for shift in (-9, 9):
        roi = box_in(panel, ct, 10)
        roi.SetCenter(*(value + shift for value in roi.GetCenter()))
    box_list = panel.uis["Lesion"].boxList
    for number in range(2):
        box_list.item(number).setCheckState(qt.Qt.Checked)
    drive.click(panel.uis["Lesion"].paintButton)
    turn_until(lambda: places["process"].started, 20)
    go_to(panel, "here")
    places["process"].go.set()
    finish(panel, turn_until, 60)
    assert status(panel).startswith("Done")
    assert places["process"].started == 2


def test_when_the_module_goes_every_place_is_closed_before_it_is_gone(places: dict[str, Any]) -> None:
    panel = places.pop("panel")
    go_to(panel, "here")
    panel.cleanup()
    assert places["process"].closed[-1] is threading.main_thread()
    assert places["here"].closed == [threading.main_thread()]


def test_a_job_of_the_local_process_ends_well_after_another_place_was_chosen(panel: Any, turn_until: Turn) -> None:
    begin(panel)
    turn_until(panel.logic.settings.jobs, 120)
    go_to(panel, "here")
    assert servers()
    finish(panel, turn_until)
    assert status(panel).startswith("Done")
    assert len(volumes()) == 1
    turn_until(lambda: not servers(), 60)
