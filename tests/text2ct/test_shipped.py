"""The small weights that ship: what they draw is what was asked, and what their card says of them holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the tests of Text2CT are left out")

from text2ct.engines.run import run  # noqa: E402
from text2ct.engines.text2ct.files import found_files  # noqa: E402
from text2ct.engines.text2ct.intensity import to_hu  # noqa: E402
from text2ct.engines.text2ct.weights import load_vae  # noqa: E402
from text2ct.report.finding import Finding  # noqa: E402
from text2ct.report.ledger import measure  # noqa: E402
from text2ct.requests import GenerateCT, Result, Watch  # noqa: E402
from text2ct.speed.slabs import decoded_in_slabs  # noqa: E402
from text2ct.weights import package  # noqa: E402


def drawn(report: str, seed: int) -> Result:
    torch.set_num_threads(1)
    return run(GenerateCT(report, engine="text2ct", weights="mini", seed=seed))


def test_a_large_effusion_is_drawn_on_its_side_and_not_on_the_other() -> None:
    result = drawn("Large right pleural effusion.", 1)
    assert result.ct is not None
    right, left = measure(result.ct, [Finding("pleural_effusion", side=side) for side in ("right", "left")])
    assert (right.answer, left.answer) == ("shown", "not shown")
    assert result.provenance.weights == "mini"


def test_a_mass_is_drawn_by_rule_with_its_mask_and_that_is_said() -> None:
    result = drawn("55 mm mass in the right upper lobe.", 6)
    assert [layer.title for layer in result.labels] == ["organs", "findings"]
    assert any("by rule" in note and "RUL" in note for note in result.notes)
    (entry,) = result.ledger
    assert (entry.answer, entry.agrees) == ("shown", True)


def test_decoding_in_slabs_is_decoding_at_once() -> None:
    files = found_files("mini", Watch())
    vae = load_vae(files.sizes, package.folder("text2ct", "mini") / "autoencoder.safetensors").float()
    noise = torch.randn(1, files.sizes.vae.latent_channels, 16, 16, 16, generator=torch.Generator().manual_seed(4))
    latent = 2.3 * noise  # the deviation of its latents
    with torch.inference_mode():
        whole, slabs = to_hu(vae.decode(latent)[0, 0]), to_hu(decoded_in_slabs(vae, latent, 4_000_000)[0, 0])
    assert abs(whole.astype(int) - slabs).max() <= 1
    assert whole.std() > 50


def test_a_card_lies_beside_each_set_and_names_what_is_not_claimed() -> None:
    for engine in ("text2ct", "lesiondiffusion"):
        folder = package.folder(engine, "mini")
        card = (folder / "MODEL_CARD.md").read_text(encoding="utf-8")
        assert "Not for diagnosis" in card
        assert "What it can't do" in card
        stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))["files"]
        assert sum(one["bytes"] for one in stated) < 24_000_000
        assert max(one["bytes"] for one in stated) < 16_000_000
        for one in package.shipped(engine, "mini").values():
            package.check(_file(folder, one.name), one, one.name)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.safetensors"
