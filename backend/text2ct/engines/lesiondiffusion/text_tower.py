"""The text tower: BiomedCLIP's BERT and its projection, one vector for a text.

Built from the shapes of its tensors, with their published names. A text is read at
its own length: padding is masked in the original, so the vector is the same.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .shapes import Shapes, below, count

_EPS = 1e-12


class Embeddings(nn.Module):
    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.word_embeddings, self.position_embeddings, self.token_type_embeddings = (
            nn.Embedding(shapes[f"{name}.weight"][0], shapes[f"{name}.weight"][1])
            for name in ("word_embeddings", "position_embeddings", "token_type_embeddings"))
        self.LayerNorm = nn.LayerNorm(shapes["LayerNorm.weight"][0], eps=_EPS)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.word_embeddings(ids) + self.position_embeddings(places) + self.token_type_embeddings.weight[0]
        done: Tensor = self.LayerNorm(x)
        return done


class SelfAttention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for layer in (self.query, self.key, self.value))
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Output(nn.Module):
    """A linear layer whose result joins the stream, then a norm."""

    def __init__(self, into: int, width: int) -> None:
        super().__init__()
        self.dense, self.LayerNorm = nn.Linear(into, width), nn.LayerNorm(width, eps=_EPS)

    def forward(self, x: Tensor, stream: Tensor) -> Tensor:
        done: Tensor = self.LayerNorm(self.dense(x) + stream)
        return done


class Layer(nn.Module):
    def __init__(self, width: int, inner: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"self": SelfAttention(width, heads), "output": Output(width, width)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = Output(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.attention["output"](self.attention["self"](x), x)
        done: Tensor = self.output(F.gelu(self.intermediate["dense"](x)), x)
        return done


class TextTower(nn.Module):
    """`heads` cannot be seen in the tensors; without it they are 64 wide, as in every published BERT."""

    def __init__(self, shapes: Shapes, heads: int | None = None) -> None:
        super().__init__()
        inside = below(shapes, "transformer.")
        width = inside["embeddings.LayerNorm.weight"][0]
        inner = inside["encoder.layer.0.intermediate.dense.weight"][0]
        layers = [Layer(width, inner, heads or max(1, width // 64)) for _ in range(count(inside, "encoder.layer."))]
        self.transformer = nn.ModuleDict({"embeddings": Embeddings(below(inside, "embeddings.")),
                                          "encoder": nn.ModuleDict({"layer": nn.ModuleList(layers)})})
        middle, out = shapes["proj.0.weight"][0], shapes["proj.2.weight"][0]
        self.proj = nn.Sequential(nn.Linear(width, middle, bias=False), nn.GELU(), nn.Linear(middle, out, bias=False))

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (b, n), all n of them read, to vectors (b, width of the context)."""
        x = self.transformer["embeddings"](ids)
        for layer in self.transformer["encoder"]["layer"]:  # type: ignore[index]
            x = layer(x)
        done: Tensor = self.proj(x[:, 0])
        return done
