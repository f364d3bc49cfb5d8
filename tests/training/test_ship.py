"""Finished runs become a weight set of the package: judged first, then stated in its config.json."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from text2ct.engines.text2ct.config import TextSizes, UNetSizes, VAESizes
from text2ct.engines.text2ct.finishing import Finish
from text2ct.engines.text2ct.pipeline import Sampler
from text2ct.engines.text2ct.settings import read_settings
from text2ct.engines.text2ct.standard_words import lexicon
from text2ct.engines.text2ct.text import TextTower
from text2ct.engines.text2ct.unet import UNet
from text2ct.engines.text2ct.vae import VAE
from text2ct.engines.text2ct.weights import load
from text2ct.errors import BadInput, Text2CTError, WeightsError
from text2ct.weights import package
from text2ct_training import checkpoint
from text2ct_training import ship as shipping
from text2ct_training.checkpoint import export
from text2ct_training.recipe import Data, TextRecipe, UNetRecipe, VAERecipe, settings
from text2ct_training.ship import main, ship

KINDS = ("pneumothorax", "emphysema")
WORDS = len(lexicon(KINDS))
SAMPLER = Sampler(grid="exact", guidance=3.0)


def runs(folder: Path, kind: str = "float16") -> tuple[VAERecipe, TextRecipe, UNetRecipe]:
    """Three recipes whose folders hold what their runs would have left."""
    vae = VAERecipe("vae", str(folder / "vae"), model=VAESizes(1, 2, (4, 4), (1, 1), 2))
    text = TextRecipe("text", str(folder / "text"), data=Data(kinds=KINDS, words="standard"),
                      model=TextSizes(8, 16, 2, 1, 6, WORDS + 3, WORDS + 2, 32))
    unet = UNetRecipe("unet", str(folder / "unet"), model=UNetSizes(
        2, 2, (4, 8), (False, True), (0, 4), 1, 2, context_width=6, classes=2))
    tower = {f"model.{name}": tensor for name, tensor in TextTower(text.model).state_dict().items()}
    for recipe, name, tensors in ((vae, "autoencoder", VAE(vae.model).state_dict()), (text, "clip3d", tower),
                                  (unet, "unet", UNet(unet.model).state_dict())):
        Path(recipe.out).mkdir(parents=True)
        export(Path(recipe.out) / f"{name}.safetensors", tensors, {"scale_factor": "0.75"} if name == "unet" else {},
               kind)
    return vae, text, unet


def test_the_shipped_set_is_what_the_engine_finds_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "text2ct" / "mini"
    shipped = ship(*runs(tmp_path / "runs"), SAMPLER, target)
    assert read_settings(target) == shipped
    assert (shipped.kinds, shipped.words, shipped.shape) == (KINDS, "standard", (128, 96, 64))
    assert shipped.sampler == SAMPLER
    assert "lung_mass" in shipped.by_rule
    assert "steps" not in (target / "config.json").read_text()  # the presets of the catalog say how many
    monkeypatch.setattr(package, "ENGINES", tmp_path)
    for stated in package.shipped("text2ct", "mini").values():
        package.check(target / f"{stated.name}.safetensors", stated, stated.name)
    networks = load(shipped.sizes, *(target / f"{name}.safetensors" for name in ("clip3d", "unet", "autoencoder")))
    assert networks.scale_factor == 0.75
    assert next(networks.text.parameters()).dtype == torch.float32


def test_a_finish_ships_with_the_weights(tmp_path: Path) -> None:
    finish = Finish(((-900.0, -920.0), (0.0, 4.0)), 9.0)
    assert ship(*runs(tmp_path / "runs"), SAMPLER, tmp_path / "set", finish).finish == finish
    assert read_settings(tmp_path / "set").finish == finish


def refused(folder: Path, error: type[Text2CTError], sentence: str, *recipes: object) -> None:
    with pytest.raises(error, match=sentence):
        ship(*recipes, SAMPLER, folder / "target")  # type: ignore[arg-type]
    assert not (folder / "target").exists()


def test_runs_that_do_not_fit_each_other_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    vae, text, unet = runs(tmp_path)
    refused(tmp_path, BadInput, "differ in width", vae, replace(text, model=replace(text.model, projection=8)), unet)
    refused(tmp_path, WeightsError, "clip3d.safetensors does not fit the TextTower", vae,
            replace(text, model=replace(text.model, mlp=24)), unet)
    coarse = replace(vae, data=replace(vae.data, spacing=(4.0, 4.0, 5.0)))
    refused(tmp_path, BadInput, "128 x 96 x 64 voxels of 4 x 4 x 5 mm, and the presets of text2ct/mini are", coarse,
            text, unet)
    refused(tmp_path, WeightsError, "finish that run first", vae, replace(text, out=str(tmp_path / "none")), unet)


def test_wide_numbers_and_large_files_do_not_ship(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(tmp_path, WeightsError, "more than half precision", *runs(tmp_path / "wide", "float32"))
    recipes = runs(tmp_path / "half")
    monkeypatch.setattr(shipping, "MOST_TOGETHER", 20_000)
    refused(tmp_path, WeightsError, "MiB together", *recipes)
    monkeypatch.setattr(shipping, "MOST_BYTES", 5_000)
    refused(tmp_path, WeightsError, "at most 0 MiB may ship", *recipes)


def toml(value: object) -> str:
    if isinstance(value, dict):
        said = (f"{name} = {toml(one)}" for name, one in value.items() if one is not None)
        return "{" + ", ".join(said) + "}"
    return json.dumps(value)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="recipes are TOML, which Python reads itself from 3.11 on")
def test_a_run_that_was_not_its_recipe_ships_with_a_warning_for_each_setting(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipes, paths = runs(tmp_path / "runs"), []
    for recipe in recipes:
        paths.append(tmp_path / f"{recipe.task}.toml")
        paths[-1].write_text("\n".join(f"{name} = {toml(value)}" for name, value in asdict(recipe).items()))
    vae, text, _ = (Path(recipe.out) for recipe in recipes)
    ran = settings(recipes[1])
    checkpoint.save(text, checkpoint.Kept(9, 9, {**ran, "run.steps": 1}, {}), 2)
    checkpoint.save(text, checkpoint.Kept(5000, 9, {**ran, "run.steps": 5000, "run.seed": 7}, {}), 2)
    checkpoint.save(vae, checkpoint.Kept(1000, 9, settings(recipes[0]), {}), 2)
    assert main([*map(str, paths), "--to", str(tmp_path / "target")]) == 0
    assert (tmp_path / "target" / "config.json").exists()
    said = capsys.readouterr().err.splitlines()
    assert said[:2] == [f"warning: {paths[1]}: run.seed: run 7, recipe 0.",
                        f"warning: {paths[1]}: run.steps: run 5000, recipe 1000."]
    assert len(said) == 3
    assert "keeps no state" in said[2]


def test_recipes_in_the_wrong_order_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(__file__).resolve().parents[2] / "training" / "recipes"
    assert main([str(folder / f"mini-{name}.toml") for name in ("text", "vae", "unet")]) == BadInput.exit_code
    assert "mini-text.toml is not a VAERecipe" in capsys.readouterr().err
