"""The mask branch of the family's retrieval version: what it adds to the UNet on the way down and in the middle.

It is the UNet's way down once more, begun from the latent plus a mask brought to the
latent's size, with a convolution of one voxel at the end of each branch. A label map goes in
as eight binary channels, the bits of the label.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import ControlSizes
from .layers import conv3d, time_signal
from .unet import Down, Middle, two_layers


class MaskEmbedding(nn.Module):
    """Convolutions that bring a mask to the size of the latent, halving it at each further width."""

    def __init__(self, sizes: ControlSizes) -> None:
        super().__init__()
        widths = sizes.embedding
        self.conv_in = conv3d(sizes.mask_channels, widths[0])
        self.blocks = nn.ModuleList()
        for before, after in pairwise(widths):
            self.blocks.append(conv3d(before, before))
            self.blocks.append(conv3d(before, after, stride=2))
        self.conv_out = conv3d(widths[-1], sizes.unet.channels[0])

    def forward(self, mask: Tensor) -> Tensor:
        h = functional.silu(self.conv_in(mask))
        for block in self.blocks:
            h = functional.silu(block(h))
        return cast(Tensor, self.conv_out(h))


class ControlNet(nn.Module):
    """What to add to the UNet's kept tensors, and to its middle, for a mask (B, C, 4X, 4Y, 4Z)."""

    def __init__(self, sizes: ControlSizes) -> None:
        super().__init__()
        unet = sizes.unet
        self.sizes = sizes
        first, width = unet.channels[0], unet.channels[0] * 4
        self.conv_in = conv3d(unet.in_channels, first)
        self.time_embed = two_layers(first, width)
        self.class_embedding = nn.Embedding(unet.classes, width)
        self.controlnet_cond_embedding = MaskEmbedding(sizes)
        before = [first, *unet.channels[:-1]]
        self.down_blocks = nn.ModuleList(Down(before[level], level, unet) for level in range(len(unet.channels)))
        self.middle_block = Middle(unet)
        kept = [width for level, width in enumerate(unet.channels)
                for _ in range(unet.res_blocks + (level < len(unet.channels) - 1))]
        # the first of the branches has one name less in the checkpoint than the others
        self.controlnet_down_blocks = nn.ModuleList(
            [conv3d(first, first, 1, depth=0), *(conv3d(width, width, 1) for width in kept)])
        self.controlnet_mid_block = conv3d(unet.channels[-1], unet.channels[-1], 1)

    def forward(self, x: Tensor, times: Tensor, context: Tensor, labels: Tensor, mask: Tensor,
                strength: float = 1.0) -> tuple[list[Tensor], Tensor]:
        kind = self.class_embedding.weight.dtype
        told = self.time_embed(time_signal(times, self.sizes.unet.channels[0]).to(kind)) + self.class_embedding(labels)
        signal = functional.silu(told)
        h = self.conv_in(x) + self.controlnet_cond_embedding(mask)
        kept = [h]
        for down in self.down_blocks:
            h, more = down(h, signal, context)
            kept += more
        h = self.middle_block(h, signal, context)
        branches = zip(self.controlnet_down_blocks, kept, strict=True)
        return [branch(one) * strength for branch, one in branches], self.controlnet_mid_block(h) * strength


def bits(labels: Tensor, channels: int = 8) -> Tensor:
    """A label map (B, 1, X, Y, Z) as one binary channel a bit, the lowest first."""
    shifts = torch.arange(channels, device=labels.device).reshape(1, -1, 1, 1, 1)
    return ((labels.long() >> shifts) & 1).float()
