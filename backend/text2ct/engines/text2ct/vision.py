"""The vision tower that lies in the text file: a CT to a vector in the space of the reports.

Generation does not need it; it lets a CT be compared with a report, and it is needed to
train the text tower further. A volume becomes patches, patches look at each other within a
slab and then across slabs, each is replaced by its nearest codebook entry, and the mean
over the slabs is projected.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_SCORE_SCALE = 8.0
_SLOPE = 0.1


@dataclass(frozen=True)
class VisionSizes:
    """The published sizes."""

    width: int = 768
    codes: int = 8192
    image: int = 512
    patch: int = 16
    slab: int = 16
    spatial_layers: int = 4
    temporal_layers: int = 4
    head_width: int = 32
    heads: int = 8
    projection: int = 768

    @property
    def side(self) -> int:
        """Patches along an edge of a slab."""
        return self.image // self.patch


class Norm(nn.Module):
    """A layer norm with the checkpoint's names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))
        self.register_buffer("beta", torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], self.gamma, cast(Tensor, self.beta))


class Position(nn.Module):
    """A depthwise convolution over the grid of patches, looking back only across slabs."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.dsconv = nn.Conv3d(width, width, 3, groups=width)

    def forward(self, x: Tensor, grid: tuple[int, int, int, int]) -> Tensor:
        # upstream quirk: tokens are read in the order b, t, h, w whatever their order is
        volume = x.reshape(*grid, x.shape[-1]).movedim(-1, 1)
        seen = self.dsconv(functional.pad(volume, (1, 1, 1, 1, 2, 0)))
        return cast(Tensor, seen.movedim(1, -1).reshape(x.shape))


class Attention(nn.Module):
    """Cosine attention. upstream quirk: keys and values come from the input before its norm."""

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        inner = sizes.heads * sizes.head_width
        self.heads = sizes.heads
        self.null_kv = nn.Parameter(torch.zeros(sizes.heads, 0, sizes.head_width))
        self.q_scale = nn.Parameter(torch.ones(sizes.head_width))
        self.k_scale = nn.Parameter(torch.ones(sizes.head_width))
        self.norm = Norm(sizes.width)
        self.context_norm = Norm(sizes.width)
        self.to_q = nn.Linear(sizes.width, inner, bias=False)
        self.to_kv = nn.Linear(sizes.width, inner * 2, bias=False)
        self.to_out = nn.Linear(inner, sizes.width, bias=False)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        q, (k, v) = self.to_q(self.norm(x)), self.to_kv(x).chunk(2, dim=-1)
        q, k, v = (part.reshape(*part.shape[:2], self.heads, -1).transpose(1, 2) for part in (q, k, v))
        q, k = functional.normalize(q, dim=-1) * self.q_scale, functional.normalize(k, dim=-1) * self.k_scale
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=_SCORE_SCALE)
        return cast(Tensor, self.to_out(seen.transpose(1, 2).flatten(2)))


class Gate(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        value, gate = x.chunk(2, dim=-1)
        return functional.gelu(gate) * value


class Transformer(nn.Module):
    """Position, attention, feed-forward, each added to its input."""

    def __init__(self, depth: int, sizes: VisionSizes) -> None:
        super().__init__()
        width, inner = sizes.width, int(4 * 2 / 3 * sizes.width)
        self.layers = nn.ModuleList(nn.ModuleList([
            Position(width), Attention(sizes), nn.Identity(),
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, inner * 2, bias=False), Gate(), nn.Identity(),
                          nn.Linear(inner, width, bias=False))]) for _ in range(depth))
        self.norm_out = Norm(width)

    def forward(self, x: Tensor, grid: tuple[int, int, int, int], bias: Tensor | None = None) -> Tensor:
        for layer in self.layers:
            position, attention, _, feed = cast(nn.ModuleList, layer)
            x = position(x, grid) + x
            x = attention(x, bias) + x
            x = feed(x) + x
        return cast(Tensor, self.norm_out(x))


class PositionBias(nn.Module):
    """A score for each pair of patches of a slab, by how far apart they lie."""

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        width = sizes.width
        self.net = nn.ModuleList([
            nn.Sequential(nn.Linear(2, width), nn.LeakyReLU(_SLOPE)),
            nn.Sequential(nn.Linear(width, width), nn.LeakyReLU(_SLOPE)), nn.Linear(width, sizes.heads)])

    def forward(self, side: int) -> Tensor:
        weight = cast(nn.Linear, self.net[2]).weight
        axis = torch.arange(side, device=weight.device, dtype=weight.dtype)
        places = torch.stack(torch.meshgrid(axis, axis, indexing="ij")).flatten(1).T
        apart = places[:, None] - places[None, :]
        h = apart.sign() * torch.log(apart.abs() + 1)
        for layer in self.net:
            h = layer(h)
        return h.movedim(-1, 0)


class VisionModel(nn.Module):
    """A CT (B, 1, X, Y, Z) in HU to quantised patches (B, slabs, side, side, width)."""

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.sizes = sizes
        numbers, width = sizes.patch**2 * sizes.slab, sizes.width
        self.spatial_rel_pos_bias = PositionBias(sizes)
        self.to_patch_emb = _patches(numbers, width)
        self.enc_spatial_transformer = Transformer(sizes.spatial_layers, sizes)
        self.enc_temporal_transformer = Transformer(sizes.temporal_layers, sizes)
        self.register_buffer("codebook", torch.zeros(sizes.codes, width))

    def forward(self, volume: Tensor) -> Tensor:
        p, t = self.sizes.patch, self.sizes.slab
        batch, _, x, y, z = volume.shape
        frames = volume.movedim(-1, 2).reshape(batch, 1, z // t, t, x // p, p, y // p, p)
        # to (B, slabs, rows, columns, numbers of a patch)
        tokens = self.to_patch_emb(frames.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4))
        batch, slabs, rows, columns = tokens.shape[:4]
        grid = (batch, slabs, rows, columns)
        h = self.enc_spatial_transformer(tokens.flatten(2, 3).flatten(0, 1), grid, self.spatial_rel_pos_bias(rows))
        h = h.reshape(*grid, -1).permute(0, 2, 3, 1, 4).flatten(0, 2)
        h = self.enc_temporal_transformer(h, grid)
        h = h.reshape(batch, rows, columns, slabs, -1).permute(0, 3, 1, 2, 4)
        return self.quantised(h)

    def quantised(self, tokens: Tensor) -> Tensor:
        """Each token replaced by the codebook entry that points most in its direction."""
        codebook = cast(Tensor, self.codebook)
        likeness = functional.normalize(tokens, dim=-1) @ functional.normalize(codebook, dim=-1).T
        return codebook[likeness.argmax(dim=-1)]


class VisionTower(nn.Module):
    """A CT in HU (B, 1, X, Y, Z) to embeddings (B, 1, W) of length one."""

    def __init__(self, sizes: VisionSizes) -> None:
        super().__init__()
        self.vision_model = VisionModel(sizes)
        self.visual_projection = nn.Linear(sizes.side**2 * sizes.width, sizes.projection, bias=False)

    def forward(self, volume: Tensor) -> Tensor:
        mean = self.vision_model(volume).mean(dim=1).flatten(1)
        return functional.normalize(self.visual_projection(mean), dim=-1)[:, None]


def vision_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tower's tensors of the text file under its names; unused decoder heads are left behind."""
    bare = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    unused = ("vision_model.to_pixels", "vision_model.to_patch_emb_first_frame", "vision_model.vq.")
    kept = {name: tensor for name, tensor in bare.items()
            if name.startswith(("vision_model.", "visual_projection.")) and not name.startswith(unused)}
    return {**kept, "vision_model.codebook": bare["vision_model.vq._codebook.embed"][0]}


def _patches(numbers: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Identity(), nn.LayerNorm(numbers), nn.Linear(numbers, width), nn.LayerNorm(width))
