"""The few layers that the networks share, named as the checkpoints name them.

The checkpoints keep each convolution one or two names deeper than needed ("conv1.conv",
"conv1.conv.conv"); `Named` reproduces that. Nothing here is fast on purpose: what makes
it fast stands in `text2ct.speed` and is compared with this.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


class Named(nn.Module):
    """A layer under the name `conv`."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.conv = layer

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.conv(x))


def conv3d(inputs: int, outputs: int, kernel: int = 3, depth: int = 1, stride: int = 1,
           padding: int | None = None) -> nn.Module:
    """A 3D convolution, `depth` names deep."""
    layer: nn.Module = nn.Conv3d(inputs, outputs, kernel, stride, kernel // 2 if padding is None else padding)
    for _ in range(depth):
        layer = Named(layer)
    return layer


def inner_conv(layer: nn.Module) -> nn.Conv3d:
    """The convolution inside its names."""
    while isinstance(layer, Named):
        layer = layer.conv
    return cast(nn.Conv3d, layer)


def time_signal(times: Tensor, width: int) -> Tensor:
    """Times (B,) as cosines, then sines, of falling frequencies: (B, width)."""
    half = width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=times.device) / half)
    angles = times.float()[:, None] * frequencies
    return functional.pad(torch.cat([angles.cos(), angles.sin()], dim=1), (0, width % 2))
