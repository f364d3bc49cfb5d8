"""The CLIP text tower: token numbers to the one vector that the UNet is told of the report.

Causal attention, so that what follows the first end mark cannot reach it: only the tokens
up to there are computed. The vector is the state at that mark, projected, of length one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import TextSizes


class SelfAttention(nn.Module):
    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.k_proj = nn.Linear(sizes.hidden, sizes.hidden)
        self.v_proj = nn.Linear(sizes.hidden, sizes.hidden)
        self.q_proj = nn.Linear(sizes.hidden, sizes.hidden)
        self.out_proj = nn.Linear(sizes.hidden, sizes.hidden)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)
                   for layer in (self.q_proj, self.k_proj, self.v_proj))
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return cast(Tensor, self.out_proj(seen.transpose(1, 2).flatten(2)))


class MLP(nn.Module):
    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.fc1 = nn.Linear(sizes.hidden, sizes.mlp)
        self.fc2 = nn.Linear(sizes.mlp, sizes.hidden)

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc1(x)
        return cast(Tensor, self.fc2(h * torch.sigmoid(1.702 * h)))


class Layer(nn.Module):
    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.self_attn = SelfAttention(sizes)
        self.layer_norm1 = nn.LayerNorm(sizes.hidden, sizes.norm_eps)
        self.mlp = MLP(sizes)
        self.layer_norm2 = nn.LayerNorm(sizes.hidden, sizes.norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return cast(Tensor, x + self.mlp(self.layer_norm2(x)))


class Embeddings(nn.Module):
    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(sizes.vocabulary, sizes.hidden)
        self.position_embedding = nn.Embedding(sizes.length, sizes.hidden)

    def forward(self, ids: Tensor) -> Tensor:
        return cast(Tensor, self.token_embedding(ids) + self.position_embedding.weight[:ids.shape[1]])


class Encoder(nn.Module):
    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))


class TextModel(nn.Module):
    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.embeddings = Embeddings(sizes)
        self.encoder = Encoder(sizes)
        self.final_layer_norm = nn.LayerNorm(sizes.hidden, sizes.norm_eps)

    def forward(self, ids: Tensor) -> Tensor:
        h = self.embeddings(ids)
        for layer in self.encoder.layers:
            h = layer(h)
        return cast(Tensor, self.final_layer_norm(h))


class TextTower(nn.Module):
    """Token numbers (B, T) to embeddings (B, 1, W) of length one."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.text_model = TextModel(sizes)
        self.text_projection = nn.Linear(sizes.hidden, sizes.projection, bias=False)

    def pooled(self, ids: Tensor) -> Tensor:
        """The state at the first end mark of each row."""
        ends = (ids == self.sizes.end).int().argmax(dim=1)
        states = self.text_model(ids[:, :int(ends.max()) + 1])
        return cast(Tensor, states[torch.arange(len(ids), device=ids.device), ends])

    def forward(self, ids: Tensor) -> Tensor:
        projected = self.text_projection(self.pooled(ids))
        return cast(Tensor, (projected / projected.norm(dim=-1, keepdim=True))[:, None])


def as_ids(rows: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.long)
