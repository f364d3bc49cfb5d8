"""The same networks at small width with random numbers, so that the whole engine runs in a second."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from text2ct.engines.text2ct.config import ModelSizes, TextSizes, UNetSizes, VAESizes
from text2ct.engines.text2ct.files import Files
from text2ct.engines.text2ct.text import TextTower
from text2ct.engines.text2ct.unet import UNet
from text2ct.engines.text2ct.vae import VAE

SIZES = ModelSizes(
    UNetSizes(channels=(8, 8, 16, 16), head_channels=(0, 0, 8, 4), norm_groups=4, context_width=24),
    VAESizes(channels=(4, 8, 8), norm_groups=2),
    TextSizes(hidden=12, mlp=24, heads=3, layers=2, projection=24, length=64))
SHAPE, SPACING = (64, 32, 32), (1.5, 1.5, 3.0)


def randomised(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Numbers of a size that lets differences be seen at the end."""
    made = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            scale = 1 / math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 0.3
            offset = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            parameter.copy_(torch.randn(parameter.shape, generator=made) * scale + offset)
    return network.eval()


def networks(seed: int = 0) -> tuple[TextTower, UNet, VAE]:
    tower, unet, vae = TextTower(SIZES.text), UNet(SIZES.unet), VAE(SIZES.vae)
    for i, network in enumerate((tower, unet, vae)):
        randomised(network, seed + i)
    return tower, unet, vae


def written(folder: Path, seed: int = 0) -> Files:
    """Three checkpoints as their authors would save them: two flat, the UNet wrapped with its scale factor."""
    tower, unet, vae = networks(seed)
    torch.save({f"model.{name}": tensor for name, tensor in tower.state_dict().items()}, folder / "clip.pt")
    torch.save({"epoch": 200, "loss": 0.1, "num_train_timesteps": 1000, "scale_factor": torch.tensor(0.9),
                "unet_state_dict": unet.state_dict()}, folder / "unet.pt")
    torch.save(vae.state_dict(), folder / "vae.pt")
    return Files(SIZES, folder / "clip.pt", folder / "unet.pt", folder / "vae.pt", "5" * 64, SHAPE, SPACING)
