"""The command line as a person uses it: real processes, real files, one line for what went wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from text2ct.cli.engines import markdown_table
from text2ct.engines import catalog

REPORT = "Large left pleural effusion. 20 mm nodule in the right upper lobe. No pneumothorax."
SMALL = ["--shape", "72", "64", "48", "--spacing", "5", "5", "6.5"]


def text2ct(*arguments: object, input_: str | None = None, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "text2ct", *map(str, arguments)], capture_output=True, text=True,
                          input=input_, cwd=cwd, check=False)


def one_sentence(done: subprocess.CompletedProcess[str], code: int, words: str) -> None:
    """The command failed with this code and one helpful line."""
    assert done.returncode == code, done.stderr
    lines = [line for line in done.stderr.splitlines() if " s  " not in line]
    assert len(lines) == 1, done.stderr
    assert words in lines[0]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that one command makes."""
    folder = tmp_path_factory.mktemp("cli") / "out"
    done = text2ct("generate", "--report", REPORT, "-o", folder, "--seed", 5, "--dicom", "--picture", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "SYNTHETIC" in done.stdout
    return folder


def test_a_folder_holds_everything_and_all_of_it_verifies(made: Path) -> None:
    names = sorted(p.name for p in made.iterdir())
    assert names == ["account.json", "ct.nii.gz", "dicom", "labels.seg.nrrd", "organs.dcm", "sheet.png"]
    done = text2ct("verify", *[made / name for name in names])
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("; unchanged.") == 6


def test_the_dicom_opens_in_simpleitk_with_the_right_geometry_and_says_synthetic(made: Path) -> None:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(made / "dicom")))
    reader.MetaDataDictionaryArrayUpdateOn()
    series, volume = reader.Execute(), SimpleITK.ReadImage(str(made / "ct.nii.gz"))
    back = SimpleITK.Resample(series, volume, SimpleITK.Transform(), SimpleITK.sitkNearestNeighbor, -3000)
    assert np.array_equal(SimpleITK.GetArrayFromImage(back), SimpleITK.GetArrayFromImage(volume))
    assert reader.GetMetaData(0, "0008|001c").strip() == "YES"
    assert reader.GetMetaData(0, "0008|103e").startswith("SYNTHETIC")


def test_the_account_tells_what_was_asked_and_what_is_shown(made: Path) -> None:
    account = json.loads((made / "account.json").read_text())
    assert account["request"]["report"] == REPORT
    assert account["provenance"]["seed"] == 5
    asked = {(e["finding"]["kind"], e["finding"]["certainty"]): e["agrees"] for e in account["ledger"]}
    assert asked[("pleural_effusion", "present")] is True
    assert asked[("pneumothorax", "absent")] is True


def test_the_same_seed_gives_the_same_voxels_and_another_seed_others(made: Path, tmp_path: Path) -> None:
    for seed in (5, 6):
        done = text2ct("generate", "--report", REPORT, "-o", tmp_path / f"{seed}.nii.gz", "--seed", seed, *SMALL)
        assert done.returncode == 0, done.stderr
    first = np.asarray(nibabel.load(made / "ct.nii.gz").dataobj)
    assert np.array_equal(first, np.asarray(nibabel.load(tmp_path / "5.nii.gz").dataobj))
    assert not np.array_equal(first, np.asarray(nibabel.load(tmp_path / "6.nii.gz").dataobj))
    assert (tmp_path / "5.account.json").exists()


def test_one_changed_voxel_is_noticed_with_exit_code_3(made: Path, tmp_path: Path) -> None:
    image = nibabel.load(made / "ct.nii.gz")
    voxels = np.asarray(image.dataobj).copy()
    voxels[3, 3, 3] += 1
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine, image.header), tmp_path / "changed.nii.gz")
    done = text2ct("verify", tmp_path / "changed.nii.gz", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["unchanged"] is False
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), tmp_path / "theirs.nii.gz")
    assert text2ct("verify", tmp_path / "theirs.nii.gz").returncode == 4


def test_converting_keeps_the_account(made: Path, tmp_path: Path) -> None:
    for source, target in [("ct.nii.gz", "a.nrrd"), ("ct.nii.gz", "series"), ("dicom", "b.nii.gz"),
                           ("labels.seg.nrrd", "c.seg.nrrd"), ("organs.dcm", "d.seg.nrrd")]:
        done = text2ct("convert", "-i", made / source, "-o", tmp_path / target)
        assert done.returncode == 0, done.stderr
        assert text2ct("verify", tmp_path / target).returncode == 0


def test_a_report_may_come_from_a_file_or_from_standard_input(tmp_path: Path) -> None:
    tiny = ["--shape", "40", "36", "32", "--spacing", "10", "10", "10", "-q"]
    (tmp_path / "r.txt").write_bytes("\ufeffNormal chest.".encode())
    assert text2ct("generate", "-i", tmp_path / "r.txt", "-o", tmp_path / "a.nii.gz", *tiny).returncode == 0
    assert text2ct("generate", "-i", "-", "-o", tmp_path / "b.nii.gz", *tiny, input_="Normal chest.").returncode == 0
    assert np.array_equal(nibabel.load(tmp_path / "a.nii.gz").dataobj, nibabel.load(tmp_path / "b.nii.gz").dataobj)


def test_a_lesion_changes_nothing_outside_its_surroundings(made: Path, tmp_path: Path) -> None:
    ct = nibabel.load(made / "ct.nii.gz")
    done = text2ct("lesion", "-i", made / "ct.nii.gz", "--box", 80, 0, 0, 40, 40, 40, "-o", tmp_path / "lesion",
                   "--attribute", "density=solid", "--seed", 3)
    assert done.returncode == 0, done.stderr
    after = nibabel.load(tmp_path / "lesion/ct.nii.gz")
    assert np.allclose(after.affine, ct.affine)
    differs = np.argwhere(np.asarray(after.dataobj) != np.asarray(ct.dataobj))
    assert len(differs) > 20
    ras = differs @ ct.affine[:3, :3].T + ct.affine[:3, 3]
    assert np.abs(ras - [80, 0, 0]).max() < 40
    assert text2ct("verify", tmp_path / "lesion/ct.nii.gz").returncode == 0


def test_a_box_may_come_from_a_slicer_roi(made: Path, tmp_path: Path) -> None:
    roi = {"markups": [{"type": "ROI", "coordinateSystem": "LPS", "center": [-80.0, 0.0, 0.0],
                        "size": [40.0, 40.0, 40.0],
                        "orientation": [-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0]}]}
    (tmp_path / "R.mrk.json").write_text(json.dumps(roi))
    for name, place in (("a", ["--roi", tmp_path / "R.mrk.json"]), ("b", ["--box", 80, 0, 0, 40, 40, 40])):
        done = text2ct("lesion", "-i", made / "ct.nii.gz", *place, "-o", tmp_path / f"{name}.nii.gz")
        assert done.returncode == 0, done.stderr
    a, b = (np.asarray(nibabel.load(tmp_path / f"{n}.nii.gz").dataobj) for n in "ab")
    changed = [np.argwhere(x != np.asarray(nibabel.load(made / "ct.nii.gz").dataobj)).mean(0) for x in (a, b)]
    assert np.abs(changed[0] - changed[1]).max() < 1.5


def test_scoring_measures_the_ct_against_another_report(made: Path) -> None:
    done = text2ct("score", "-i", made / "ct.nii.gz", "--report", "No pleural effusion.", "--json")
    assert done.returncode == 0, done.stderr
    (entry,) = json.loads(done.stdout)["ledger"]
    assert entry["answer"] == "shown"
    assert entry["agrees"] is False


def test_info_tells_the_grid(made: Path) -> None:
    done = text2ct("info", made / "ct.nii.gz", "--json")
    facts = json.loads(done.stdout)
    assert facts["shape"] == [72, 64, 48]
    assert facts["spacing_mm"] == pytest.approx([5, 5, 6.5])
    assert facts["orientation"] == "LPS"
    assert "seed 5" in facts["synthetic"]


def test_the_engines_listed_are_those_of_the_catalog() -> None:
    done = text2ct("engines", "--json")
    assert [e["id"] for e in json.loads(done.stdout)] == list(catalog.ENGINES)
    plain = text2ct("engines").stdout
    assert plain.count("not in this release") == sum(not e.ready for e in catalog.ENGINES.values())


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["generate", "--report", " ", "-o", "x"], 2, "report is empty"),
    (["generate", "-o", "x"], 2, "No report was given"),
    (["generate", "-i", "absent.txt", "-o", "x"], 2, "no file absent.txt"),
    (["generate", "--report", "Normal.", "-o", "no/such/x"], 2, "does not exist"),
    (["generate", "--report", "Normal.", "-o", "x.jpg"], 2, "no format"),
    (["generate", "--report", "Normal.", "-o", "x", "--engine", "magic"], 2, "use one of: phantom"),
    (["generate", "--report", "Normal.", "-o", "x", "--engine", "generatect"], 6, "not in this release"),
    (["generate", "--report", "Normal.", "-o", "x", "--engine", "text2ct", "--weights", "published"], 5,
     "weights download text2ct/published"),
    (["generate", "--report", "Normal.", "-o", "x", "--seed", "-4"], 2, "seed"),
    (["generate", "--report", "Normal.", "-o", "x", "--shape", "9999", "9", "9"], 2, "impossible"),
    (["generate", "--report", "Normal.", "-o", "x", "--device", "cuda"], 2, "runs on cpu"),
    (["generate", "--report", "Normal.", "-o", "x", "--weights", "mini"], 2, "no weight set"),
    (["generate", "--report", "Normal.", "-o", "x.nii.gz", "--dicom"], 2, "need a folder"),
    (["generate", "--report", "Normal.", "-o", "x", "--base", "absent.nii.gz"], 2, "no file"),
    (["generate", "--unknown"], 2, "--help"),
    (["paint"], 2, "--help"),
    ([], 2, "--help"),
    (["verify", "absent"], 2, "no file"),
    (["score", "-i", "absent.nii", "--report", "Normal."], 2, "no file"),
    (["convert", "-i", "absent.nii", "-o", "y.nii"], 2, "no file"),
    (["report", "absent.txt"], 2, "absent.txt"),
])
def test_bad_use_is_one_line_that_helps(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    one_sentence(text2ct(*arguments, cwd=tmp_path), code, words)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_somebody_is_left_alone_and_ours_is_replaced_on_demand(made: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    tiny = ["--report", "Normal chest.", "--shape", "40", "36", "32", "--spacing", "10", "10", "10"]
    one_sentence(text2ct("generate", *tiny, "-o", tmp_path, "--overwrite"), 2, "not empty")
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    out = tmp_path / "out"
    assert text2ct("generate", *tiny, "-o", out).returncode == 0
    one_sentence(text2ct("generate", *tiny, "-o", out), 2, "--overwrite")
    assert text2ct("generate", *tiny, "-o", out, "--overwrite", "--seed", 9).returncode == 0
    assert json.loads((out / "account.json").read_text())["provenance"]["seed"] == 9
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "out"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "text2ct", "generate", "--report", REPORT, "-o", str(tmp_path / "out"),
         "--preset", "best", "--progress", "json"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    first = [json.loads(process.stderr.readline()) for _ in range(2)]
    assert all(step["stage"] for step in first)
    time.sleep(0.2)
    os.kill(process.pid, number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "Cancelled; nothing was written."
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_help_is_quick_to_read_and_names_every_command() -> None:
    done = text2ct("--help")
    assert done.returncode == 0
    for command in ("generate", "lesion", "score", "report", "engines", "weights", "convert", "verify", "info",
                    "picture"):
        assert command in done.stdout
        assert text2ct(command, "--help").returncode == 0


def test_json_output_is_json_alone(made: Path) -> None:
    done = text2ct("verify", made / "ct.nii.gz", "--json", "-q")
    assert json.loads(done.stdout)["ours"] is True
    assert done.stderr == ""


def test_the_readme_carries_the_table_of_the_catalog() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    table = readme.partition("--markdown` -->")[2].partition("<!-- /engines -->")[0].strip()
    assert table == markdown_table()
