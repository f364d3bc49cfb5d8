"""The sizes of the four networks, as values: the published ones are the defaults.

Checkpoints hold shapes but neither head counts nor norm groups, so a weight set of other
widths brings its configuration in the form that the published program reads (`model_def`
with `_target_` and "@name" references). `from_model_def` reads that form; nothing in it is
ever imported or evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import WeightsError

DEFAULT_SCALE_FACTOR = 1.0287
CT_MODALITY = 1


@dataclass(frozen=True)
class UNetSizes:
    """The velocity network in the latent."""

    in_channels: int = 4
    out_channels: int = 4
    channels: tuple[int, ...] = (64, 128, 256, 512)
    attention: tuple[bool, ...] = (False, False, True, True)
    head_channels: tuple[int, ...] = (0, 0, 32, 32)
    res_blocks: int = 2
    norm_groups: int = 32
    norm_eps: float = 1e-6
    context_width: int = 768
    classes: int = 128
    with_spacing: bool = True

    @property
    def factor(self) -> int:
        """Latent axes must be multiples of this."""
        return int(2 ** (len(self.channels) - 1))


@dataclass(frozen=True)
class VAESizes:
    """The autoencoder between CT and latent.

    `decoder_groups` is for a decoder whose norms differ from the encoder's; 0 are norms that measure nothing.
    """

    image_channels: int = 1
    latent_channels: int = 4
    channels: tuple[int, ...] = (64, 128, 256)
    res_blocks: tuple[int, ...] = (2, 2, 2)
    norm_groups: int = 32
    norm_eps: float = 1e-6
    decoder_groups: int | None = None

    @property
    def factor(self) -> int:
        """Voxels per latent voxel along each axis."""
        return int(2 ** (len(self.channels) - 1))


@dataclass(frozen=True)
class TextSizes:
    """The CLIP text tower; `end` is the number of the mark at whose place a report is summed up."""

    hidden: int = 768
    mlp: int = 3072
    heads: int = 12
    layers: int = 12
    projection: int = 768
    vocabulary: int = 49408
    end: int = 49407
    length: int = 512
    norm_eps: float = 1e-5


@dataclass(frozen=True)
class ControlSizes:
    """The mask branch of the family's retrieval version: the UNet's way down, and small convolutions for the mask."""

    unet: UNetSizes = field(default_factory=lambda: UNetSizes(with_spacing=False))
    mask_channels: int = 8
    embedding: tuple[int, ...] = (8, 32, 64)


@dataclass(frozen=True)
class ModelSizes:
    """Everything that generation needs."""

    unet: UNetSizes = field(default_factory=UNetSizes)
    vae: VAESizes = field(default_factory=VAESizes)
    text: TextSizes = field(default_factory=TextSizes)


PUBLISHED = ModelSizes()


def from_model_def(model_def: Mapping[str, Any], text: Mapping[str, Any] | None = None) -> ModelSizes:
    """The sizes that a published configuration describes; `text` holds the CLIP names (hidden_size, ...)."""
    try:
        return ModelSizes(_unet(_resolved(model_def, "diffusion_unet_def")),
                          _vae(_resolved(model_def, "autoencoder_def")), _text(text or {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"The configuration of the weights cannot be read ({error}); "
                           "it must hold model_def as the published one does.") from None


def _resolved(model_def: Mapping[str, Any], part: str) -> dict[str, Any]:
    """One network's entries, with "@name" replaced by the value of that name."""
    return {key: model_def[value[1:]] if isinstance(value, str) and value.startswith("@") else value
            for key, value in model_def[part].items()}


def _refused(entries: Mapping[str, Any], *names: str) -> None:
    """Options that change the network and that no published checkpoint uses."""
    used = [name for name in names if entries.get(name)]
    if used:
        raise ValueError(f"the option {used[0]} is not supported")


def _unet(entries: Mapping[str, Any]) -> UNetSizes:
    _refused(entries, "include_top_region_index_input", "include_bottom_region_index_input", "upcast_attention")
    channels = _numbers(entries["num_channels"])
    if not entries.get("resblock_updown", False) or not entries.get("with_conditioning", False):
        raise ValueError("resblock_updown and with_conditioning must be on")
    return UNetSizes(
        int(entries["in_channels"]), int(entries["out_channels"]), channels,
        tuple(bool(on) for on in entries["attention_levels"]), _spread(entries["num_head_channels"], len(channels)),
        int(entries["num_res_blocks"]), int(entries.get("norm_num_groups", 32)), float(entries.get("norm_eps", 1e-6)),
        int(entries["cross_attention_dim"]), int(entries["num_class_embeds"]),
        bool(entries.get("include_spacing_input", False)))


def _vae(entries: Mapping[str, Any]) -> VAESizes:
    _refused(entries, "with_encoder_nonlocal_attn", "with_decoder_nonlocal_attn", "use_convtranspose")
    if any(entries.get("attention_levels", ())):
        raise ValueError("an autoencoder with attention is not supported")
    channels = _numbers(entries["num_channels"])
    return VAESizes(int(entries["in_channels"]), int(entries["latent_channels"]), channels,
                    _spread(entries["num_res_blocks"], len(channels)), int(entries.get("norm_num_groups", 32)),
                    float(entries.get("norm_eps", 1e-6)))


def _text(entries: Mapping[str, Any]) -> TextSizes:
    default = TextSizes()
    if entries.get("hidden_act", "quick_gelu") != "quick_gelu":
        raise ValueError("a text tower with another activation than quick_gelu is not supported")
    return TextSizes(
        int(entries.get("hidden_size", default.hidden)), int(entries.get("intermediate_size", default.mlp)),
        int(entries.get("num_attention_heads", default.heads)), int(entries.get("num_hidden_layers", default.layers)),
        int(entries.get("projection_dim", default.projection)), int(entries.get("vocab_size", default.vocabulary)),
        default.end, int(entries.get("max_length", default.length)),
        float(entries.get("layer_norm_eps", default.norm_eps)))


def _numbers(values: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _spread(value: Any, count: int) -> tuple[int, ...]:
    """One number for each level, given as a list or as one for all."""
    return (int(value),) * count if isinstance(value, int) else _numbers(value)
