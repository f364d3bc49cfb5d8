"""A weight set of tiny networks with random numbers, laid down as an import would: the whole engine in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from text2ct.engines import catalog
from text2ct.engines.lesiondiffusion import widths
from text2ct.requests import Watch
from text2ct.weights import safetensors_file
from text2ct.weights.convert import file_sha256
from text2ct.weights.store import Record, place
from text2ct.weights.tensors import BY_NAME, TensorRef, row_major

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ",", ".", "-", *"abcdefghijklmnopqrstuvwxyz0123456789",
         *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz0123456789"), "enhanced", "ct", "liver", "lung", "lesion")
CONTEXT = 32
SETTINGS = {"mask_crop": "24 28 28", "paint_crop": "24 24 24", "spacing_mm": "2.5", "head": "16", "text_heads": "2"}
LMNET = widths.UNetWidths(4, 1, 8, (1, 1, 4), 1, CONTEXT)
LINET = widths.UNetWidths(5, 5, 8, (1, 1, 4), 1, CONTEXT)
TOWER = widths.TowerWidths(8, 16, 1, len(WORDS), 64, 12, CONTEXT)
VQ = widths.VQWidths(16, codes=64)


def numbers(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, NDArray[np.float32]]:
    """Random weights of a sane size; the scales of norms are left at one."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, shape in shapes.items():
        if len(shape) == 1:
            value = np.ones(shape) if name.endswith("weight") else rng.normal(0, 0.1, shape)
        else:
            value = rng.normal(0, 0.8 / np.sqrt(np.prod(shape[1:])), shape)
        made[name] = value.astype(np.float32)
    return made


def write(path: Path, tensors: Mapping[str, NDArray[np.float32]], metadata: Mapping[str, str]) -> None:
    kind = BY_NAME["float32"]
    refs = {name: (TensorRef(kind, a.shape, row_major(a.shape), 0, 0, a.nbytes), [a.tobytes()])
            for name, a in tensors.items()}
    safetensors_file.write(path, refs, metadata)


def install(settings: Mapping[str, str] = SETTINGS) -> None:
    """Put the tiny weight set where the engine looks for the published one."""
    engine = catalog.engine("lesiondiffusion")
    tower = widths.tower_shapes(TOWER)
    shapes = {"lmnet": widths.checkpoint_shapes(widths.unet_shapes(LMNET), tower),
              "linet": widths.checkpoint_shapes(widths.unet_shapes(LINET), tower, widths.vq_shapes(VQ))}
    for seed, (name, own) in enumerate(shapes.items()):
        where = place(engine, "published", name)
        where.path.parent.mkdir(parents=True, exist_ok=True)
        write(where.path, numbers(own, seed), settings)
        stat = where.path.stat()
        sha256 = file_sha256(where.path, Watch(), "hashing")
        where.write_record(Record(engine.id, "published", name, f"{name}.ckpt", sha256, stat.st_size, False, sha256,
                                  stat.st_size, stat.st_mtime_ns, "MIT", "2026", "2026"))
    (where.path.parent / "vocab.txt").write_text("\n".join(WORDS) + "\n")
