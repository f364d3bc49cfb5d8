"""Records what MONAI's own classes answer, at a width so small that the answers fit into the repository.

    pip install monai && python tests/parity/record_monai.py tests/data/parity-text2ct/monai.npz

The weights are a formula of their names, so only the answers are kept. MONAI is not needed
to run the tests, only to record anew.
"""

from __future__ import annotations

import math
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

UNET = {"channels": (8, 8, 16, 16), "attention": (False, False, True, True), "head_channels": (0, 0, 8, 4),
        "norm_groups": 4, "context_width": 12}
VAE = {"channels": (4, 8, 8), "norm_groups": 2}
CONTROL = {"mask_channels": 8, "embedding": (4, 8)}


def formula(network: torch.nn.Module) -> torch.nn.Module:
    """Every parameter set from its name and its place in the tensor."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            phase = zlib.crc32(name.encode()) % 1000
            values = np.sin(np.arange(parameter.numel()) * 1.2345 + phase)
            fan = parameter[0].numel() if parameter.ndim > 1 else 0
            scaled = values * (1.5 / math.sqrt(fan)) if fan else 0.2 * values + (name.endswith("weight"))
            parameter.copy_(torch.from_numpy(scaled.astype(np.float32)).reshape(parameter.shape))
    return network.eval()


def wave(*shape: int, speed: float = 0.37) -> torch.Tensor:
    """An input that is a formula too."""
    return torch.from_numpy((1.3 * np.sin(np.arange(math.prod(shape)) * speed)).astype(np.float32)).reshape(shape)


def inputs() -> dict[str, torch.Tensor]:
    """What the networks are asked."""
    return {"x": wave(2, 4, 8, 16, 8), "times": torch.tensor([986.5, 79.9375]), "context": wave(2, 1, 12, speed=0.9),
            "spacing": torch.tensor([[75.0, 75.0, 300.0], [80.0, 90.0, 250.0]]), "labels": torch.tensor([1, 0]),
            "mask": (wave(2, 8, 16, 32, 16, speed=0.11) > 0).float(), "latent": wave(1, 4, 8, 4, 4, speed=0.21),
            "image": wave(1, 1, 16, 24, 8, speed=0.05)}


def recorded() -> dict[str, np.ndarray]:
    """The answers of MONAI."""
    from monai.apps.generation.maisi.networks.autoencoderkl_maisi import AutoencoderKlMaisi
    from monai.apps.generation.maisi.networks.controlnet_maisi import ControlNetMaisi
    from monai.apps.generation.maisi.networks.diffusion_model_unet_maisi import DiffusionModelUNetMaisi

    common: dict[str, Any] = {
        "spatial_dims": 3, "in_channels": 4, "num_channels": UNET["channels"],
        "attention_levels": UNET["attention"], "num_head_channels": UNET["head_channels"], "num_res_blocks": 2,
        "norm_num_groups": UNET["norm_groups"], "with_conditioning": True, "resblock_updown": True,
        "cross_attention_dim": UNET["context_width"], "num_class_embeds": 128, "include_fc": True}
    unet = formula(DiffusionModelUNetMaisi(out_channels=4, include_spacing_input=True, **common))
    control = formula(ControlNetMaisi(conditioning_embedding_in_channels=CONTROL["mask_channels"],
                                      conditioning_embedding_num_channels=CONTROL["embedding"],
                                      use_checkpointing=False, **common))
    vae = formula(AutoencoderKlMaisi(
        spatial_dims=3, in_channels=1, out_channels=1, num_res_blocks=(2, 2, 2), num_channels=VAE["channels"],
        attention_levels=(False,) * 3, latent_channels=4, norm_num_groups=VAE["norm_groups"], norm_eps=1e-6,
        with_encoder_nonlocal_attn=False, with_decoder_nonlocal_attn=False, norm_float16=False, num_splits=1,
        use_convtranspose=False))
    given = inputs()
    with torch.no_grad():
        told = (given["x"], given["times"])
        down, middle = control(*told, given["mask"], 1.0, given["context"], given["labels"])
        plain = unet(*told, given["context"], given["labels"], spacing_tensor=given["spacing"])
        steered = unet(*told, given["context"], given["labels"], tuple(d.clone() for d in down), middle.clone(),
                       spacing_tensor=given["spacing"])
        mean, deviation = vae.encode(given["image"])
        found = {"unet": plain[..., ::2], "unet_with_control": steered[..., 1::2], "control_last": down[-1],
                 "control_middle": middle, "decoded": vae.decode(given["latent"])[..., ::2, ::2, ::2],
                 "encoded_mean": mean, "encoded_deviation": deviation}
    return {name: value.numpy() for name, value in found.items()}


if __name__ == "__main__":
    np.savez_compressed(Path(sys.argv[1]), **recorded())
