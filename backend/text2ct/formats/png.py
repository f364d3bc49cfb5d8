"""Pictures that say they are synthetic and whether they were changed.

A small PNG writer and reader of our own: rows unfiltered, texts in tEXt chunks. The
reader serves verification only, so it hashes the picture's bytes and draws nothing.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .atomic import replacing

_MAGIC = b"\x89PNG\r\n\x1a\n"
_MOST = 1 << 28


@dataclass(frozen=True)
class PngContent:
    """The texts of a picture and the hash of its size and stored rows."""

    texts: Mapping[str, str]
    sha256: str


def digest_of(rgb: NDArray[np.uint8]) -> str:
    """The hash that `read` gives of a picture as written here."""
    return _digest(_size(rgb), rows_of(rgb))


def rows_of(rgb: NDArray[np.uint8]) -> bytes:
    """Pixels (height, width, 3) as PNG rows, each behind its filter byte 0."""
    height, width, _ = rgb.shape
    return np.hstack([np.zeros((height, 1), np.uint8), rgb.reshape(height, width * 3)]).tobytes()


def write(rgb: NDArray[np.uint8], path: Path, texts: Mapping[str, str]) -> None:
    """Write an RGB picture with texts in Latin-1."""
    chunks = [_chunk(b"IHDR", _size(rgb))]
    chunks += [_chunk(b"tEXt", f"{key}\0{text}".encode("latin-1", "replace")) for key, text in texts.items()]
    chunks += [_chunk(b"IDAT", zlib.compress(rows_of(rgb), 6)), _chunk(b"IEND", b"")]
    with replacing(path) as temporary:
        temporary.write_bytes(_MAGIC + b"".join(chunks))


def is_png(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(8) == _MAGIC


def read(path: Path) -> PngContent:
    """Texts and hash of a picture; a damaged one gives a sentence."""
    texts: dict[str, str] = {}
    packed = size_said = b""
    data = path.read_bytes() if path.stat().st_size < _MOST else b""
    at = len(_MAGIC)
    while at + 12 <= len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if kind == b"tEXt":
            key, _, text = body.partition(b"\0")
            texts[key.decode("latin-1")] = text.decode("latin-1")
        elif kind == b"IHDR":
            size_said = body
        elif kind == b"IDAT":
            packed += body
        at += 12 + size
    try:
        rows = zlib.decompressobj().decompress(packed, _MOST)
    except zlib.error:
        raise BadInput(f"{path} is a damaged picture; fetch it again.") from None
    return PngContent(texts, _digest(size_said, rows))


def _size(rgb: NDArray[np.uint8]) -> bytes:
    height, width, _ = rgb.shape
    return struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)


def _digest(size: bytes, rows: bytes) -> str:
    return hashlib.sha256(size + rows).hexdigest()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
