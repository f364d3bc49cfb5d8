"""A checkpoint file opened without running anything in it: names, shapes, kinds and places of its tensors.

Three containers are known: the zip that torch.save writes, its older form without a
zip, and safetensors. Nested dictionaries become flat names joined by "/". Every
tensor is judged against the file before a byte of it is read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import BadInput, WeightsError
from .archives import zip_entries
from .pickles import MAX_INSTRUCTIONS, MAX_STREAM, Pickle, PickledTensor, StorageRef, read_pickle
from .safetensors_file import read_header
from .tensors import TensorRef

Scalar = int | float | bool | str
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
_LEGACY_HEADER = 200
_MAX_DEPTH = 32
_MAX_VISITS = 300_000
_MAX_NAME = 500
_MAX_TEXT = 200


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds. `scalars` are the plain values of its top level."""

    path: Path
    tensors: Mapping[str, TensorRef]
    scalars: Mapping[str, Scalar] = field(default_factory=dict)


def open_checkpoint(path: Path) -> Checkpoint:
    """The tensors of a .pt, .pth, .ckpt or .safetensors file, or one sentence that says why not."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            return read_checkpoint(file, size, path)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from None


def read_checkpoint(file: BinaryIO, size: int, path: Path) -> Checkpoint:
    """Like `open_checkpoint`, for a file that is open already."""
    head = file.read(512)
    if head.startswith(b"PK\x03\x04"):
        value, place = _zip(file, size)
        return _judged(path, size, *_flattened(value, place))
    if head[8:9] == b"{":
        tensors, metadata = read_header(file, size)
        return _judged(path, size, tensors, {key: _plain(value) for key, value in metadata.items()})
    if head.startswith(b"\x80"):
        value, place = _legacy(file, size)
        return _judged(path, size, *_flattened(value, place))
    if head[257:262] == b"ustar":
        raise WeightsError("The file is a tar archive of a PyTorch before 2017; save it anew with a current PyTorch.")
    raise WeightsError(f"{path.name} is not a checkpoint (.pt, .pth, .ckpt or .safetensors); "
                       "perhaps a web page or a pointer was downloaded in its place.")


def _plain(text: str) -> Scalar:
    """A number that metadata hold as text, else the text."""
    try:
        return float(text[:_MAX_TEXT])
    except ValueError:
        return text[:_MAX_TEXT]


Placer = Callable[[StorageRef], tuple[int, int]]


def _zip(file: BinaryIO, size: int) -> tuple[Any, Placer]:
    """The pickled value of a zip container, and where each of its storages stands."""
    entries = zip_entries(file, size)
    roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(roots) != 1:
        raise WeightsError("The zip file is not a checkpoint of PyTorch: it has no (single) data.pkl in it.")
    root = roots[0]

    def content(name: str, limit: int) -> bytes:
        entry = entries[root + name]
        if entry.bytes > limit:
            raise WeightsError(f"The entry {name} of the checkpoint takes {entry.bytes / 1e6:.0f} MB; it is refused.")
        file.seek(entry.start)
        return file.read(entry.bytes)

    if f"{root}byteorder" in entries and content("byteorder", 64).strip() != b"little":
        raise WeightsError("The checkpoint was written on a big-endian machine; save it anew on a common one.")

    def place(storage: StorageRef) -> tuple[int, int]:
        entry = entries.get(f"{root}data/{storage.key}")
        if entry is None:
            raise WeightsError("The checkpoint speaks of numbers that are not in it; it is damaged or cut off.")
        if storage.elements * storage.kind.bytes > entry.bytes:
            raise WeightsError("The checkpoint declares more numbers than it holds; it is damaged or forged.")
        return entry.start, storage.elements * storage.kind.bytes

    return read_pickle(content("data.pkl", MAX_STREAM)).value, place


def _legacy(file: BinaryIO, size: int) -> tuple[Any, Placer]:
    """The pickled value of the form without a zip: five pickles, then the storages one after the other."""
    file.seek(0)
    head = file.read(min(size, MAX_STREAM))
    at = 0
    pickles: list[Pickle] = []
    while len(pickles) < 5:
        pickles.append(read_pickle(head[at:], _LEGACY_HEADER if len(pickles) < 3 else MAX_INSTRUCTIONS))
        at += pickles[-1].bytes
        if pickles[0].value != _LEGACY_MAGIC:
            raise WeightsError("The file is a pickle, but not a checkpoint of PyTorch; it is refused.")
    protocol, system, value, keys = (one.value for one in pickles[1:])
    if protocol != _LEGACY_PROTOCOL or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise WeightsError("The checkpoint is of an unknown version or from a big-endian machine; save it anew.")
    if not isinstance(keys, list) or any(type(key) is not str for key in keys) or len(set(keys)) != len(keys):
        raise WeightsError("The checkpoint's list of storages is damaged; fetch the file again.")
    kinds = pickles[3].storages
    places: dict[str, tuple[int, int]] = {}
    for key in keys:
        if key not in kinds:
            raise WeightsError("The checkpoint holds numbers of an unknown kind; it is damaged, fetch it again.")
        file.seek(at)
        (elements,) = struct.unpack("<q", file.read(8).ljust(8, b"\xff"))
        length = elements * kinds[key].kind.bytes
        if elements != kinds[key].elements or at + 8 + length > size:
            raise WeightsError("The checkpoint ends before its numbers do; it was cut off, fetch it again.")
        places[key] = (at + 8, length)
        at += 8 + length

    def place(storage: StorageRef) -> tuple[int, int]:
        if storage.key not in places:
            raise WeightsError("The checkpoint speaks of numbers that are not in it; it is damaged or cut off.")
        return places[storage.key]

    return value, place


def _leaves(value: Any) -> list[tuple[str, Any]]:
    """All values that are no containers, with their flat names; cycles and endless repetitions are refused."""
    leaves: list[tuple[str, Any]] = []
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    visits = 0
    while waiting:
        name, item, depth = waiting.pop()
        visits += 1
        if depth > _MAX_DEPTH or visits + len(waiting) > _MAX_VISITS:
            raise WeightsError("The checkpoint is nested too deeply, or contains itself; it is refused.")
        if type(item) is dict:
            pairs = [(key, inner) for key, inner in item.items() if type(key) in (str, int)]
        elif type(item) in (list, tuple):
            pairs = list(enumerate(item))
        else:
            leaves.append((name, item))
            continue
        if visits + len(waiting) + len(pairs) > _MAX_VISITS:
            raise WeightsError("The checkpoint holds too many values; it is refused.")
        prefix = f"{name}/" if depth else ""
        waiting.extend((_joined(prefix, key), inner, depth + 1) for key, inner in pairs)
    return leaves


def _joined(prefix: str, key: str | int) -> str:
    """A flat name, cut where it would be too long for a tensor anyway."""
    return (prefix + (key if isinstance(key, str) else str(key)[:40]))[:_MAX_NAME + 1]


def _flattened(value: Any, place: Placer) -> tuple[dict[str, TensorRef], dict[str, Scalar]]:
    if isinstance(value, PickledTensor):
        raise WeightsError("The file holds a single tensor, not the named weights of a model.")
    tensors: dict[str, TensorRef] = {}
    scalars: dict[str, Scalar] = {}
    for name, item in _leaves(value):
        if isinstance(item, PickledTensor):
            if name in tensors:
                raise WeightsError(f"Two tensors of the checkpoint are called {name[:80]!a}; it is refused.")
            start, room = place(item.storage)
            tensors[name] = TensorRef(item.kind, item.shape, item.stride, item.offset, start, room)
        elif type(item) in (int, float, bool, str) and "/" not in name and len(str(item)) <= _MAX_TEXT:
            scalars[name] = item
    return tensors, scalars


def _judged(path: Path, size: int, tensors: Mapping[str, TensorRef], scalars: Mapping[str, Scalar]) -> Checkpoint:
    for name, ref in tensors.items():
        if not 0 < len(name) <= _MAX_NAME or not name.isprintable() or name == "__metadata__":
            raise WeightsError(f"The checkpoint gives a tensor the impossible name {name[:80]!a}; it is refused.")
        ref.judge(ascii(name[:80]))
    total = sum(ref.size for ref in tensors.values())
    if total > 2 * size:
        raise WeightsError(f"The checkpoint of {size / 1e6:.1f} MB claims {total / 1e6:.1f} MB of numbers; "
                           "it is refused.")
    if not tensors:
        raise WeightsError(f"{path.name} holds no tensors; it is not a checkpoint with weights.")
    return Checkpoint(path, dict(sorted(tensors.items())), dict(sorted(scalars.items())))
