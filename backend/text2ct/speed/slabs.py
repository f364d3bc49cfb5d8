"""Decoding a latent of any size in little memory, with the result of decoding it in one call.

The decoder is convolutions, which see only neighbours, and group norms, which see the whole
volume. So a level of the decoder is computed tile by tile, each tile with as many neighbours
as its convolutions reach, once the statistics of its norms over the whole volume are known.
They become known one after the other: a pass over all tiles runs up to the first norm whose
statistics are missing and sums them up, then the next pass the next. What is computed anew
in each pass is the price for never holding a level in memory; what fits is held, and then not
computed again. A level that fits as a whole is one tile, measured on the way.

Statistics are those of a tile in float32, merged over tiles in float64, so that they do not
depend on how the volume is cut, beyond rounding. (Measuring them in bfloat16 would halve the
time of those passes on some processors, and was tried: it moves voxels by several HU.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..engines.text2ct.config import VAESizes
from ..engines.text2ct.layers import inner_conv
from ..engines.text2ct.vae import VAE, Block, Double, Scaled

Triple: TypeAlias = tuple[int, int, int]
Region: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
_LIVE = 5  # tensors of a tile that are alive at once while a convolution runs, its own copies included


@dataclass(frozen=True)
class Tile:
    """Values of one region of a volume of `size`."""

    values: Tensor
    region: Region
    size: Triple

    def within(self, region: Region) -> Tile:
        """The part that lies in a smaller region."""
        i, j, k = (slice(low - mine, high - mine) for (low, high), (mine, _) in
                   zip(region, self.region, strict=True))
        return Tile(self.values[:, :, i, j, k], region, self.size)


@dataclass(frozen=True)
class Keep:
    """Remember the values, through the block's shortcut, for the end of the block."""

    shortcut: nn.Module


@dataclass(frozen=True)
class Add:
    """Add what was kept."""


@dataclass(frozen=True)
class Widen:
    """Trilinear to twice the size."""


@dataclass(frozen=True)
class Norm:
    """A group norm with the statistics of the whole volume (or what measures nothing), and SiLU in a block."""

    layer: nn.GroupNorm | Scaled
    silu: bool

    @property
    def measured(self) -> nn.GroupNorm | None:
        return self.layer if isinstance(self.layer, nn.GroupNorm) else None


@dataclass(frozen=True)
class Conv:
    """A convolution; at the border of the volume it sees zeros, inside it uses up its neighbours."""

    layer: nn.Conv3d

    @property
    def reach(self) -> int:
        return self.layer.kernel_size[0] // 2


Op: TypeAlias = Keep | Add | Widen | Norm | Conv
Known: TypeAlias = dict[nn.GroupNorm, tuple[Tensor, Tensor]]


def decoded_in_slabs(vae: VAE, latent: Tensor, work_bytes: int, told: Callable[[int, int], None] | None = None,
                     hold_bytes: int = 0) -> Tensor:
    """What `vae.decode(latent)` gives for one latent.

    A tile takes at most about `work_bytes` while it is computed. Passes that end in a state
    of the level of at most `hold_bytes` keep it, and the next ones start from there.
    """
    told = told or (lambda done, total: None)
    with torch.inference_mode():
        h = cast(Tensor, vae.post_quant_conv(latent))
        levels = _levels(vae)
        plans = [_plan(ops, _size(h.shape[2:], depth), work_bytes, h.element_size())
                 for depth, ops in enumerate(levels)]
        total = sum(_passes(ops, tiles) * len(tiles) for ops, tiles in zip(levels, plans, strict=True))
        done = 0
        for depth, (ops, tiles) in enumerate(zip(levels, plans, strict=True)):
            start = done
            size = _size(latent.shape[2:], depth)
            h = _through(ops, h, size, tiles, lambda i, start=start: told(start + i, total), hold_bytes)  # type: ignore[misc]
            done += _passes(ops, tiles) * len(tiles)
        return h


def decoding_bytes(sizes: VAESizes, latent_shape: Sequence[int], element: int, work_bytes: int) -> int:
    """Peak bytes of `decoded_in_slabs` beyond the weights: a level's input and output, and the work on a tile."""
    outputs = [*reversed(sizes.channels[1:]), sizes.image_channels]
    held = [sizes.latent_channels, *(width << 3 * depth for depth, width in enumerate(outputs))]
    both = max(before + after for before, after in pairwise(held))
    return math.prod(latent_shape) * both * element + work_bytes


def whole_bytes(sizes: VAESizes, latent_shape: Sequence[int], element: int) -> int:
    """Peak bytes of decoding in one call: some tensors of the widest, finest kind at once."""
    finest = math.prod(latent_shape) * sizes.factor**3
    return _LIVE * finest * sizes.channels[min(1, len(sizes.channels) - 1)] * element


def _levels(vae: VAE) -> list[list[Op]]:
    """The decoder as operations, cut before each doubling."""
    levels: list[list[Op]] = [[]]
    for layer in vae.decoder.blocks:
        if isinstance(layer, Double):
            levels.append([Widen(), Conv(inner_conv(layer.conv))])
        elif isinstance(layer, Block):
            levels[-1] += [Keep(layer.nin_shortcut), Norm(layer.norm1, True), Conv(inner_conv(layer.conv1)),
                           Norm(layer.norm2, True), Conv(inner_conv(layer.conv2)), Add()]
        elif isinstance(layer, nn.GroupNorm | Scaled):
            levels[-1].append(Norm(layer, False))
        else:
            levels[-1].append(Conv(inner_conv(layer)))
    return levels


def _size(latent: Sequence[int], depth: int) -> Triple:
    a, b, c = (int(n) << depth for n in latent)
    return a, b, c


def _plan(ops: Sequence[Op], size: Triple, work_bytes: int, element: int) -> list[Region]:
    """Regions that together are the level's output, each small enough with its neighbours."""
    width = max(op.layer.in_channels for op in ops if isinstance(op, Conv))
    most = work_bytes // (_LIVE * width * element)
    halo = 2 * _reach(ops)
    counts = [1, 1, 1]

    def lengths() -> list[int]:
        return [math.ceil(n / count) for n, count in zip(size, counts, strict=True)]

    while math.prod(min(n, length + halo) for n, length in zip(size, lengths(), strict=True)) > most:
        longest = max(range(3), key=lambda axis: lengths()[axis])
        if lengths()[longest] <= 4:
            break
        counts[longest] += 1
    cuts = [[(a, min(a + length, n)) for a in range(0, n, length)] for n, length in zip(size, lengths(), strict=True)]
    return [(x, y, z) for x, y, z in product(*cuts)]


def _reach(ops: Sequence[Op]) -> int:
    return sum(op.reach for op in ops if isinstance(op, Conv))


def _passes(ops: Sequence[Op], tiles: Sequence[Region]) -> int:
    return 1 + sum(isinstance(op, Norm) and op.measured is not None for op in ops) * (len(tiles) > 1)


@dataclass
class Held:
    """The whole volume before operation `at` of a level: its values, and what blocks keep meanwhile."""

    at: int
    tensors: list[Tensor]

    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self.tensors)


def _through(ops: Sequence[Op], h: Tensor, size: Triple, tiles: Sequence[Region], told: Callable[[int], None],
             hold_bytes: int) -> Tensor:
    """A level's output from its whole input: a pass for each norm's statistics, and one for the values."""
    known: Known = {}
    held = Held(0, [h])
    count = 0
    for at, op in enumerate(ops):
        if isinstance(op, Norm) and op.measured is not None and len(tiles) > 1:
            before = at - isinstance(ops[at - 1], Keep)  # what a block keeps at its start is what is held anyway
            sums, after = Sums(), _room_for(ops[:before], h, size, hold_bytes - (held.bytes() if held.at else 0))
            for region in tiles:
                told(count)
                count += 1
                found = _computed(ops, held, at, region, size, known)
                sums.add(op.measured, found[0].values)
                _written(after, found, region)
            known[op.measured] = sums.result()
            held = held if after is None else Held(before, after)
    out = None
    for region in tiles:
        told(count)
        count += 1
        part = _computed(ops, held, len(ops), region, size, known)[0].values
        if len(tiles) == 1:
            return part
        out = part.new_empty((*part.shape[:2], *size)) if out is None else out
        _written([out], [Tile(part, region, size)], region)
    return h if out is None else out


def _room_for(ops: Sequence[Op], h: Tensor, size: Triple, room: int) -> list[Tensor] | None:
    """Empty tensors for the state after `ops`, when they fit into `room` bytes."""
    widths: list[int] = [h.shape[1]]
    for op in ops:
        if isinstance(op, Conv):
            widths[0] = op.layer.out_channels
        elif isinstance(op, Keep):
            widths.append(widths[0] if isinstance(op.shortcut, nn.Identity) else inner_conv(op.shortcut).out_channels)
        elif isinstance(op, Add):
            widths.pop()
    if sum(widths) * math.prod(size) * h.element_size() > room:
        return None
    return [h.new_empty((1, width, *size)) for width in widths]


def _written(whole: Sequence[Tensor] | None, tiles: Sequence[Tile], region: Region) -> None:
    i, j, k = (slice(low, high) for low, high in region)
    for tensor, tile in zip(whole or (), tiles, strict=False):
        tensor[:, :, i, j, k] = tile.within(region).values


def _computed(ops: Sequence[Op], held: Held, until: int, region: Region, size: Triple, known: Known) -> list[Tile]:
    """The values in `region` before operation `until`, and what is kept then, from as much as they need."""
    ops = ops[held.at:until]
    tile, *kept = _input(ops, held, _grown(region, _reach(ops), size), size)
    for op in ops:
        if isinstance(op, Conv):
            tile = convolved(tile, op)
        elif isinstance(op, Norm):
            tile = _normed(tile, op, known)
        elif isinstance(op, Keep):
            kept.append(Tile(op.shortcut(tile.values), tile.region, tile.size))
        elif isinstance(op, Add):
            tile = Tile(tile.values.add_(kept.pop().within(tile.region).values), tile.region, tile.size)
    return [tile.within(region), *kept]


def _input(ops: Sequence[Op], held: Held, region: Region, size: Triple) -> list[Tile]:
    """What is held of `region`, doubled where the level begins with that."""
    if not ops or not isinstance(ops[0], Widen):
        i, j, k = (slice(low, high) for low, high in region)
        return [Tile(tensor[:, :, i, j, k], region, size) for tensor in held.tensors]
    coarse = [(max(0, (low - 1) // 2), min(n // 2, high // 2 + 1)) for (low, high), n in zip(region, size, strict=True)]
    i, j, k = (slice(low, high) for low, high in coarse)
    wide = functional.interpolate(held.tensors[0][:, :, i, j, k], scale_factor=2.0, mode="trilinear")
    a, b, c = ((low * 2, high * 2) for low, high in coarse)
    return [Tile(wide, (a, b, c), size).within(region)]


def _grown(region: Region, reach: int, size: Sequence[int]) -> Region:
    a, b, c = ((max(0, low - reach), min(n, high + reach)) for (low, high), n in zip(region, size, strict=True))
    return a, b, c


def convolved(tile: Tile, op: Conv) -> Tile:
    """Zeros only where the volume ends; elsewhere the tile shrinks by the kernel's reach."""
    ends = [(low == 0, high == n) for (low, high), n in zip(tile.region, tile.size, strict=True)]
    pads = [op.reach * end for low_high in reversed(ends) for end in low_high]
    padded = functional.pad(tile.values, pads) if any(pads) else tile.values
    values = functional.conv3d(padded, op.layer.weight, op.layer.bias)
    a, b, c = ((low + op.reach * (not at_low), high - op.reach * (not at_high))
               for (low, high), (at_low, at_high) in zip(tile.region, ends, strict=True))
    return Tile(values, (a, b, c), tile.size)


def _normed(tile: Tile, op: Norm, known: Known) -> Tile:
    """With the statistics that are known, or, for a tile that is the whole volume, with its own."""
    statistics = known.get(op.measured) if op.measured is not None else None
    values = (op.layer(tile.values) if op.measured is None or statistics is None
              else _with_statistics(op.measured, tile.values, *statistics))
    return Tile(functional.silu(values, inplace=True) if op.silu else values, tile.region, tile.size)


def _with_statistics(norm: nn.GroupNorm, values: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """One multiplication and one addition a channel."""
    each = norm.num_channels // norm.num_groups
    weight, bias = (part.detach().cpu().double() for part in (norm.weight, norm.bias))
    scale = torch.rsqrt(variance + norm.eps).repeat_interleave(each) * weight
    shift = bias - mean.repeat_interleave(each) * scale
    scale, shift = (part.float().to(values.device).reshape(1, -1, 1, 1, 1) for part in (scale, shift))
    return torch.addcmul(shift, values.float(), scale).to(values.dtype)


class Sums:
    """Mean and variance of each group, merged from tile to tile (after Chan, Golub and LeVeque)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def add(self, norm: nn.GroupNorm, values: Tensor) -> None:
        variance, mean = (part.cpu().double().reshape(norm.num_groups, -1)
                          for part in torch.var_mean(values.float(), dim=(0, 2, 3, 4), correction=0))
        count = values[0, 0].numel() * mean.shape[1]
        variance, mean = (variance + mean**2).mean(1) - mean.mean(1)**2, mean.mean(1)
        total, apart = self.count + count, mean - self.mean
        self.squares = self.squares + variance * count + apart**2 * (self.count * count / total)
        self.mean = self.mean + apart * (count / total)
        self.count = total

    def result(self) -> tuple[Tensor, Tensor]:
        """Mean and variance of each group."""
        return cast(Tensor, self.mean), cast(Tensor, self.squares) / self.count

