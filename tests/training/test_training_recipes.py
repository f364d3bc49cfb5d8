"""Recipes say only what exists; a mistake is one sentence that names the place and what would do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.version_info < (3, 11):
    pytest.skip("recipes are TOML, which Python reads itself from 3.11 on", allow_module_level=True)
torch = pytest.importorskip("torch", reason="PyTorch is not installed: the tests of training are left out")

from text2ct.engines.text2ct.config import PUBLISHED  # noqa: E402
from text2ct.engines.text2ct.text import TextTower  # noqa: E402
from text2ct.engines.text2ct.unet import UNet  # noqa: E402
from text2ct.engines.text2ct.vae import VAE  # noqa: E402
from text2ct.errors import BadInput  # noqa: E402
from text2ct_training.__main__ import main  # noqa: E402
from text2ct_training.recipe import (  # noqa: E402
    LatentsRecipe,
    Recipe,
    TextRecipe,
    UNetRecipe,
    VAERecipe,
    differences,
    read_recipe,
    settings,
)

RECIPES = Path(__file__).resolve().parents[2] / "training" / "recipes"


def named(name: str) -> Recipe:
    return read_recipe(RECIPES / f"{name}.toml")


def test_the_published_recipe_is_the_published_training() -> None:
    recipe = named("text2ct-published")
    assert isinstance(recipe, UNetRecipe)
    assert recipe.model == PUBLISHED.unet
    run = recipe.run
    assert (run.optimiser, run.learning_rate, run.weight_decay, run.schedule) == ("adam", 1e-4, 0.0, "polynomial")
    assert (run.batch, run.accumulate, run.clip, run.average, run.warm_up) == (4, 1, 0.0, 0.0, 0)
    assert (recipe.loss.drop, recipe.loss.distance) == (0.1, "l1")


def test_the_mini_recipes_fit_each_other_and_the_size_that_may_be_shipped() -> None:
    unet, vae, text, latents = (named(f"mini-{part}") for part in ("unet", "vae", "text", "latents"))
    assert isinstance(unet, UNetRecipe)
    assert isinstance(vae, VAERecipe)
    assert isinstance(text, TextRecipe)
    assert isinstance(latents, LatentsRecipe)
    assert (latents.sizes.vae, latents.sizes.text) == (vae.model, text.model)
    assert unet.model.context_width == text.model.projection
    assert unet.model.in_channels == unet.model.out_channels == vae.model.latent_channels
    assert latents.data.shape == vae.data.shape
    assert all(n % (vae.model.factor * unet.model.factor) == 0 for n in latents.data.shape)
    with torch.device("meta"):
        networks = (UNet(unet.model), VAE(vae.model), TextTower(text.model))
    sizes = [2 * sum(p.numel() for p in network.parameters()) for network in networks]
    assert max(sizes) < 16e6
    assert sum(sizes) < 24e6


@pytest.mark.parametrize(("text", "sentence"), [
    ('task = "unet"', "lacks out; add it"),
    ('task = "u-net"\nout = "x"', "task is 'u-net'; say one of unet, vae, text, latents"),
    ('task = "unet"\nout = "x"\n[run]\nstpes = 3', "setting 'stpes' that does not exist; did you mean 'steps'"),
    ('task = "unet"\nout = "x"\n[loss]\nfoo = 3', "there are: drop, loud, distance"),
    ('task = "unet"\nout = "x"\n[run]\nsteps = "many"', 'run: steps = "many" cannot be; it wants a whole number'),
    ('task = "unet"\nout = "x"\n[run]\nsteps = 2.5', "it wants a whole number"),
    ('task = "unet"\nout = "x"\n[run]\nsteps = true', "it wants a whole number"),
    ('task = "unet"\nout = "x"\n[run]\nprecision = "float8"', 'one of "float32", "bfloat16"'),
    ('task = "unet"\nout = "x"\n[data]\nshape = [4, 4]', "it wants a list of 3, each a whole number"),
    ('task = "unet"\nout = "x"\nrun = 7', "it wants a table"),
    ('task = "unet"\nout = "x"\n[run]\nbatch = 0', "batch = 0; it must be at least 1"),
    ('task = "unet"\nout = "x"\n[run]\naverage = 1.0', "average = 1.0; it must be at least 0 and less than 1"),
    ('task = "unet"\nout = "x"\n[run]\nlearning_rate = 0', "learning_rate = 0.0; it must be more than 0"),
    ('task = "unet"\nout = "x"\n[loss]\nmeasured = 0', "measured = 0; it must be at least 1"),
    ('task = "unet"\nout = "x"\n[loss]\ndrop = 1', "drop = 1.0; it must be at least 0 and less than 1"),
    *(('task = "latents"\nout = "x"\nvae = "v"\ntext = "t"\ncount = 1\nbatch = 1\nper_shard = 1'.replace(
        f"{name} = 1", f"{name} = 0"), f"{name} = 0; it must be at least 1")
      for name in ("count", "batch", "per_shard")),
    ('task = "vae"\nout = "x"\n[loss]\nwindows = [[80, -20]]', r"windows has \[80.0, -20.0\]; each goes up"),
    ('task = "vae"\nout = "x"\n[model]\ndecoder_groups = "none"', "it wants a whole number"),
    ('task = "unet"\nout = ', "is not TOML"),
])
def test_a_bad_recipe_is_refused_with_a_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=sentence):
        read_recipe(path)


def test_the_command_says_one_line_and_exits_as_text2ct_does(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["text2ct_training", str(tmp_path / "none.toml")])
    assert main() == 2
    said = capsys.readouterr().err
    assert "cannot be read" in said
    assert said.count("\n") == 1


def test_a_list_may_be_as_long_as_the_network_is_deep(tmp_path: Path) -> None:
    path = tmp_path / "deep.toml"
    path.write_text('task = "unet"\nout = "x"\n[model]\nchannels = [8, 8, 8]\n[run]\nlearning_rate = 1')
    recipe = read_recipe(path)
    assert isinstance(recipe, UNetRecipe)
    assert recipe.model.channels == (8, 8, 8)
    assert recipe.run.learning_rate == 1.0


def test_only_what_changes_the_numbers_counts_as_another_recipe() -> None:
    old = settings(named("mini-unet"))
    assert differences(old, {**old, "out": "elsewhere", "run.keep": 9, "data.workers": 0}) == []
    assert differences(old, {**old, "run.batch": 9}) == ["run.batch was 4, is 9"]
