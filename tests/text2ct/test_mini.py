"""The weights that ship with the package, from a report to a result, with random numbers in their place."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mini_weights
import numpy as np
import pytest
import torch

from text2ct.cli.main import main
from text2ct.engines import catalog
from text2ct.engines.phantom.drawing import draw
from text2ct.engines.run import run
from text2ct.engines.text2ct import pipeline
from text2ct.engines.text2ct.settings import read_settings
from text2ct.errors import BadRequest, Cancelled, WeightsError
from text2ct.geometry import Grid
from text2ct.report.finding import Finding
from text2ct.requests import CancelToken, GenerateCT, Progress, Result
from text2ct.weights import package
from text2ct.weights.store import Place, Record

REPORT = ("Large right pleural effusion. Lobulated mass of 45 mm in the left upper lobe. No pneumothorax. "
          "Possible emphysema. Hiatal hernia.")
SMALL = {"shape": (64, 48, 48), "spacing": (6.0, 6.0, 6.0)}
REQUEST = GenerateCT(REPORT, "text2ct", "mini", seed=5, steps=2, **SMALL)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped set; nothing else is on this machine."""
    monkeypatch.setenv("TEXT2CT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(package, "ENGINES", tmp_path / "engines")
    torch.set_num_threads(1)
    return mini_weights.written(tmp_path / "engines")


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """A chest with the effusion of the report."""
    grid = Grid.centred(SMALL["shape"], SMALL["spacing"], "LPS")
    effusion = Finding("pleural_effusion", side="right", severity="large")
    return draw([effusion], 1, grid).ct.reoriented("RAS").voxels


@pytest.fixture
def chest(drawn: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Random numbers decode to noise; a drawn chest stands in for what trained ones decode to."""
    monkeypatch.setattr(pipeline, "decoded", lambda *_: np.array(drawn))
    return drawn


def voxels(request: GenerateCT, **more: Any) -> np.ndarray:
    ct = run(request, device="cpu", **more).ct
    assert ct is not None
    return ct.voxels


def notes(result: Result) -> str:
    return " ".join(result.notes)


def test_a_report_becomes_a_ct_and_the_account_says_by_which_means(folder: Path) -> None:
    result = run(replace(REQUEST, shape=None, spacing=None, preset="draft"), device="cpu")
    assert result.ct is not None
    assert result.ct.shape == (128, 96, 64)
    assert result.ct.grid.spacing == pytest.approx((3, 3, 5))
    account = result.provenance
    assert (account.engine, account.weights, account.seed, account.preset) == ("text2ct", "mini", 5, "draft")
    assert len(account.weights_sha256) == 64
    assert account.sampler.startswith("exact grid, euler, 2 steps, guidance 2, ")
    assert "report in standard words" in account.sampler
    assert "effusion" not in account.sampler  # it stands in file headers, where no words of a report may
    said = notes(result)
    assert '"large right pleural effusion."' in said
    assert "hiatal hernia" in said.partition("Not drawn by these weights:")[2]
    assert "trained on drawn phantoms" in said
    assert "nominal" not in said
    assert "can look wrong" not in said


def test_what_is_denied_or_only_possible_is_not_told_to_the_weights(folder: Path) -> None:
    words = notes(run(REQUEST, device="cpu")).partition("standard words:")[2].partition('."')[0]
    assert "pneumothorax" not in words
    assert "emphysema" not in words


def test_findings_whose_standard_words_do_not_fit_are_named_and_no_order_is_asked_for(folder: Path) -> None:
    lobes = ("right upper", "right middle", "right lower", "left upper", "left lower")
    long = " ".join(f"Small consolidation in the {lobe} lobe. Large atelectasis in the {lobe} lobe." for lobe in lobes)
    said = notes(run(replace(REQUEST, report=f"Steatosis of the liver. Large right effusion. {long}"), device="cpu"))
    cut = said.partition("The weights read 62 standard words; these findings did not fit: ")[2].partition(".")[0]
    assert "hepatic steatosis" in cut
    assert "atelectasis LLL" in cut or "atelectasis RLL" in cut
    assert "effusion" not in cut
    assert "consolidation" not in cut
    assert "what matters first" not in said
    assert "did not fit" not in notes(run(REQUEST, device="cpu"))


def test_a_mass_is_drawn_by_rule_with_its_mask_and_the_rest_stays_as_generated(folder: Path, chest: np.ndarray) -> None:
    result = run(REQUEST, device="cpu")
    assert result.ct is not None
    organs, findings = result.labels
    assert (organs.title, [s.name for s in findings.segments]) == ("organs", ["lung_mass LUL"])
    mask = findings.voxels > 0
    size = (6 / np.pi * mask.sum() * 6**3) ** (1 / 3)
    assert 25 < size < 55
    assert (findings.grid.to_ras(np.argwhere(mask))[:, 0] < 0).all()  # on the left of the patient
    assert result.ct.voxels[mask].mean() > chest[mask].mean() + 400
    near = np.abs(np.argwhere(result.ct.voxels != chest)[:, None] - np.argwhere(mask)[None]).max(-1).min(1)
    assert near.max() <= 3
    assert "Drawn by rule into the generated CT, not by the weights: lung mass LUL." in result.notes
    assert "1 finding drawn by rule" in result.provenance.sampler
    assert next(e.answer for e in result.ledger if e.finding.kind == "lung_mass") == "shown"


def test_rules_can_be_turned_off_and_then_the_mass_is_said_to_be_missing(folder: Path, chest: np.ndarray) -> None:
    result = run(replace(REQUEST, by_rule=False), device="cpu")
    assert result.ct is not None
    assert np.array_equal(result.ct.voxels, chest)
    assert result.labels == ()
    assert "lung mass LUL" in notes(result).partition("Not drawn by these weights:")[2]
    assert "by rule" not in result.provenance.sampler


def test_a_lesion_that_finds_no_lung_to_lie_in_is_said_to_be_missing(
        folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "decoded", lambda *_: np.zeros(SMALL["shape"], np.int16))
    assert "lung mass LUL" in notes(run(REQUEST, device="cpu")).partition("Not drawn by these weights:")[2]


def test_a_denied_mass_is_not_drawn(folder: Path, chest: np.ndarray) -> None:
    result = run(replace(REQUEST, report="Large right pleural effusion. No mass, no nodule."), device="cpu")
    assert result.ct is not None
    assert np.array_equal(result.ct.voxels, chest)
    assert "Not drawn" not in notes(result)


def test_the_same_request_gives_the_same_voxels_however_the_report_puts_it(folder: Path) -> None:
    first = voxels(replace(REQUEST, report="Large right effusion. Severe cardiomegaly."))
    assert np.array_equal(first, voxels(replace(
        REQUEST, report="The heart is severely enlarged. No nodule. There is a massive effusion on the right.")))
    assert not np.array_equal(first, voxels(replace(REQUEST, report="Large left effusion. Severe cardiomegaly.")))
    assert not np.array_equal(first, voxels(replace(REQUEST, report="Large right effusion. Severe cardiomegaly.",
                                                    seed=6)))


@pytest.mark.parametrize("stage", ["sampling", "drawing"])
def test_cancelling_stops_it_at_every_stage(folder: Path, chest: np.ndarray, stage: str) -> None:
    token = CancelToken()

    def sink(progress: Progress) -> None:
        if progress.stage == stage:
            token.cancel()

    with pytest.raises(Cancelled):
        run(REQUEST, sink, token, "cpu")


def test_previews_come_only_where_a_latent_can_be_made_coarser(folder: Path) -> None:
    previews: list[Any] = []
    for shape in ((64, 64, 32), (32, 16, 48)):
        run(replace(REQUEST, shape=shape, steps=6, by_rule=False),
            lambda p: previews.append(p.preview.shape) if p.preview is not None else None, device="cpu")
    assert previews == [(16, 16, 8)]


def test_other_grids_are_warned_of_and_those_that_cannot_be_are_refused(folder: Path) -> None:
    assert "trained on 128 x 96 x 64 voxels of 3 x 3 x 5 mm only" in notes(run(REQUEST, device="cpu"))
    with pytest.raises(BadRequest, match="multiple of 16 x 16 x 16"):
        run(replace(REQUEST, shape=(64, 48, 40)), device="cpu")
    with pytest.raises(BadRequest, match="larger than this engine's limit of 256 x 256 x 256"):
        run(replace(REQUEST, shape=(512, 512, 128)), device="cpu")


def test_without_a_name_the_weights_that_are_here_are_taken_and_named(folder: Path) -> None:
    assert run(replace(REQUEST, weights=""), device="cpu").provenance.weights == "mini"
    entry = catalog.engine("text2ct")
    for file in entry.weight_set("published").files:
        place = Place(entry, entry.weight_set("published"), file)
        place.path.parent.mkdir(parents=True, exist_ok=True)
        place.path.write_bytes(b"x")
        place.write_record(Record("text2ct", "published", file.name, "", "", 0, True, "", 1, 0, "", "", ""))
    with pytest.raises(BadRequest, match="multiple of 32"):  # judged as the published set: it is here now
        run(replace(REQUEST, weights=""), device="cpu")


def test_a_damaged_file_is_refused(folder: Path) -> None:
    file = folder / "unet.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsError, match="text2ct/mini/unet are not those that shipped"):
        run(REQUEST, device="cpu")


def test_a_file_that_is_damaged_while_the_engine_runs_is_noticed_the_next_time(folder: Path) -> None:
    run(REQUEST, device="cpu")
    file = folder / "clip3d.safetensors"
    before = file.stat()
    file.write_bytes(file.read_bytes()[:-1] + b"\xff")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with pytest.raises(WeightsError, match="not those that shipped"):
        run(REQUEST, device="cpu")


def test_a_copy_without_the_numbers_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXT2CT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(package, "ENGINES", tmp_path / "engines")
    with pytest.raises(WeightsError, match="are not in this copy of text2ct"):
        run(REQUEST, device="cpu")
    with pytest.raises(WeightsError, match="text2ct weights download text2ct/published"):
        run(replace(REQUEST, weights="", shape=None, spacing=None), device="cpu")


@pytest.mark.parametrize(("changed", "sentence"), [
    ({"kinds": ["flu"]}, "no kind of finding 'flu'"),
    ({"by_rule": ["pneumothorax"]}, "'pneumothorax' is drawn by the weights and by rule"),
    ({"words": "report"}, "the weights read all"),
    ({"kinds": ["pneumothorax"]}, "its vocabulary must be"),
    ({"shape": [128, 96, 60]}, "no multiple of 16"),
    ({"sampler": {"solver": "magic"}}, "no solver 'magic'"),
    ({"sampler": {"stepz": 3}}, "no field 'stepz'"),
    ({"shape": "large"}, "must be a list"),
])
def test_a_config_that_cannot_be_is_one_sentence(tmp_path: Path, changed: dict[str, Any], sentence: str) -> None:
    folder = mini_weights.written(tmp_path, **changed)
    with pytest.raises(WeightsError, match=sentence) as caught:
        read_settings(folder)
    assert "config.json" in str(caught.value)


def test_presets_of_the_mini_set_fit_its_limits_and_what_it_was_trained_on() -> None:
    entry = catalog.engine("text2ct")
    for name, preset in entry.presets_of("mini").items():
        assert not entry.limits_of("mini").problems(preset.shape, preset.spacing)
        assert entry.preset(name, "mini") is preset
        if (package.folder("text2ct", "mini") / "config.json").exists():
            settings = read_settings(package.folder("text2ct", "mini"))
            assert (preset.shape, preset.spacing) == (settings.shape, settings.spacing)
    assert entry.preset("draft", "published").shape == (512, 512, 128)


def test_the_command_line_makes_a_ct_with_the_shipped_weights(
        folder: Path, chest: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--shape", "64", "48", "48", "--spacing", "6", "6", "6"]
    common = ["generate", "--report", REPORT, "--engine", "text2ct", "--weights", "mini", "--steps", "2", "--device",
              "cpu", *size]
    assert main([*common, "-o", str(tmp_path / "out")]) == 0
    account = json.loads((tmp_path / "out" / "account.json").read_text())
    assert account["provenance"]["weights"] == "mini"
    assert any("Drawn by rule" in note for note in account["notes"])
    assert (tmp_path / "out" / "labels.seg.nrrd").exists()
    assert main([*common, "--weights-only", "-o", str(tmp_path / "bare")]) == 0
    assert not any("Drawn by rule" in note for note in json.loads(
        (tmp_path / "bare" / "account.json").read_text())["notes"])
    (folder / "unet.safetensors").unlink()
    capsys.readouterr()
    assert main([*common, "-o", str(tmp_path / "none")]) == 5
    assert "are not in this copy of text2ct" in capsys.readouterr().err


Offered = Callable[[], dict[str, Any]]


def test_a_server_tells_which_weights_it_would_take_and_the_presets_of_each(folder: Path) -> None:
    from text2ct.service.capabilities import _engine_view

    view = _engine_view(catalog.engine("text2ct"))
    assert view.weights == "mini"
    assert view.presets["standard"].shape == (128, 96, 64)
    published, mini = view.weight_sets
    assert (published.present, mini.present, mini.ships) == (False, True, True)
    assert published.presets["standard"].shape == (512, 512, 128)
    assert mini.limits.multiple_of == (16, 16, 16)
    assert mini.bytes == sum(file.stat().st_size for file in folder.glob("*.safetensors"))
