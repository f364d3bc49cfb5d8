"""The VQ-GAN: a CT crop in [0, 1] to a latent of half the size and back, over a codebook.

Built from the shapes of its tensors, with their published names. LINet works on the
latent before quantisation; quantisation belongs to decoding. Axes of odd length come
back one voxel shorter. Norms look at the whole input, so a crop and its volume do
not give the same latent.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .shapes import Shapes, below, count

_AT_ONCE = 1 << 15  # latents compared with the codebook in one go


GROUPS = 16


def _norm(channels: int, groups: int) -> nn.GroupNorm:
    return nn.GroupNorm(groups, channels, eps=1e-6)


def _swish(x: Tensor) -> Tensor:
    """As upstream writes it: the fused form rounds otherwise, and sampling can enlarge that a hundredfold."""
    gate = torch.sigmoid(x)
    return x * gate if torch.is_grad_enabled() else gate.mul_(x)


class Residual(nn.Module):
    def __init__(self, shapes: Shapes, groups: int) -> None:
        super().__init__()
        out, into = shapes["conv1.weight"][:2]
        self.norm1, self.conv1 = _norm(into, groups), nn.Conv3d(into, out, 3, padding=1)
        self.norm2, self.conv2 = _norm(out, groups), nn.Conv3d(out, out, 3, padding=1)
        self.nin_shortcut = nn.Conv3d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(_swish(self.norm1(x)))
        h = self.conv2(_swish(self.norm2(h)))
        done: Tensor = self.nin_shortcut(x) + h
        return done


class Down(nn.Module):
    """One voxel of zeros at the high end of each axis, then every second place of a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        done: Tensor = self.conv(F.pad(x, (0, 1, 0, 1, 0, 1)))
        return done


class Up(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        done: Tensor = self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
        return done


class Level(nn.Module):
    """Residual blocks, then a change of size where the checkpoint has one."""

    def __init__(self, shapes: Shapes, groups: int) -> None:
        super().__init__()
        self.block = nn.ModuleList([Residual(below(shapes, f"block.{n}."), groups)
                                    for n in range(count(shapes, "block."))])
        if "downsample.conv.weight" in shapes:
            self.downsample = Down(shapes["downsample.conv.weight"][0])
        if "upsample.conv.weight" in shapes:
            self.upsample = Up(shapes["upsample.conv.weight"][0])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        for name in ("downsample", "upsample"):
            if hasattr(self, name):
                x = getattr(self, name)(x)
        return x


class _Ends(nn.Module):
    """What encoder and decoder share: the first and last convolution, and the middle."""

    def __init__(self, shapes: Shapes, groups: int) -> None:
        super().__init__()
        first, into = shapes["conv_in.weight"][:2]
        out, last = shapes["conv_out.weight"][:2]
        self.conv_in = nn.Conv3d(into, first, 3, padding=1)
        self.mid = nn.ModuleDict({name: Residual(below(shapes, f"mid.{name}."), groups)
                                  for name in ("block_1", "block_2")})
        self.norm_out, self.conv_out = _norm(last, groups), nn.Conv3d(last, out, 3, padding=1)

    def middle(self, x: Tensor) -> Tensor:
        done: Tensor = self.mid["block_2"](self.mid["block_1"](x))
        return done

    def end(self, x: Tensor) -> Tensor:
        done: Tensor = self.conv_out(_swish(self.norm_out(x)))
        return done


class Encoder(_Ends):
    def __init__(self, shapes: Shapes, groups: int) -> None:
        super().__init__(shapes, groups)
        self.down = nn.ModuleList([Level(below(shapes, f"down.{n}."), groups) for n in range(count(shapes, "down."))])

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down:
            x = level(x)
        return self.end(self.middle(x))


class Decoder(_Ends):
    def __init__(self, shapes: Shapes, groups: int) -> None:
        super().__init__(shapes, groups)
        self.up = nn.ModuleList([Level(below(shapes, f"up.{n}."), groups) for n in range(count(shapes, "up."))])

    def forward(self, z: Tensor) -> Tensor:
        x = self.middle(self.conv_in(z))
        for level in reversed(self.up):
            x = level(x)
        return self.end(x)


class Codebook(nn.Module):
    def __init__(self, codes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, width)

    def nearest(self, z: Tensor) -> Tensor:
        """Index of the nearest code for each latent (b, c, ...) as (b, ...); a piece at a time."""
        codes = self.embedding.weight
        rows = z.movedim(1, -1).reshape(-1, z.shape[1])
        lengths = codes.square().sum(1)
        found = [(piece.square().sum(1, keepdim=True) + lengths - 2 * piece @ codes.T).argmin(1)
                 for piece in torch.split(rows, _AT_ONCE)]
        return torch.cat(found).reshape(z.shape[0], *z.shape[2:])

    def forward(self, z: Tensor) -> Tensor:
        done: Tensor = self.embedding(self.nearest(z)).movedim(-1, 1)
        return done


class VQGAN(nn.Module):
    def __init__(self, shapes: Shapes, groups: int = GROUPS) -> None:
        super().__init__()
        self.encoder = Encoder(below(shapes, "encoder."), groups)
        self.decoder = Decoder(below(shapes, "decoder."), groups)
        self.quantize = Codebook(*shapes["quantize.embedding.weight"])
        out, into = shapes["quant_conv.weight"][:2]
        self.quant_conv = nn.Conv3d(into, out, 1)
        out, into = shapes["post_quant_conv.weight"][:2]
        self.post_quant_conv = nn.Conv3d(into, out, 1)

    @property
    def factor(self) -> int:
        """How many voxels one latent spans along an axis."""
        return int(2 ** sum(hasattr(level, "downsample") for level in self.encoder.down))

    def encode(self, x: Tensor) -> Tensor:
        """The latent before quantisation."""
        done: Tensor = self.quant_conv(self.encoder(x))
        return done

    def decode(self, z: Tensor, quantised: bool = True) -> Tensor:
        if quantised:
            z = z + (self.quantize(z) - z).detach()
        done: Tensor = self.decoder(self.post_quant_conv(z))
        return done
