"""Attention between the voxels of a level, and from each voxel to the report: the UNet's transformer.

`explicit_attention` is the definition, with the whole matrix of scores in memory;
`fused_attention` is PyTorch's own kernel for the same. The report is one token, so the
attention to it is a constant: `OneToken` in `text2ct.speed.unet` uses that, this file does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from .layers import conv3d

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]


def explicit_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k / sqrt(d)) v for (B, heads, tokens, d)."""
    scores = (q @ k.transpose(-1, -2)) * q.shape[-1] ** -0.5
    seen: Tensor = scores.softmax(dim=-1) @ v
    return seen


def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same, without the matrix of scores."""
    return functional.scaled_dot_product_attention(q, k, v)


class Attention(nn.Module):
    """Queries from `x`, keys and values from `source`."""

    def __init__(self, width: int, source_width: int, head_width: int) -> None:
        super().__init__()
        self.heads = width // head_width
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(source_width, width, bias=False)
        self.to_v = nn.Linear(source_width, width, bias=False)
        self.out_proj = nn.Linear(width, width)
        self.kernel: Kernel = explicit_attention

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        q, k, v = (self._split(part) for part in (self.to_q(x), self.to_k(source), self.to_v(source)))
        together = self.kernel(q, k, v).transpose(1, 2).flatten(2)
        return cast(Tensor, self.out_proj(together))

    def _split(self, x: Tensor) -> Tensor:
        """(B, tokens, width) to (B, heads, tokens, head width)."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """Two linear layers with a gate between them (GEGLU)."""

    def __init__(self, width: int, factor: int = 4) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, width * factor * 2)
        self.linear2 = nn.Linear(width * factor, width)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.linear1(x).chunk(2, dim=-1)
        return cast(Tensor, self.linear2(value * functional.gelu(gate)))


class TransformerBlock(nn.Module):
    """Look at the other voxels, look at the report, think."""

    def __init__(self, width: int, context_width: int, head_width: int) -> None:
        super().__init__()
        self.attn1 = Attention(width, width, head_width)
        self.ff = FeedForward(width)
        self.attn2 = Attention(width, context_width, head_width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.attn1(normed, normed)
        x = x + self.attn2(self.norm2(x), context)
        return cast(Tensor, x + self.ff(self.norm3(x)))


class SpatialTransformer(nn.Module):
    """A transformer over the voxels of a level, added to what it was given."""

    def __init__(self, width: int, context_width: int, head_width: int, groups: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps)
        self.proj_in = conv3d(width, width, kernel=1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, context_width, head_width)])
        self.proj_out = conv3d(width, width, kernel=1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        h = self.proj_in(self.norm(x))
        tokens = h.flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        return cast(Tensor, x + self.proj_out(tokens.transpose(1, 2).reshape(h.shape)))
