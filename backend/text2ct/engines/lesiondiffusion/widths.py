"""Names and shapes of the networks for any widths: what a checkpoint of them would hold.

The published networks are one choice of these numbers; ones of our own, and those of
the tests, are others. A network is then built from the shapes like any checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]
Named = Iterator[tuple[str, Shape]]
_KERNEL = (3, 3, 3)
_ONE = (1, 1, 1)


@dataclass(frozen=True)
class UNetWidths:
    """`multiples` of `channels`, one a level; transformers stand on the last level."""

    into: int
    out: int
    channels: int
    multiples: tuple[int, ...] = (1, 2, 4)
    blocks: int = 1
    context: int = 512


LMNET = UNetWidths(4, 1, 16)
LINET = UNetWidths(5, 5, 128, blocks=2)


@dataclass(frozen=True)
class TowerWidths:
    width: int = 768
    inner: int = 3072
    layers: int = 12
    words: int = 30522
    places: int = 512
    middle: int = 640
    out: int = 512


@dataclass(frozen=True)
class VQWidths:
    channels: int = 96
    levels: int = 3
    blocks: int = 1
    latent: int = 4
    codes: int = 2048


def unet_shapes(widths: UNetWidths) -> dict[str, Shape]:
    """The tensors of a U-Net; how its blocks follow each other is told by their numbers."""
    c, time = widths.channels, 4 * widths.channels
    last = len(widths.multiples) - 1
    shapes = dict([*_linear("time_embed.0", time, c), *_linear("time_embed.2", time, time)])
    shapes["context_linear_projection.weight"] = (widths.context, widths.context)
    shapes.update(_conv("input_blocks.0.0", c, widths.into))
    number, now, skips = 1, c, [c]
    for level, multiple in enumerate(widths.multiples):
        for _ in range(widths.blocks):
            shapes.update(_stage(f"input_blocks.{number}", now, multiple * c, time, level == last, widths.context))
            number, now = number + 1, multiple * c
            skips.append(now)
        if level < last:
            shapes.update(_conv(f"input_blocks.{number}.0.op", now, now))
            number += 1
            skips.append(now)
    shapes.update(_res("middle_block.0", now, now, time))
    shapes.update(_transformer("middle_block.1", now, widths.context))
    shapes.update(_res("middle_block.2", now, now, time))
    for number in range((last + 1) * (widths.blocks + 1)):
        level, block = last - number // (widths.blocks + 1), number % (widths.blocks + 1)
        here, out = f"output_blocks.{number}", widths.multiples[level] * c
        shapes.update(_stage(here, now + skips.pop(), out, time, level == last, widths.context))
        now = out
        if level and block == widths.blocks:
            shapes.update(_conv(f"{here}.{2 if level == last else 1}.conv", now, now))
    return {**shapes, **dict(_norm("out.0", now)), **dict(_conv("out.2", widths.out, now))}


def tower_shapes(widths: TowerWidths) -> dict[str, Shape]:
    """The tensors of the text tower."""
    w = widths.width
    shapes: dict[str, Shape] = {}
    start = "transformer.embeddings."
    for table, rows in (("word", widths.words), ("position", widths.places), ("token_type", 2)):
        shapes[f"{start}{table}_embeddings.weight"] = (rows, w)
    shapes.update(_norm(f"{start}LayerNorm", w))
    for n in range(widths.layers):
        layer = f"transformer.encoder.layer.{n}."
        for part in ("query", "key", "value"):
            shapes.update(_linear(f"{layer}attention.self.{part}", w, w))
        shapes.update(_linear(f"{layer}attention.output.dense", w, w))
        shapes.update(_norm(f"{layer}attention.output.LayerNorm", w))
        shapes.update(_linear(f"{layer}intermediate.dense", widths.inner, w))
        shapes.update(_linear(f"{layer}output.dense", w, widths.inner))
        shapes.update(_norm(f"{layer}output.LayerNorm", w))
    return {**shapes, "proj.0.weight": (widths.middle, w), "proj.2.weight": (widths.out, widths.middle)}


def vq_shapes(widths: VQWidths) -> dict[str, Shape]:
    """The tensors of the VQ-GAN, which halves the size after its first level."""
    c, z = widths.channels, widths.latent
    shapes = dict(_conv("encoder.conv_in", c, 1))
    for side, blocks in (("encoder.down", widths.blocks), ("decoder.up", widths.blocks + 1)):
        for level in range(widths.levels):
            for block in range(blocks):
                shapes.update(_vq_block(f"{side}.{level}.block.{block}", c))
    shapes.update(_conv("encoder.down.0.downsample.conv", c, c))
    shapes.update(_conv("decoder.up.1.upsample.conv", c, c))
    shapes.update(_conv("decoder.conv_in", c, z))
    for side, out in (("encoder", z), ("decoder", 1)):
        for middle in ("block_1", "block_2"):
            shapes.update(_vq_block(f"{side}.mid.{middle}", c))
        shapes.update(_norm(f"{side}.norm_out", c))
        shapes.update(_conv(f"{side}.conv_out", out, c))
    shapes["quantize.embedding.weight"] = (widths.codes, z)
    return {**shapes, **dict(_conv("quant_conv", z, z, _ONE)), **dict(_conv("post_quant_conv", z, z, _ONE))}


def checkpoint_shapes(unet: Mapping[str, Shape], tower: Mapping[str, Shape], vq: Mapping[str, Shape] | None = None,
                      ) -> dict[str, Shape]:
    """A whole file: raw weights, moving averages, text tower and, for LINet, the VQ-GAN."""
    averages = {f"model_ema.{name.replace('.', '')}": shape for name, shape in unet.items()}
    return {**{f"model.{name}": shape for name, shape in unet.items()}, **averages,
            **{f"cond_stage_model.model.{name}": shape for name, shape in tower.items()},
            **{f"first_stage_model.{name}": shape for name, shape in (vq or {}).items()}}


def _stage(name: str, into: int, out: int, time: int, looks: bool, context: int) -> Named:
    yield from _res(f"{name}.0", into, out, time)
    if looks:
        yield from _transformer(f"{name}.1", out, context)


def _res(name: str, into: int, out: int, time: int) -> Named:
    yield from _norm(f"{name}.in_layers.0", into)
    yield from _conv(f"{name}.in_layers.2", out, into)
    yield from _linear(f"{name}.emb_layers.1", out, time)
    yield from _norm(f"{name}.out_layers.0", out)
    yield from _conv(f"{name}.out_layers.3", out, out)
    if into != out:
        yield from _conv(f"{name}.skip_connection", out, into, _ONE)


def _transformer(name: str, width: int, context: int) -> Named:
    yield from _norm(f"{name}.norm", width)
    yield from _conv(f"{name}.proj_in", width, width, _ONE)
    yield from _conv(f"{name}.proj_out", width, width, _ONE)
    block = f"{name}.transformer_blocks.0"
    for part, source in (("attn1", width), ("attn2", context)):
        yield f"{block}.{part}.to_q.weight", (width, width)
        yield f"{block}.{part}.to_k.weight", (width, source)
        yield f"{block}.{part}.to_v.weight", (width, source)
        yield from _linear(f"{block}.{part}.to_out.0", width, width)
    yield from _linear(f"{block}.ff.net.0.0", 4 * width, width)
    yield from _linear(f"{block}.ff.net.2", width, 4 * width)
    for n in (1, 2, 3):
        yield from _norm(f"{block}.norm{n}", width)


def _vq_block(name: str, width: int) -> Named:
    for n in (1, 2):
        yield from _norm(f"{name}.norm{n}", width)
        yield from _conv(f"{name}.conv{n}", width, width)


def _norm(name: str, width: int) -> Named:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def _linear(name: str, out: int, into: int) -> Named:
    yield f"{name}.weight", (out, into)
    yield f"{name}.bias", (out,)


def _conv(name: str, out: int, into: int, kernel: Shape = _KERNEL) -> Named:
    yield f"{name}.weight", (out, into, *kernel)
    yield f"{name}.bias", (out,)
