"""NRRD files (.nrrd, .nhdr): the format that Slicer prefers, with free keys in its header.

Read with care and written in numpy alone. `Nrrd` is the file as it stands (fields,
keys, raw array); CT and label maps of it are read here, segmentations in `seg_nrrd`.
Written files use the left-posterior-superior space, as Slicer does.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..geometry import LPS_TO_RAS, Affine, checked_affine
from ..volume import CTVolume, LabelVolume, Volume, numbered_segments
from .atomic import replacing
from .limits import check_payload, check_shape, check_sizes, unpack_gzip, whole_hu, whole_labels

_TYPES: Mapping[str, str] = MappingProxyType({
    name: code for code, names in {
        "i1": ("signed char", "int8", "int8_t"), "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
        "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
        "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
        "i4": ("int", "signed int", "int32", "int32_t"), "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
        "i8": ("longlong", "long long", "long long int", "int64", "int64_t"),
        "u8": ("ulonglong", "unsigned long long", "uint64", "uint64_t"),
        "f4": ("float",), "f8": ("double",)}.items() for name in names})
_NAMES: Mapping[str, str] = MappingProxyType({"int16": "short", "uint8": "unsigned char", "uint16": "unsigned short"})
_SIGNS: Mapping[str, tuple[int, int, int, int]] = MappingProxyType({
    "right-anterior-superior": (1, 1, 1, 1), "ras": (1, 1, 1, 1),
    "left-posterior-superior": (-1, -1, 1, 1), "lps": (-1, -1, 1, 1),
    "left-anterior-superior": (-1, 1, 1, 1), "las": (-1, 1, 1, 1)})
_SKIPS = ("line skip", "lineskip", "byte skip", "byteskip")
_MAX_HEADER = 1 << 24
_VECTOR = re.compile(r"\(([^()]*)\)|\bnone\b")


@dataclass(frozen=True, eq=False)
class Nrrd:
    """A file as it stands: its fields in lower case, its keys, its values with the fastest axis first."""

    fields: Mapping[str, str]
    keys: Mapping[str, str]
    values: NDArray[np.generic]

    @property
    def spatial_axes(self) -> list[int]:
        """Which axes have a direction in space."""
        return [n for n, vector in enumerate(_vectors(self.fields.get("space directions", ""))) if vector is not None]

    def affine(self, what: str) -> Affine:
        """The transform of the three spatial axes to RAS."""
        signs = _SIGNS.get(self.fields.get("space", "").strip().lower())
        vectors = [v for v in _vectors(self.fields.get("space directions", "")) if v is not None]
        origin = _vectors(self.fields.get("space origin", "(0,0,0)"))
        if signs is None or len(vectors) != 3 or not origin or origin[0] is None \
                or any(len(v) != 3 for v in [*vectors, origin[0]]):
            raise BadInput(f"{what} does not say how its axes lie in the patient; it needs a 'space' such as "
                           "left-posterior-superior with three directions and an origin.")
        affine = np.eye(4)
        affine[:3, :3] = np.array(vectors).T
        affine[:3, 3] = origin[0]
        return checked_affine(np.array(signs)[:, None] * affine)


def read_ct(path: Path, round_values: bool = False) -> CTVolume:
    """A CT in Hounsfield units."""
    nrrd = read(path)
    shape = check_shape(nrrd.values.shape, str(path))
    return CTVolume(whole_hu(nrrd.values.reshape(shape), str(path), round_values), nrrd.affine(str(path)))


def read_labels(path: Path) -> LabelVolume:
    """A plain label map; a .seg.nrrd is read by `seg_nrrd`."""
    nrrd = read(path)
    shape = check_shape(nrrd.values.shape, str(path))
    labels = whole_labels(nrrd.values.reshape(shape), str(path))
    return LabelVolume(labels, nrrd.affine(str(path)), numbered_segments(labels))


def read_header(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Fields and keys without the voxels."""
    with path.open("rb") as stream:
        return _header(stream, path)


def read(path: Path) -> Nrrd:
    """The whole file; its header is judged before its voxels are read."""
    with path.open("rb") as stream:
        fields, keys = _header(stream, path)
        shape, dtype = _layout(fields, path)
        data_file = fields.get("data file", fields.get("datafile"))
        if data_file is None:
            raw = _payload(stream, path, fields, shape, dtype)
        else:
            beside = _data_path(path, data_file)
            with beside.open("rb") as data:
                raw = _payload(data, beside, fields, shape, dtype)
    values: NDArray[np.generic] = np.frombuffer(raw, dtype).reshape(shape, order="F")
    return Nrrd(fields, keys, values.astype(dtype.newbyteorder("="), copy=False))


def write(volume: Volume, path: Path, keys: Mapping[str, str] | None = None, level: int = 4) -> None:
    """Write a volume; a `.nhdr` name puts the voxels into a .raw.gz file beside it."""
    write_array(volume.voxels[None], volume.affine, path, keys or {}, level)


def write_array(layers: NDArray[np.generic], affine: Affine, path: Path, keys: Mapping[str, str],
                level: int = 4) -> None:
    """Write layers (n, i, j, k) that share a grid; a single layer becomes a 3D file."""
    count = layers.shape[0]
    lps = LPS_TO_RAS @ affine
    vectors = [f"({','.join(repr(float(x)) for x in lps[:3, n])})" for n in range(3)]
    shape = (*((count,) if count > 1 else ()), *layers.shape[1:])
    lines = ["NRRD0004", f"type: {_NAMES[layers.dtype.name]}",
             f"dimension: {len(shape)}", "space: left-posterior-superior", f"sizes: {' '.join(map(str, shape))}",
             f"space directions: {' '.join([*(['none'] if count > 1 else []), *vectors])}",
             f"kinds: {' '.join([*(['list'] if count > 1 else []), 'domain', 'domain', 'domain'])}",
             "endian: little", "encoding: gzip", f"space origin: ({','.join(repr(float(x)) for x in lps[:3, 3])})"]
    written = [f"{_escape(name)}:={_escape(text)}" for name, text in keys.items()]
    if path.name.lower().endswith(".nhdr"):
        beside = path.with_name(path.name[:-5] + ".raw.gz")
        with replacing(beside) as data, data.open("wb") as stream:
            _write_voxels(stream, layers, level)
        with replacing(path) as header:
            header.write_bytes("\n".join([*lines, f"data file: {beside.name}", *written, "", ""]).encode())
    else:
        with replacing(path) as temporary, temporary.open("wb") as stream:
            stream.write("\n".join([*lines, *written, "", ""]).encode())
            _write_voxels(stream, layers, level)


def _write_voxels(stream: BinaryIO, layers: NDArray[np.generic], level: int) -> None:
    packer = zlib.compressobj(level, wbits=31)
    little = layers.dtype.newbyteorder("<")
    for k in range(layers.shape[3]):
        plane = np.ascontiguousarray(layers[:, :, :, k].transpose(2, 1, 0), dtype=little)
        stream.write(packer.compress(plane.data))
    stream.write(packer.flush())


def _header(stream: BinaryIO, path: Path) -> tuple[dict[str, str], dict[str, str]]:
    magic = stream.readline(16)
    if not re.fullmatch(rb"NRRD000[1-5]\r?\n", magic):
        raise BadInput(f"{path} is not an NRRD file; its first line is not that of one.")
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    while stream.tell() < _MAX_HEADER:
        line = stream.readline(_MAX_HEADER).decode("utf-8", "replace").rstrip("\r\n")
        if not line:
            return fields, keys
        if line.startswith("#"):
            continue
        key, is_key, text = line.partition(":=")
        name, is_field, value = line.partition(": ")
        if is_key and (not is_field or len(key) < len(name)):
            keys[_unescape(key)] = _unescape(text)
        elif is_field:
            fields[name.strip().lower()] = value.strip()
        else:
            raise BadInput(f"{path} has a header line that is neither a field nor a key: '{line[:40]}'.")
    raise BadInput(f"{path} has a header without an end; it is damaged.")


def _layout(fields: Mapping[str, str], path: Path) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    try:
        sizes = tuple(int(n) for n in fields["sizes"].split())
        dimension = int(fields["dimension"])
        code = _TYPES[fields["type"].lower()]
    except (KeyError, ValueError):
        raise BadInput(f"{path} lacks a usable 'type', 'dimension' or 'sizes', or holds something that is no image of "
                       "numbers; it is damaged or no CT.") from None
    if dimension != len(sizes) or not 3 <= dimension <= 4:
        raise BadInput(f"{path} has {dimension} axes and {len(sizes)} sizes; give a single 3D image.")
    check_sizes(sizes, str(path))
    order = ">" if fields.get("endian", "little").lower() == "big" else "<"
    return sizes, np.dtype(order + code)


def _payload(stream: BinaryIO, path: Path, fields: Mapping[str, str], shape: tuple[int, ...],
             dtype: np.dtype[np.generic]) -> bytes | bytearray:
    if any(fields.get(name, "0") not in ("0", "") for name in _SKIPS):
        raise BadInput(f"{path} asks to skip bytes before its voxels; save it again without that.")
    needed = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    start = stream.tell()
    stored = stream.seek(0, 2) - start
    stream.seek(start)
    encoding = fields.get("encoding", "").lower()
    if encoding in ("gzip", "gz"):
        check_payload(needed, stored, str(path), packed=True)
        return unpack_gzip(stream, needed, str(path))
    if encoding == "raw":
        check_payload(needed, stored, str(path), packed=False)
        return stream.read(needed)
    raise BadInput(f"{path} is stored with the encoding '{encoding[:20]}'; save it again as raw or gzip.")


def _data_path(path: Path, name: str) -> Path:
    """The voxel file of a .nhdr; it must lie in the same folder."""
    beside = path.parent / name.strip()
    several = name == "LIST" or name.startswith("LIST ") or re.search(r"%\d*d\s", name)
    if several or beside.parent.resolve() != path.parent.resolve():
        raise BadInput(f"{path} points to voxels elsewhere ('{name[:40]}'); they must be one file in the same folder.")
    if not beside.is_file():
        raise BadInput(f"{path} needs the file {beside.name} beside it, which is not there.")
    return beside


def _vectors(text: str) -> list[tuple[float, ...] | None]:
    found: list[tuple[float, ...] | None] = []
    for match in _VECTOR.finditer(text):
        if match.group(1) is None:
            found.append(None)
            continue
        try:
            found.append(tuple(float(x) for x in match.group(1).split(",")))
        except ValueError:
            raise BadInput(f"The NRRD header has a vector that is none: '({match.group(1)[:40]})'.") from None
    return found


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _unescape(text: str) -> str:
    return re.sub(r"\\([n\\])", lambda m: "\n" if m.group(1) == "n" else "\\", text)


def first_lines(items: Sequence[str]) -> str:
    """Names for a sentence, the first five and how many more."""
    more = f" and {len(items) - 5} more" if len(items) > 5 else ""
    return ", ".join(items[:5]) + more
