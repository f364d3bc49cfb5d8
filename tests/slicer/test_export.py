"""A result as DICOM: its series, each layer of its labels, and what is said when the labels are left out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from flows import REPORT, box_in, finish, generate, status, volumes
from slicer_standin import drive

Turn = Callable[..., Any]


@pytest.fixture
def without_highdicom(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    known = importlib.metadata.version

    def version(name: str) -> str:
        if name == "highdicom":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setitem(sys.modules, "highdicom", None)


def export(panel: Any, turn_until: Turn, folder: Path) -> str:
    panel.result.export_to(folder)
    turn_until(lambda: not status(panel).startswith("Writing"), 120)
    return status(panel)


def test_the_series_and_every_layer_of_labels_are_written_and_say_synthetic(
        here: Any, turn_until: Turn, tmp_path: Path) -> None:
    import pydicom

    from text2ct.formats.dicom_seg import read_seg

    generate(here, turn_until, REPORT + " 22 mm nodule in the left upper lobe.")
    said = export(here, turn_until, tmp_path)
    assert said.startswith("Written")
    assert "not written" not in said
    files = sorted((tmp_path / "dicom").iterdir())
    assert len(files) == 64
    for file in (files[0], tmp_path / "organs.dcm", tmp_path / "findings.dcm"):
        assert pydicom.dcmread(file)[0x0008, 0x001C].value == "YES"
        assert str(file if file.suffix == ".dcm" and file.parent == tmp_path else file.parent) in said
    assert "heart" in {segment.name for segment in read_seg(tmp_path / "organs.dcm").segments}
    findings = read_seg(tmp_path / "findings.dcm")
    assert any("nodule" in segment.name for segment in findings.segments)
    assert np.count_nonzero(findings.voxels)


def test_the_lesions_of_a_painted_ct_are_written_too(here: Any, turn_until: Turn, tmp_path: Path) -> None:
    generate(here, turn_until)
    box_in(here, volumes()[0])
    drive.click(here.uis["Lesion"].paintButton)
    finish(here, turn_until)
    export(here, turn_until, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"dicom", "lesion.dcm"}


def test_what_was_changed_and_a_folder_in_use_are_refused(here: Any, turn_until: Turn, tmp_path: Path) -> None:
    generate(here, turn_until)
    (tmp_path / "organs.dcm").write_text("mine")
    assert "organs.dcm already exists" in export(here, turn_until, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["organs.dcm"]
    slicer.util.arrayFromVolume(volumes()[0])[:] = 0
    assert "was changed" in export(here, turn_until, tmp_path / "again")


def test_without_highdicom_it_is_asked_for_and_without_a_yes_the_labels_are_left_out_and_that_is_said(
        here: Any, slicer_app: Any, without_highdicom: None, turn_until: Turn, tmp_path: Path) -> None:
    generate(here, turn_until)
    slicer_app.dialogs.answer = False
    said = export(here, turn_until, tmp_path)
    (asked,) = slicer_app.dialogs.texts
    assert "highdicom" in asked
    assert slicer_app.packages.installed == []
    assert "The labels were not written: highdicom>=0.27 is not installed." in said
    assert [path.name for path in tmp_path.iterdir()] == ["dicom"]


def test_with_a_yes_highdicom_is_installed(here: Any, slicer_app: Any, without_highdicom: None, turn_until: Turn,
                                           tmp_path: Path) -> None:
    generate(here, turn_until)
    slicer_app.dialogs.answer = True
    export(here, turn_until, tmp_path)
    assert [str(name) for name in slicer_app.packages.installed] == ["highdicom>=0.27"]


def test_layers_of_odd_or_equal_titles_get_files_of_their_own_inside_the_folder() -> None:
    from Text2CTSlicerLib import export as of_module

    assert of_module._names(["organs", "lesion 1", "lesion 1", "../../x", "?"]) == [
        "organs.dcm", "lesion-1.dcm", "lesion-1-3.dcm", "x.dcm", "labels.dcm"]
