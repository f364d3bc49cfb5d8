"""What a recipe may say about the lesion networks; the defaults are the published ones.

Sizes that tensors show are the engine's own (`widths`); what they do not show is the
engine's `Settings`, and stands here under the same names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from text2ct.engines.lesiondiffusion.losses import LESION_WEIGHT


@dataclass(frozen=True)
class LesionCrops:
    """What LMNet and LINet see, in voxels (up, front, left) and mm; `mask_spacing` 0 is `spacing`."""

    mask: tuple[int, int, int] = (64, 152, 152)
    paint: tuple[int, int, int] = (128, 128, 128)
    spacing: float = 1.0
    mask_spacing: float = 0.0

    @property
    def finest(self) -> float:
        return self.mask_spacing or self.spacing


@dataclass(frozen=True)
class LesionLists:
    """The published list files: texts with one path a line, their rows aligned. `organs` and `coarse` are those of
    the healthy CT and of the one with the lesion; without `coarse` they are the same."""

    images: str = ""
    labels: str = ""
    types: str = ""
    organs: str = ""
    coarse: str = ""


@dataclass(frozen=True)
class LesionData:
    """Where lesions come from: shards that the task "lesions" wrote (`place`), or list files."""

    place: str = ""
    held_out: str = ""
    lists: LesionLists = field(default_factory=LesionLists)
    held_out_lists: LesionLists = field(default_factory=LesionLists)
    workers: int = 0


@dataclass(frozen=True)
class LesionNet:
    """A denoiser. `channels` and `blocks` at 0 are those of the published network of its name."""

    channels: int = 0
    multiples: tuple[int, ...] = (1, 2, 4)
    blocks: int = 0
    context: int = 512
    head: int = 32
    groups: int = 32


@dataclass(frozen=True)
class LesionText:
    """The text tower. `weights` is a file that holds one (LMNet.ckpt as imported, or another run's), '' begins anew;
    `vocabulary` its vocab.txt, '' the small one of the menus' words. Published: given, and not learned."""

    weights: str = ""
    vocabulary: str = ""
    learned: bool = False
    width: int = 768
    inner: int = 3072
    layers: int = 12
    heads: int = 12
    middle: int = 640
    places: int = 512


@dataclass(frozen=True)
class DenoiserLoss:
    """`predicts`: what the network says. `box` is LMNet's weight inside the box. `touched`: LINet paints every latent
    that a lesion touches. `healed`: around the lesion LINet sees tissue without it, as in use; as published it sees
    what the lesion itself left in the latents beside it, and small networks learn to read it from there."""

    predicts: Literal["noise", "data"] = "noise"
    box: float = LESION_WEIGHT
    touched: bool = False
    healed: bool = False


@dataclass(frozen=True)
class VQNet:
    channels: int = 96
    levels: int = 3
    blocks: int = 1
    latent: int = 4
    codes: int = 2048
    groups: int = 16


@dataclass(frozen=True)
class VQLoss:
    """Weights of the VQ-GAN's loss. `features` stands for LPIPS, by fixed random convolutions in place of a network
    trained on photographs. Every `revive` steps codes that nothing used are put where latents are (0: never, as
    published)."""

    features: float = 1.0
    lesion: float = 0.0
    adversarial: float = 0.5
    adversarial_from: int = 25000
    critic_width: int = 64
    critic_learning_rate: float = 1e-4
    revive: int = 0
