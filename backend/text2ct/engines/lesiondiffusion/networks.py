"""The four networks out of the two files: LMNet and LINet with their moving averages, VQ-GAN and text tower.

A Lightning checkpoint, once converted, is one flat list of tensors. Sampling uses the
moving averages, which stand under the network's parameter names without their dots;
`raw` weights are for training and its tests. Each network is built from the shapes of
its tensors and loaded strictly: a missing, unexpected or misshapen tensor is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from ...errors import WeightsError
from ...weights.checkpoint import Scalar, open_checkpoint
from ...weights.tensors import TensorRef
from .sampling import Predicts
from .shapes import Shapes, below
from .text_tower import TextTower
from .unet import Attend, UNet, fused_attention
from .vq import GROUPS, VQGAN

M = TypeVar("M", bound=nn.Module)
_TOWER = "cond_stage_model.model."
_FIRST_STAGE = "first_stage_model."
_WRAPPER, _PARALLEL = "state_dict/", "module."


@dataclass(frozen=True)
class Settings:
    """What the tensors of a weight set do not show. The defaults are those of the published weights.

    `mask_spacing_mm` is the finest voxel of LMNet's crop (0: `spacing_mm`); a crop grows with its box, so that below
    the smallest box LMNet always sees one and the same size. `predicts` is what the denoisers were trained to say.
    `touched`: every latent that a lesion touches is painted, not only those whose first voxel it holds.
    `averaged`: the file holds the moving averages alone, under the plain names. `exact_volume`: a drawn mask is
    grown or shrunk to the wanted volume. `exact_hu`: a painted lesion is moved to the wanted mean.
    """

    mask_crop: tuple[int, int, int] = (64, 152, 152)
    paint_crop: tuple[int, int, int] = (128, 128, 128)
    spacing_mm: float = 1.0
    head: int = 32
    text_heads: int | None = None
    mask_spacing_mm: float = 0.0
    groups: int = 32
    vq_groups: int = GROUPS
    predicts: Predicts = "noise"
    averaged: bool = False
    exact_volume: bool = False
    touched: bool = False
    exact_hu: bool = False

    @classmethod
    def of(cls, metadata: Mapping[str, Scalar]) -> Settings:
        """The settings that a file states in its metadata; the published ones where it states none."""
        plain = cls()
        text_heads = metadata.get("text_heads")
        predicts = metadata.get("predicts", plain.predicts)
        if predicts not in ("noise", "data"):
            raise WeightsError(f"A weight file says that its network predicts '{predicts}'; it may say noise or data.")
        return cls(_sizes(metadata.get("mask_crop"), plain.mask_crop), _sizes(metadata.get("paint_crop"),
                   plain.paint_crop), float(metadata.get("spacing_mm", plain.spacing_mm)),
                   int(metadata.get("head", plain.head)), None if text_heads is None else int(text_heads),
                   float(metadata.get("mask_spacing_mm", 0.0)), int(metadata.get("groups", plain.groups)),
                   int(metadata.get("vq_groups", plain.vq_groups)), cast(Predicts, predicts),
                   bool(int(metadata.get("averaged", False))), bool(int(metadata.get("exact_volume", False))),
                   bool(int(metadata.get("touched", False))), bool(int(metadata.get("exact_hu", False))))


@dataclass(frozen=True)
class TensorFile:
    """A checkpoint: where its tensors stand. Numbers are read when they are asked for."""

    path: Path
    tensors: Mapping[str, TensorRef]
    metadata: Mapping[str, Scalar] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> TensorFile:
        """Any container of a checkpoint: what stands around the tensors of a Lightning file is left out."""
        whole = open_checkpoint(path)
        inner = whole.tensors
        if any(name.startswith(_WRAPPER) for name in inner):
            inner = {name.removeprefix(_WRAPPER): ref for name, ref in inner.items() if name.startswith(_WRAPPER)}
        if inner and all(name.startswith(_PARALLEL) for name in inner):
            inner = {name.removeprefix(_PARALLEL): ref for name, ref in inner.items()}
        return cls(path, inner, whole.scalars)

    @property
    def shapes(self) -> Shapes:
        return {name: ref.shape for name, ref in self.tensors.items()}

    def read(self, names: Mapping[str, str]) -> dict[str, Tensor]:
        """Tensors by the names that they shall have, from the names that they have here, as float32."""
        found = {}
        with self.path.open("rb") as file:
            for wanted, name in names.items():
                ref = self.tensors[name]
                numbers = torch.frombuffer(bytearray(b"".join(ref.chunks(file))), dtype=getattr(torch, ref.kind.name))
                found[wanted] = numbers.reshape(ref.shape).to(torch.float32)
        return found


def unet(file: TensorFile, settings: Settings, raw: bool = False, attend: Attend = fused_attention) -> UNet:
    """The denoiser of a file, with its moving averages unless `raw`."""
    shapes = below(file.shapes, "model.")
    plain = raw or settings.averaged
    names = {name: f"model.{name}" if plain else f"model_ema.{name.replace('.', '')}" for name in shapes}
    return _loaded(lambda: UNet(shapes, settings.head, attend, settings.groups), file, names, shapes)


def vqgan(file: TensorFile, groups: int = GROUPS) -> VQGAN:
    """The VQ-GAN, from a file of its own or from inside LINet's."""
    prefix = _FIRST_STAGE if any(name.startswith(_FIRST_STAGE) for name in file.tensors) else ""
    shapes = {name: shape for name, shape in below(file.shapes, prefix).items() if not name.startswith("loss.")}
    return _loaded(lambda: VQGAN(shapes, groups), file, {name: prefix + name for name in shapes}, shapes)


def text_tower(file: TensorFile, settings: Settings) -> TextTower:
    """The text tower inside LMNet's or LINet's file."""
    shapes = {name: shape for name, shape in below(file.shapes, _TOWER).items() if not name.endswith("position_ids")}
    return _loaded(lambda: TextTower(shapes, settings.text_heads), file, {n: _TOWER + n for n in shapes}, shapes)


def _loaded(build: Callable[[], M], file: TensorFile, names: Mapping[str, str], shapes: Shapes) -> M:
    """A network with these tensors and no others."""
    missing = [name for name in names.values() if name not in file.tensors]
    if missing or not names:
        said = ", ".join(missing[:3]) or "all of them"
        raise WeightsError(f"{file.path.name} lacks {len(missing)} tensors ({said}); "
                           "bring the checkpoint in again with 'text2ct weights import'.")
    try:
        with torch.device("meta"):
            network = build()
        network.load_state_dict(file.read(names), strict=True, assign=True)
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        raise WeightsError(f"{file.path.name} is no checkpoint of this network: {str(error).splitlines()[-1].strip()}; "
                           "bring the checkpoint in again with 'text2ct weights import'.") from None
    return network.eval().requires_grad_(False)


def _sizes(value: Scalar | None, otherwise: tuple[int, int, int]) -> tuple[int, int, int]:
    """Three sizes written as "64 152 152"."""
    if value is None:
        return otherwise
    a, b, c = (int(n) for n in str(value).split())
    return a, b, c
