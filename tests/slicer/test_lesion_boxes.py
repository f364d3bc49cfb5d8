"""Ticked boxes, and a box that is pulled: the panel keeps up without looking at everything for each move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from flows import box_in, small_ct
from slicer_standin import drive

Turn = Callable[..., Any]


def counted(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    """What a function was called with, from now on."""
    calls, real = [], getattr(owner, name)

    def call(*given: Any, **more: Any) -> Any:
        calls.append(given)
        return real(*given, **more)

    monkeypatch.setattr(owner, name, call)
    return calls


def test_ticking_a_box_is_enough_to_make_a_mask_or_to_paint(here: Any) -> None:
    ct = small_ct()
    box_in(here, ct)
    box_in(here, ct)
    ui = here.uis["Lesion"]
    ui.boxSelector.setCurrentNode(None)
    drive.settle()
    assert not ui.maskButton.enabled
    item = ui.boxList.item(1)
    item.setCheckState(qt.Qt.Checked)
    assert ui.maskButton.enabled
    assert ui.paintButton.enabled
    item.setCheckState(qt.Qt.Unchecked)
    assert not ui.maskButton.enabled
    assert not ui.paintButton.enabled


def test_a_new_box_leaves_the_ticks_of_the_others(here: Any) -> None:
    ct = small_ct()
    first = box_in(here, ct)
    box_in(here, ct)
    box_list = here.uis["Lesion"].boxList
    box_list.item(0).setCheckState(qt.Qt.Checked)
    box_in(here, ct)
    ticked = [box_list.item(n).data(qt.Qt.UserRole) for n in range(box_list.count)
              if box_list.item(n).checkState() == qt.Qt.Checked]
    assert box_list.count == 3
    assert ticked == [first.GetID()]


def test_many_moves_of_a_box_in_a_moment_are_judged_once_and_where_it_ended(
        here: Any, turn_until: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    from Text2CTSlicerLib import boxes

    ct = small_ct()
    roi = box_in(here, ct)
    center = np.array(roi.GetCenter())
    judged = counted(monkeypatch, boxes, "relation")
    for step in range(40):
        roi.SetCenter(*(center + 25 * step))
    assert judged == []
    turn_until(lambda: judged, 5)
    assert len(judged) == 1
    assert judged[0][0].center == pytest.approx(tuple(center + 25 * 39), abs=0.1)


def test_judging_a_box_does_not_look_for_weights_on_the_disk(here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from text2ct.weights import store

    box_in(here, small_ct())
    looked = counted(monkeypatch, store, "present")
    here.lesion.judge()
    assert looked == []
    drive.press(here.uis["Report"].reportEdit, qt.Qt.Key_A, text="a")
    here.report.read()
    assert looked == []


def test_after_the_module_was_left_a_moved_box_calls_nobody(here: Any, monkeypatch: pytest.MonkeyPatch,
                                                           turn_until: Turn) -> None:
    from Text2CTSlicerLib import boxes

    roi = box_in(here, small_ct())
    judged = counted(monkeypatch, boxes, "relation")
    roi.SetCenter(1, 2, 3)
    here.cleanup()
    ended = qt.QTimer()
    ended.singleShot = True
    ended.start(120)
    turn_until(lambda: not ended.active, 5)
    assert judged == []
    assert roi.GetScene() is slicer.mrmlScene
