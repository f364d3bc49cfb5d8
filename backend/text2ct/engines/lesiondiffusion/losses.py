"""What the networks were trained on: the prompts of a training sample, and the errors that were minimised.

Training itself lives elsewhere; these are the formulas it shares with the checks
against the published program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...diffusion.gaussian import bound_weights, noised
from .crops import largest_component
from .published import Case
from .report_file import Attributes
from .sampling import SCHEDULE
from .tokens import Mask, linet_tokens, lmnet_tokens, overlapping_organ, published_cavity, published_target
from .unet import UNet
from .vq import VQGAN

LESION_WEIGHT = 1000.0
COMMITMENT = 0.25
_SMOOTH = 1e-6


@dataclass(frozen=True)
class Losses:
    """`total` is minimised; `simple` is its error of the noise alone, `bound` that error as a variational bound."""

    total: Tensor
    simple: Tensor
    bound: Tensor
    dice: Tensor | None = None


def lmnet_prompt(case: Case) -> tuple[Attributes, Mask]:
    """What LMNet reads of a training crop, and its target organ."""
    lesion = largest_component(case.label == 2)
    organ = overlapping_organ(case.report.organs, case.organs, lesion)
    target = published_target(case.organs, organ, case.report.organs, case.folders)
    coarse = case.organs if case.coarse is None else case.coarse
    cavity = published_cavity(case.folders, int((coarse == organ).sum()), int(target.sum()))
    return lmnet_tokens(case.report.entry(organ).attributes, organ, cavity), target


def linet_prompt(case: Case) -> Attributes:
    """What LINet reads of a training crop. Upstream quirk: voxels of the organ label count half as much as lesion."""
    coarse = case.organs if case.coarse is None else case.coarse
    organ = overlapping_organ(case.report.organs, coarse, case.label)
    return linet_tokens(case.report.entry(organ).attributes, organ)


def lmnet_losses(net: UNet, mask: Tensor, condition: Tensor, context: Tensor, t: int, noise: Tensor) -> Losses:
    """Squared error of the noise, a thousandfold inside the box (the third channel of `condition`)."""
    x = noised(SCHEDULE, mask, noise, t)
    predicted = net(torch.cat([x, condition], 1), _times(t, x), context)
    weight = 1 + (LESION_WEIGHT - 1) * condition[:, 2:3]
    error = (weight * (predicted - noise) ** 2).mean()
    return Losses(error, error, _bound(t) * error)


def linet_losses(net: UNet, latent: Tensor, mask: Tensor, box: Tensor, context: Tensor | None, t: int, noise: Tensor,
                 ) -> Losses:
    """Absolute error of the noise inside the mask, shared among the voxels of its box; and the drawn mask's Dice.

    Upstream quirk: the bound shares the same error among the voxels of the mask.
    """
    x = latent * (1 - mask) + noised(SCHEDULE, latent, noise, t) * mask
    out = net(torch.cat([x, mask], 1), _times(t, x), context)
    predicted, drawn = out[:, :-1], out[:, -1:].sigmoid()
    wrong = ((predicted - noise).abs() * mask).sum()
    error = wrong / (box.sum() + _SMOOTH)
    dice = 1 - (2 * (drawn * mask).sum() + _SMOOTH) / (drawn.sum() + mask.sum() + _SMOOTH)
    return Losses(error + dice, error, _bound(t) * wrong / (mask.sum() + _SMOOTH), dice)


def codebook_losses(vq: VQGAN, latent: Tensor) -> tuple[Tensor, Tensor]:
    """The error of quantising, and how many codes are in use (as perplexity)."""
    chosen = vq.quantize.nearest(latent)
    codes = vq.quantize.embedding(chosen).movedim(-1, 1)
    error = ((codes - latent.detach()) ** 2).mean() + COMMITMENT * ((codes.detach() - latent) ** 2).mean()
    share = torch.bincount(chosen.flatten(), minlength=vq.quantize.embedding.num_embeddings) / chosen.numel()
    return error, torch.exp(-(share * torch.log(share + 1e-10)).sum())


def _bound(t: int) -> float:
    return float(bound_weights(SCHEDULE)[t])


def _times(t: int, x: Tensor) -> Any:
    return torch.full((x.shape[0],), t, device=x.device)
