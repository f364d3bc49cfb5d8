"""Which files a request needs, whether they are here, on which device they run and how much memory that takes.

Both networks bring the text tower along, LINet also the VQ-GAN; the vocabulary of the
tower stands beside them as vocab.txt. Sizes are judged from the tensors' shapes before
a number of them is read.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ...errors import Unavailable, WeightsError
from ...requests import Watch
from ...speed.plan import free_bytes
from ...weights import store
from ..terms import Engine
from .crops import Index
from .networks import Settings, TensorFile
from .shapes import below
from .wordpiece import WordPiece

VOCABULARY, CONFIG = "vocab.txt", "config.json"
_SOURCE = "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224"
# Activations alive at the worst moment, counted in maps of full size and first width.
_UNET_MAPS, _VQ_MAPS = 22, 5
_FLOAT = 4


@dataclass(frozen=True, eq=False)
class Weights:
    """The opened files of one request, and where and in which kind of number the denoisers run.

    LMNet is absent when only painting is asked for, LINet when only a mask is.
    """

    name: str
    sha256: str
    vocabulary: WordPiece
    device: torch.device
    kind: torch.dtype
    lmnet: TensorFile | None
    linet: TensorFile | None

    @property
    def settings(self) -> Settings:
        """What the files state about themselves."""
        file = self.lmnet or self.linet
        return Settings.of(file.metadata) if file else Settings()


def opened(engine: Engine, weights_id: str, drawing: bool, painting: bool, device: torch.device, kind: torch.dtype,
           watch: Watch) -> Weights:
    """The files that drawing and painting need, or a sentence that says how to get them."""
    wanted = [name for name, needed in (("lmnet", drawing), ("linet", painting)) if needed]
    found = {name: store.find(engine, weights_id, name, watch) for name in wanted}
    folder = next(iter(found.values()))[0].parent
    sha256 = hashlib.sha256(" ".join(record.sha256 for _, record in found.values()).encode()).hexdigest()
    if len(found) == 1:
        sha256 = next(iter(found.values()))[1].sha256
    files = {name: _file(path) for name, (path, _) in found.items()}
    return Weights(engine.weight_set(weights_id).id, sha256, _vocabulary(folder), device, kind, files.get("lmnet"),
                   files.get("linet"))


def mini_files(folder: Path, device: torch.device, kind: torch.dtype, drawing: bool = True, painting: bool = True,
               ) -> Weights:
    """Small weights that lie together in a folder, whose config.json says what the published ones need not say."""
    wanted = {name: folder / f"{name}.safetensors" for name, needed in (("lmnet", drawing), ("linet", painting))
              if needed}
    files = {name: _file(path) for name, path in wanted.items()}
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in wanted.values())).hexdigest()
    return Weights("mini", digest, _vocabulary(folder), device, kind, files.get("lmnet"), files.get("linet"))


def _file(path: Path) -> TensorFile:
    """A file with what is stated about it: in the config.json beside it where there is one, else in itself."""
    file, beside = TensorFile.open(path), path.parent / CONFIG
    if not beside.is_file():
        return file
    try:
        stated = json.loads(beside.read_text(encoding="utf-8"))["settings"]
        return replace(file, metadata={name: _plain(value) for name, value in stated.items()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise WeightsError(f"{beside} cannot be read; install the package again.") from None


def _plain(value: object) -> str:
    """A value of JSON as the metadata of a weight file would state it."""
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(int(value)) if isinstance(value, bool) else str(value)


def _vocabulary(folder: Path) -> WordPiece:
    path = folder / VOCABULARY
    if not path.is_file():
        raise WeightsError(f"The vocabulary of the text model is not on this machine; get it with: "
                           f"hf download {_SOURCE} {VOCABULARY} --local-dir \"{folder}\"")
    return WordPiece.read(path)


def bytes_for_mask(file: TensorFile, crop: Index, batch: int = 1) -> int:
    """Peak memory of LMNet on its crop."""
    return _unet_bytes(file, crop, batch)


def batch_for_mask(file: TensorFile, crop: Index, count: int, device: torch.device) -> int:
    """How many candidates go through LMNet at once: one on a processor, where more gain nothing, else what fits."""
    free = free_bytes(device)
    if device.type == "cpu" or free is None:
        return 1
    return max(1, min(count, free // bytes_for_mask(file, crop)))


def bytes_for_paint(file: TensorFile, crop: Index) -> int:
    """Peak memory of LINet and the VQ-GAN on their crop; they run one after the other."""
    shapes = below(file.shapes, "first_stage_model.")
    factor = 2 ** sum(name.endswith("downsample.conv.weight") for name in shapes)
    latent = (crop[0] // factor, crop[1] // factor, crop[2] // factor)
    return max(_unet_bytes(file, latent, 1), bytes_for_vq(file, crop))


def bytes_for_vq(file: TensorFile, size: Index) -> int:
    shapes = below(file.shapes, "first_stage_model.")
    own = _FLOAT * sum(math.prod(shape) for shape in shapes.values())
    return own + _FLOAT * _VQ_MAPS * math.prod(size) * shapes["encoder.conv_in.weight"][0]


def check_memory(needed: int, device: torch.device, what: str) -> None:
    """Refuse before anything is loaded."""
    free = free_bytes(device)
    if free is not None and needed > free:
        raise Unavailable(f"{what} needs about {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free; "
                          "close other programs or use another device.")


def _unet_bytes(file: TensorFile, size: Index, batch: int) -> int:
    shapes = below(file.shapes, "model.")
    width = shapes["time_embed.0.weight"][1]
    return _FLOAT * (sum(math.prod(shape) for shape in shapes.values()) + batch * _UNET_MAPS * width * math.prod(size))

