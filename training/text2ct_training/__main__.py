"""`python -m text2ct_training RECIPE [--resume]`, alone or once in each process of torchrun.

Failures are one sentence, and exit codes those of the command line of text2ct.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from text2ct.errors import Text2CTError

from . import ranks
from .encode import encode
from .lesion_draw import write_lesions
from .lesion_linet import linet_task
from .lesion_lmnet import lmnet_task
from .lesion_vq import lesion_vq_task
from .loop import train
from .ranks import Place
from .recipe import (
    LatentsRecipe,
    LesionsRecipe,
    LesionVQRecipe,
    LINetRecipe,
    LMNetRecipe,
    TextRecipe,
    TrainingRecipe,
    VAERecipe,
    read_recipe,
)
from .text2ct_clip import text_task
from .text2ct_unet import unet_task
from .text2ct_vae import vae_task
from .turns import Task

INTERRUPTED = 130


def task_of(recipe: TrainingRecipe) -> Task:
    """The networks, losses and examples of a recipe; networks begin with numbers that the seed gives."""
    torch.manual_seed(recipe.run.seed)
    if isinstance(recipe, LesionVQRecipe):
        return lesion_vq_task(recipe)
    if isinstance(recipe, LMNetRecipe):
        return lmnet_task(recipe)
    if isinstance(recipe, LINetRecipe):
        return linet_task(recipe)
    if isinstance(recipe, VAERecipe):
        return vae_task(recipe)
    return text_task(recipe) if isinstance(recipe, TextRecipe) else unet_task(recipe)


def run(path: Path, resume: bool, device: str) -> int:
    recipe = read_recipe(path)
    with ranks.joined(device) as place:
        if isinstance(recipe, LatentsRecipe):
            _say(place, f"{encode(recipe, place)} examples are in {recipe.out}.")
            return 0
        if isinstance(recipe, LesionsRecipe):
            _say(place, f"{write_lesions(recipe)} lesions are in {recipe.out}.")
            return 0
        outcome = train(task_of(recipe), recipe, place, resume)
        if outcome.interrupted:
            _say(place, f"Stopped after step {outcome.step} and saved; go on with --resume.")
            return INTERRUPTED
        _say(place, f"Done: {outcome.step} steps; the weights are in {recipe.out}.")
        return 0


def _say(place: Place, sentence: str) -> None:
    if place.first:
        print(sentence, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m text2ct_training", description="Train a network by a recipe.")
    parser.add_argument("recipe", type=Path, help="a TOML file, see training/recipes")
    parser.add_argument("--resume", action="store_true", help="go on from the newest state in the recipe's folder")
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "cpu"))
    args = parser.parse_args()
    try:
        return run(args.recipe, args.resume, args.device)
    except Text2CTError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("Stopped; what was finished stands, and the same command goes on from there.", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
