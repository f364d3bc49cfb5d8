"""What the networks were trained on: the prompts of a training sample, and the errors that were minimised.

Training itself lives elsewhere; these are the formulas it shares with the checks
against the published program.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...diffusion.gaussian import bound_weights
from .crops import largest_component
from .published import Case
from .report_file import Attributes
from .sampling import SCHEDULE, Predicts
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


def lmnet_losses(net: UNet, mask: Tensor, condition: Tensor, context: Tensor, t: int | Tensor, noise: Tensor,
                 predicts: Predicts = "noise", weight: float = LESION_WEIGHT) -> Losses:
    """Squared error of the noise (or of the mask itself), `weight` times that inside the box, the third condition."""
    x = noised(mask, noise, t)
    predicted = net(torch.cat([x, condition], 1), _times(t, x), context).float()
    wanted = noise if predicts == "noise" else mask
    weights = 1 + (weight - 1) * condition[:, 2:3]
    each = (weights * (predicted - wanted) ** 2).mean((1, 2, 3, 4))
    error = each.mean()
    return Losses(error, error, (_bound(t, x) * each).mean())


def linet_losses(net: UNet, latent: Tensor, mask: Tensor, box: Tensor, context: Tensor | None, t: int | Tensor,
                 noise: Tensor, predicts: Predicts = "noise", around: Tensor | None = None) -> Losses:
    """Absolute error of the noise (or of the latent itself) inside the mask, shared among the voxels of its box; and
    the drawn mask's Dice. `around` is the latent without the lesion, where what was published shows the lesion's own.

    Upstream quirk: the bound shares the same error among the voxels of the mask.
    """
    x = (latent if around is None else around) * (1 - mask) + noised(latent, noise, t) * mask
    out = net(torch.cat([x, mask], 1), _times(t, x), context).float()
    predicted, drawn = out[:, :-1], out[:, -1:].sigmoid()
    wanted = noise if predicts == "noise" else latent
    wrong = _sum((predicted - wanted).abs() * mask)
    error = (wrong / (_sum(box) + _SMOOTH)).mean()
    dice = (1 - (2 * _sum(drawn * mask) + _SMOOTH) / (_sum(drawn) + _sum(mask) + _SMOOTH)).mean()
    return Losses(error + dice, error, (_bound(t, x) * wrong / (_sum(mask) + _SMOOTH)).mean(), dice)


def noised(clean: Tensor, noise: Tensor, t: int | Tensor) -> Tensor:
    """A draw of x_t; `t` is one time, or one for each sample."""
    a = torch.from_numpy(SCHEDULE.alphas_cumprod).to(clean.device)[_times(t, clean)][:, None, None, None, None]
    return a.sqrt().float() * clean + (1 - a).sqrt().float() * noise


def codebook_losses(vq: VQGAN, latent: Tensor) -> tuple[Tensor, Tensor]:
    """The error of quantising, and how many codes are in use (as perplexity)."""
    chosen = vq.quantize.nearest(latent)
    codes = vq.quantize.embedding(chosen).movedim(-1, 1)
    error = ((codes - latent.detach()) ** 2).mean() + COMMITMENT * ((codes.detach() - latent) ** 2).mean()
    share = torch.bincount(chosen.flatten(), minlength=vq.quantize.embedding.num_embeddings) / chosen.numel()
    return error, torch.exp(-(share * torch.log(share + 1e-10)).sum())


def _sum(values: Tensor) -> Tensor:
    """The sum over each sample."""
    return values.sum((1, 2, 3, 4))


def _bound(t: int | Tensor, x: Tensor) -> Tensor:
    return torch.from_numpy(bound_weights(SCHEDULE)).float().to(x.device)[_times(t, x)]


def _times(t: int | Tensor, x: Tensor) -> Tensor:
    return t if isinstance(t, Tensor) else torch.full((x.shape[0],), t, device=x.device)
