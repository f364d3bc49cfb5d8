"""The autoencoder between CT and latent: NVIDIA's MAISI layout, read off its published tensors.

Encoder and decoder are flat lists of blocks, as the checkpoint numbers them. The decoder is
linear at the end: its output is HU only after `intensity.to_hu`. This is the plain one-call
form; `windows.py` decodes as the published program does above a size, and `speed/slabs.py`
decodes any size in little memory with the same result as one call.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import VAESizes
from .layers import conv3d


class Scaled(nn.Module):
    """In place of a norm: each channel times a factor, plus an offset.

    A group norm measures the whole volume, and a small decoder then makes fluid darker where there is much of it.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None, None] + self.bias[:, None, None, None]


def norm(channels: int, groups: int, eps: float) -> nn.GroupNorm | Scaled:
    return nn.GroupNorm(groups, channels, eps) if groups else Scaled(channels)


class Block(nn.Module):
    """norm, SiLU, conv, twice, added to the input."""

    def __init__(self, inputs: int, outputs: int, groups: int, eps: float) -> None:
        super().__init__()
        self.norm1 = norm(inputs, groups, eps)
        self.conv1 = conv3d(inputs, outputs, depth=2)
        self.norm2 = norm(outputs, groups, eps)
        self.conv2 = conv3d(outputs, outputs, depth=2)
        self.nin_shortcut = nn.Identity() if inputs == outputs else conv3d(inputs, outputs, kernel=1, depth=2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        h = self.conv2(functional.silu(self.norm2(h)))
        return cast(Tensor, self.nin_shortcut(x) + h)


class Halve(nn.Module):
    """One voxel of zeros at the high end of each axis, then a convolution of stride 2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv3d(width, width, depth=2, stride=2, padding=0)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(functional.pad(x, (0, 1) * 3)))


class Double(nn.Module):
    """Trilinear to twice the size, then a convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv3d(width, width, depth=2)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(functional.interpolate(x, scale_factor=2.0, mode="trilinear")))


class Blocks(nn.Module):
    """A list of blocks under the name `blocks`, one after the other."""

    def __init__(self, blocks: Iterator[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class VAE(nn.Module):
    """CT in [0, 1] as (B, 1, X, Y, Z) to a latent of a quarter the size along each axis, and back."""

    def __init__(self, sizes: VAESizes) -> None:
        super().__init__()
        self.sizes = sizes
        width = sizes.latent_channels
        self.encoder = Blocks(_encoder(sizes))
        self.decoder = Blocks(_decoder(sizes))
        self.quant_conv_mu = conv3d(width, width, kernel=1)
        self.quant_conv_log_sigma = conv3d(width, width, kernel=1)
        self.post_quant_conv = conv3d(width, width, kernel=1)

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the latent."""
        h = self.encoder(image)
        log_variance = self.quant_conv_log_sigma(h).clamp(-30.0, 20.0)
        return self.quant_conv_mu(h), torch.exp(log_variance / 2)

    def decode(self, latent: Tensor) -> Tensor:
        return cast(Tensor, self.decoder(self.post_quant_conv(latent)))

    def forward(self, image: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The image through the bottleneck, with the latent's mean and deviation: the form that training needs."""
        mean, deviation = self.encode(image)
        return self.decode(mean + noise * deviation), mean, deviation


def _encoder(sizes: VAESizes) -> Iterator[nn.Module]:
    before = sizes.channels[0]
    yield conv3d(sizes.image_channels, before, depth=2)
    for level, width in enumerate(sizes.channels):
        for _ in range(sizes.res_blocks[level]):
            yield Block(before, width, sizes.norm_groups, sizes.norm_eps)
            before = width
        if level < len(sizes.channels) - 1:
            yield Halve(width)
    yield nn.GroupNorm(sizes.norm_groups, before, sizes.norm_eps)
    yield conv3d(before, sizes.latent_channels, depth=2)


def _decoder(sizes: VAESizes) -> Iterator[nn.Module]:
    before = sizes.channels[-1]
    groups = sizes.norm_groups if sizes.decoder_groups is None else sizes.decoder_groups
    yield conv3d(sizes.latent_channels, before, depth=2)
    for level in reversed(range(len(sizes.channels))):
        width = sizes.channels[level]
        for _ in range(sizes.res_blocks[level]):
            yield Block(before, width, groups, sizes.norm_eps)
            before = width
        if level > 0:
            yield Double(width)
    yield norm(before, groups, sizes.norm_eps)
    yield conv3d(before, sizes.image_channels, depth=2)
