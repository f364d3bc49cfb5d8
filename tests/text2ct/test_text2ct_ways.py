"""How a request says the way to sample, and what the engine makes of it; the best of several seeds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_networks import SHAPE, SPACING

from text2ct.cli.main import main
from text2ct.engines.text2ct import pipeline, windows
from text2ct.engines.text2ct.engine import Files, Text2CTEngine
from text2ct.errors import BadInput
from text2ct.requests import GenerateCT, Progress, Result, Watch

REPORT = "Small right pleural effusion."
REQUEST = GenerateCT(REPORT, "text2ct", seed=3, steps=4, shape=SHAPE, spacing=SPACING)


@pytest.fixture(scope="module")
def engine(files: Files) -> Text2CTEngine:
    return Text2CTEngine(files=lambda weights, watch: files)


def made(engine: Text2CTEngine, request: GenerateCT, **watch: Any) -> Result:
    return engine.run(request, Watch(device="cpu", **watch))


def voxels(result: Result) -> np.ndarray:
    assert result.ct is not None
    return result.ct.voxels


@pytest.mark.parametrize(("asked", "said"), [
    ({"sampler": "exact"}, "exact grid, euler, 4 steps, guidance 5, "),
    ({"sampler": "published"}, "published grid, euler, 4 steps, guidance 5, decoded as published, "),
    ({"solver": "multistep"}, "published grid, multistep, 4 steps, guidance 5, "),
    ({"precision": "float32"}, "published grid, euler, 4 steps, guidance 5, float32 on cpu"),
    ({"precision": "bfloat16"}, "published grid, euler, 4 steps, guidance 5, bfloat16 on cpu"),
    ({"lossy": ("fewer",)}, "exact grid, multistep, 2 steps, guidance 5, lossy: 2 steps in place of 4, "),
    ({"lossy": ("cache", "interval")}, "published grid, euler, 4 steps, guidance 5, lossy: levels from 2 on "
     "computed in one of 2 evaluations and guidance only from time 900 to 100, "),
])
def test_the_way_that_is_asked_for_is_taken_and_said(
        engine: Text2CTEngine, asked: dict[str, Any], said: str) -> None:
    assert made(engine, replace(REQUEST, **asked)).provenance.sampler.startswith(said)


def test_the_published_way_decodes_in_windows_and_only_where_it_is_asked_for(
        engine: Text2CTEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    unasked = voxels(made(engine, REQUEST))
    assert np.array_equal(voxels(made(engine, replace(REQUEST, sampler="published"))), unasked)  # one small window
    monkeypatch.setattr(windows, "WINDOW", 8)
    assert np.array_equal(voxels(made(engine, REQUEST)), unasked)
    assert not np.array_equal(voxels(made(engine, replace(REQUEST, sampler="published"))), unasked)


def test_kinds_of_number_and_shortcuts_change_voxels_and_none_of_them_is_taken_unasked(engine: Text2CTEngine) -> None:
    exact = replace(REQUEST, precision="float32")
    plain = voxels(made(engine, exact)).astype(float)
    for change in ({"precision": "bfloat16"}, {"lossy": ("cache",)}, {"lossy": ("interval",)}, {"lossy": ("fewer",)}):
        other = voxels(made(engine, replace(exact, **change)))  # type: ignore[arg-type]
        assert 0 < np.abs(other - plain).mean() < 300, change
    assert np.array_equal(voxels(made(engine, exact)), plain)


def test_a_cached_run_keeps_only_states_from_which_it_ends_in_the_same_voxels(engine: Text2CTEngine) -> None:
    request = replace(REQUEST, lossy=("cache",))
    states: list[bytes] = []
    whole = made(engine, request, keep=states.append)
    assert len(states) == 2
    steps: list[int] = []
    again = made(engine, request, resume=states[0],
                 sink=lambda p: steps.append(p.step) if p.stage == "sampling" else None)
    assert steps == [2, 3, 4]
    assert np.array_equal(voxels(again), voxels(whole))


def test_the_best_of_several_is_the_ct_of_its_own_seed_and_all_are_named(engine: Text2CTEngine) -> None:
    stages: list[Progress] = []
    result = made(engine, replace(REQUEST, best_of=4, precision="float32"), sink=stages.append)
    kept = result.provenance.seed
    assert 3 <= kept <= 6
    assert "best of 4 by the ledger" in result.provenance.sampler
    said = next(note for note in result.notes if note.startswith("Best of 4"))
    assert all(f"seed {seed}: " in said for seed in (3, 4, 5, 6))
    assert f"Seed {kept} was kept." in said
    assert said.count("given up") == 2
    alone = voxels(made(engine, replace(REQUEST, seed=kept, precision="float32")))
    assert np.abs(alone.astype(int) - voxels(result)).max() <= 1
    sampling = [p for p in stages if p.stage == "sampling"]
    assert {p.total for p in sampling} == {4 * 1 + 2 * 3}
    assert sampling[-1].step == sampling[-1].total


def test_the_ledger_decides_which_seed_is_kept(engine: Text2CTEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third seed alone decodes to a chest, and that without an effusion, as the report has it."""
    from text2ct.engines.phantom.drawing import draw
    from text2ct.geometry import Grid

    chest = draw([], 1, Grid.centred((64, 64, 64), (6.0, 6.0, 6.0), "RAS")).ct.voxels
    marks: list[float] = []
    plain_noise = pipeline.noise

    def noise(seed: int, channels: int, shape: Any) -> Any:
        return plain_noise(1, channels, shape) + (100 if seed == 5 else 0)

    def decoded(networks: Any, plan: Any, *rest: Any) -> np.ndarray:
        latent = next(one for one in rest if hasattr(one, "mean") and not isinstance(one, pipeline.Sampler))
        marks.append(float(latent.mean()))
        return np.array(chest) if marks[-1] > 50 else np.zeros_like(chest)

    monkeypatch.setattr(pipeline, "noise", noise)
    monkeypatch.setattr(pipeline, "decoded", decoded)
    monkeypatch.setattr(pipeline, "preview", decoded)
    request = replace(REQUEST, report="No pleural effusion.", best_of=4, shape=(64, 64, 64),
                      spacing=(6.0, 6.0, 6.0))
    result = made(engine, request)
    assert result.provenance.seed == 5
    said = next(note for note in result.notes if note.startswith("Best of 4"))
    assert "seed 3: not to be told at the end; seed 4: not to be told early, given up; seed 5: 1.00 early" in said
    assert "1.00 at the end" in said
    assert len(marks) == 4 + 2


def test_wishes_of_the_machine_that_cannot_be_met_are_notes(
        engine: Text2CTEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXT2CT_SPEED", "graphs")
    assert any("CUDA graphs were wished for" in note for note in made(engine, REQUEST).notes)
    monkeypatch.setenv("TEXT2CT_SPEED", "faster")
    with pytest.raises(BadInput, match="'faster', which is unknown"):
        made(engine, REQUEST)


def test_the_command_line_asks_the_same_and_an_engine_that_does_not_sample_says_so(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = main(["generate", "--report", "Normal chest.", "-o", str(tmp_path / "out"), "--shape", "48", "44", "40",
                 "--spacing", "8", "8", "8", "--sampler", "exact", "--precision", "float32", "--best-of", "3",
                 "--lossy", "cache", "interval"])
    assert done == 0
    account = json.loads((tmp_path / "out" / "account.json").read_text())
    asked = account["request"]
    assert (asked["sampler"], asked["solver"], asked["precision"]) == ("exact", "", "float32")
    assert (asked["lossy"], asked["best_of"]) == (["cache", "interval"], 3)
    said = "The engine Phantom does not sample, so these were not used: sampler, precision, lossy, best of."
    assert said in json.dumps(account)
    assert said in "".join(capsys.readouterr())
