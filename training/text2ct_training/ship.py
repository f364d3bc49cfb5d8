"""From finished runs to a weight set that ships with the package.

`python -m text2ct_training.ship VAE.toml TEXT.toml UNET.toml` takes the weights that these
recipes left in their folders, judges that they fit each other and stay small, and puts them
with a config.json into the package. All that config.json says of them comes from the recipes,
so that the engine is told of reports in the words of training. The grid must be that of the
catalog's presets, which also say how many steps are taken. Where a run was another than its
recipe now says, that is told but not refused: the model card has to say it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from text2ct.diffusion.rectified_flow import GRIDS
from text2ct.diffusion.solvers import SOLVERS
from text2ct.engines import catalog
from text2ct.engines.text2ct.config import ModelSizes
from text2ct.engines.text2ct.finishing import Finish
from text2ct.engines.text2ct.focal import BY_RULE
from text2ct.engines.text2ct.pipeline import Sampler
from text2ct.engines.text2ct.settings import Settings, contradiction
from text2ct.engines.text2ct.weights import ENGINE, load
from text2ct.errors import BadInput, Text2CTError, WeightsError
from text2ct.formats.atomic import replacing
from text2ct.geometry import times
from text2ct.plain import to_plain
from text2ct.weights.checkpoint import open_checkpoint
from text2ct.weights.package import CONFIG, ShippedFile, folder

from . import checkpoint
from .recipe import TextRecipe, TrainingRecipe, UNetRecipe, VAERecipe, read_recipe
from .recipe import settings as settings_of

MOST_BYTES, MOST_TOGETHER = 16 << 20, 24 << 20
_MIB = 1 << 20
_FLOATS = ("float32", "float64", "bfloat16")
_SAID = ("grid", "solver", "guidance")
_SET = "mini"
Kind = TypeVar("Kind")


def ship(vae: VAERecipe, text: TextRecipe, unet: UNetRecipe, sampler: Sampler, target: Path,
         finish: Finish | None = None) -> Settings:
    """Put the finished weights of these runs into `target`; nothing is there before all has been judged."""
    sources = {name: Path(recipe.out) / f"{name}.safetensors"
               for name, recipe in (("clip3d", text), ("unet", unet), ("autoencoder", vae))}
    files = tuple(_judged(name, path) for name, path in sources.items())
    together = sum(file.bytes for file in files)
    if together > MOST_TOGETHER:
        raise WeightsError(f"The three files take {together / _MIB:.1f} MiB together; at most "
                           f"{MOST_TOGETHER / _MIB:.0f} MiB may ship. Make a network smaller.")
    standard = text.data.words == "standard"
    settings = Settings(ModelSizes(unet.model, vae.model, text.model), vae.data.shape, vae.data.spacing, sampler,
                        text.data.words, text.data.drawn if standard else (), BY_RULE if standard else (),
                        finish or Finish(), files)
    problem = contradiction(settings)
    if problem:
        raise BadInput(f"These runs do not fit each other: {problem}.")
    _on_the_grid(settings)
    load(settings.sizes, sources["clip3d"], sources["unet"], sources["autoencoder"])
    target.mkdir(parents=True, exist_ok=True)
    for path in sources.values():
        with replacing(target / path.name) as temporary:
            shutil.copyfile(path, temporary)
    with replacing(target / CONFIG) as temporary:
        plain = to_plain(settings)
        plain["sampler"] = {name: plain["sampler"][name] for name in _SAID}
        temporary.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    return settings


def _on_the_grid(settings: Settings) -> None:
    """The engine makes CTs on the grid of a preset, so that must be the one of training."""
    preset = catalog.engine(ENGINE).preset("standard", _SET)
    if (settings.shape, settings.spacing) != (preset.shape, preset.spacing):
        raise BadInput(f"These runs learned {times(settings.shape)} voxels of {times(settings.spacing)} mm, and the "
                       f"presets of {ENGINE}/{_SET} are {times(preset.shape)} of {times(preset.spacing)} mm; change "
                       "the catalog, or train on its grid.")


def departures(recipe: TrainingRecipe) -> list[str]:
    """In which settings the run in this recipe's folder was another than the recipe says, by its newest state."""
    found = checkpoint.states(Path(recipe.out))
    if not found:
        return [f"{recipe.out} keeps no state, so nobody can tell whether the run was this recipe's"]
    try:
        ran = checkpoint.load(found[-1]).settings
    except WeightsError as error:
        return [str(error).rstrip(".")]
    says = settings_of(recipe)
    return [f"{name}: run {ran.get(name)}, recipe {says.get(name)}" for name in sorted({*ran, *says})
            if ran.get(name) != says.get(name)]


def _judged(name: str, path: Path) -> ShippedFile:
    """The file as config.json will state it, when it is small and in half precision."""
    if not path.is_file():
        raise WeightsError(f"There is no {path}; finish that run first.")
    wide = [tensor for tensor, ref in open_checkpoint(path).tensors.items() if ref.kind.name in _FLOATS]
    if wide:
        raise WeightsError(f"{path} holds {wide[0]} in more than half precision; set export = \"float16\".")
    data = path.read_bytes()
    if len(data) > MOST_BYTES:
        raise WeightsError(f"{path} takes {len(data) / _MIB:.1f} MiB; at most {MOST_BYTES / _MIB:.0f} MiB may ship. "
                           "Make the network smaller.")
    return ShippedFile(name, len(data), hashlib.sha256(data).hexdigest())


def _recipe(path: Path, kind: type[Kind]) -> Kind:
    recipe = read_recipe(path)
    if not isinstance(recipe, kind):
        raise BadInput(f"{path} is not a {kind.__name__}; give those of the autoencoder, the text tower and the UNet, "
                       "in this order.")
    return recipe


def main(arguments: list[str] | None = None) -> int:
    own = Sampler()
    parser = argparse.ArgumentParser(prog="python -m text2ct_training.ship", description="Ship finished weights.")
    for name in ("vae", "text", "unet"):
        parser.add_argument(name, type=Path, help=f"the recipe of the {name}")
    parser.add_argument("--grid", choices=tuple(GRIDS), default="exact")
    parser.add_argument("--solver", choices=tuple(SOLVERS), default=own.solver)
    parser.add_argument("--guidance", type=float, default=own.guidance)
    parser.add_argument("--tone", type=float, nargs=2, action="append", default=[], metavar=("HU", "HU"),
                        help="a point of the curve of tones: what the decoder says, what is meant (repeat)")
    parser.add_argument("--even", type=float, default=0.0, metavar="MM", help="soft tissue is made even over this")
    parser.add_argument("--to", type=Path, default=folder(ENGINE, _SET), help="default: the package beside this")
    args = parser.parse_args(arguments)
    try:
        sampler = replace(own, grid=args.grid, solver=args.solver, guidance=args.guidance)
        vae, text, unet = _recipe(args.vae, VAERecipe), _recipe(args.text, TextRecipe), _recipe(args.unet, UNetRecipe)
        shipped = ship(vae, text, unet, sampler, args.to, Finish(tuple((a, b) for a, b in args.tone), args.even))
        told: tuple[tuple[Path, TrainingRecipe], ...] = ((args.vae, vae), (args.text, text), (args.unet, unet))
        for path, recipe in told:
            for departure in departures(recipe):
                print(f"warning: {path}: {departure}.", file=sys.stderr)
    except Text2CTError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for file in shipped.files:
        print(f"{file.name}: {file.bytes / 1e6:.2f} MB, sha256 {file.sha256}")
    print(f"In {args.to}. Now update the table of the README: text2ct engines --markdown")
    return 0


if __name__ == "__main__":
    sys.exit(main())
