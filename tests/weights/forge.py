"""Checkpoints made by hand, byte by byte: sparse ones of full size, and hostile ones that torch would not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from text2ct.weights.tensors import BY_NAME, row_major

PROTO, STOP = b"\x80\x02", b"."
_STORAGE = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage", "int32": "IntStorage",
            "bool": "BoolStorage", "bfloat16": "BFloat16Storage", "uint8": "ByteStorage"}
Shapes = Mapping[str, tuple[Sequence[int], str]]


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    raw = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def sizes(values: Sequence[int]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str, kind: str, elements: int, tag: str = "storage") -> bytes:
    return (b"(" + text(tag) + name("torch", _STORAGE[kind]) + text(key) + text("cuda:0") + number(elements) + b"tQ")


def tensor(key: str, kind: str, elements: int, shape: Sequence[int], stride: Sequence[int], offset: int = 0) -> bytes:
    """A tensor as torch pickles it."""
    return (name("torch._utils", "_rebuild_tensor_v2") + b"(" + storage(key, kind, elements) + number(offset)
            + sizes(shape) + sizes(stride) + b"\x89" + name("collections", "OrderedDict") + b")R" + b"tR")


def state_dict(shapes: Shapes) -> tuple[bytes, list[int]]:
    """The pickled dictionary of tensors, and the bytes of each storage."""
    parts, lengths = [b"}("], []
    for index, (key, (shape, kind)) in enumerate(shapes.items()):
        count = 1
        for size in shape:
            count *= size
        parts += [text(key), tensor(str(index), kind, count, shape, row_major(tuple(shape)))]
        lengths.append(count * BY_NAME[kind].bytes)
    return b"".join(parts) + b"u", lengths


def nested(shapes: Shapes) -> tuple[bytes, list[int]]:
    """Like `state_dict`; a name 'ema/x' stands in an inner dictionary 'ema'."""
    inner, lengths = state_dict(shapes)
    if not any("/" in key for key in shapes):
        return inner, lengths
    parts, index, lengths = [b"}"], 0, []
    for group in dict.fromkeys(key.partition("/")[0] for key in shapes):
        members = {key.partition("/")[2]: value for key, value in shapes.items() if key.startswith(group + "/")}
        if members:
            parts.append(text(group) + b"}")
        for key, (shape, kind) in (members or {group: shapes[group]}).items():
            count = 1
            for size in shape:
                count *= size
            parts.append(text(key) + tensor(str(index), kind, count, shape, row_major(tuple(shape))) + b"s")
            lengths.append(count * BY_NAME[kind].bytes)
            index += 1
        if members:
            parts.append(b"s")
    return b"".join(parts), lengths


def write_zip(path: Path, entries: Sequence[tuple[str, bytes | int]], method: int = 0) -> None:
    """A zip of stored entries; an entry given as a number is so many zeros, left as a hole on disk."""
    records = []
    with path.open("wb") as file:
        for entry, content in entries:
            at, raw = file.tell(), entry.encode()
            packed = content
            if method and isinstance(content, bytes):
                packer = zlib.compressobj(9, zlib.DEFLATED, -15)
                packed = packer.compress(content) + packer.flush()
            length = packed if isinstance(packed, int) else len(packed)
            full = content if isinstance(content, int) else len(content)
            file.write(struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, method, 0, 0, 0, min(length, 0xFFFFFFFF),
                                   min(full, 0xFFFFFFFF), len(raw), 0) + raw)
            if isinstance(packed, int):
                file.seek(packed, 1)
            else:
                file.write(packed)
            records.append((raw, length, full, at))
        start = file.tell()
        for raw, length, full, at in records:
            file.write(struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 20, 20, 0, method, 0, 0, 0, length, full, len(raw),
                                   0, 0, 0, 0, 0, at) + raw)
        end = file.tell()
        file.write(struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, len(records), len(records), end - start, start, 0))


def checkpoint(path: Path, pickled: bytes, storages: Sequence[bytes | int] = (), root: str = "archive") -> Path:
    """A zip checkpoint around a pickled value (given without protocol and stop)."""
    entries: list[tuple[str, bytes | int]] = [(f"{root}/data.pkl", PROTO + pickled + STOP),
                                              (f"{root}/byteorder", b"little")]
    entries += [(f"{root}/data/{key}", content) for key, content in enumerate(storages)]
    write_zip(path, entries)
    return path


def sparse_checkpoint(path: Path, shapes: Shapes, wrapper: str = "", scalars: bytes = b"") -> Path:
    """A checkpoint of full size whose numbers are all zero and take no room on disk."""
    body, lengths = nested(shapes)
    if wrapper:
        body = b"}" + text(wrapper) + body + b"s" + scalars
    return checkpoint(path, body, lengths)
