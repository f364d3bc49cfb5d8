"""The zip container of torch.save: where each entry stands in the file, judged entry by entry.

PyTorch stores its entries uncompressed, so that they can be read in place. Anything
else (compression, encryption, overlapping or doubled entries, sizes beyond the file)
is not from PyTorch, and is refused before a byte of an entry is read.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

from ..errors import WeightsError

_END, _END64, _LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_CENTRAL, _LOCAL = struct.Struct("<4s6H3I5H2I"), struct.Struct("<4s5H3I2H")
_MAX_DIRECTORY = 64 << 20
_MAX_ENTRIES = 200_000
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Entry:
    """The bytes of one entry of the container."""

    start: int
    bytes: int


def zip_entries(file: BinaryIO, size: int) -> Mapping[str, Entry]:
    """All entries of the container by name."""
    try:
        headers = _directory(file, size)
        found = {name: _located(file, size, name, at, length) for name, (at, length) in headers.items()}
    except (struct.error, UnicodeDecodeError):
        raise _damaged("its list of entries is cut off or unreadable") from None
    spans = sorted((headers[name][0], entry.start + entry.bytes) for name, entry in found.items())
    if any(end > begin for (_, end), (begin, _) in pairwise(spans)):
        raise _damaged("two of its entries overlap")
    return found


def _damaged(why: str) -> WeightsError:
    return WeightsError(f"The checkpoint's container is damaged or forged: {why}; fetch the file again.")


def _directory(file: BinaryIO, size: int) -> dict[str, tuple[int, int]]:
    """Name -> where its local header stands, and how many bytes it has."""
    count, length, start = _end_record(file, size)
    if length > min(size, _MAX_DIRECTORY) or start + length > size or count > _MAX_ENTRIES:
        raise _damaged("its list of entries lies outside the file or is far too long")
    file.seek(start)
    data = file.read(length)
    headers: dict[str, tuple[int, int]] = {}
    at = 0
    for _ in range(count):
        values = _CENTRAL.unpack_from(data, at)
        flags, method, packed, unpacked = values[3], values[4], values[8], values[9]
        name_length, extra_length, comment_length, header = values[10], values[11], values[12], values[16]
        at += _CENTRAL.size
        name = data[at:at + name_length].decode("utf-8")
        extra = data[at + name_length:at + name_length + extra_length]
        at += name_length + extra_length + comment_length
        unpacked, packed, header = _wide_sizes(extra, unpacked, packed, header)
        if values[0] != b"PK\x01\x02" or name in headers:
            raise _damaged("an entry is doubled or its record is unreadable")
        if "/code/" in name:
            raise WeightsError("The file is a TorchScript program, not plain weights; export its state dict instead.")
        if method != 0 or packed != unpacked or flags & 0x41:
            raise WeightsError("The checkpoint's container holds compressed or encrypted entries, which PyTorch never "
                               "writes; it is refused.")
        headers[name] = (header, unpacked)
    return headers


def _end_record(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """How many entries there are, and the length and place of their list."""
    tail_start = max(0, size - 22 - _FULL16)
    file.seek(tail_start)
    tail = file.read(22 + _FULL16)
    at = tail.rfind(_END)
    if at < 0:
        raise _damaged("its end is missing, as when a download was cut off")
    _, _, _, _, count, length, start, _ = struct.unpack_from("<4s4H2IH", tail, at)
    if count != _FULL16 and _FULL32 not in (length, start):
        return count, length, start
    if at < 20 or tail[at - 20:at - 16] != _LOCATOR64:
        return count, length, start
    _, _, place, _ = struct.unpack_from("<4sIQI", tail, at - 20)
    if place + 56 > size:
        raise _damaged("its end points outside the file")
    file.seek(place)
    record = struct.unpack("<4sQ2H2I4Q", file.read(56))
    if record[0] != _END64:
        raise _damaged("its end record is unreadable")
    return record[7], record[8], record[9]


def _wide_sizes(extra: bytes, unpacked: int, packed: int, header: int) -> tuple[int, int, int]:
    """The sizes of an entry, from the zip64 field where the short ones are full."""
    values = [unpacked, packed, header]
    at = 0
    while at + 4 <= len(extra):
        tag, length = struct.unpack_from("<HH", extra, at)
        if tag == 1:
            field = extra[at + 4:at + 4 + length]
            position = 0
            for index, value in enumerate(values):
                if value == _FULL32:
                    (values[index],) = struct.unpack_from("<Q", field, position)
                    position += 8
        at += 4 + length
    return values[0], values[1], values[2]


def _located(file: BinaryIO, size: int, name: str, header: int, length: int) -> Entry:
    """Where the bytes of an entry begin; its local header must agree with the list."""
    if header + _LOCAL.size > size:
        raise _damaged("an entry lies outside the file")
    file.seek(header)
    values = _LOCAL.unpack(file.read(_LOCAL.size))
    method, name_length, extra_length = values[3], values[9], values[10]
    encoded = name.encode("utf-8")
    if values[0] != b"PK\x03\x04" or method != 0 or name_length != len(encoded) or file.read(name_length) != encoded:
        raise _damaged("an entry is not where the list says")
    start = header + _LOCAL.size + name_length + extra_length
    if start + length > size:
        raise _damaged("an entry reaches beyond the end of the file")
    return Entry(start, length)
