"""From a checkpoint to our own safetensors file, once, in small pieces.

The structure is judged first, then the source is hashed, then its tensors stream
into a file beside the target, which is hashed on the way and renamed when it is
whole. Memory stays at a few pieces, however large the checkpoint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..engines.terms import WeightFile
from ..errors import BadInput, WeightsError
from ..formats.atomic import replacing
from ..requests import Watch
from .checkpoint import open_checkpoint
from .home import check_room
from .manifest import Manifest, Selection, check, select
from .safetensors_file import write
from .tensors import CHUNK, TensorRef

_MB = 1_000_000


@dataclass(frozen=True)
class Conversion:
    """What was read and what was written."""

    source_sha256: str
    source_bytes: int
    sha256: str
    bytes: int
    scalars: tuple[tuple[str, float], ...]


def file_sha256(path: Path, watch: Watch, stage: str) -> str:
    """The hash of a whole file, telling `watch` how far it is."""
    sha = hashlib.sha256()
    done = 0
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            while piece := file.read(CHUNK):
                sha.update(piece)
                done += len(piece)
                watch.at(stage, done // _MB, size // _MB)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from None
    return sha.hexdigest()


def convert(source: Path, target: Path, entry: WeightFile, manifest: Manifest, watch: Watch,
            expected_sha256: str = "") -> Conversion:
    """Convert `source` to `target`; nothing stands at `target` unless all went well."""
    selection = select(open_checkpoint(source), entry, manifest)
    check(selection, entry, manifest, source)
    before = source.stat()
    sha256 = file_sha256(source, watch, f"hashing {source.name}")
    if expected_sha256 and sha256 != expected_sha256:
        raise WeightsError(f"{source.name} is not the file that was published: its sha256 is {sha256[:12]}..., "
                           f"not {expected_sha256[:12]}...; fetch it again.")
    total = sum(ref.size for ref in selection.tensors.values())
    check_room(target.parent, total + _MB, f"Converting {source.name}")
    with replacing(target) as temporary:
        written = _write(source, temporary, selection, sha256, watch, total)
        after = source.stat()
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise WeightsError(f"{source.name} changed while it was read; wait until it is whole and try again.")
    return Conversion(sha256, before.st_size, written, target.stat().st_size, tuple(sorted(selection.scalars.items())))


def _write(source: Path, target: Path, selection: Selection, sha256: str, watch: Watch, total: int) -> str:
    stage = f"converting {source.name}"
    done = 0

    def pieces(ref: TensorRef, file: BinaryIO) -> Iterator[bytes]:
        nonlocal done
        for piece in ref.chunks(file):
            watch.at(stage, done // _MB, total // _MB)
            yield piece
            done += len(piece)

    metadata = {"source": source.name, "source_sha256": sha256,
                **{name: json.dumps(value) for name, value in selection.scalars.items()}}
    with source.open("rb") as file:
        written = write(target, {name: (ref, pieces(ref, file)) for name, ref in selection.tensors.items()}, metadata)
    watch.at(stage, total // _MB, total // _MB)
    return written
