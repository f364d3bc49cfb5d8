"""Training of LINet: a lesion's latent out of noise inside its mask, given the tissue around and what was said.

The published loss is the absolute error of the noise inside the mask, shared among the
voxels of its box, and the Dice of a mask that the network draws beside. VQ-GAN and, as
published, text tower are fixed. Crops from shards are encoded once, before the first
step; those of list files each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from text2ct.engines.lesiondiffusion import networks, widths
from text2ct.engines.lesiondiffusion.losses import linet_losses
from text2ct.engines.lesiondiffusion.networks import TensorFile
from text2ct.engines.lesiondiffusion.painting import touched_latents
from text2ct.engines.lesiondiffusion.unet import UNet
from text2ct.engines.lesiondiffusion.vq import VQGAN
from text2ct.errors import BadInput
from text2ct.requests import Watch
from text2ct.weights.convert import file_sha256

from .data import Batch, Examples
from .lesion_data import LesionExamples, lesion_examples
from .lesion_nets import Reader, denoiser, finished_denoiser, reader
from .lesion_settings import DenoiserLoss
from .recipe import LINetRecipe
from .shards import Row, Shards, made_from, write_shards
from .turns import State, Task, Turn, Weights

_PER_SHARD, _AT_ONCE = 100, 4
_LAYERS = 12  # of two voxels, until the middle of the largest lesion is reached


class LINetTurn(Turn):
    """LINet, the text tower, and their loss; the VQ-GAN is asked, but never changed."""

    def __init__(self, net: UNet, reader: Reader, vq: VQGAN, loss: DenoiserLoss) -> None:
        super().__init__()
        self.net, self.reader, self.weights_of_loss = net, reader, loss
        self._vq = (vq,)  # in a tuple, so that it is no part of this module

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        latent = batch["latent"] if "latent" in batch else self._encoded(batch["image"])
        around = batch["around"] if "around" in batch else self._around(batch)
        loss = self.weights_of_loss
        mask = (touched_latents if loss.touched else latent_masks)(batch["mask"], latent)
        found = linet_losses(self.net, latent, mask, boxes(mask), self.reader(batch["ids"]), batch["time"],
                             batch["noise"], loss.predicts, around)
        assert found.dice is not None
        return {"loss": found.total, "inside": found.simple, "dice": found.dice, "bound": found.bound}

    def _around(self, batch: Batch) -> Tensor | None:
        return self._encoded(healed(batch["image"], batch["mask"])) if self.weights_of_loss.healed else None

    def _encoded(self, image: Tensor) -> Tensor:
        with torch.no_grad():
            return self._vq[0].to(image.device).encode(image).float()

    def finished(self, state: State) -> list[Weights]:
        return [Weights("linet", finished_denoiser(state, self._vq[0].state_dict()))]


class EncodedExamples(Examples):
    """Examples whose latents were written before the first step."""

    def __init__(self, examples: LesionExamples, latents: Shards) -> None:
        self.examples, self.latents = examples, latents

    def __getitem__(self, index: int) -> Batch:
        batch = dict(self.examples[index])
        del batch["image"]
        kept = self.latents[self.examples.number(index)]
        return {**batch, **{name: torch.from_numpy(array).float() for name, array in kept.items()}}


def healed(image: Tensor, mask: Tensor) -> Tensor:
    """The crops without their lesions: tissue from around, ever smoother inwards, and the grain of what is beside."""
    known = 1 - functional.max_pool3d(mask, 5, 1, 2)
    filled, weight = image * known, known
    for _ in range(_LAYERS):
        filled, weight = (functional.avg_pool3d(value, 5, 1, 2) for value in (filled, weight))
        mean = filled / weight.clamp_min(1e-6)
        reached = (weight > 0).float()
        filled, weight = known * image + (1 - known) * mean * reached, known + (1 - known) * reached
    return filled


def latent_masks(mask: Tensor, latent: Tensor) -> Tensor:
    """Masks on the latent's grid: the voxels at even places; the fullest latent where that leaves none."""
    plain = functional.interpolate(mask, latent.shape[2:], mode="nearest")
    share = functional.interpolate(mask, latent.shape[2:], mode="area")
    fullest = (share >= share.amax((1, 2, 3, 4), keepdim=True)).float()
    return torch.where(plain.amax((1, 2, 3, 4), keepdim=True) > 0, plain, fullest)


def boxes(mask: Tensor) -> Tensor:
    """The bounding box of each mask."""
    whole = torch.ones_like(mask)
    for axis in (2, 3, 4):
        others = tuple(other for other in (2, 3, 4) if other != axis)
        along = mask.amax(others, keepdim=True)
        whole = whole * along.cummax(axis).values * along.flip(axis).cummax(axis).values.flip(axis)
    return whole


def linet_task(recipe: LINetRecipe) -> Task:
    file = TensorFile.open(Path(recipe.vq))
    vq = networks.vqgan(file, recipe.vq_groups)
    multiple = vq.factor * 2 ** (len(recipe.model.multiples) - 1)
    if any(n % multiple for n in recipe.crops.paint):
        raise BadInput(f"The paint crop {list(recipe.crops.paint)} does not fit VQ-GAN and model; each size must be a "
                       f"multiple of {multiple}.")
    channels = vq.quantize.embedding.embedding_dim
    plain = widths.UNetWidths(channels + 1, channels + 1, widths.LINET.channels, blocks=widths.LINET.blocks)
    read, pieces = reader(recipe.text, recipe.model.context)
    net = denoiser(recipe.model, plain, recipe.begin)
    train, held_out = lesion_examples(recipe.data, recipe.crops, "linet", pieces, recipe.run.seed, channels)
    return Task({"linet": LINetTurn(net, read, vq, recipe.loss)}, _encoded(train, vq, recipe, "train"),
                _encoded(held_out, vq, recipe, "held-out"))


def _encoded(examples: LesionExamples, vq: VQGAN, recipe: LINetRecipe, name: str) -> Examples:
    """The examples with latents from shards, which are written where they are missing; those of lists as they are."""
    if not recipe.data.place:
        return examples
    folder = Path(recipe.out) / "latents" / name
    made_from(folder, {"vq": file_sha256(Path(recipe.vq), Watch(), "reading"), "lesions": recipe.data.place,
                       "healed": recipe.loss.healed, "crops": asdict(recipe.crops), "precision": recipe.run.precision})
    done = len(Shards(folder))
    if done < len(examples.lesions):
        numbers = range(done, len(examples.lesions))
        write_shards(folder, _latents(examples, vq, numbers, recipe), _PER_SHARD)
    return EncodedExamples(examples, Shards(folder))


def _latents(examples: LesionExamples, vq: VQGAN, numbers: range, recipe: LINetRecipe) -> Iterator[Row]:
    """The latent of each crop, and that of the crop without its lesion where it is wanted."""
    short = recipe.run.precision == "bfloat16"
    for first in range(numbers.start, numbers.stop, _AT_ONCE):
        part = range(first, min(first + _AT_ONCE, numbers.stop))
        cases = [examples.lesions.paint_case(number) for number in part]
        images, masks = torch.stack([case.image for case in cases]), torch.stack([case.mask for case in cases]).float()
        seen = {"latent": images, **({"around": healed(images, masks)} if recipe.loss.healed else {})}
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=short):
            made = {name: vq.encode(crops).float().numpy().astype(np.float16) for name, crops in seen.items()}
        yield from ({name: latents[row] for name, latents in made.items()} for row in range(len(cases)))
