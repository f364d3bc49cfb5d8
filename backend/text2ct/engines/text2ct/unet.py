"""The velocity network: a 3D UNet over the latent, told the time, the spacing, the modality and the report.

Modules carry the names of the published checkpoint, so that its 611 tensors load strictly.
The way of a voxel: conv_in, down (residual blocks, attention at the lower levels, halving),
middle, up (with what was kept on the way down), out. Each residual block is shifted by the
signal of time + modality and spacing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .attention import SpatialTransformer
from .config import UNetSizes
from .layers import conv3d, time_signal


def halved(x: Tensor) -> Tensor:
    return functional.avg_pool3d(x, 2)


def doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


class ResBlock(nn.Module):
    """norm, SiLU, conv, shift, norm, SiLU, conv, added to the input; `scaling` changes the size on the way."""

    def __init__(self, inputs: int, outputs: int, sizes: UNetSizes, scaling: str = "") -> None:
        super().__init__()
        self.scaling = scaling
        self.norm1 = nn.GroupNorm(sizes.norm_groups, inputs, sizes.norm_eps)
        self.conv1 = conv3d(inputs, outputs)
        self.time_emb_proj = nn.Linear(signal_width(sizes), outputs)
        self.norm2 = nn.GroupNorm(sizes.norm_groups, outputs, sizes.norm_eps)
        self.conv2 = conv3d(outputs, outputs)
        self.skip_connection = nn.Identity() if inputs == outputs else conv3d(inputs, outputs, kernel=1)

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        h = functional.silu(self.norm1(x))
        if self.scaling:
            scale = halved if self.scaling == "halved" else doubled
            x, h = scale(x), scale(h)
        h = self.conv1(h) + self.time_emb_proj(signal)[:, :, None, None, None]
        h = self.conv2(functional.silu(self.norm2(h)))
        return cast(Tensor, self.skip_connection(x) + h)


class Down(nn.Module):
    """One level of the way down; returns what it kept for the way up."""

    def __init__(self, inputs: int, level: int, sizes: UNetSizes) -> None:
        super().__init__()
        width = sizes.channels[level]
        self.resnets = nn.ModuleList(ResBlock(inputs if i == 0 else width, width, sizes)
                                     for i in range(sizes.res_blocks))
        self.attentions = nn.ModuleList(_transformer(level, sizes) for _ in range(sizes.res_blocks)
                                        if sizes.attention[level])
        last = level == len(sizes.channels) - 1
        self.downsampler = None if last else ResBlock(width, width, sizes, "halved")

    def forward(self, h: Tensor, signal: Tensor, context: Tensor) -> tuple[Tensor, list[Tensor]]:
        kept = []
        for i, block in enumerate(self.resnets):
            h = block(h, signal)
            if self.attentions:
                h = self.attentions[i](h, context)
            kept.append(h)
        if self.downsampler is not None:
            h = self.downsampler(h, signal)
            kept.append(h)
        return h, kept


class Middle(nn.Module):
    """The lowest level once more."""

    def __init__(self, sizes: UNetSizes) -> None:
        super().__init__()
        width = sizes.channels[-1]
        self.resnet_1 = ResBlock(width, width, sizes)
        self.attention = _transformer(len(sizes.channels) - 1, sizes)
        self.resnet_2 = ResBlock(width, width, sizes)

    def forward(self, h: Tensor, signal: Tensor, context: Tensor) -> Tensor:
        h = self.attention(self.resnet_1(h, signal), context)
        return cast(Tensor, self.resnet_2(h, signal))


class Up(nn.Module):
    """One level of the way up; `kept` gives one tensor for each residual block, the last first."""

    def __init__(self, before: int, level: int, sizes: UNetSizes) -> None:
        super().__init__()
        width = sizes.channels[level]
        below = sizes.channels[max(level - 1, 0)]
        count = sizes.res_blocks + 1
        kept = [width] * (count - 1) + [below]
        self.resnets = nn.ModuleList(ResBlock((before if i == 0 else width) + kept[i], width, sizes)
                                     for i in range(count))
        self.attentions = nn.ModuleList(_transformer(level, sizes) for _ in range(count) if sizes.attention[level])
        self.upsampler = None if level == 0 else ResBlock(width, width, sizes, "doubled")

    def forward(self, h: Tensor, kept: list[Tensor], signal: Tensor, context: Tensor) -> Tensor:
        for i, block in enumerate(self.resnets):
            h = block(torch.cat([h, kept.pop()], dim=1), signal)
            if self.attentions:
                h = self.attentions[i](h, context)
        return h if self.upsampler is None else cast(Tensor, self.upsampler(h, signal))


class UNet(nn.Module):
    """Velocity of the latent (B, C, X, Y, Z) at times (B,) for spacings (B, 3), labels (B,) and context (B, 1, W)."""

    def __init__(self, sizes: UNetSizes) -> None:
        super().__init__()
        self.sizes = sizes
        first, width = sizes.channels[0], sizes.channels[0] * 4
        self.conv_in = conv3d(sizes.in_channels, first)
        self.time_embed = two_layers(first, width)
        self.class_embedding = nn.Embedding(sizes.classes, width)
        self.spacing_layer = two_layers(3, width) if sizes.with_spacing else None
        before = [first, *sizes.channels[:-1]]
        self.down_blocks = nn.ModuleList(Down(before[level], level, sizes) for level in range(len(sizes.channels)))
        self.middle_block = Middle(sizes)
        levels = list(reversed(range(len(sizes.channels))))
        self.up_blocks = nn.ModuleList(Up(sizes.channels[min(level + 1, levels[0])], level, sizes) for level in levels)
        self.out = nn.Sequential(nn.GroupNorm(sizes.norm_groups, first, sizes.norm_eps), nn.SiLU(),
                                 conv3d(first, sizes.out_channels))

    def signal(self, times: Tensor, spacing: Tensor, labels: Tensor) -> Tensor:
        """What every residual block is told, after the SiLU that each of them begins with."""
        kind = self.class_embedding.weight.dtype
        told = self.time_embed(time_signal(times, self.sizes.channels[0]).to(kind)) + self.class_embedding(labels)
        if self.spacing_layer is not None:
            told = torch.cat([told, self.spacing_layer(spacing.to(kind))], dim=1)
        return functional.silu(told)

    def forward(self, x: Tensor, times: Tensor, context: Tensor, spacing: Tensor, labels: Tensor,
                control: tuple[Sequence[Tensor], Tensor] | None = None) -> Tensor:
        signal = self.signal(times, spacing, labels)
        h = self.conv_in(x)
        kept = [h]
        for down in self.down_blocks:
            h, more = down(h, signal, context)
            kept += more
        if control is not None:
            # upstream quirk: what is added to the last kept tensor is seen by the middle too
            kept = [one + extra for one, extra in zip(kept, control[0], strict=True)]
            h = kept[-1]
        h = self.middle_block(h, signal, context)
        if control is not None:
            h = h + control[1]
        for up in self.up_blocks:
            h = up(h, kept, signal, context)
        return cast(Tensor, self.out(h))


def signal_width(sizes: UNetSizes) -> int:
    """Numbers that each residual block is told: time with modality, and spacing."""
    return sizes.channels[0] * 4 * (2 if sizes.with_spacing else 1)


def _transformer(level: int, sizes: UNetSizes) -> SpatialTransformer:
    return SpatialTransformer(sizes.channels[level], sizes.context_width, sizes.head_channels[level],
                              sizes.norm_groups, sizes.norm_eps)


def two_layers(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.SiLU(), nn.Linear(outputs, outputs))
