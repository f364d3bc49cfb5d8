"""Training of the VQ-GAN: reconstruction, a codebook, and two critics, one of slices and one of volumes.

As published: the absolute error and a perceptual error, the codebook's error,
and after some steps the critics (hinge), whose weight is such that their pull on the
decoder's last layer is half that of the reconstruction. The perceptual error is told by
fixed random convolutions of the whole crop, for the published one needs a network of other
people's weights and looks at one slice;
and the critics' norms look at one sample each, where the published look over all processes.

Not published, off by default: more weight in lesions, and codes that nothing used being
put where latents are, without which a small codebook falls idle.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from text2ct.engines.lesiondiffusion.losses import codebook_losses
from text2ct.engines.lesiondiffusion.vq import VQGAN
from text2ct.errors import BadInput

from . import ranks
from .data import Batch
from .judges import CriticsTurn, RandomFeatures, fixed, hinge
from .lesion_data import FACTOR, lesion_examples
from .lesion_nets import coder
from .lesion_settings import VQLoss
from .recipe import LesionVQRecipe
from .turns import State, Task, Turn, Weights, part

_MOST_PULL = 1e4
_SMALLEST = 24  # voxels of which the critics' convolutions leave something


class PatchCritic(nn.Module):
    """How real each patch looks, of slices (`dimensions` 2) or of volumes (3): a number for each, high for real."""

    def __init__(self, dimensions: int, width: int) -> None:
        super().__init__()
        conv: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv2d if dimensions == 2 else nn.Conv3d
        layers: list[nn.Module] = [conv(1, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for before, after in pairwise((width, 2 * width, 4 * width, 8 * width)):
            stride = 2 if after < 8 * width else 1
            layers += [conv(before, after, 4, stride, 1, bias=False), nn.GroupNorm(1, after), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, conv(8 * width, 1, 4, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        return cast(Tensor, self.layers(image))


class Critics(nn.Module):
    """Both critics: a volume in, their answers on one of its slices and on itself out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.flat, self.solid = PatchCritic(2, width), PatchCritic(3, width)

    def forward(self, volume: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
        return self.flat(slices(volume, number)), self.solid(volume)


def slices(volume: Tensor, number: Tensor) -> Tensor:
    """One axial slice of each volume."""
    return volume[torch.arange(len(volume), device=volume.device), :, number]


class VQTurn(Turn):
    """The VQ-GAN and its loss. The critics are asked here, but never changed."""

    def __init__(self, vq: VQGAN, critics: Critics | None, loss: VQLoss) -> None:
        super().__init__()
        self.vq = vq
        self.features = RandomFeatures() if loss.features else None
        self.register_buffer("used", torch.zeros(vq.quantize.embedding.num_embeddings))
        self.weights_of_loss = loss
        self._asked = (critics,)
        self._seen: tuple[Tensor, int] | None = None

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        image, weights = batch["image"], self.weights_of_loss
        latent = self.vq.encode(image).float()
        made = self.vq.decode(latent).float()
        code, perplexity = codebook_losses(self.vq, latent)
        voxel = 1 + weights.lesion * batch["mask"]
        parts = {"voxels": (voxel * (made - image).abs()).mean(), "code": code, "codes in use": perplexity}
        told = parts["voxels"]
        if self.features is not None:
            parts["features"] = self.features(made, image)
            told = told + weights.features * parts["features"]
        loss = told + code
        critics = self._asked[0]
        if critics is not None and step >= weights.adversarial_from:
            answers = functional_call(critics, fixed(critics), (made, batch["slice"]))
            fooled = parts["fooled"] = -torch.stack([answer.float().mean() for answer in answers]).mean()
            loss = loss + self._pull(told, fooled) * fooled
        if self.training and torch.is_grad_enabled():
            self._seen = (latent.detach(), step)
        return {"loss": loss, **parts}

    def _pull(self, told: Tensor, fooled: Tensor) -> Tensor | float:
        """The weight at which the critics pull on the last layer half as much as the reconstruction does."""
        last = self.vq.decoder.conv_out.weight
        if not told.requires_grad:
            return self.weights_of_loss.adversarial
        one, other = (torch.autograd.grad(value, last, retain_graph=True)[0].norm() for value in (told, fooled))
        pull: Tensor = self.weights_of_loss.adversarial * (one / (other + 1e-4)).clamp(0, _MOST_PULL)
        return pull.detach()

    def after_step(self) -> None:
        """Count the codes in use; from time to time put the idle ones where latents are."""
        every = self.weights_of_loss.revive
        if not every or self._seen is None:
            return
        latent, step = self._seen
        used, book = cast(Tensor, self.used), self.vq.quantize.embedding.weight
        with torch.no_grad():
            rows = ranks.all_rows(latent.movedim(1, -1).flatten(0, -2))
            chosen = self.vq.quantize.nearest(rows.T[None])
            used += torch.bincount(chosen.flatten(), minlength=len(used))
            if (step + 1) % every == 0:
                idle = (used == 0).nonzero()[:, 0]
                picked = torch.randint(len(rows), (len(idle),), generator=torch.Generator().manual_seed(step))
                book[idle] = rows[picked.to(rows.device)].to(book)
                used.zero_()

    def finished(self, state: State) -> list[Weights]:
        return [Weights("vq", part(state, "vq."))]


class BothCriticsTurn(CriticsTurn):
    """The critics and their loss."""

    def __init__(self, critics: Critics, vq: VQGAN, loss: VQLoss) -> None:
        super().__init__(loss.adversarial_from, loss.critic_learning_rate)
        self.critics = critics
        self._judged = (vq,)

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        with torch.no_grad():
            vq = self._judged[0]
            made = vq.decode(vq.encode(batch["image"])).float()
        answers = zip(self.critics(batch["image"], batch["slice"]), self.critics(made, batch["slice"]), strict=True)
        return {"loss": torch.stack([hinge(real, fake) for real, fake in answers]).mean()}


def lesion_vq_task(recipe: LesionVQRecipe) -> Task:
    crop = recipe.crops.paint
    if any(n % FACTOR for n in crop):
        raise BadInput(f"The crop {list(crop)} must have even sizes, for the VQ-GAN halves them.")
    if recipe.loss.adversarial and min(crop) < _SMALLEST:
        raise BadInput(f"The critics cannot judge a crop of {list(crop)}; take at least {_SMALLEST} voxels along each "
                       "axis, or adversarial = 0.")
    vq, loss = coder(recipe.model, recipe.begin), recipe.loss
    critics = Critics(loss.critic_width) if loss.adversarial else None
    turns: dict[str, Turn] = {"vq": VQTurn(vq, critics, loss)}
    if critics is not None:
        turns["critics"] = BothCriticsTurn(critics, vq, loss)
    train, held_out = lesion_examples(recipe.data, recipe.crops, "vq", None, recipe.run.seed)
    return Task(turns, train, held_out)
