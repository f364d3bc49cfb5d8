"""The safetensors container, read and written: a JSON header with places, then the raw numbers.

Our own few lines instead of the package, so that the header is judged before memory
is taken, numbers stream through in small pieces, and neither torch nor a compiled
package is needed to convert a checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import WeightsError
from .tensors import BY_CODE, CHUNK, MAX_SIZE, TensorRef, row_major, whole_numbers

MAX_HEADER = 16 << 20
_METADATA = "__metadata__"
_ZEROS = bytes(CHUNK)


def read_header(file: BinaryIO, size: int) -> tuple[dict[str, TensorRef], dict[str, str]]:
    """The tensors of a safetensors file and its metadata; every place is judged."""
    file.seek(0)
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or not 2 <= length <= min(size - 8, MAX_HEADER):
        raise _damaged("its header is cut off or far too long")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError):
        raise _damaged("its header is not JSON") from None
    if not isinstance(header, dict):
        raise _damaged("its header is not a list of tensors")
    metadata = header.pop(_METADATA, {})
    if not isinstance(metadata, dict) or any(not isinstance(v, str) for v in metadata.values()):
        raise _damaged("its metadata are not texts")
    tensors = {name: _entry(name, value, 8 + length, size) for name, value in header.items()}
    end = 8 + length
    for ref in sorted(tensors.values(), key=lambda ref: (ref.start, ref.room)):
        if ref.start != end:
            raise _damaged("its tensors overlap or leave gaps")
        end = ref.start + ref.room
    if end != size:
        raise _damaged("its tensors do not fill the file")
    return tensors, metadata


def write(path: Path, tensors: Mapping[str, tuple[TensorRef, Iterable[bytes]]], metadata: Mapping[str, str]) -> str:
    """Write the tensors one after the other; returns the sha256 of the file. Runs of zeros become holes."""
    order = sorted(tensors, key=lambda name: (-tensors[name][0].kind.bytes, name))
    header: dict[str, Any] = {_METADATA: dict(sorted(metadata.items()))}
    place = 0
    for name in order:
        ref = tensors[name][0]
        header[name] = {"dtype": ref.kind.code, "shape": list(ref.shape), "data_offsets": [place, place + ref.size]}
        place += ref.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 64 + 56)
    sha = hashlib.sha256()
    with path.open("wb") as file:
        first = struct.pack("<Q", len(text)) + text
        file.write(first)
        sha.update(first)
        for name in order:
            for piece in tensors[name][1]:
                sha.update(piece)
                if len(piece) == CHUNK and piece == _ZEROS:
                    file.seek(CHUNK, 1)
                else:
                    file.write(piece)
        file.truncate(len(first) + place)
    return sha.hexdigest()


def _damaged(why: str) -> WeightsError:
    return WeightsError(f"The safetensors file is damaged or forged: {why}; fetch the file again.")


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a name stands twice")
    return dict(pairs)


def _entry(name: str, value: Any, base: int, size: int) -> TensorRef:
    if not isinstance(value, dict) or set(value) != {"dtype", "shape", "data_offsets"}:
        raise _damaged("a tensor is described wrongly")
    kind = BY_CODE.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    if kind is None:
        raise WeightsError(f"The tensor {name[:80]!r} holds numbers of an unsupported kind; "
                           "save it as float, integer or bool.")
    shape = whole_numbers(value["shape"], "shape")
    places = whole_numbers(value["data_offsets"], "place")
    if len(places) != 2 or not places[0] <= places[1] <= size - base or max(places) > MAX_SIZE:
        raise _damaged("a tensor lies outside the file")
    ref = TensorRef(kind, shape, row_major(shape), 0, base + places[0], places[1] - places[0])
    if ref.size != ref.room:
        raise _damaged("a tensor has another size than its place")
    return ref
