"""What the command line does to files it must be careful with, and how it speaks of real patients."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from test_commands import one_sentence, text2ct

TINY = ["--shape", "40", "36", "32", "--spacing", "10", "10", "10"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("care") / "out"
    done = text2ct("generate", "--report", "Large right pleural effusion.", "-o", folder, "--picture", *TINY)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def plain(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT without any account, as a scanner's would be."""
    image = nibabel.load(made / "ct.nii.gz")
    path = tmp_path_factory.mktemp("plain") / "scan.v1.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine), path)
    return path


def test_an_input_is_never_written_over_and_other_files_only_when_told(plain: Path, tmp_path: Path) -> None:
    before = plain.read_bytes()
    lesion = ["lesion", "-i", plain, "--box", 80, 0, 0, 60, 60, 60, "--overwrite", "-o"]
    one_sentence(text2ct(*lesion, plain), 2, "is the input itself")
    one_sentence(text2ct("convert", "-i", plain, "-o", plain), 2, "is the input itself")
    assert plain.read_bytes() == before
    (tmp_path / "mine.nrrd").write_text("precious")
    one_sentence(text2ct("convert", "-i", plain, "-o", tmp_path / "mine.nrrd"), 2, "--overwrite")
    assert (tmp_path / "mine.nrrd").read_text() == "precious"
    assert text2ct("convert", "-i", plain, "-o", tmp_path / "mine.nrrd", "--overwrite").returncode == 0


def test_a_result_with_other_files_in_it_is_not_replaced(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert text2ct("generate", "--report", "Normal chest.", "-o", out, *TINY).returncode == 0
    (out / "notes.txt").write_text("mine")
    one_sentence(text2ct("generate", "--report", "Normal chest.", "-o", out, "--overwrite", *TINY), 2, "holds more")
    assert (out / "notes.txt").read_text() == "mine"


def test_accounts_of_versions_of_a_case_do_not_meet(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        done = text2ct("generate", "--report", "Normal chest.", "-o", tmp_path / f"case.{version}.nii.gz", *TINY)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "case.v1.account.json").exists()
    assert (tmp_path / "case.v2.account.json").exists()


def test_verifying_a_folder_looks_at_every_file(made: Path, tmp_path: Path) -> None:
    assert text2ct("verify", made).returncode == 0
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in made.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    data = bytearray(gzip.decompress((copy / "ct.nii.gz").read_bytes()))
    data[-2] ^= 1
    (copy / "ct.nii.gz").write_bytes(gzip.compress(data))
    done = text2ct("verify", copy)
    assert done.returncode == 3
    assert done.stdout.count("CHANGED") == 1
    one_sentence(text2ct("picture", copy / "ct.nii.gz"), 3, "not those that were written")


def test_a_real_ct_with_findings_is_not_called_nobody(plain: Path, tmp_path: Path) -> None:
    done = text2ct("lesion", "-i", plain, "--box", 80, 0, 0, 60, 60, 60, "-o", tmp_path / "lesion")
    assert done.returncode == 0, done.stderr
    account = json.loads((tmp_path / "lesion/account.json").read_text())
    assert "may show a real patient" in account["notice"]
    assert "not a real patient" not in json.dumps(account)
    nothing = text2ct("generate", "--report", "No effusion.", "--base", plain, "-o", tmp_path / "b")
    one_sentence(nothing, 2, "would stay")


def test_a_measured_ct_is_not_marked_synthetic(plain: Path) -> None:
    done = text2ct("score", "-i", plain, "--report", "Large right pleural effusion.", "--json")
    assert json.loads(done.stdout)["provenance"]["synthetic"] is False


def test_what_was_not_understood_is_said(tmp_path: Path) -> None:
    done = text2ct("generate", "--report", "The quux is frobbed.", "-o", tmp_path / "a.nii.gz", *TINY)
    assert 'Not understood: "quux is frobbed' in done.stdout
    assert "frobbed" in json.loads((tmp_path / "a.account.json").read_text())["notes"][0]


def test_a_closed_pipe_costs_no_result(tmp_path: Path) -> None:
    command = f"{sys.executable} -m text2ct generate --report 'Normal chest.' -o {tmp_path / 'o'} {' '.join(TINY)}"
    subprocess.run(f"{command} 2>&1 | head -n 1", shell=True, check=False, capture_output=True)  # noqa: S602
    assert (tmp_path / "o/account.json").exists()


def test_labels_without_names_get_names_made_from_numbers(plain: Path, tmp_path: Path) -> None:
    image = nibabel.load(plain)
    lungs = (np.asarray(image.dataobj) < -500).astype(np.uint8) * 7
    nibabel.save(nibabel.Nifti1Image(lungs, image.affine), tmp_path / "lungs.nii.gz")
    assert text2ct("convert", "-i", tmp_path / "lungs.nii.gz", "-o", tmp_path / "l.seg.nrrd").returncode == 0
    facts = json.loads(text2ct("info", tmp_path / "l.seg.nrrd", "--json").stdout)
    assert facts["segments"] == ["label 7"]


def test_a_mask_needs_no_box(plain: Path, tmp_path: Path) -> None:
    image = nibabel.load(plain)
    mask = np.zeros(image.shape, np.uint8)
    mask[10:13, 16:19, 14:17] = 1
    nibabel.save(nibabel.Nifti1Image(mask, image.affine), tmp_path / "mask.nii.gz")
    done = text2ct("lesion", "-i", plain, "--mask", tmp_path / "mask.nii.gz", "-o", tmp_path / "l.nii.gz")
    assert done.returncode == 0, done.stderr
    changed = np.argwhere(np.asarray(nibabel.load(tmp_path / "l.nii.gz").dataobj) != np.asarray(image.dataobj))
    assert len(changed)
    assert changed.min() >= 8
    one_sentence(text2ct("lesion", "-i", plain, "-o", tmp_path / "m.nii.gz"), 2, "No place was given")


@pytest.mark.parametrize("name", ["LISTEN.nhdr", "p50%.nhdr", "ein Bild.nhdr"])
def test_a_header_file_of_any_name_finds_its_voxels_again(plain: Path, tmp_path: Path, name: str) -> None:
    assert text2ct("convert", "-i", plain, "-o", tmp_path / name).returncode == 0
    assert text2ct("info", tmp_path / name).returncode == 0


@pytest.mark.parametrize("arguments", [["info", "x" * 300], ["generate", "--report", "Normal.", "-o", "."],
                                       ["generate", "--report", "Normal.", "-o", ""], ["picture", "."]])
def test_names_that_cannot_be_are_a_sentence(tmp_path: Path, arguments: list[str]) -> None:
    done = text2ct(*arguments, cwd=tmp_path)
    assert done.returncode in (2, 6), done.stderr
    assert "defect" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
