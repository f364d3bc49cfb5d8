"""Our numbers against those of the published program and of MONAI's classes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))

import harness
import record_monai
import text2ct_case

from text2ct.diffusion.rectified_flow import exact_grid, published_grid
from text2ct.diffusion.solvers import SOLVERS
from text2ct.engines.text2ct.config import ControlSizes, UNetSizes, VAESizes
from text2ct.engines.text2ct.controlnet import ControlNet, bits
from text2ct.engines.text2ct.pipeline import walked
from text2ct.engines.text2ct.tokenizer import END, START, tokens
from text2ct.engines.text2ct.unet import UNet
from text2ct.engines.text2ct.vae import VAE

EXCERPT = Path(__file__).resolve().parents[1] / "data" / "parity-text2ct"


def test_the_excerpt_of_the_recorded_case_is_reproduced(capsys: pytest.CaptureFixture[str]) -> None:
    assert harness.report(text2ct_case.rows(EXCERPT)) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert "25 of 25 stages within tolerance" in out


def test_the_whole_recorded_case_is_reproduced(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = shared / "parity" / "text2ct"
    if not case.is_dir():
        pytest.skip("no recorded Text2CT case in the folder 'shared'")
    assert harness.report(text2ct_case.rows(case)) == 0, capsys.readouterr().out
    assert "HU from text" in capsys.readouterr().out


@pytest.fixture(scope="module")
def answers() -> dict[str, np.ndarray]:
    return dict(np.load(EXCERPT / "monai.npz"))


@pytest.fixture(scope="module")
def asked() -> dict[str, torch.Tensor]:
    return record_monai.inputs()


def test_the_unet_and_its_mask_branch_answer_as_monai_does(
        answers: dict[str, np.ndarray], asked: dict[str, torch.Tensor]) -> None:
    sizes = UNetSizes(**record_monai.UNET)
    unet = record_monai.formula(UNet(sizes))
    control = record_monai.formula(ControlNet(ControlSizes(
        UNetSizes(**record_monai.UNET, with_spacing=False), **record_monai.CONTROL)))
    told = (asked["x"], asked["times"], asked["context"], asked["spacing"], asked["labels"])
    with torch.no_grad():
        down, middle = control(asked["x"], asked["times"], asked["context"], asked["labels"], asked["mask"])
        plain, steered = unet(*told), unet(*told, control=(down, middle))
    assert np.abs(plain[..., ::2].numpy() - answers["unet"]).max() < 5e-5
    assert np.abs(down[-1].numpy() - answers["control_last"]).max() < 5e-5
    assert np.abs(middle.numpy() - answers["control_middle"]).max() < 5e-5
    assert np.abs(steered[..., 1::2].numpy() - answers["unet_with_control"]).max() < 5e-5
    assert float((steered - plain).abs().max()) > 0.01


def test_the_autoencoder_answers_as_monai_does(
        answers: dict[str, np.ndarray], asked: dict[str, torch.Tensor]) -> None:
    vae = record_monai.formula(VAE(VAESizes(**record_monai.VAE)))
    with torch.no_grad():
        mean, deviation = vae.encode(asked["image"])
        decoded = vae.decode(asked["latent"])
    assert np.abs(mean.numpy() - answers["encoded_mean"]).max() < 5e-5
    assert np.abs(deviation.numpy() - answers["encoded_deviation"]).max() < 5e-5
    assert np.abs(decoded[..., ::2, ::2, ::2].numpy() - answers["decoded"]).max() < 5e-5


def test_a_label_is_given_to_the_mask_branch_as_its_bits() -> None:
    labels = torch.tensor([0, 1, 2, 5, 200]).reshape(1, 1, 5, 1, 1)
    given = bits(labels)[0, :, :, 0, 0]
    assert given.shape == (8, 5)
    assert [int(sum(int(b) << i for i, b in enumerate(column))) for column in given.T] == [0, 1, 2, 5, 200]


@pytest.mark.parametrize("shape", [(128, 128, 32), (16, 24, 8), (8, 8, 8), (128, 128, 64), (96, 96, 32)])
def test_the_published_grid_is_that_of_float32_tensors_at_any_number_of_steps(shape: tuple[int, int, int]) -> None:
    ratio = (torch.tensor(shape).prod() / 32**3) ** (1.0 / 3)
    for steps in (*range(1, 60), 100, 250, 1000):
        raw = [(1.0 - i / steps) * 1000 / 1000 for i in range(steps)]
        theirs = torch.stack([ratio * s / (1 + (ratio - 1) * s) * 1000 for s in raw]).numpy().astype(np.float16)
        assert [step.time for step in published_grid(steps, shape)] == [float(t) for t in theirs]


def test_the_published_grid_overshoots_and_the_exact_one_does_not() -> None:
    published, exact = published_grid(30, (128, 128, 32)), exact_grid(30, (128, 128, 32))
    assert sum(step.length for step in published) == pytest.approx(1.00869, abs=1e-5)
    assert sum(step.length for step in exact) == pytest.approx(1, abs=1e-12)
    assert [round(step.time, 4) for step in published[:3]] == [1000, 986.5, 972.5]
    assert abs(exact[10].time - published[10].time) < 0.5


def test_steps_of_no_length_in_the_published_grid_change_nothing_whatever_the_solver() -> None:
    schedule = published_grid(1000, (128, 128, 32))
    still = next(number for number, step in enumerate(schedule) if not step.length)
    start = torch.ones(1, 1, 2, 2, 2, dtype=torch.float64)

    def field(sample: torch.Tensor, time: float) -> torch.Tensor:
        return sample * (time / 500 - 1)

    for solver in SOLVERS:
        for first in (0, still):
            end = walked(field, start, schedule[first:], solver)
            assert torch.isfinite(end).all()
            assert torch.equal(end, walked(field, start, [step for step in schedule[first:] if step.length], solver))


@pytest.mark.parametrize("text", [
    "Findings: Trachea is patent; no effusion (2x3 cm)... Impression: patient's nodule, 12/03/2021?!",
    "Ground-glass opacities, CO-RADS 5. Heart isn't enlarged - CTR<0.5; we'll see, they're 38x41 mm.",
    "  two   spaces\tand\nlines  ", "UPPER lower 1234567890 !!!???", "", "<|endoftext|> in the text <|startoftext|>",
    "na\u00efve \u00e0 la base; \u00b12 mm \u2265 3", "\u4e00\u4e8c CT \u80ba \U0001f600"])
def test_tokens_are_those_of_the_transformers_package(text: str) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed: it judges the tokens")
    ftfy = pytest.importorskip("ftfy", reason="ftfy is not installed: it judges the tokens")
    theirs = transformers_tokenizer(transformers)(ftfy.fix_text(text)).input_ids
    mine = tokens(text, 512)
    assert list(mine.ids[:len(theirs)]) == theirs
    assert set(mine.ids[len(theirs):]) == {END}


def transformers_tokenizer(transformers: object) -> object:
    """Built from the merges in the package, so that nothing is fetched."""
    from text2ct.engines.text2ct import tokenizer

    ranks, numbers = tokenizer._vocabulary()
    vocabulary = {**numbers, "<|startoftext|>": START, "<|endoftext|>": END}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=list(ranks))  # type: ignore[attr-defined]


def test_a_text_that_is_too_long_ends_with_the_end_mark() -> None:
    found = tokens("nodule " * 40, 16)
    assert (len(found.ids), found.ids[0], found.ids[-1], found.end) == (16, START, END, 15)
    assert found.dropped > 0
