"""The engine from a request to its result, with a tiny weight set: seeds, resuming, cancelling, notes, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_networks import SHAPE, SPACING

from text2ct.engines import catalog
from text2ct.engines.text2ct.engine import Text2CTEngine
from text2ct.engines.text2ct.files import Files
from text2ct.engines.text2ct.pipeline import Sampler
from text2ct.engines.text2ct.prompt import as_trained
from text2ct.errors import BadRequest, Cancelled, Unavailable, WeightsError
from text2ct.requests import CancelToken, GenerateCT, Progress, Watch
from text2ct.volume import CTVolume

REPORT = "Findings: Small right pleural effusion. Impression: Effusion."
REQUEST = GenerateCT(REPORT, "text2ct", seed=3, steps=6, shape=SHAPE, spacing=SPACING)


@pytest.fixture(scope="module")
def engine(files: Files) -> Text2CTEngine:
    return Text2CTEngine(files=lambda weights, watch: files)


@pytest.fixture(scope="module")
def voxels(engine: Text2CTEngine) -> np.ndarray:
    return made(engine, REQUEST).voxels


def made(engine: Text2CTEngine, request: GenerateCT, **watch: object) -> CTVolume:
    ct = engine.run(request, Watch(device="cpu", **watch)).ct  # type: ignore[arg-type]
    assert ct is not None
    return ct


def test_a_report_becomes_a_ct_with_an_honest_grid_and_account(engine: Text2CTEngine) -> None:
    result = engine.run(REQUEST, Watch(device="cpu"))
    assert result.ct is not None
    assert result.ct.shape == SHAPE
    assert result.ct.grid.orientation == "RAS"
    assert result.ct.grid.spacing == pytest.approx(SPACING)
    assert np.abs(result.ct.grid.to_ras((np.array(SHAPE) - 1) / 2)).max() < 1e-6
    assert -1000 <= result.ct.voxels.min() < result.ct.voxels.max() <= 1000
    account = result.provenance
    assert (account.engine, account.weights, account.seed, account.synthetic) == ("text2ct", "published", 3, True)
    assert account.weights_sha256 == "5" * 64
    assert account.sampler.startswith("published grid, euler, 6 steps, guidance 5, ")
    assert any("nominal" in note for note in result.notes)


def test_the_same_seed_gives_the_same_voxels_and_another_others(engine: Text2CTEngine, voxels: np.ndarray) -> None:
    assert np.array_equal(made(engine, REQUEST).voxels, voxels)
    assert not np.array_equal(made(engine, replace(REQUEST, seed=4)).voxels, voxels)


@pytest.mark.parametrize("changed", [{"report": "Findings: Normal. Impression: Normal."}, {"guidance": 1.0},
                                     {"steps": 5}])
def test_report_guidance_and_steps_matter(
        engine: Text2CTEngine, voxels: np.ndarray, changed: dict[str, object]) -> None:
    assert not np.array_equal(made(engine, replace(REQUEST, **changed)).voxels, voxels)  # type: ignore[arg-type]


@pytest.mark.parametrize("after", [1, 3, 6])
@pytest.mark.parametrize("solver", ["euler", "multistep"])
def test_a_run_that_is_taken_up_again_ends_in_the_same_voxels(files: Files, after: int, solver: str) -> None:
    engine = Text2CTEngine(Sampler(solver=solver), lambda weights, watch: files)
    states: list[bytes] = []
    whole = made(engine, REQUEST, keep=states.append)
    assert len(states) == 6
    steps: list[int] = []
    again = made(engine, REQUEST, resume=states[after - 1],
                 sink=lambda p: steps.append(p.step) if p.stage == "sampling" else None)
    assert np.array_equal(again.voxels, whole.voxels)
    assert steps == list(range(after, 7))


@pytest.mark.parametrize("damage", ["cut", "empty", "other request", "nonsense"])
def test_a_state_that_does_not_fit_is_said_and_not_used(
        engine: Text2CTEngine, voxels: np.ndarray, damage: str) -> None:
    states: list[bytes] = []
    engine.run(replace(REQUEST, seed=4) if damage == "other request" else REQUEST,
               Watch(device="cpu", keep=states.append))
    state = {"cut": states[2][:-4], "empty": b"", "nonsense": b"\xff" * 300}.get(damage, states[2])
    result = engine.run(REQUEST, Watch(device="cpu", resume=state))
    assert result.ct is not None
    assert np.array_equal(result.ct.voxels, voxels)
    assert any("does not fit this run" in note for note in result.notes)


def test_cancelling_stops_within_the_step(engine: Text2CTEngine) -> None:
    token = CancelToken()
    seen: list[int] = []

    def sink(progress: Progress) -> None:
        if progress.stage == "sampling":
            seen.append(progress.step)
            if progress.step == 2:
                token.cancel()

    with pytest.raises(Cancelled):
        engine.run(REQUEST, Watch(sink, token, "cpu"))
    assert seen == [0, 1, 2]
    assert not np.array_equal(made(engine, REQUEST).voxels, np.zeros(SHAPE))


def test_a_preview_of_a_quarter_of_the_resolution_covers_the_same_space(engine: Text2CTEngine) -> None:
    previews: list[CTVolume] = []
    ct = made(engine, REQUEST, sink=lambda p: previews.append(p.preview) if p.preview is not None else None)
    assert [p.shape for p in previews] == [tuple(n // 4 for n in SHAPE)]
    low, high = np.full(3, -0.5), np.array(previews[0].shape) - 0.5
    assert previews[0].grid.to_ras(low) == pytest.approx(ct.grid.to_ras(low))
    assert previews[0].grid.to_ras(high) == pytest.approx(ct.grid.to_ras(np.array(SHAPE) - 0.5))


@pytest.mark.parametrize("solver", ["euler", "heun", "multistep"])
def test_the_exact_grid_runs_with_every_solver_and_says_so(files: Files, solver: str) -> None:
    engine = Text2CTEngine(Sampler(grid="exact", solver=solver), lambda weights, watch: files)
    account = engine.run(REQUEST, Watch(device="cpu")).provenance
    assert account.sampler.startswith(f"exact grid, {solver}, 6 steps")


def test_a_long_report_and_an_untrained_grid_are_said(engine: Text2CTEngine) -> None:
    long = replace(REQUEST, report="Findings: " + "nodule " * 100, shape=(32, 64, 32))
    notes = " ".join(engine.run(long, Watch(device="cpu")).notes)
    assert "The weights read 64 tokens of a report; its last 243 were left out" in notes
    assert "a grid of 32 x 64 x 32 at 1.5 x 1.5 x 3 mm can look wrong" in notes


def test_what_cannot_be_done_is_refused_in_a_sentence(engine: Text2CTEngine, ct: CTVolume) -> None:
    with pytest.raises(BadRequest, match="cannot draw into one"):
        engine.run(replace(REQUEST, base=ct, shape=None, spacing=None), Watch(device="cpu"))
    with pytest.raises(BadRequest, match="multiple of 32"):
        engine.run(replace(REQUEST, shape=(48, 64, 64)), Watch(device="cpu"))
    with pytest.raises(Unavailable, match=r"cuda:7 is not there|no device cuda:7"):
        engine.run(REQUEST, Watch(device="cuda:7"))


def test_missing_weights_are_a_sentence_with_the_command(
        tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXT2CT_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="text2ct weights download text2ct/published"):
        Text2CTEngine().run(GenerateCT(REPORT, "text2ct", "published"), Watch(device="cpu"))


def test_every_preset_of_the_catalog_fits_its_limits() -> None:
    entry = catalog.engine("text2ct")
    for preset in entry.presets.values():
        assert not entry.limits.problems(preset.shape, preset.spacing)


@pytest.mark.parametrize(("report", "prompt"), [
    ("Findings: A b.\n Impression:  C.", "Findings: A b. Impression: C."),
    ("IMPRESSION: C. FINDINGS: A.", "Findings: A. Impression: C."),
    ("Small effusion.", "Findings: Small effusion. Impression: nan"),
    ("Impression: Normal.", "Findings: nan Impression: Normal."),
    ("CT chest. Findings: A. Conclusion: B.", "Findings: CT chest. A. Impression: B."),
])
def test_sections_reach_the_weights_as_in_training(report: str, prompt: str) -> None:
    assert as_trained(report) == prompt
