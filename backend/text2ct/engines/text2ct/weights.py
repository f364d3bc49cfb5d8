"""From files to networks: only the tensors that a network needs, read in place, loaded strictly.

A file (converted safetensors, or a checkpoint in either of the containers in which the
authors save) is opened by `text2ct.weights`, which runs nothing in it. Its tensors are then
mapped, not copied: of the 3.1 GB of the text file only the text tower's 198 tensors are ever
touched. Networks are built without memory and given these tensors.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ...errors import WeightsError
from ...weights.checkpoint import Checkpoint, open_checkpoint
from ...weights.manifest import Manifest, Selection, select
from ...weights.tensors import TensorRef
from .. import catalog
from .config import DEFAULT_SCALE_FACTOR, ModelSizes
from .text import TextTower
from .unet import UNet
from .vae import VAE

ENGINE = "text2ct"
_TEXT_PREFIXES = ("text_model.", "text_projection.")
_RECOMPUTED = "embeddings.position_ids"
Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Networks:
    """The three networks of a weight set, and the factor between the VAE's latent and the UNet's."""

    sizes: ModelSizes
    text: TextTower
    unet: UNet
    vae: VAE
    scale_factor: float


def load(sizes: ModelSizes, text: Path, unet: Path, vae: Path) -> Networks:
    """All three from their files. The text tower computes in float32, however it was saved."""
    tower, flow, coder = load_text(sizes, text), load_unet(sizes, unet), load_vae(sizes, vae)
    return Networks(sizes, tower.float(), flow[0], coder, flow[1])


def load_text(sizes: ModelSizes, path: Path) -> TextTower:
    """The text tower alone; the vision tower in the same file stays on the disk."""
    checkpoint, selection = _selected(path, "clip3d")
    bare = {name.removeprefix("model."): ref for name, ref in selection.tensors.items()}
    wanted = {name: ref for name, ref in bare.items()
              if name.startswith(_TEXT_PREFIXES) and not name.endswith(_RECOMPUTED)}
    return filled(lambda: TextTower(sizes.text), mapped(checkpoint, wanted), path)


def load_unet(sizes: ModelSizes, path: Path) -> tuple[UNet, float]:
    """The UNet and its scale factor: the one kept beside the tensors, else the published one."""
    checkpoint, selection = _selected(path, "unet")
    return (filled(lambda: UNet(sizes.unet), mapped(checkpoint, selection.tensors), path),
            selection.scalars.get("scale_factor", DEFAULT_SCALE_FACTOR))


def load_vae(sizes: ModelSizes, path: Path) -> VAE:
    checkpoint, selection = _selected(path, "autoencoder")
    return filled(lambda: VAE(sizes.vae), mapped(checkpoint, selection.tensors), path)


def _selected(path: Path, file: str) -> tuple[Checkpoint, Selection]:
    """The file, and of it the tensors under their own names, freed of wrappers, and the single values."""
    entry = next(one for one in catalog.engine(ENGINE).weight_set("published").files if one.name == file)
    checkpoint = open_checkpoint(path)
    return checkpoint, select(checkpoint, entry, Manifest(entry.name, {}))


def mapped(checkpoint: Checkpoint, refs: Mapping[str, TensorRef]) -> dict[str, Tensor]:
    """Tensors that lie in the file until they are touched; changes to them never reach it."""
    if not refs:
        return {}
    with checkpoint.path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return {name: _tensor(content, ref) for name, ref in refs.items()}


def _tensor(content: mmap.mmap, ref: TensorRef) -> Tensor:
    kind: torch.dtype = getattr(torch, ref.kind.name)
    if ref.elements == 0:
        return torch.empty(ref.shape, dtype=kind)
    start, count = ref.start + ref.offset * ref.kind.bytes, ref.elements
    if not ref.contiguous:
        count = 1 + sum((size - 1) * step for size, step in zip(ref.shape, ref.stride, strict=True))
    if start % ref.kind.bytes:
        flat = torch.frombuffer(bytearray(content[start:start + count * ref.kind.bytes]), dtype=kind)
    else:
        flat = torch.frombuffer(content, dtype=kind, count=count, offset=start)
    return flat.as_strided(ref.shape, ref.stride)


class Undrawn(TorchFunctionMode):
    """First numbers of an embedding are not drawn: without memory, PyTorch would load its compiler for that."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        return given["tensor"] if func is nn.init.normal_ and "tensor" in given else func(*args, **given)


def filled(build: Callable[[], Module], tensors: Mapping[str, Tensor], source: Path) -> Module:
    """A network made without memory and given `tensors`, which must be exactly its own."""
    with torch.device("meta"), Undrawn():
        network = build()
    expected = network.state_dict()
    missing = [name for name in expected if name not in tensors]
    unexpected = [name for name in tensors if name not in expected]
    misshapen = [f"{name} is {list(tensors[name].shape)}, not {list(expected[name].shape)}"
                 for name in expected if name in tensors and tensors[name].shape != expected[name].shape]
    said = [f"{len(names)} {what} ({', '.join(names[:3])})" for what, names in (
        ("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen)) if names]
    if said:
        raise WeightsError(f"{source.name} does not fit the {type(network).__name__}: {'; '.join(said)}.")
    network.load_state_dict(dict(tensors), strict=True, assign=True)
    return network.eval().requires_grad_(False)
