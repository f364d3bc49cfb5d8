"""The U-Net of LMNet and LINet, built from the shapes of its tensors, with their published names.

Both networks are one architecture in two sizes: residual blocks with the time added,
and, on the coarsest level, transformers that look at the text tokens. Nothing is
configured but the width of an attention head and the groups of a norm; which block
stands where follows from the tensor names, so other widths and depths load as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .shapes import Shapes, below, count

Attend: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
_SMALL_MATRIX = 1 << 22  # weights of an attention, 16 MB


def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k / sqrt(d)) v without ever holding the matrix of weights, where that is large.

    The fused kernel of a CPU takes a coarser exponential (5e-6 relative seen), so small matrices are not given to it.
    """
    if q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2] <= _SMALL_MATRIX:
        return plain_attention(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)


def plain_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same as it is written in papers; the measure of the fused form."""
    weights: Tensor = torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, -1)
    return weights @ v


def _norm(channels: int, groups: int) -> nn.GroupNorm:
    """Upstream quirk: the wanted groups where they divide the channels, otherwise one for each channel."""
    return nn.GroupNorm(groups if channels % groups == 0 else channels, channels)


def time_features(t: Tensor, width: int) -> Tensor:
    """Cosines first, then sines."""
    half = width // 2
    rates = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angles = t.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], -1)


class ResBlock(nn.Module):
    def __init__(self, into: int, out: int, time: int, groups: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(_norm(into, groups), nn.SiLU(), nn.Conv3d(into, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, out))
        self.out_layers = nn.Sequential(_norm(out, groups), nn.SiLU(), nn.Identity(),
                                        nn.Conv3d(out, out, 3, padding=1))
        self.skip_connection = nn.Conv3d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor, context: Tensor | None) -> Tensor:
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None, None]
        done: Tensor = self.skip_connection(x) + self.out_layers(h)
        return done


class Attention(nn.Module):
    def __init__(self, width: int, source: int, head: int, attend: Attend) -> None:
        super().__init__()
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(source, width, bias=False)
        self.to_v = nn.Linear(source, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))
        self.head, self.attend = head, attend

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        q, k, v = (layer(s).unflatten(-1, (-1, self.head)).transpose(1, 2)
                   for layer, s in ((self.to_q, x), (self.to_k, source), (self.to_v, source)))
        done: Tensor = self.to_out(self.attend(q, k, v).transpose(1, 2).flatten(2))
        return done


class FeedForward(nn.Module):
    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Sequential(nn.Linear(width, inner), nn.GELU()), nn.Identity(),
                                 nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        done: Tensor = self.net(x)
        return done


class TransformerBlock(nn.Module):
    def __init__(self, width: int, context: int, inner: int, head: int, attend: Attend) -> None:
        super().__init__()
        self.attn1 = Attention(width, width, head, attend)
        self.ff = FeedForward(width, inner)
        self.attn2 = Attention(width, context, head, attend)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        y = self.norm1(x)
        x = x + self.attn1(y, y)
        y = self.norm2(x)
        x = x + self.attn2(y, y if context is None else context)
        done: Tensor = x + self.ff(self.norm3(x))
        return done


class SpatialTransformer(nn.Module):
    def __init__(self, shapes: Shapes, head: int, attend: Attend, groups: int) -> None:
        super().__init__()
        width = shapes["norm.weight"][0]
        first = "transformer_blocks.0."
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Conv3d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([
            TransformerBlock(width, shapes[first + "attn2.to_k.weight"][1], shapes[first + "ff.net.0.0.weight"][0],
                             head, attend) for _ in range(count(shapes, "transformer_blocks."))])
        self.proj_out = nn.Conv3d(width, width, 1)

    def forward(self, x: Tensor, emb: Tensor, context: Tensor | None) -> Tensor:
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2).contiguous()
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        done: Tensor = x + self.proj_out(tokens.transpose(1, 2).reshape(x.shape))
        return done


class Downsample(nn.Module):
    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.op = nn.Conv3d(into, out, 3, stride=2, padding=1)

    def forward(self, x: Tensor, emb: Tensor, context: Tensor | None) -> Tensor:
        done: Tensor = self.op(x)
        return done


class Upsample(nn.Module):
    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(into, out, 3, padding=1)

    def forward(self, x: Tensor, emb: Tensor, context: Tensor | None) -> Tensor:
        done: Tensor = self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        return done


class Stem(nn.Module):
    """The first convolution, under the name that it has as a bare layer."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, into, 3, 3, 3))
        self.bias = nn.Parameter(torch.empty(out))

    def forward(self, x: Tensor, emb: Tensor, context: Tensor | None) -> Tensor:
        return F.conv3d(x, self.weight, self.bias, padding=1)


class UNet(nn.Module):
    """eps = UNet(x, t, context); with `context` None the second attention looks at the image's own tokens.

    `groups` are those of the norms. A small network wants few: a norm of one channel each takes away how strong a
    channel is, and with it the time and every level.
    """

    def __init__(self, shapes: Shapes, head: int = 32, attend: Attend = fused_attention, groups: int = 32) -> None:
        super().__init__()
        self.width = shapes["time_embed.0.weight"][1]
        time = shapes["time_embed.0.weight"][0]
        self.time_embed = nn.Sequential(nn.Linear(self.width, time), nn.SiLU(), nn.Linear(time, time))
        outer, inner = shapes["context_linear_projection.weight"]
        self.context_linear_projection = nn.Linear(inner, outer, bias=False)

        def stage(prefix: str) -> nn.ModuleList:
            inside = below(shapes, prefix)
            return nn.ModuleList([_layer(below(inside, f"{n}."), head, attend, groups) for n in range(count(inside))])

        self.input_blocks = nn.ModuleList(
            [stage(f"input_blocks.{n}.") for n in range(count(shapes, "input_blocks."))])
        self.middle_block = stage("middle_block.")
        self.output_blocks = nn.ModuleList(
            [stage(f"output_blocks.{n}.") for n in range(count(shapes, "output_blocks."))])
        out, last = shapes["out.2.weight"][:2]
        self.out = nn.Sequential(_norm(last, groups), nn.SiLU(), nn.Conv3d(last, out, 3, padding=1))

    @property
    def in_channels(self) -> int:
        stem: Stem = self.input_blocks[0][0]  # type: ignore[index]
        return int(stem.weight.shape[1])

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None) -> Tensor:
        emb = self.time_embed(time_features(t, self.width).to(x.dtype))
        if context is not None:
            context = self.context_linear_projection(context)
        skips = []
        for block in self.input_blocks:
            x = _through(block, x, emb, context)
            skips.append(x)
        x = _through(self.middle_block, x, emb, context)
        for block in self.output_blocks:
            x = _through(block, torch.cat([x, skips.pop()], 1), emb, context)
        done: Tensor = self.out(x)
        return done


def _through(layers: nn.Module, x: Tensor, emb: Tensor, context: Tensor | None) -> Tensor:
    for layer in layers:  # type: ignore[attr-defined]
        x = layer(x, emb, context)
    return x


def _layer(shapes: Shapes, head: int, attend: Attend, groups: int) -> nn.Module:
    """The layer that has tensors of these names."""
    if "in_layers.2.weight" in shapes:
        out, into = shapes["in_layers.2.weight"][:2]
        return ResBlock(into, out, shapes["emb_layers.1.weight"][1], groups)
    if "proj_in.weight" in shapes:
        return SpatialTransformer(shapes, head, attend, groups)
    kind = {"op.weight": Downsample, "conv.weight": Upsample, "weight": Stem}
    for name, made in kind.items():
        if name in shapes:
            return made(shapes[name][1], shapes[name][0])
    raise KeyError(f"no layer has the tensors {sorted(shapes)[:3]}")

