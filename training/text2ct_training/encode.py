"""CTs and reports through a finished VAE and text tower, once, into shards for the UNet.

A latent is a draw from the encoder (mean + deviation x the noise of the example's number),
unscaled, as in the published training. Stopped half way, the work goes on after the last
whole shard. CTs are drawn or read by as many processes as [data] workers says; one process
encodes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader

from text2ct.engines.text2ct import weights
from text2ct.engines.text2ct.text import TextTower
from text2ct.engines.text2ct.vae import VAE
from text2ct.errors import BadInput
from text2ct.report.grammar import Split
from text2ct.requests import Watch
from text2ct.weights.convert import file_sha256

from .data import Batch, Examples, Studies, dice, listed, moved, noise, studies
from .ranks import Place
from .recipe import LatentsRecipe
from .shards import Row, Shards, made_from, write_shards
from .text2ct_clip import reader


class StudyExamples(Examples):
    """What the encoders take of a study, with the noise of its latent."""

    def __init__(self, source: Studies, recipe: LatentsRecipe, split: Split) -> None:
        self.source, self.recipe, self.split = source, recipe, split
        self.ids = reader(recipe.data, recipe.sizes.text)

    def __getitem__(self, index: int) -> Batch:
        study, sizes = self.source.study(index), self.recipe.sizes
        latent = [sizes.vae.latent_channels, *(n // sizes.vae.factor for n in study.image.shape[1:])]
        return {"image": study.image, "ids": self.ids(study.report),
                "marked": functional.avg_pool3d(study.marked.float(), sizes.vae.factor),
                "noise": noise(dice(self.recipe.data.seed, self.split, index), latent)}


def encode(recipe: LatentsRecipe, place: Place) -> int:
    """Write what is missing of the training and of the held-out shards; returns how many examples there are."""
    if place.count > 1:
        raise BadInput("Encoding is the work of one process; start it without torchrun, with [data] workers instead.")
    stated = made_of(recipe)
    vae = weights.load_vae(recipe.sizes, Path(recipe.vae)).float().to(place.device)
    text = weights.load_text(recipe.sizes, Path(recipe.text)).float().to(place.device)
    parts: tuple[tuple[Split, int], ...] = (("train", recipe.count), ("held-out", recipe.held_out))
    for split, count in parts:
        if count:
            made_from(Path(recipe.out) / split, stated)
    return sum(_part(recipe, split, count, vae, text, place) for split, count in parts if count)


def made_of(recipe: LatentsRecipe) -> dict[str, object]:
    """What the latents of a recipe depend on."""
    data = {name: value for name, value in asdict(recipe.data).items() if name not in ("workers", "kept", "crop")}
    networks = {name: file_sha256(Path(path), Watch(), "reading") for name, path in (
        ("vae", recipe.vae), ("text", recipe.text))}
    return {**networks, "kind": recipe.kind, "precision": recipe.precision, **data}


def _part(recipe: LatentsRecipe, split: Split, count: int, vae: VAE, text: TextTower, place: Place) -> int:
    folder = Path(recipe.out) / split
    done = len(Shards(folder))
    if done >= count:
        return done
    data = replace(recipe.data, held_out=recipe.data.held_out or recipe.data.place)
    if data.source == "files":
        there = len(listed(Path(data.place if split == "train" else data.held_out)))
        if there < count:
            raise BadInput(f"The list for '{split}' names {there} CTs, the recipe wants {count}; ask for fewer.")
    examples = StudyExamples(studies(data, split), recipe, split)
    return write_shards(folder, _rows(recipe, examples, range(done, count), vae, text, place), recipe.per_shard)


def _rows(recipe: LatentsRecipe, examples: Examples, numbers: range, vae: VAE, text: TextTower,
          place: Place) -> Iterator[Row]:
    turns = [list(numbers[at:at + recipe.batch]) for at in range(0, len(numbers), recipe.batch)]
    loader: DataLoader[Batch] = DataLoader(examples, batch_sampler=turns, num_workers=recipe.data.workers)
    for batch in loader:
        batch = moved(batch, place.device)
        with torch.no_grad():
            with torch.autocast(place.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
                mean, deviation = vae.encode(batch["image"])
            latents = (mean.float() + deviation.float() * batch["noise"]).cpu().numpy().astype(recipe.kind)
            contexts = text(batch["ids"]).cpu().numpy()
            marked = batch["marked"].cpu().numpy().astype(np.float16)
        spacing = np.asarray(recipe.data.spacing, np.float32)
        for latent, context, where in zip(latents, contexts, marked, strict=True):
            yield {"latent": latent, "context": context, "marked": where, "spacing": spacing}
