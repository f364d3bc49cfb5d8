"""The panel as a user meets it: tips, keys, room at 400 pixels, both themes, and what is shown when."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from flows import REPORT, box_in, finish, generate, run_in, small_ct, status, volumes, write
from slicer_standin import drive

Turn = Callable[..., Any]
NARROW, SAME_ROW = 400, 12
QUIET = {"QLabel", "QWidget", "qMRMLWidget"}


@pytest.fixture
def dark(slicer_app: Any) -> Any:
    """The application in dark colours."""
    from PySide6 import QtGui, QtWidgets

    before, palette = QtWidgets.QApplication.palette(), QtGui.QPalette()
    for role, colour in (("Window", "#323232"), ("WindowText", "#f0f0f0"), ("Base", "#222222"), ("Text", "#f0f0f0"),
                         ("Button", "#4a4a4a"), ("ButtonText", "#f0f0f0")):
        palette.setColor(getattr(QtGui.QPalette, role), QtGui.QColor(colour))
    QtWidgets.QApplication.setPalette(palette)
    yield palette
    QtWidgets.QApplication.setPalette(before)


def ui_files() -> list[Path]:
    from conftest import MODULE_FOLDER

    return sorted((MODULE_FOLDER / "Resources" / "UI").glob("*.ui"))


def test_every_widget_that_can_be_used_has_a_tip_in_its_file() -> None:
    bare = []
    for path in ui_files():
        for widget in ElementTree.parse(path).getroot().iter("widget"):
            tips = [p for p in widget.findall("property") if p.attrib["name"] == "toolTip"]
            if widget.attrib["class"] not in QUIET and not (tips and "".join(tips[0].itertext()).strip()):
                bare.append(f"{path.name}: {widget.attrib['name']}")
    assert len(ui_files()) == 5
    assert bare == []


def test_the_menus_of_the_attributes_have_tips_too(here: Any) -> None:
    menus = here.lesion._menus
    assert len(menus) >= 3
    assert all(name in menu.toolTip for name, menu in menus.items())


def test_the_sections_stand_in_the_order_of_work(here: Any) -> None:
    sections = [here.uis[n].__dict__[s] for n, s in (
        ("Backend", "backendSection"), ("Report", "reportSection"), ("Lesion", "lesionSection"),
        ("Jobs", "statusLabel"), ("Jobs", "jobsSection"), ("Result", "resultSection"))]
    tops = [_top(section) for section in sections]
    assert tops == sorted(tops)


@pytest.mark.parametrize("flow", ["Report", "Lesion"])
def test_the_status_line_is_close_to_the_buttons_of_the_open_flow(here: Any, flow: str) -> None:
    section, button = {"Report": ("reportSection", "generateButton"), "Lesion": ("lesionSection", "paintButton")}[flow]
    getattr(here.uis[flow], section).collapsed = False
    drive.settle()
    lowest = _top(getattr(here.uis[flow], button)) + getattr(here.uis[flow], button).height
    assert 0 < _top(here.uis["Jobs"].statusLabel) - lowest < 80


def test_one_flow_is_open_at_a_time(here: Any) -> None:
    report, lesion = here.uis["Report"].reportSection, here.uis["Lesion"].lesionSection
    lesion.collapsed = False
    assert report.collapsed
    report.collapsed = False
    assert lesion.collapsed
    report.collapsed = True
    assert lesion.collapsed


@pytest.mark.parametrize("flow", ["Report", "Lesion"])
def test_tab_goes_through_the_fields_from_top_to_bottom(here: Any, flow: str) -> None:
    here.uis["Lesion"].lesionSection.collapsed = flow == "Report"
    here.uis["Report"].reportSection.collapsed = flow != "Report"
    small_ct()
    drive.settle()
    first = here.uis[flow].__dict__[{"Report": "templateBox", "Lesion": "inputSelector"}[flow]]
    last = here.uis[flow].__dict__[{"Report": "generateButton", "Lesion": "paintButton"}[flow]]
    places = []
    widget = first
    while widget is not last:
        widget = widget.nextInFocusChain()
        if widget.isVisible() and widget.focusPolicy & qt.Qt.TabFocus:
            places.append(_top(widget) + widget.height // 2)
        assert len(places) < 60
    assert len(places) > 5
    assert all(above < below + SAME_ROW for above, below in itertools.pairwise(places)), places


def test_tab_leaves_the_report(here: Any) -> None:
    assert here.uis["Report"].reportEdit.tabChangesFocus


def test_ctrl_enter_belongs_to_the_report_and_not_to_the_whole_window(here: Any) -> None:
    write(here, REPORT)
    drive.press(here.uis["Report"].seedBox, qt.Qt.Key_Return, qt.Qt.ControlModifier)
    assert here.logic.jobs.rows() == []


def test_enter_on_a_line_of_the_ledger_jumps_too(here: Any, turn_until: Turn) -> None:
    generate(here, turn_until)
    slices = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode()
    slices.SetSliceOffset(999)
    tree = here.uis["Result"].ledgerTree
    tree.itemActivated.emit(tree.topLevelItem(0), 0)
    assert slices.GetSliceOffset() < 900


def test_everything_fits_a_panel_of_400_pixels(here: Any, turn_until: Turn, tmp_path: Path) -> None:
    generate(here, turn_until, REPORT + " 22 mm spiculated nodule in the left upper lobe.")
    box_in(here, volumes()[0])
    for name, section in (("Backend", "backendSection"), ("Jobs", "jobsSection"), ("Report", "reportSection")):
        here.uis[name].__dict__[section].collapsed = False
        drive.settle()
        assert here.parent.minimumSizeHint.width() <= NARROW, name
    window = here.parent.window()
    window.resize(NARROW, 1600)
    drive.settle()
    cut = [button.text for button in here.parent.findChildren("QPushButton") + here.parent.findChildren("QCheckBox")
           if button.isVisible() and button.width < button.sizeHint.width()]
    assert cut == []
    tree = here.uis["Result"].ledgerTree
    assert tree.header().length() <= tree.viewport().width
    metrics = tree.fontMetrics()
    texts = [(tree.topLevelItem(n).text(c), tree.columnWidth(c)) for n in range(tree.topLevelItemCount)
             for c in range(tree.columnCount)]
    assert [text for text, width in texts if metrics.horizontalAdvance(text) + 4 > width] == []
    assert drive.grab(here.parent, tmp_path / "panel.png").stat().st_size > 10_000


def test_a_long_name_does_not_make_the_panel_wider(here: Any) -> None:
    before = here.parent.minimumSizeHint.width()
    slicer.util.addVolumeFromArray(np.zeros((4, 4, 4), np.int16), name="a very long name of a volume " * 4)
    drive.settle()
    assert here.parent.minimumSizeHint.width() == before


def test_lines_that_are_not_as_asked_stand_out(here: Any, turn_until: Turn) -> None:
    from Text2CTSlicerLib import accounts

    generate(here, turn_until)
    ledger = accounts.tied(volumes()[0])[1]
    column = [ledger.GetTable().GetColumnName(n) for n in range(ledger.GetTable().GetNumberOfColumns())].index(
        "As asked")
    ledger.GetTable().GetColumn(column).SetValue(1, "NO")
    here.result.show()
    tree = here.uis["Result"].ledgerTree
    good, bad = tree.topLevelItem(0), tree.topLevelItem(1)
    assert bad.font(0).bold()
    assert not good.font(0).bold()
    assert bad.foreground(0).color().red() > 2 * bad.foreground(0).color().green()
    assert bad.text(1).startswith("✗")
    assert "As asked: NO" in bad.toolTip(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_colours_can_be_read(theme: str, slicer_app: Any, request: pytest.FixtureRequest) -> None:
    if theme == "dark":
        request.getfixturevalue("dark")
    run_in("here")
    panel = request.getfixturevalue("panel")
    write(panel, "Moderate right pleural effusion. No pneumothorax. Possible consolidation. Unchanged zorgle.")
    edit = panel.uis["Report"].reportEdit
    ground = edit.palette.color(qt.QPalette.Base)
    found = [selection.format.foreground().color() for selection in edit.extraSelections()]
    assert len(found) == 4
    for colour in found:
        assert _contrast(colour, ground) >= 4.5, colour.name()


def test_no_widget_has_a_ground_of_its_own() -> None:
    for path in ui_files():
        assert "styleSheet" not in path.read_text(encoding="utf-8")
        assert "palette" not in path.read_text(encoding="utf-8")


def test_the_bar_says_where_it_runs_even_when_folded(here: Any) -> None:
    assert here.uis["Backend"].backendSection.text == "Where it runs: inside this Slicer"
    here.uis["Backend"].backendSection.collapsed = False
    drive.settle()
    assert not here.uis["Backend"].addressEdit.isVisible()
    drive.press(here.uis["Backend"].placeBox, qt.Qt.Key_End)
    assert here.uis["Backend"].addressEdit.isVisible()


def test_opening_the_lesion_section_takes_the_ct_that_is_looked_at(here: Any) -> None:
    small_ct()
    seen = small_ct()
    slicer.util.setSliceViewerLayers(background=seen)
    here.uis["Lesion"].lesionSection.collapsed = False
    drive.settle()
    assert here.uis["Lesion"].inputSelector.currentNode() is seen
    assert "Draw a box" in here.uis["Lesion"].relationLabel.text


def test_box_here_puts_the_box_where_the_slice_views_cross(here: Any) -> None:
    ct = small_ct()
    slicer.util.setSliceViewerLayers(background=ct, fit=True)
    bounds = np.zeros(6)
    ct.GetRASBounds(bounds)
    place = bounds[::2] + [20, 24, 30]
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *place, slicer.vtkMRMLSliceNode.OffsetJumpSlice)
    roi = box_in(here, ct)
    assert tuple(roi.GetCenter()) == pytest.approx(tuple(place), abs=0.01)


def test_labels_of_another_patient_are_not_drawn_over_a_new_ct(here: Any, turn_until: Turn) -> None:
    from Text2CTSlicerLib import accounts, display

    generate(here, turn_until)
    here.uis["Report"].seedBox.value = 3
    generate(here, turn_until)
    first, second = volumes()
    assert _visible(first) is False
    assert _visible(second) is True
    display.show(first)
    assert (_visible(first), _visible(second)) == (True, False)
    box_in(here, first)
    drive.click(here.uis["Lesion"].paintButton)
    finish(here, turn_until)
    painted = here.uis["Result"].resultSelector.currentNode()
    assert accounts.source_of(painted) is first
    assert (_visible(painted), _visible(first), _visible(second)) == (True, True, False)


def test_variants_have_their_labels_each_in_its_own_view(here: Any, turn_until: Turn) -> None:
    from Text2CTSlicerLib import accounts, display

    here.uis["Report"].variantsBox.value = 2
    generate(here, turn_until)
    cts = volumes()
    for number, ct in enumerate(cts, 1):
        labels = accounts.tied(ct)[0].GetDisplayNode()
        view = slicer.app.layoutManager().sliceWidget(f"Text2CT{number}").mrmlSliceNode()
        assert labels.GetVisibility()
        assert tuple(labels.GetViewNodeIDs()) == (view.GetID(),)
    display.show(cts[0])
    assert accounts.tied(cts[0])[0].GetDisplayNode().GetNumberOfViewNodeIDs() == 0


def test_painting_leaves_the_views_where_the_user_put_them(here: Any, turn_until: Turn) -> None:
    ct = small_ct()
    slicer.util.setSliceViewerLayers(background=ct, fit=True)
    box_in(here, ct)
    red = slicer.app.layoutManager().sliceWidget("Red")
    red.mrmlSliceNode().SetFieldOfView(20, 20, 1)
    red.mrmlSliceNode().SetSliceOffset(40)
    drive.click(here.uis["Lesion"].paintButton)
    finish(here, turn_until)
    assert red.mrmlSliceCompositeNode().GetBackgroundVolumeID() == volumes()[0].GetID()
    assert red.mrmlSliceNode().GetFieldOfView()[:2] == (20, 20)
    assert red.mrmlSliceNode().GetSliceOffset() == 40


def test_after_a_run_that_failed_the_views_show_what_they_showed_before(here: Any) -> None:
    from Text2CTSlicerLib.panel_report import deliver_ct

    from text2ct.volume import CTVolume

    before = small_ct()
    slicer.util.setSliceViewerLayers(background=before)
    delivery = deliver_ct(here.context, REPORT, "effusion")
    delivery.on_preview(CTVolume(np.zeros((8, 8, 8), np.int16), np.eye(4)))
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert red.GetBackgroundVolumeID() != before.GetID()
    delivery.on_end()
    assert red.GetBackgroundVolumeID() == before.GetID()
    assert [n.GetName() for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")] == ["Patient"]


def test_a_lesion_in_a_ct_of_ours_has_a_name_that_can_be_read(here: Any, turn_until: Turn) -> None:
    generate(here, turn_until)
    box_in(here, volumes()[0])
    drive.click(here.uis["Lesion"].paintButton)
    finish(here, turn_until)
    assert volumes()[1].GetName() == "SYNTHETIC lesion in right pleural effusion (phantom, seed 0)"


def test_the_advanced_fields_of_a_lesion_are_there_for_engines_that_sample_and_are_kept(here: Any) -> None:
    ct = small_ct()
    roi = box_in(here, ct)
    ui = here.uis["Lesion"]
    assert not ui.lesionAdvanced.isVisible()
    ui.candidatesBox.value, ui.publishedBox.checked = 4, True
    request = here.lesion._request(ct, roi, "both")
    assert (request.engine, request.candidates, request.mode) == ("phantom", 1, "patch")
    ui.lesionEngineBox.setCurrentIndex(ui.lesionEngineBox.findData("lesiondiffusion"))
    assert ui.lesionAdvanced.isVisible()
    assert ui.lesionAdvanced.collapsed
    request = here.lesion._request(ct, roi, "both")
    assert (request.engine, request.candidates, request.mode) == ("lesiondiffusion", 4, "published")
    assert here.lesion._request(ct, roi, "mask").mode == "patch"
    node = here.logic.getParameterNode()
    here.exit()
    ui.candidatesBox.value, ui.publishedBox.checked = 1, False
    here.enter()
    assert (ui.candidatesBox.value, ui.publishedBox.checked) == (4, True)
    assert here.logic.getParameterNode() is node


def test_the_published_mode_takes_one_box_at_a_time_and_says_so(here: Any) -> None:
    ct = small_ct()
    box_in(here, ct)
    box_in(here, ct)
    ui = here.uis["Lesion"]
    ui.lesionEngineBox.setCurrentIndex(ui.lesionEngineBox.findData("lesiondiffusion"))
    ui.publishedBox.checked = True
    for n in range(2):
        ui.boxList.item(n).setCheckState(qt.Qt.Checked)
    here.lesion._ready = lambda engine: True
    here.lesion.paint()
    assert "one box at a time" in status(here)
    assert here.logic.jobs.rows() == []


def test_show_3d_makes_surfaces_of_the_labels_of_the_result(here: Any, turn_until: Turn) -> None:
    from Text2CTSlicerLib import accounts

    button = here.uis["Result"].show3DButton
    assert not button.enabled
    generate(here, turn_until)
    drive.click(button)
    assert accounts.tied(volumes()[0])[0].GetSegmentation().ContainsRepresentation("Closed surface")


def test_the_progress_row_is_there_only_while_something_runs(here: Any, turn_until: Turn) -> None:
    assert not here.uis["Jobs"].cancelButton.isVisible()
    write(here, REPORT)
    drive.click(here.uis["Report"].generateButton)
    assert here.uis["Jobs"].cancelButton.isVisible()
    finish(here, turn_until)
    assert not here.uis["Jobs"].cancelButton.isVisible()
    assert status(here).startswith("Done")


def _visible(ct: Any) -> bool:
    from Text2CTSlicerLib import accounts

    return bool(accounts.tied(ct)[0].GetDisplayNode().GetVisibility())


def _top(widget: Any) -> int:
    return int(widget.mapToGlobal(qt.QPoint(0, 0)).y())


def _contrast(one: Any, other: Any) -> float:
    """The contrast of two colours by the rule of the web's accessibility guidelines."""
    def light(colour: Any) -> float:
        parts = [c / 255 for c in (colour.red(), colour.green(), colour.blue())]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)
