"""A set of small weights with random numbers, put where the package keeps the shipped one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from small_networks import randomised

from text2ct.engines.text2ct.config import ModelSizes, TextSizes, UNetSizes, VAESizes
from text2ct.engines.text2ct.standard_words import lexicon
from text2ct.engines.text2ct.text import TextTower
from text2ct.engines.text2ct.unet import UNet
from text2ct.engines.text2ct.vae import VAE

KINDS = ("pleural_effusion", "pneumothorax", "consolidation", "lung_opacity", "atelectasis", "emphysema",
         "cardiomegaly", "pericardial_effusion", "hepatic_steatosis")
BY_RULE = ("lung_nodule", "lung_mass")
WORDS = len(lexicon(KINDS))
SIZES = ModelSizes(
    UNetSizes(4, 4, (8, 16), (True, True), (8, 8), 1, 4, context_width=16, classes=8),
    VAESizes(1, 4, (4, 4, 8, 8), (1, 1, 1, 1), 2),
    TextSizes(16, 32, 2, 2, 16, WORDS + 3, WORDS + 2, 64))
GRID = {"shape": [128, 96, 64], "spacing": [3.0, 3.0, 5.0]}


def written(root: Path, seed: int = 0, **changed: Any) -> Path:
    """The folder of the set below `root`; `changed` replaces entries of its config.json."""
    folder = root / "text2ct" / "mini"
    folder.mkdir(parents=True)
    networks = {"clip3d": TextTower(SIZES.text), "unet": UNet(SIZES.unet), "autoencoder": VAE(SIZES.vae)}
    files = []
    for number, (name, network) in enumerate(networks.items()):
        randomised(network, seed + number)
        half = {key: value.half() if value.is_floating_point() else value
                for key, value in network.state_dict().items()}
        metadata = {"scale_factor": "0.9"} if name == "unet" else None
        data = safetensors.torch.save(_named(name, half), metadata)
        (folder / f"{name}.safetensors").write_bytes(data)
        files.append({"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    config = {"sizes": asdict(SIZES), **GRID, "words": "standard", "kinds": KINDS, "by_rule": BY_RULE, "files": files,
              "sampler": {"grid": "exact", "solver": "euler", "steps": 16, "guidance": 2.0}, **changed}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _named(name: str, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"model.{key}" if name == "clip3d" else key: value.contiguous() for key, value in state.items()}
