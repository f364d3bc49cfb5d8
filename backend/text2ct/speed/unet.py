"""Exact swaps in a UNet: the same function, with less work. Each can be switched, and each is tested alone.

* fused attention: no matrix of scores in memory.
* folded report: the report is one token, and a softmax over one key is 1. So attention to it
  is the same vector for all voxels, one matrix times the report; queries, keys and the norm
  before them fall away.
* lean blocks: the norm's output and the convolution's are overwritten in place, and halving
  is written so that bfloat16 on a CPU has it too.
* doubling by phases: a convolution over voxels that were just doubled sees each of them
  twice, so that each of the eight kinds of output voxel needs 2 x 2 x 2 taps instead of 27.
* points as matrices: a convolution of one voxel is a matrix product, for which libraries are
  better prepared.

`Speed` says which of them are on. The network that is given is changed; copy it first to
keep the plain one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..engines.text2ct.attention import Attention, TransformerBlock, fused_attention
from ..engines.text2ct.layers import Named, inner_conv
from ..engines.text2ct.unet import ResBlock, UNet, doubled
from .norms import steadied
from .swaps import swapped


@dataclass(frozen=True)
class Speed:
    """Which swaps are made."""

    fused_attention: bool = True
    folded_report: bool = True
    lean_blocks: bool = True
    phases: bool = True
    points: bool = True
    channels_last: bool = True


PLAIN = Speed(False, False, False, False, False, False)


def quickened(unet: UNet, speed: Speed) -> UNet:
    """The same network with the swaps made in it."""
    for module in list(unet.modules()):
        if speed.fused_attention and isinstance(module, Attention):
            module.kernel = best_attention
        if speed.folded_report and isinstance(module, TransformerBlock):
            module.attn2 = cast(Attention, OneToken(module.attn2))
            module.norm2 = cast(nn.LayerNorm, nn.Identity())
    if speed.points:
        swapped(unet, lambda child: Point(child) if _is_point(child) else None)
    if speed.phases:
        swapped(unet, lambda child: _with_phases(child) if isinstance(child, ResBlock) else None)
    if speed.lean_blocks:
        swapped(unet, lambda child: LeanBlock(child) if isinstance(child, ResBlock) else None)
    if speed.channels_last:
        steadied(unet)
        unet.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return unet


def best_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's kernel, but for bfloat16 on a CPU, where the same in blocks of queries takes half its time."""
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and not torch.is_grad_enabled():
        return blocked_attention(q, k, v)
    return fused_attention(q, k, v)


def blocked_attention(q: Tensor, k: Tensor, v: Tensor, block: int = 256) -> Tensor:
    """The scores of a few queries of one head at a time, so that they stay in the cache."""
    out = torch.empty_like(q)
    for b, head in product(range(q.shape[0]), range(q.shape[1])):
        keys = (k[b, head].float() * q.shape[-1] ** -0.5).to(k.dtype).T
        for at in range(0, q.shape[2], block):
            scores = q[b, head, at:at + block] @ keys
            out[b, head, at:at + block] = scores.softmax(dim=-1) @ v[b, head]
    return out


class OneToken(nn.Module):
    """Attention to a context of one token: value and output layer as one matrix, in float32."""

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        value, out = attention.to_v.weight, attention.out_proj
        self.weight = nn.Parameter((out.weight.float() @ value.float()).to(value.dtype), requires_grad=False)
        self.bias = nn.Parameter(out.bias.detach().clone(), requires_grad=False)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, 1, width), which is added to every voxel."""
        if context.shape[1] != 1:
            raise ValueError(f"a folded network takes a context of one token, not of {context.shape[1]}")
        return functional.linear(context, self.weight, self.bias)


class LeanBlock(nn.Module):
    """A residual block that overwrites what nobody else holds."""

    def __init__(self, block: ResBlock) -> None:
        super().__init__()
        self.scaling = "" if isinstance(block.conv1, PhaseConv) else block.scaling
        self.phases = isinstance(block.conv1, PhaseConv)
        self.norm1, self.norm2 = block.norm1, block.norm2
        self.conv1, self.conv2 = block.conv1, block.conv2
        self.time_emb_proj = block.time_emb_proj
        self.skip_connection = block.skip_connection

    def forward(self, x: Tensor, signal: Tensor) -> Tensor:
        h = functional.silu(self.norm1(x), inplace=True)
        if self.scaling:
            scale = _halved if self.scaling == "halved" else doubled
            x, h = scale(x), scale(h)
        elif self.phases:
            x = doubled(x)
        h = self.conv1(h).add_(self.time_emb_proj(signal)[:, :, None, None, None])
        h = self.conv2(functional.silu(self.norm2(h), inplace=True))
        return cast(Tensor, h.add_(self.skip_connection(x)))


class Point(nn.Module):
    """A convolution of one voxel, as a matrix product over the voxels."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        conv = inner_conv(layer)
        self.weight = nn.Parameter(conv.weight.detach()[:, :, 0, 0, 0], requires_grad=False)
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x.movedim(1, -1), self.weight, self.bias).movedim(-1, 1)


def _is_point(module: nn.Module) -> bool:
    return isinstance(module, Named) and inner_conv(module).kernel_size == (1, 1, 1)


class PhaseConv(nn.Module):
    """Doubling to the nearest voxel and a 3 x 3 x 3 convolution, as eight convolutions of 2 x 2 x 2.

    Output voxel 2i + p sees the voxels i - 1 + p and i + p only: for p = 0 with the taps
    (w0, w1 + w2) along that axis, for p = 1 with (w0 + w1, w2).
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        conv = inner_conv(layer)
        self.weights = nn.ParameterList(nn.Parameter(_phase(conv.weight, phase), requires_grad=False)
                                        for phase in product((0, 1), repeat=3))
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        batch, _, i, j, k = x.shape
        padded = functional.pad(x, (1,) * 6)
        width = self.weights[0].shape[0]
        form = torch.channels_last_3d if x.is_contiguous(memory_format=torch.channels_last_3d) else None
        out = x.new_empty((batch, width, 2 * i, 2 * j, 2 * k)).contiguous(
            memory_format=form or torch.contiguous_format)
        for (a, b, c), weight in zip(product((0, 1), repeat=3), self.weights, strict=True):
            seen = padded[:, :, a:a + i + 1, b:b + j + 1, c:c + k + 1]
            out[:, :, a::2, b::2, c::2] = functional.conv3d(seen, weight, self.bias)
        return out


def _phase(weight: Tensor, phase: tuple[int, ...]) -> Tensor:
    """The 2 x 2 x 2 taps of one kind of output voxel."""
    wide = weight.detach().float()
    for axis, p in enumerate(phase, start=2):
        first, middle, last = wide.chunk(3, dim=axis)
        wide = torch.cat([first + middle, last] if p else [first, middle + last], dim=axis)
    return wide.to(weight.dtype)


def _with_phases(block: ResBlock) -> nn.Module | None:
    """The block, its first convolution doubling by phases; only a lean block knows what to do with that."""
    if block.scaling == "doubled":
        block.conv1 = PhaseConv(block.conv1)
        return LeanBlock(block)
    return None


def _halved(x: Tensor) -> Tensor:
    """The mean of each 2 x 2 x 2; on a CPU PyTorch has that for float32 only."""
    if x.dtype == torch.float32 or x.device.type != "cpu":
        return functional.avg_pool3d(x, 2)
    total = x[:, :, ::2, ::2, ::2].float()
    for corner in range(1, 8):
        total += x[:, :, corner >> 2::2, (corner >> 1) & 1::2, corner & 1::2]
    return (total / 8).to(x.dtype)
