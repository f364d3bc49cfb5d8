"""Cases of the lesion networks as values, and how they lie in the shards that the task "lesions" wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from text2ct.engines.lesiondiffusion.hounsfield import to_unit
from text2ct.errors import BadInput

from .lesion_settings import LesionCrops
from .shards import Shards

_TEXT_BYTES = 640
_ORGANS = 104


@dataclass(frozen=True, eq=False)
class MaskCase:
    """What LMNet learns from: the lesion (1, z, y, x), organs, target and box (3, z, y, x), its texts."""

    mask: Tensor
    condition: Tensor
    texts: list[str]


@dataclass(frozen=True, eq=False)
class PaintCase:
    """What VQ-GAN and LINet learn from: the crop in [0, 1] and the lesion in it, (1, z, y, x), and its texts."""

    image: Tensor
    mask: Tensor
    texts: list[str]


class Lesions(Protocol):
    """Cases by number."""

    def __len__(self) -> int: ...

    def mask_case(self, number: int) -> MaskCase: ...

    def paint_case(self, number: int) -> PaintCase: ...


class DrawnCases:
    """The cases of a folder of shards."""

    def __init__(self, folder: Path, crops: LesionCrops) -> None:
        self.shards = Shards(folder)
        if not len(self.shards):
            raise BadInput(f"{folder} holds no shards; write them first with a recipe of the task 'lesions'.")
        first = self.shards[0]
        shapes = {"mask": first["organs"].shape, "paint": first["image"].shape}
        for name, shape in shapes.items():
            if shape != getattr(crops, name):
                raise BadInput(f"The shards in {folder} hold {name} crops of {shape} voxels, the recipe says "
                               f"{getattr(crops, name)}; change [crops], or write the shards again.")

    def __len__(self) -> int:
        return len(self.shards)

    def mask_case(self, number: int) -> MaskCase:
        row = self.shards[number]
        organs = row["organs"]
        box = np.zeros(organs.shape, np.float32)
        low, high = row["window"][:3], row["window"][3:]
        box[tuple(map(slice, low, high))] = 1
        channels = np.stack([organs / np.float32(_ORGANS), bits(row["target"], organs.shape), box])
        return MaskCase(torch.from_numpy(bits(row["mask"], organs.shape))[None],
                        torch.from_numpy(channels.astype(np.float32)), lines_of(row["lmnet"]))

    def paint_case(self, number: int) -> PaintCase:
        row = self.shards[number]
        mask = bits(row["lesion"], row["image"].shape)
        return PaintCase(torch.from_numpy(to_unit(row["image"]))[None], torch.from_numpy(mask)[None],
                         lines_of(row["linet"]))


def bits(packed: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.unpackbits(packed, count=int(np.prod(shape))).reshape(shape).astype(bool)


def text_of(values: list[str]) -> NDArray[Any]:
    """Texts as bytes of a fixed length, a line each."""
    return np.frombuffer("\n".join(values).encode()[:_TEXT_BYTES].ljust(_TEXT_BYTES, b"\0"), np.uint8)


def lines_of(text: NDArray[Any]) -> list[str]:
    return bytes(text).rstrip(b"\0").decode().split("\n")
