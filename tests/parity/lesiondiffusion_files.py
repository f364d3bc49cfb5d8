"""The files of a recorded case of LesionDiffusion: its arrays, config, noise and checkpoints, as values.

Widths come from the tensors, crops and steps from the config. A checkpoint may lie in
any container; a folder may hold only some of the files.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from text2ct.engines.lesiondiffusion import networks
from text2ct.engines.lesiondiffusion.sampling import Sampler
from text2ct.engines.lesiondiffusion.wordpiece import WordPiece

VOCABULARY = "TEXT2CT_BIOMEDCLIP_VOCAB"
_SHARED = Path(os.environ.get("TEXT2CT_SHARED", Path(__file__).resolve().parents[2].parent / "shared"))


class Arrays(dict[str, NDArray[Any]]):
    """The arrays of one npz file."""

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(np.array(self[name]))

    def below(self, prefix: str) -> Arrays:
        return Arrays({name.removeprefix(prefix): a for name, a in self.items() if name.startswith(prefix)})


class Replay:
    """Recorded noise, given out in the order in which it was drawn."""

    def __init__(self, *fields: Tensor) -> None:
        self._fields = iter(fields)

    def __call__(self, *shape: int) -> Tensor:
        return next(self._fields).reshape(shape)


@dataclass(frozen=True)
class Folder:
    """The case as values: its networks, its config, its arrays."""

    path: Path

    @cached_property
    def config(self) -> Any:
        return json.loads((self.path / "config.json").read_text())

    def settings(self, network: str = "lmnet") -> networks.Settings:
        """What the tensors of "lmnet" or "linet" do not show."""
        return networks.Settings(
            tuple(self.config["lmnet"]["crop"]), tuple(self.config["linet"]["crop"]),
            head=self.config[network]["unet"]["num_head_channels"],
            text_heads=self.config["text_encoder"]["num_attention_heads"])

    def unet(self, network: str, raw: bool = False) -> networks.UNet:
        return networks.unet(getattr(self, network), self.settings(network), raw)

    @cached_property
    def lmnet(self) -> networks.TensorFile:
        return self.checkpoint("LMNet")

    @cached_property
    def linet(self) -> networks.TensorFile:
        return self.checkpoint("LINet")

    @cached_property
    def tower(self) -> networks.TextTower:
        return networks.text_tower(self.lmnet if self.has("LMNet") else self.linet, self.settings())

    @cached_property
    def vq(self) -> networks.VQGAN:
        return networks.vqgan(self.linet)

    @cached_property
    def vocabulary(self) -> WordPiece | None:
        """The published vocabulary, when it is at hand beside the cases."""
        places = [Path(os.environ[VOCABULARY])] if VOCABULARY in os.environ else []
        places += [folder / "data" / "biomedclip-tokenizer" / "vocab.txt" for folder in (
            _SHARED, *self.path.resolve().parents)]
        return next((WordPiece.read(place) for place in places if place.is_file()), None)

    @property
    def sampler(self) -> Sampler:
        return Sampler("ddim", self.config["ddim_steps"])

    def has(self, *names: str) -> bool:
        """Whether these files are here; a checkpoint is named without its ending."""
        return all((self.path / name).is_file() or self._container(name) is not None for name in names)

    def checkpoint(self, name: str) -> networks.TensorFile:
        """A checkpoint in whichever container it lies here."""
        path = self._container(name)
        assert path is not None, name
        return networks.TensorFile.open(path)

    def _container(self, name: str) -> Path | None:
        found = (self.path / f"{name}{ending}" for ending in (".safetensors", ".ckpt", ".pt", ".pth"))
        return next((path for path in found if path.is_file()), None)

    def arrays(self, name: str) -> Arrays:
        with np.load(self.path / name) as file:
            return Arrays({key: file[key] for key in file})

    def json(self, name: str) -> Any:
        return json.loads((self.path / name).read_text(encoding="utf-8"))
