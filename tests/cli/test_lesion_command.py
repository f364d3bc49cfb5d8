"""`text2ct lesion` with tables, growth and segmentations, as a person uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_commands import one_sentence, text2ct

from text2ct.engines.run import run
from text2ct.formats.dicom_seg import read_seg
from text2ct.formats.files import read_ct, read_layers, write_ct
from text2ct.geometry import Box, Grid
from text2ct.requests import InsertLesion
from text2ct.volume import CTVolume

PLACE = ["--box", 0, 0, 0, 16, 14, 15]


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Soft tissue with noise, as a DICOM series."""
    noise = np.random.default_rng(1).normal(50, 12, (40, 38, 30))
    grid = Grid.centred((40, 38, 30), (1.5, 1.5, 2.0))
    base = CTVolume(noise.astype(np.int16), grid.affine)
    made = run(InsertLesion(base, Box((20.0, 20.0, 20.0), (5.0, 5.0, 5.0)))).provenance
    path = tmp_path_factory.mktemp("lesion") / "ct"
    write_ct(base, path, made)
    return path


def table(path: Path, *rows: str, head: str = "r,a,s,x,y,z,density") -> Path:
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_a_table_ends_in_one_result_with_a_segment_and_a_size_for_each_lesion(ct: Path, tmp_path: Path) -> None:
    rows = table(tmp_path / "t.csv", "-14,0,0,12,10,12,hyperdense", "14,0,0,16,14,12,", "0,18,8,8,8,8,cystic")
    done = text2ct("lesion", "-i", ct, "--table", rows, "-o", tmp_path / "out", "--dicom", "--picture", "--json", "-q")
    assert done.returncode == 0, done.stderr
    (layer,) = read_layers(tmp_path / "out/labels.seg.nrrd")
    assert [s.name for s in layer.segments] == ["lesion 1", "lesion 2", "lesion 3"]
    told = json.loads(done.stdout)["ledger"]
    assert [(e["method"].split(":")[0], e["unit"]) for e in told] == [
        (f"lesion {n}", unit) for n in (1, 2, 3) for unit in ("mm", "ml")]
    voxel_ml = layer.grid.voxel_ml
    for n in (1, 2, 3):
        assert told[2 * n - 1]["value"] == pytest.approx((layer.voxels == n).sum() * voxel_ml, abs=1e-3)
    account = json.loads((tmp_path / "out/account.json").read_text())
    assert [one["box"]["center"][0] for one in account["request"]["lesions"]] == [-14.0, 14.0, 0.0]
    seg = read_seg(tmp_path / "out/lesions.dcm")
    assert [s.name for s in seg.segments] == ["lesion 1", "lesion 2", "lesion 3"]
    assert np.array_equal(seg.reoriented(layer.orientation).voxels, layer.voxels)
    assert text2ct("verify", tmp_path / "out").returncode == 0
    before, after = read_ct(ct), read_ct(tmp_path / "out/ct.nii.gz")
    assert after.reoriented(before.orientation).voxels[0, 0, 0] == before.voxels[0, 0, 0]


def test_a_bad_row_is_named_before_anything_is_painted(ct: Path, tmp_path: Path) -> None:
    rows = table(tmp_path / "t.csv", "-14,0,0,12,10,12,hyperdense", "14,0,0,16,14,12,green")
    done = text2ct("lesion", "-i", ct, "--table", rows, "-o", tmp_path / "out")
    one_sentence(done, 2, "Row 2 (line 3)")
    assert "'green' is no density" in done.stderr
    assert not (tmp_path / "out").exists()
    rows = table(tmp_path / "t.csv", "0,0,0,12,10,12,", "4,0,0,16,14,12,")
    one_sentence(text2ct("lesion", "-i", ct, "--table", rows, "-o", tmp_path / "out"), 2, "lesions 1 and 2 overlap")
    done = text2ct("lesion", "-i", ct, "--table", rows, "-o", tmp_path / "out", "--overlapping", "merge", "-q")
    assert done.returncode == 0, done.stderr


def test_growth_ends_in_a_folder_for_each_day_with_the_volumes_of_its_law(ct: Path, tmp_path: Path) -> None:
    times = ["--growth", 100, "--days", 0, 100]
    done = text2ct("lesion", "-i", ct, *PLACE, *times, "-o", tmp_path / "out", "--json", "-q")
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert (first["day"], second["day"]) == ("day-0", "day-100")
    assert second["ledger"][1]["value"] == pytest.approx(2 * first["ledger"][1]["value"], rel=0.02)
    for day in ("day-0", "day-100"):
        assert text2ct("verify", tmp_path / "out" / day).returncode == 0
    account = json.loads((tmp_path / "out/account.json").read_text())
    assert account["request"]["growth"] == {"doubling_days": 100.0, "limit_ml": None, "days": [0.0, 100.0]}
    assert (account["provenance"]["engine"], account["request"]["lesion"]["parts"]) == ("phantom", "both")


def test_growth_replaces_its_own_folder_and_no_other(ct: Path, tmp_path: Path) -> None:
    def grow(*days: object) -> subprocess.CompletedProcess[str]:
        return text2ct("lesion", "-i", ct, *PLACE, "--growth", 100, "--days", *days, "-o", tmp_path / "out", "-q",
                       "--overwrite")

    assert grow(0).returncode == 0
    assert grow(50).returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["account.json", "day-50"]
    (tmp_path / "out/day-50/mine.txt").write_text("keep")
    one_sentence(grow(0), 2, "more than a result of text2ct")
    assert (tmp_path / "out/day-50/mine.txt").read_text() == "keep"


def test_a_mask_alone_becomes_a_segmentation_of_the_series_it_was_drawn_on(ct: Path, tmp_path: Path) -> None:
    done = text2ct("lesion", "-i", ct, *PLACE, "--parts", "mask", "--dicom", "-o", tmp_path / "out", "-q")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["account.json", "labels.seg.nrrd", "lesion.dcm"]
    seg = read_seg(tmp_path / "out/lesion.dcm")
    assert seg.same_grid(read_ct(ct).reoriented(seg.orientation), 1e-2)
    assert seg.mask("lesion").any()


@pytest.mark.parametrize(("options", "said"), [
    (["--candidates", 4], "draws one mask by rules"), (["--mode", "published"], "draws one mask by rules"),
    (["--growth", 100], "belong together"), (["--limit-ml", 5], "bounds a growth"),
    (["--growth", 100, "--days", 0, 1, "--parts", "mask"], "leave out --table"),
    (["--growth", 100, "--days", 0, 0], "named twice"),
    (["--growth", 100, "--days", 0, 100_000], "outgrow"), (["--growth", 1, "--days", 0, 1100], "outgrow"),
    (["--growth", 0, "--days", 1], "cannot double in 0 days"), (["--growth", 9, "--days", "nan"], "nan is no day"),
    (["--growth", 9, "--days", 1, "--limit-ml", "inf"], "inf is no volume"),
    (["--engine", "lesiondiffusion", "--candidates", 99], "99 candidates are impossible")])
def test_options_that_do_not_go_together_are_refused_in_one_line(options: list[object], said: str, ct: Path,
                                                                 tmp_path: Path) -> None:
    one_sentence(text2ct("lesion", "-i", ct, *PLACE, *options, "-o", tmp_path / "out"), 2, said)
    assert list(tmp_path.iterdir()) == []


def test_the_help_of_all_commands_needs_no_scipy() -> None:
    code = ("import sys; from text2ct.cli.main import _parser; _parser(); "
            "print(*(m for m in ('scipy', 'torch', 'pydicom') if m in sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("", "")
