"""What a run leaves behind so that it can go on: every number that the next step depends on.

That is little: the networks, their moving averages, the optimisers, the number of the
step and how many examples were seen. There is no state of a random generator to keep,
because everything random belongs to the number of an example (see `data`), and no state of
a schedule, because a learning rate is a function of the step. Files are plain tensors and
values, read without running anything in them, and appear whole or not at all.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from text2ct.errors import WeightsError
from text2ct.formats.atomic import replacing
from text2ct.weights.safetensors_file import write
from text2ct.weights.tensors import BY_NAME, TensorRef, row_major

_NAME = "step-{:08d}.pt"


@dataclass(frozen=True)
class Kept:
    """The state after a step. `players` holds for each network its numbers, averages and optimiser."""

    step: int
    seen: int
    settings: Mapping[str, Any]
    players: Mapping[str, Mapping[str, Any]]


def save(folder: Path, kept: Kept, how_many: int) -> Path:
    """Write the state and forget all but the newest `how_many`."""
    path = folder / _NAME.format(kept.step)
    with replacing(path) as temporary:
        torch.save(vars(kept), temporary)
    for old in states(folder)[:-max(1, how_many)]:
        old.unlink()
    return path


def states(folder: Path) -> list[Path]:
    """The kept states, the oldest first."""
    return sorted(folder.glob("step-*.pt"))


def load(path: Path) -> Kept:
    try:
        return Kept(**torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, TypeError, EOFError, pickle.UnpicklingError):
        raise WeightsError(f"{path} is no state of a training run; remove it, and the one before it is used."
                           ) from None


def export(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], kind: str) -> None:
    """The finished network under its published names, as safetensors: floats as `kind`, other numbers as they are."""
    with replacing(path) as temporary:
        write(temporary, {name: _piece(tensor, kind) for name, tensor in tensors.items()}, metadata)


def _piece(tensor: Tensor, kind: str) -> tuple[TensorRef, list[bytes]]:
    array = tensor.detach().cpu().contiguous().numpy()
    return packed(array.astype(kind) if array.dtype.kind == "f" else array)


def packed(array: np.ndarray[Any, Any]) -> tuple[TensorRef, list[bytes]]:
    """An array as the safetensors writer takes it."""
    shape = tuple(array.shape)
    ref = TensorRef(BY_NAME[array.dtype.name], shape, row_major(shape), 0, 0, array.nbytes)
    return ref, [array.tobytes()]
