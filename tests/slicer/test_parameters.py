"""What the fields hold is kept in the scene: as it is typed, within its limits, and until the module is left."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest
import qt
import slicer
from slicer_standin import drive

REPORT = "Moderate right effusion."
FIELDS = [("Report", "reportEdit", "report"), ("Lesion", "lesionTextEdit", "lesionText")]


def kept(panel: Any, name: str) -> str:
    return str(panel.logic.getParameterNode().GetParameter(name))


def text_of(field: Any) -> str:
    return str(field.plainText if hasattr(field, "plainText") else field.text)


def caret(field: Any, place: int | None = None) -> int:
    """Where the caret is, or is put to."""
    if hasattr(field, "cursorPosition"):
        field.cursorPosition = field.cursorPosition if place is None else place
        return int(field.cursorPosition)
    cursor = field.textCursor()
    if place is not None:
        cursor.setPosition(place)
        field.setTextCursor(cursor)
    return int(cursor.position())


@pytest.mark.parametrize(("panel_name", "field_name", "parameter"), FIELDS)
def test_a_text_is_typed_letter_by_letter_where_the_caret_is(
        here: Any, panel_name: str, field_name: str, parameter: str) -> None:
    field = getattr(here.uis[panel_name], field_name)
    drive.type_text(field, REPORT)
    assert text_of(field) == kept(here, parameter) == REPORT
    assert caret(field) == len(REPORT)
    caret(field, len("Moderate right"))
    drive.type_text(field, " pleural")
    assert text_of(field) == kept(here, parameter) == "Moderate right pleural effusion."
    assert caret(field) == len("Moderate right pleural")


@pytest.mark.parametrize(("panel_name", "field_name", "parameter"), FIELDS)
def test_what_was_typed_can_be_undone(here: Any, panel_name: str, field_name: str, parameter: str) -> None:
    field = getattr(here.uis[panel_name], field_name)
    drive.type_text(field, REPORT)
    here.uis["Report"].seedBox.value = 5
    assert caret(field) == len(REPORT)
    field.undo()
    assert text_of(field) == kept(here, parameter) == ""
    field.redo()
    assert text_of(field) == kept(here, parameter) == REPORT


@pytest.mark.parametrize(("panel_name", "field_name", "parameter"), FIELDS)
def test_a_text_that_comes_with_the_scene_is_shown(
        here: Any, panel_name: str, field_name: str, parameter: str) -> None:
    here.logic.getParameterNode().SetParameter(parameter, REPORT)
    assert text_of(getattr(here.uis[panel_name], field_name)) == REPORT


def test_numbers_have_the_limits_that_their_panel_gives_them(here: Any) -> None:
    from conftest import MODULE_FOLDER

    checked = []
    for name in ("Report", "Lesion"):
        panel = ElementTree.parse(MODULE_FOLDER / "Resources" / "UI" / f"{name}.ui").getroot()
        for widget in panel.iter("widget"):
            if widget.attrib["class"] == "QSpinBox":
                limits = [int(widget.findtext(f"property[@name='{end}']/number")) for end in ("minimum", "maximum")]
                box = getattr(here.uis[name], widget.attrib["name"])
                assert [box.minimum, box.maximum] == limits, widget.attrib["name"]
                checked.append(box)
    assert len(checked) == 4


def test_too_many_variants_cannot_be_asked_for(here: Any) -> None:
    drive.press(here.uis["Report"].variantsBox, qt.Qt.Key_Down)
    assert here.uis["Report"].variantsBox.value == 1
    here.uis["Report"].variantsBox.value = 99
    assert here.uis["Report"].variantsBox.value == 6
    assert kept(here, "variants") == "6"


def test_when_the_module_is_left_the_scene_no_longer_follows_the_panel(here: Any) -> None:
    here.uis["Report"].seedBox.value = 3
    here.exit()
    here.uis["Report"].seedBox.value = 9
    drive.type_text(here.uis["Report"].reportEdit, REPORT)
    assert (kept(here, "seed"), kept(here, "report")) == ("3", "")
    here.logic.getParameterNode().SetParameter("seed", "4")
    assert here.uis["Report"].seedBox.value == 9
    here.enter()
    assert here.uis["Report"].seedBox.value == 4
    assert here.uis["Report"].reportEdit.plainText == ""
    here.uis["Report"].seedBox.value = 5
    assert kept(here, "seed") == "5"


def test_a_scene_that_is_closed_takes_its_texts_along_and_the_next_one_is_followed(here: Any) -> None:
    drive.type_text(here.uis["Report"].reportEdit, REPORT)
    slicer.mrmlScene.Clear()
    drive.type_text(here.uis["Lesion"].lesionTextEdit, "round")
    assert kept(here, "lesionText") == "round"
