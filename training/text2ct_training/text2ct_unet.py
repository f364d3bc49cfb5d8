"""Training of the velocity network, with the loss that the published weights were made with.

A latent, scaled to deviation one, is mixed with noise at a time that is uniform before the
shift for its size; the network is told the time, the spacing, the modality and the report
(or zeros in one of ten cases), and predicts data - noise; the loss is the mean absolute
error. `flow_step` is that and nothing else: pure, from given draws. What is better done
than published (moving average, clipping, another optimiser) is a matter of the recipe.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from text2ct.diffusion import rectified_flow
from text2ct.engines.text2ct import weights
from text2ct.engines.text2ct.attention import Attention, SpatialTransformer, fused_attention
from text2ct.engines.text2ct.config import CT_MODALITY, ModelSizes, UNetSizes
from text2ct.engines.text2ct.intensity import SPACING_SCALE
from text2ct.engines.text2ct.layers import inner_conv
from text2ct.engines.text2ct.unet import ResBlock, UNet
from text2ct.errors import BadInput
from text2ct.report.grammar import Split

from .data import Batch, Examples, dice, noise, turn
from .recipe import FlowLoss, UNetRecipe
from .shards import Shards
from .turns import State, Task, Turn, Weights, part

_FROM_REPORT = ("attn2.to_k.weight", "attn2.to_v.weight")


@dataclass(frozen=True, eq=False)
class FlowStep:
    """One evaluation of the loss, with what it was computed from."""

    times: Tensor
    noisy: Tensor
    output: Tensor
    loss: Tensor


def flow_step(unet: UNet, clean: Tensor, context: Tensor, spacing: Tensor, uniform: Tensor, noise: Tensor,
              dropped: Tensor, distance: str = "l1", modality: Tensor | None = None,
              weight: Tensor | None = None) -> FlowStep:
    """The loss for scaled latents (B, C, X, Y, Z), reports (B, 1, W), spacings in mm, and given draws.

    `weight` (B, 1, X, Y, Z) says how much each place counts; the published loss has none.
    """
    times = rectified_flow.training_times(uniform, clean.shape[2:])
    noisy = rectified_flow.noised(clean, noise, times)
    told = torch.where(dropped[:, None, None], 0.0, context)
    labels = torch.full((len(clean),), CT_MODALITY, device=clean.device) if modality is None else modality
    output = unet(noisy, times, told, spacing * SPACING_SCALE, labels)
    target = rectified_flow.velocity_target(clean, noise)
    measure = functional.l1_loss if distance == "l1" else functional.mse_loss
    error = measure(output.float(), target, reduction="none")
    return FlowStep(times, noisy, output, (error if weight is None else error * weight).mean())


def scale_of(latents: Tensor) -> float:
    """The factor that gives latents a deviation of one (unbiased, all numbers together)."""
    return float(1 / latents.std())


class UNetTurn(Turn):
    """The UNet, the factor between its latents and those of the VAE, and its loss."""

    def __init__(self, unet: UNet, scale_factor: float, loss: FlowLoss, usual: Tensor | None = None) -> None:
        super().__init__()
        self.unet = unet
        self.distance, self.finding, self.usual = loss.distance, loss.finding, loss.usual
        self.loudness = math.sqrt(unet.sizes.context_width) if loss.loud else 1.0
        self.register_buffer("scale_factor", torch.tensor(scale_factor))
        self.register_buffer("places", usual, persistent=False)

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        clean = batch["latent"] * cast(Tensor, self.scale_factor)
        done = flow_step(self.unet, clean, batch["context"] * self.loudness, batch["spacing"],
                         batch["uniform"], batch["noise"], batch["dropped"], self.distance,
                         weight=self._weight(batch))
        return {"loss": done.loss}

    def _weight(self, batch: Batch) -> Tensor | None:
        """How much each place counts; None where all count alike."""
        places = cast(Tensor, self.places)
        if not self.finding:
            return 1 + self.usual * places if self.usual else None
        return self._weight_of_findings(batch) + (self.usual * places if self.usual else 0)

    def _weight_of_findings(self, batch: Batch) -> Tensor:
        """More where a finding was drawn, and as much at its mirror place, else a finding on the wrong side would be a
        cheap mistake. Without a report nothing is looked for anywhere: such an example counts evenly."""
        marked = torch.maximum(batch["marked"], batch["marked"].flip(2))
        return 1 + self.finding * marked * ~batch["dropped"][:, None, None, None, None]

    def finished(self, state: State) -> list[Weights]:
        tensors = {name: tensor * self.loudness if name.endswith(_FROM_REPORT) else tensor
                   for name, tensor in part(state, "unet.").items()}
        return [Weights("unet", tensors, {"scale_factor": float(state["scale_factor"])})]


class LatentExamples(Examples):
    """Latents and reports from shards, each with the noise, time and drop-out of its number."""

    def __init__(self, folder: Path, seed: int, split: Split, drop: float) -> None:
        self.shards = Shards(folder)
        self.seed, self.split, self.drop = seed, split, drop
        if not len(self.shards):
            raise BadInput(f"{folder} holds no shards; write them first with a recipe of the task 'latents'.")

    def __getitem__(self, index: int) -> Batch:
        row = self.shards[turn(index, len(self.shards), self.seed if self.split == "train" else None)]
        latent = torch.from_numpy(row["latent"]).float()
        rng = dice(self.seed, self.split, index)
        marked = {"marked": torch.from_numpy(row["marked"]).float()} if "marked" in row else {}
        return {**marked, "latent": latent, "context": torch.from_numpy(row["context"]).float(),
                "spacing": torch.from_numpy(row["spacing"]).float(),
                "uniform": torch.tensor(rng.random(), dtype=torch.float32),
                "dropped": torch.tensor(rng.random() < self.drop), "noise": noise(rng, latent.shape)}


def unet_task(recipe: UNetRecipe) -> Task:
    if recipe.data.source != "shards":
        raise BadInput("The UNet learns from latents: say source = \"shards\" and give their folder as place.")
    seed = recipe.run.seed
    train = LatentExamples(Path(recipe.data.place), seed, "train", recipe.loss.drop)
    held_out = LatentExamples(Path(recipe.data.held_out or recipe.data.place), seed, "held-out", 0.0)
    _check(train, recipe)
    factor = recipe.loss.scale_factor or _measured(train, recipe.loss.measured)
    usual = usual_places(train, recipe.loss.measured) if recipe.loss.usual else None
    return Task({"unet": UNetTurn(begun(recipe), factor, recipe.loss, usual)}, train, held_out)


def usual_places(examples: LatentExamples, count: int) -> Tensor:
    """Where findings are usual, from 0 to 1, both sides alike: (1, X, Y, Z), of the first examples."""
    marked = torch.stack([examples[index]["marked"] for index in range(count)]).mean(0)
    both = marked + marked.flip(1)
    return both / both.max().clamp_min(1e-6)


def begun(recipe: UNetRecipe) -> UNet:
    """A UNet before its first step: of a finished file, or new."""
    if not recipe.begin:
        return new(recipe.model)
    unet = weights.load_unet(ModelSizes(unet=recipe.model), Path(recipe.begin))[0].float().requires_grad_(True)
    if recipe.loss.loud:
        for name, parameter in unet.named_parameters():
            if name.endswith(_FROM_REPORT):
                parameter.data /= math.sqrt(recipe.model.context_width)
    _fused(unet)
    return unet


def new(sizes: UNetSizes) -> UNet:
    """A UNet without a past: what each block adds is zero, as in the class the published one was made from."""
    unet = UNet(sizes)
    _fused(unet)
    for module in unet.modules():
        last = {ResBlock: "conv2", SpatialTransformer: "proj_out"}.get(type(module))
        if last is not None:
            _zeroed(inner_conv(module.get_submodule(last)))
    _zeroed(inner_conv(unet.out[2]))
    return unet


def _fused(unet: UNet) -> None:
    for module in unet.modules():
        if isinstance(module, Attention):
            module.kernel = fused_attention


def _zeroed(layer: nn.Conv3d) -> None:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _measured(examples: LatentExamples, count: int) -> float:
    """The factor from the first latents of the first round: the same for any number of processes."""
    return scale_of(torch.stack([examples[index]["latent"] for index in range(count)]))


def _check(examples: LatentExamples, recipe: UNetRecipe) -> None:
    """Latents that the UNet cannot take are refused before it is built."""
    first, sizes = examples[0], recipe.model
    shape, width = tuple(first["latent"].shape), first["context"].shape[-1]
    if shape[0] != sizes.in_channels or width != sizes.context_width or any(n % sizes.factor for n in shape[1:]):
        raise BadInput(f"The shards hold latents of {shape} and reports of {width} numbers; the model wants "
                       f"{sizes.in_channels} channels, axes in multiples of {sizes.factor} and {sizes.context_width} "
                       "numbers. Change [model], or write the shards again.")
    if (recipe.loss.finding or recipe.loss.usual) and "marked" not in first:
        raise BadInput("The shards do not say where findings were drawn; say finding = 0 and usual = 0 in [loss], or "
                       "write the shards again.")
