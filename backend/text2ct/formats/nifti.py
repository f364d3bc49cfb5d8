"""NIfTI-1 and NIfTI-2 files (.nii, .nii.gz): read with care, written with their account.

Written in numpy alone, so that Slicer and the client need no further package. Of
the header's two transforms the sform counts, then the qform; a file with neither does
not say which side is right and is refused. The stamp of a synthetic volume is a header extension of the
comment kind (code 6), so every NIfTI reader shows or skips it.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..geometry import Affine, checked_affine
from ..volume import CTVolume, LabelVolume, Volume, numbered_segments
from .atomic import replacing
from .limits import check_payload, check_shape, unpack_gzip, whole_hu, whole_labels

_DTYPES: Mapping[int, str] = MappingProxyType({
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"})
_CODES: Mapping[str, int] = MappingProxyType({"int16": 4, "uint8": 2, "uint16": 512})
_COMMENT = 6
_MAX_HEADER = 1 << 20


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, int, int]
    dtype: np.dtype[np.generic]
    offset: int
    slope: float
    intercept: float
    affine: Affine


def read_ct(path: Path, round_values: bool = False) -> CTVolume:
    """A CT in Hounsfield units."""
    values, affine = _read(path)
    return CTVolume(whole_hu(values, str(path), round_values), affine)


def read_labels(path: Path) -> LabelVolume:
    """A label map. NIfTI keeps no names: they are made from the numbers."""
    values, affine = _read(path)
    labels = whole_labels(values, str(path))
    return LabelVolume(labels, affine, numbered_segments(labels))


def read_comments(path: Path) -> list[str]:
    """The texts of the header's comment extensions."""
    with path.open("rb") as stream:
        head = _start(stream, path)
        order, version = _kind(head, path)
        size = 348 if version == 1 else 540
        offset = int(_vox_offset(head, order, version))
        block = _head_bytes(stream, path, min(max(offset, size), _MAX_HEADER))
    return _comments(block[size:], order)


def write(volume: Volume, path: Path, comment: str = "", description: str = "", level: int = 4) -> None:
    """Write a CT or label volume; `.gz` in the name compresses."""
    voxels = volume.voxels
    header = _header_bytes(volume, comment, description)
    with replacing(path) as temporary:
        opened: BinaryIO
        with temporary.open("wb") as raw:
            opened = gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=level, mtime=0) \
                if path.name.lower().endswith(".gz") else raw  # type: ignore[assignment]
            opened.write(header)
            for k in range(voxels.shape[2]):
                plane = np.ascontiguousarray(voxels[:, :, k].T, dtype=voxels.dtype.newbyteorder("<"))
                opened.write(plane.data)
            if opened is not raw:
                opened.close()


def _read(path: Path) -> tuple[NDArray[np.generic], Affine]:
    what, size = str(path), path.stat().st_size
    with path.open("rb") as stream:
        head = _start(stream, path)
        header = _parse(head, path)
        needed = int(np.prod(header.shape, dtype=np.int64)) * header.dtype.itemsize
        packed = _is_gzip(stream)
        if packed:
            check_payload(header.offset + needed, size, what, packed=True)
            raw = unpack_gzip(stream, header.offset + needed, what)
        else:
            check_payload(header.offset + needed, size, what, packed=False)
            stream.seek(header.offset)
            raw = bytearray(needed)
            if stream.readinto(raw) != needed:
                raise BadInput(f"{what} is cut off; fetch it again.")
    offset = header.offset if packed else 0
    values: NDArray[np.generic] = np.frombuffer(raw, header.dtype, offset=offset).reshape(header.shape, order="F")
    return _scaled(values.astype(header.dtype.newbyteorder("="), copy=False), header), header.affine


def _scaled(values: NDArray[np.generic], header: _Header) -> NDArray[np.generic]:
    if header.slope in (0.0, 1.0) and (header.intercept == 0.0 or header.slope == 0.0):
        return values
    whole = header.slope.is_integer() and header.intercept.is_integer() and values.dtype.kind in "iu" \
        and values.dtype.itemsize <= 4 and max(abs(header.slope), abs(header.intercept)) < 2**20
    if whole:
        return values.astype(np.int64) * int(header.slope) + int(header.intercept)
    return values.astype(np.float64) * header.slope + header.intercept


def _is_gzip(stream: BinaryIO) -> bool:
    stream.seek(0)
    packed = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    return packed


def _head_bytes(stream: BinaryIO, path: Path, size: int) -> bytes:
    if _is_gzip(stream):
        return bytes(unpack_gzip(stream, size, str(path), whole=False))
    return stream.read(size)


def _start(stream: BinaryIO, path: Path) -> bytes:
    """The first bytes that tell version and byte order, then the whole header."""
    head = _head_bytes(stream, path, 348)
    if len(head) == 348 and struct.unpack("<i", head[:4])[0] in (540, 0x1C020000):
        head = _head_bytes(stream, path, 540)
    return head


def _kind(head: bytes, path: Path) -> tuple[str, int]:
    for order in "<>":
        size = struct.unpack(order + "i", head[:4].ljust(4, b"\0"))[0]
        if size == 348 and len(head) >= 348 and head[344:347] == b"n+1":
            return order, 1
        if size == 540 and len(head) >= 540 and head[4:7] == b"n+2":
            return order, 2
    if head[344:347] == b"ni1":
        raise BadInput(f"{path} is the header of a NIfTI pair (.hdr and .img); convert it to one .nii.gz first.")
    raise BadInput(f"{path} is not a NIfTI file; its first bytes are not those of one.")


def _vox_offset(head: bytes, order: str, version: int) -> float:
    field = (order + "f", head[108:112]) if version == 1 else (order + "q", head[168:176])
    value = struct.unpack(*field)[0]
    if not 0 <= value <= 2**40:
        raise BadInput("The NIfTI header says that its voxels begin at an impossible place; the file is damaged.")
    return float(value)


def _parse(head: bytes, path: Path) -> _Header:
    order, version = _kind(head, path)
    if version == 1:
        dim = struct.unpack(order + "8h", head[40:56])
        code = struct.unpack(order + "h", head[70:72])[0]
        pixdim = struct.unpack(order + "8f", head[76:108])
        slope, intercept = struct.unpack(order + "2f", head[112:120])
        forms = struct.unpack(order + "2h", head[252:256])
        quaternion = struct.unpack(order + "6f", head[256:280])
        rows = struct.unpack(order + "12f", head[280:328])
    else:
        code = struct.unpack(order + "h", head[12:14])[0]
        dim = struct.unpack(order + "8q", head[16:80])
        pixdim = struct.unpack(order + "8d", head[104:168])
        slope, intercept = struct.unpack(order + "2d", head[176:192])
        forms = struct.unpack(order + "2i", head[344:352])
        quaternion = struct.unpack(order + "6d", head[352:400])
        rows = struct.unpack(order + "12d", head[400:496])
    if code not in _DTYPES:
        colour = " (colour)" if code in (128, 2304) else ""
        raise BadInput(f"{path} holds voxels of kind {code}{colour}, which is no CT and no label map.")
    if not 1 <= dim[0] <= 7:
        raise BadInput(f"{path} claims {dim[0]} axes; the header is damaged.")
    shape = check_shape(dim[1:1 + dim[0]], str(path))
    if not np.isfinite([slope, intercept]).all():
        slope, intercept = 1.0, 0.0
    offset = int(_vox_offset(head, order, version))
    affine = _affine(path, pixdim, forms, quaternion, rows)
    return _Header(shape, np.dtype(order + _DTYPES[code]), max(offset, len(head)), slope, intercept, affine)


def _affine(path: Path, pixdim: tuple[float, ...], forms: tuple[int, ...],
            quaternion: tuple[float, ...], rows: tuple[float, ...]) -> Affine:
    affine = np.eye(4)
    if forms[1] > 0:
        affine[:3] = np.reshape(rows, (3, 4))
    elif forms[0] > 0:
        affine[:3, :3] = _rotation(quaternion[:3]) * [pixdim[1], pixdim[2], pixdim[3] * (-1 if pixdim[0] < 0 else 1)]
        affine[:3, 3] = quaternion[3:]
    else:
        raise BadInput(f"{path} does not say where the patient's right is (neither its sform nor its qform is set); "
                       "set one, for example by saving it again in 3D Slicer.")
    return checked_affine(affine)


def _rotation(bcd: tuple[float, ...]) -> NDArray[np.float64]:
    b, c, d = bcd
    rest = 1.0 - (b * b + c * c + d * d)
    if not rest >= -1e-3:
        raise BadInput("The NIfTI header holds an impossible rotation; the file is damaged.")
    a = max(rest, 0.0) ** 0.5
    return np.array([[a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                     [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                     [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c]])


def _header_bytes(volume: Volume, comment: str, description: str) -> bytes:
    """A NIfTI-1 header in little-endian order; the transform stands as sform, and as qform where it can."""
    extension = b""
    if comment:
        text = comment.encode()
        size = -(-(len(text) + 8) // 16) * 16
        extension = struct.pack("<2i", size, _COMMENT) + text.ljust(size - 8, b"\0")
    offset = 352 + len(extension)
    head = bytearray(348)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *volume.shape, 1, 1, 1, 1)
    struct.pack_into("<2h", head, 70, _CODES[volume.voxels.dtype.name], volume.voxels.dtype.itemsize * 8)
    quaternion, sign = _quaternion(volume.affine)
    struct.pack_into("<8f", head, 76, sign, *volume.spacing, 0, 0, 0, 0)
    struct.pack_into("<3f", head, 108, offset, 1, 0)
    head[123] = 2  # millimetres
    head[148:148 + 79] = description.encode("ascii", "replace")[:79].ljust(79, b"\0")
    struct.pack_into("<2h", head, 252, 1 if quaternion else 0, 1)
    struct.pack_into("<6f", head, 256, *(quaternion or (0, 0, 0)), *volume.affine[:3, 3])
    struct.pack_into("<12f", head, 280, *volume.affine[:3].ravel())
    head[344:348] = b"n+1\0"
    return bytes(head) + bytes([1 if comment else 0, 0, 0, 0]) + extension


def _quaternion(affine: Affine) -> tuple[tuple[float, float, float] | None, float]:
    """b, c, d of the rotation and the sign of the third axis; None where the axes are not at right angles."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    sign = 1.0 if np.linalg.det(directions) > 0 else -1.0
    rotation = directions * [1, 1, sign]
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > 1e-4:
        return None, sign
    symmetric = np.array([
        [rotation[0, 0] - rotation[1, 1] - rotation[2, 2], 0, 0, 0],
        [rotation[0, 1] + rotation[1, 0], rotation[1, 1] - rotation[0, 0] - rotation[2, 2], 0, 0],
        [rotation[0, 2] + rotation[2, 0], rotation[1, 2] + rotation[2, 1],
         rotation[2, 2] - rotation[0, 0] - rotation[1, 1], 0],
        [rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1],
         np.trace(rotation)]])
    _, vectors = np.linalg.eigh(symmetric)  # the quaternion is the eigenvector of the largest value (Bar-Itzhack)
    x, y, z, w = vectors[:, -1]
    b, c, d = np.array([x, y, z]) * (-1 if w < 0 else 1)
    return (float(b), float(c), float(d)), sign


def _comments(block: bytes, order: str) -> list[str]:
    found: list[str] = []
    if len(block) < 4 or block[0] == 0:
        return found
    at = 4
    while at + 8 <= len(block):
        size, code = struct.unpack(order + "2i", block[at:at + 8])
        if size < 16 or at + size > len(block):
            break
        if code == _COMMENT:
            found.append(block[at + 8:at + size].rstrip(b"\0").decode("utf-8", "replace"))
        at += size
    return found
