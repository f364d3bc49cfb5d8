"""Training of the autoencoder: reconstruction, a tight latent, and two judges against blur.

Plain absolute error takes the median of what may be there, and so wipes out vessels and
nodules. Hence the weights: each voxel counts 1, more in the lungs, much more where a
finding was drawn. The step from voxel to voxel counts too (`gradient`), and so do the
answers of fixed random convolutions (`features`, a perceptual loss that needs no foreign
weights) and of a critic that learns to tell CTs from reconstructions (`adversarial`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from text2ct.engines.text2ct import weights
from text2ct.engines.text2ct.config import ModelSizes, VAESizes
from text2ct.engines.text2ct.intensity import HIGH_HU, LOW_HU
from text2ct.engines.text2ct.vae import VAE
from text2ct.errors import BadInput
from text2ct.report.grammar import Split

from .data import Batch, Examples, Studies, dice, noise, studies
from .judges import CriticsTurn, RandomFeatures, fixed, hinge
from .recipe import CoderLoss, VAERecipe
from .turns import State, Task, Turn, Weights, part

LEVEL_REACH = 3.0
"""A level channel goes from minus this (black) to this (white): about as far as the other channels go by themselves."""


class Critic(nn.Module):
    """How real each patch of a CT looks: a number for each, high for real."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = (1, width, width * 2, width * 4)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv3d(before, after, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv3d(widths[-1], 1, 3, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.layers(image))


class CoderTurn(Turn):
    """The autoencoder and its loss. The critic is asked here, but never changed."""

    def __init__(self, vae: VAE, critic: Critic | None, loss: CoderLoss) -> None:
        super().__init__()
        self.vae = vae
        self.features = RandomFeatures() if loss.features else None
        self.weights_of_loss = loss
        self._asked = (critic,)  # in a tuple, so that it is no part of this module

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        wanted, weights = batch["image"], self.weights_of_loss
        mean, deviation = self.vae.encode(wanted)
        shaken = (deviation.square() + weights.shaken**2).sqrt()
        made = self.vae.decode(mean + batch["noise"] * shaken).float()
        mean, deviation = mean.float(), deviation.float()
        voxel = 1 + weights.lung * batch["lungs"] + weights.finding * batch["marked"]
        parts = {"voxels": (voxel * (made - wanted).abs()).mean(), "kl": kl(mean, deviation)}
        loss = parts["voxels"] + weights.kl * parts["kl"]
        if weights.gradient:
            parts["gradient"] = gradient_error(made, wanted, voxel)
            loss = loss + weights.gradient * parts["gradient"]
        if self.features is not None:
            parts["features"] = self.features(made, wanted)
            loss = loss + weights.features * parts["features"]
        if weights.windows:
            seen, true = (windowed(image, weights.windows) for image in (made, wanted))
            seen_cells, cells = (functional.avg_pool3d(image, self.vae.sizes.factor) for image in (seen, true))
            parts["windowed"], parts["shares"] = (seen - true).abs().mean(), (seen_cells - cells).abs().mean()
            loss = loss + weights.windowed * parts["windowed"] + weights.shares * parts["shares"]
            if weights.levels:
                wished = LEVEL_REACH * (2 * cells - 1)
                parts["levels"] = functional.mse_loss(mean[:, :len(weights.windows)], wished)
                loss = loss + weights.levels * parts["levels"]
        critic = self._asked[0]
        if critic is not None and step >= weights.adversarial_from:
            parts["fooled"] = -functional_call(critic, fixed(critic), (made,)).float().mean()
            loss = loss + weights.adversarial * parts["fooled"]
        return {"loss": loss, **parts}

    def finished(self, state: State) -> list[Weights]:
        return [Weights("autoencoder", part(state, "vae."))]


class CriticTurn(CriticsTurn):
    """The critic and its loss."""

    def __init__(self, critic: Critic, vae: VAE, loss: CoderLoss) -> None:
        super().__init__(loss.adversarial_from, loss.critic_learning_rate)
        self.critic = critic
        self._judged = (vae,)

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        with torch.no_grad():
            made = self._judged[0](batch["image"], batch["noise"])[0].float()
        return {"loss": hinge(self.critic(batch["image"]), self.critic(made))}


def windowed(image: Tensor, windows: Sequence[tuple[float, float]]) -> Tensor:
    """An image (B, 1, X, Y, Z) as each window shows it, black 0 and white 1: a channel for each."""
    span = HIGH_HU - LOW_HU
    return torch.cat([((image * span + LOW_HU - low) / (high - low)).clamp(0, 1) for low, high in windows], dim=1)


def kl(mean: Tensor, deviation: Tensor) -> Tensor:
    """How far the latent is from plain noise, per number."""
    variance = deviation.square()
    return 0.5 * (mean.square() + variance - variance.clamp_min(1e-12).log() - 1).mean()


def gradient_error(made: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """How much the steps between neighbours differ, along the three axes."""
    difference = made - wanted
    steps = [(difference.diff(dim=axis).abs() * weight.narrow(axis, 1, weight.shape[axis] - 1)).mean()
             for axis in (2, 3, 4)]
    return torch.stack(steps).mean()


class ImageExamples(Examples):
    """CTs, whole or in crops, with their masks and the noise of their latent."""

    def __init__(self, source: Studies, recipe: VAERecipe, split: Split) -> None:
        self.source, self.split, self.sizes = source, split, recipe.model
        self.crop, self.seed = recipe.data.crop, recipe.run.seed

    def __getitem__(self, index: int) -> Batch:
        study, rng = self.source.study(index), dice(self.seed, self.split, index)
        shape = study.image.shape[1:]
        size = [n if c == 0 else c for n, c in zip(shape, self.crop, strict=True)]
        low = [int(rng.integers(n - c + 1)) for n, c in zip(shape, size, strict=True)]
        window = (slice(None), *(slice(a, a + c) for a, c in zip(low, size, strict=True)))
        latent = [self.sizes.latent_channels, *(c // self.sizes.factor for c in size)]
        return {"image": study.image[window], "lungs": study.lungs[window], "marked": study.marked[window],
                "noise": noise(rng, latent)}


def vae_task(recipe: VAERecipe) -> Task:
    _check(recipe.data.shape, recipe.data.crop, recipe.model)
    vae, loss = begun(recipe), recipe.loss
    critic = Critic(loss.critic_width) if loss.adversarial else None
    turns: dict[str, Turn] = {"coder": CoderTurn(vae, critic, loss)}
    if critic is not None:
        turns["critic"] = CriticTurn(critic, vae, loss)
    return Task(turns, ImageExamples(studies(recipe.data, "train"), recipe, "train"),
                ImageExamples(studies(recipe.data, "held-out"), recipe, "held-out"))


def begun(recipe: VAERecipe) -> VAE:
    """The autoencoder before the first step; of its decoder alone, the encoder and what makes latents stay."""
    sizes = ModelSizes(vae=recipe.model)
    vae = weights.load_vae(sizes, Path(recipe.begin)).float() if recipe.begin else VAE(recipe.model)
    vae.requires_grad_(True)
    if recipe.learns == "decoder":
        if not recipe.begin:
            raise BadInput('A decoder alone learns beside an encoder that is done; name its file with begin = "...".')
        for part_of_encoder in (vae.encoder, vae.quant_conv_mu, vae.quant_conv_log_sigma):
            part_of_encoder.requires_grad_(False)
    return vae


def _check(shape: tuple[int, ...], crop: tuple[int, ...], sizes: VAESizes) -> None:
    for n, c in zip(shape, crop, strict=True):
        if c < 0 or c > n or (c or n) % sizes.factor:
            raise BadInput(f"The crop {list(crop)} of {list(shape)} voxels does not fit the model; each size must "
                           f"be a multiple of {sizes.factor}, and no crop larger than the CT (0 takes all).")
