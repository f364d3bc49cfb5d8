"""Whatever goes wrong ends in a sentence on the panel, nothing is lost, and the next run works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import qt
import slicer
import vtk
from flows import REPORT, box_in, finish, generate, small_ct, status, volumes, write
from slicer_standin import drive

Turn = Callable[..., Any]


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Packages that Slicer's Python has not; take one out of the list to have it."""
    import importlib.metadata

    names, known = ["fastapi", "uvicorn"], importlib.metadata.version

    def version(name: str) -> str:
        if name in names:
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    return names


def test_an_empty_report_is_asked_for(here: Any, turn_until: Turn) -> None:
    assert not here.uis["Report"].generateButton.enabled
    drive.press(here.uis["Report"].reportEdit, qt.Qt.Key_Return, qt.Qt.ControlModifier)
    assert "report is empty" in status(here)
    generate(here, turn_until)


def test_nothing_is_installed_without_a_yes(panel: Any, slicer_app: Any, lacking: list[str], flavour: str) -> None:
    write(panel, REPORT)
    slicer_app.dialogs.answer = False
    drive.click(panel.uis["Report"].generateButton)
    (asked,) = slicer_app.dialogs.texts
    assert "fastapi, uvicorn" in asked
    assert "about 4 MB" in asked
    assert slicer_app.packages.installed == []
    assert panel.uis["Backend"].backendLabel.text == "Nothing was installed."
    assert panel.logic.jobs.rows() == []


def test_with_a_yes_what_is_missing_is_installed_and_nothing_else(
        panel: Any, slicer_app: Any, lacking: list[str], flavour: str) -> None:
    write(panel, REPORT)
    slicer_app.dialogs.answer = True
    drive.click(panel.uis["Report"].generateButton)
    assert sorted(str(r).partition(">")[0] for r in slicer_app.packages.installed) == ["fastapi", "uvicorn"]


def test_an_installation_that_fails_is_told(panel: Any, slicer_app: Any, lacking: list[str], flavour: str) -> None:
    write(panel, REPORT)
    slicer_app.packages.failure = RuntimeError("no route to host")
    drive.click(panel.uis["Report"].generateButton)
    said = panel.uis["Backend"].backendLabel.text
    assert "could not be installed: no route to host" in said
    assert "proxy" in said
    assert panel.logic.jobs.rows() == []


def test_a_server_that_is_not_there_is_a_red_lamp_and_a_sentence(panel: Any, turn_until: Turn) -> None:
    backend = panel.uis["Backend"]
    backend.backendSection.collapsed = False
    drive.press(backend.placeBox, qt.Qt.Key_End)
    assert backend.placeBox.currentData == "new"
    drive.click(backend.testButton)
    assert "Give the address" in backend.backendLabel.text
    backend.addressEdit.text = "http://127.0.0.1:9"
    drive.click(backend.testButton)
    turn_until(lambda: not backend.backendLabel.text.startswith("Asking"), 60)
    assert "127.0.0.1:9" in backend.backendLabel.text
    assert "#c62828" in backend.lampLabel.text
    write(panel, REPORT)
    drive.click(panel.uis["Report"].generateButton)
    finish(panel, turn_until, 120)
    assert panel.logic.jobs.rows()[0].state == "failed"
    assert "127.0.0.1:9" in status(panel)


@pytest.mark.parametrize(("typed", "taken"), [
    ("gpu.hospital.org:8042", "https://gpu.hospital.org:8042"), ("localhost:9", "http://localhost:9"),
    ("127.0.0.1:9/", "http://127.0.0.1:9"), ("http://10.0.0.7:9", "http://10.0.0.7:9")])
def test_an_address_without_a_scheme_is_completed(panel: Any, typed: str, taken: str) -> None:
    backend = panel.uis["Backend"]
    backend.backendSection.collapsed = False
    drive.press(backend.placeBox, qt.Qt.Key_End)
    backend.addressEdit.text = typed
    assert panel.backend._take_address()
    assert panel.logic.settings.servers() == [taken]
    assert backend.placeBox.currentData == taken


def test_a_key_is_kept_in_the_settings_and_never_in_the_scene(panel: Any, tmp_path: Path) -> None:
    panel.logic.settings.remember_server("https://gpu.example.org:8042", "secret-key-123")
    assert panel.logic.settings.key("https://gpu.example.org:8042") == "secret-key-123"
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.Commit()
    assert "secret-key-123" not in (tmp_path / "scene.mrml").read_text()


def test_too_little_memory_is_told_before_the_run(here: Any, turn_until: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    from text2ct.engines import run

    monkeypatch.setattr(run, "available_bytes", lambda: 1_000_000)
    write(here, REPORT)
    drive.click(here.uis["Report"].generateButton)
    finish(here, turn_until)
    assert "needs about" in status(here)
    monkeypatch.undo()
    generate(here, turn_until)


def test_a_box_outside_the_image_is_told_at_once_and_at_the_run(here: Any, turn_until: Turn) -> None:
    ct = small_ct()
    roi = box_in(here, ct)
    roi.SetCenter(900, 900, 900)
    drive.settle()
    drive.click(here.uis["Lesion"].paintButton)
    finish(here, turn_until)
    assert "outside" in status(here)
    assert volumes() == []


def test_without_a_box_or_a_ct_the_steps_are_off_and_drawing_says_why(here: Any) -> None:
    lesion = here.uis["Lesion"]
    lesion.lesionSection.collapsed = False
    lesion.inputSelector.setCurrentNode(None)
    drive.settle()
    assert not lesion.paintButton.enabled
    drive.click(lesion.drawBoxButton)
    assert "Choose the CT first" in status(here)


def test_a_ct_that_cannot_be_used_is_told(here: Any) -> None:
    ct = small_ct()
    box_in(here, ct)
    ct.GetImageData().AllocateScalars(vtk.VTK_DOUBLE, 3)
    drive.click(here.uis["Lesion"].paintButton)
    assert "colour image or a time series" in status(here)


def test_an_input_that_is_deleted_mid_job_costs_nothing(here: Any, turn_until: Turn) -> None:
    ct = small_ct()
    box_in(here, ct)
    drive.click(here.uis["Lesion"].paintButton)
    slicer.mrmlScene.RemoveNode(ct)
    finish(here, turn_until)
    assert status(here).startswith("Done")
    assert "no longer in the scene" in status(here)
    assert len(volumes()) == 1


def test_a_scene_that_is_closed_mid_job_gets_the_result_nevertheless(here: Any, turn_until: Turn) -> None:
    write(here, REPORT)
    drive.click(here.uis["Report"].generateButton)
    slicer.mrmlScene.Clear()
    finish(here, turn_until)
    assert status(here).startswith("Done")
    assert len(volumes()) == 1
    generate(here, turn_until)


def test_a_module_that_is_reloaded_mid_job_starts_anew_and_works(here: Any, module: Any, turn_until: Turn) -> None:
    write(here, REPORT)
    drive.click(here.uis["Report"].generateButton)
    here.cleanup()
    again = module("Text2CTSlicer")
    again.widgetRepresentation().show()
    again.enter()
    assert again.widget.logic.jobs.rows() == []
    generate(again.widget, turn_until)
    assert len(volumes()) == 1


def test_a_defect_is_told_with_its_log(here: Any, turn_until: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    from text2ct.engines import run

    def broken(*given: Any, **more: Any) -> Any:
        raise ZeroDivisionError("not a number of patients")

    monkeypatch.setattr(run, "run", broken)
    write(here, REPORT)
    drive.click(here.uis["Report"].generateButton)
    finish(here, turn_until)
    assert "A defect of Text2CT" in status(here)
    assert "ZeroDivisionError" in here.uis["Jobs"].logEdit.plainText
    assert "Traceback" in here.uis["Jobs"].logEdit.plainText


def test_reports_are_remembered_only_when_the_user_says_so(here: Any, turn_until: Turn) -> None:
    generate(here, turn_until)
    assert here.logic.settings.reports() == []
    drive.click(here.uis["Report"].keepReportsBox)
    generate(here, turn_until)
    assert here.logic.settings.reports() == [REPORT]
    drive.click(here.uis["Report"].keepReportsBox)
    assert here.logic.settings.reports() == []


def test_what_the_engine_cannot_see_is_said(here: Any) -> None:
    write(here, "Pleural effusion unchanged compared to the prior study. The zorgle is frumious.")
    said = here.uis["Report"].unseenLabel.text
    assert "unchanged" in said
    assert "zorgle" in said


def test_sample_data_is_offered_and_made_here(flavour: str, slicer_app: Any, module: Any) -> None:
    module("Text2CTSlicer")
    slicer_app.start_up()
    assert [source.sampleName for source in slicer_app.samples.sources["Text2CT"]] == ["SyntheticChest"]
    assert slicer_app.samples.titles == ({} if flavour == "5.10" else {"Text2CT": "Text2CT"})
    slicer_app.samples.press("SyntheticChest")
    assert ["SYNTHETIC sample chest" in node.GetName() for node in volumes()] == [True]


def test_a_sample_that_cannot_be_drawn_says_what_is_missing(
        slicer_app: Any, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    module("Text2CTSlicer")
    from Text2CTSlicerLib import packages

    monkeypatch.setattr(packages, "_is_installed", lambda requirement: requirement.name != "pydicom")
    slicer_app.start_up()
    slicer_app.samples.press("SyntheticChest")
    (said,) = slicer_app.dialogs.texts
    assert "lacks pydicom" in said
    assert "Set up..." in said
    assert volumes() == []


def test_a_module_that_cannot_start_says_why_and_does_no_more_harm(
        module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    def broken(*given: Any) -> None:
        raise RuntimeError("the package is broken")

    loaded = module("Text2CTSlicer")
    monkeypatch.setattr(sys.modules["Text2CTSlicer"], "LesionPanel", broken)
    with pytest.raises(RuntimeError):
        loaded.widgetRepresentation()
    assert "cannot start: the package is broken" in loaded.widget.banner.text
    loaded.widget.enter()
    loaded.widget.exit()
    loaded.widget.cleanup()
