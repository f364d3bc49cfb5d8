"""Volumes as files for the wire: what goes in comes out equal, and a header is judged before memory is taken.

A CT is an NRRD, labels are a .seg.nrrd that Slicer opens too. Both are packed with gzip
at its quickest level. A segmentation file rounds colours, rewrites ids and narrows
integers; so that labels come back unchanged, all that is not voxels also stands exactly
in one key of ours, and that key is what is read.

The same volume always gives the same bytes. A parcel's sha256 therefore says whether the
other side already has it. A parcel comes from somebody else: it must be one file, of the
types written here, with no more voxels than the reader allows.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..formats import nrrd
from ..geometry import Affine, times
from ..plain import from_plain, to_plain
from ..volume import CTVolume, LabelVolume, Segment, Volume

_NAMES_KEY = "text2ct_labels"
_LEVEL = 1
_CHUNK = 1 << 20
_CT_TYPES: Mapping[str, type[np.generic]] = {"short": np.int16}
_LABEL_TYPES: Mapping[str, type[np.generic]] = {"unsigned char": np.uint8, "unsigned short": np.uint16}


@dataclass(frozen=True)
class _Names:
    """Labels without their voxels."""

    title: str
    segments: tuple[Segment, ...]
    kind: Literal["uint8", "uint16"]


def write_ct(ct: CTVolume, path: Path) -> None:
    """A CT as a parcel; `path` ends in .nrrd."""
    nrrd.write(ct, path, level=_LEVEL)


def write_labels(labels: LabelVolume, path: Path) -> None:
    """Labels as a parcel; `path` ends in .seg.nrrd."""
    names = {"title": labels.title, "segments": to_plain(labels.segments), "kind": labels.voxels.dtype.name}
    nrrd.write(labels, path, {**_for_slicer(labels), _NAMES_KEY: json.dumps(names, sort_keys=True)}, _LEVEL)


def read_ct(path: Path, most_voxels: int) -> CTVolume:
    """The CT of a parcel, equal to the one that was written."""
    _judge(path, most_voxels, _CT_TYPES)
    voxels, affine = _content(path, np.int16)
    return CTVolume(voxels, affine)


def read_labels(path: Path, most_voxels: int) -> LabelVolume:
    """The labels of a parcel, equal to those that were written."""
    names = _names(_judge(path, most_voxels, _LABEL_TYPES))
    voxels, affine = _content(path, np.dtype(names.kind).type)
    return LabelVolume(voxels, affine, names.segments, names.title)


def parcel_of(volume: Volume, folder: Path) -> tuple[Path, str]:
    """A volume as a parcel in `folder`, and the sha256 of its bytes, which is also its file's name."""
    ending = ".seg.nrrd" if isinstance(volume, LabelVolume) else ".nrrd"
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        written = Path(beside) / f"parcel{ending}"
        if isinstance(volume, LabelVolume):
            write_labels(volume, written)
        elif isinstance(volume, CTVolume):
            write_ct(volume, written)
        else:
            raise TypeError(f"{type(volume).__name__} is no volume that travels")
        sha = file_sha256(written)
        return written.replace(folder / f"{sha}{ending}"), sha


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes."""
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_CHUNK):
            sha.update(piece)
    return sha.hexdigest()


def _judge(path: Path, most_voxels: int, types: Mapping[str, type[np.generic]]) -> dict[str, str]:
    """Refuse by the header alone whatever is no parcel of these types; the header's keys."""
    fields, keys = nrrd.read_header(path)
    if "data file" in fields or "datafile" in fields:
        raise BadInput("This parcel points to another file; its voxels must stand in the parcel itself.")
    if fields.get("type") not in types:
        raise BadInput(f"This parcel holds values of the type '{fields.get('type', '')[:20]}'; "
                       f"it must be {' or '.join(types)}.")
    try:
        sizes = [int(size) for size in fields.get("sizes", "").split()]
    except ValueError:
        sizes = []
    if len(sizes) != 3 or min(sizes) < 1:
        raise BadInput("This parcel does not have three sizes; it must hold a single 3D image.")
    if math.prod(sizes) > most_voxels:
        raise BadInput(f"This parcel holds {times(sizes)} voxels; the limit is {most_voxels} in all.")
    return keys


def _content(path: Path, kind: type[np.generic]) -> tuple[NDArray[Any], Affine]:
    file = nrrd.read(path)
    if file.values.dtype != kind:
        raise BadInput("This parcel's voxels are of another type than its names say; send it again.")
    return file.values, file.affine("This parcel") + 0.0  # -0.0 becomes 0.0, so that both sides write it alike


def _names(keys: Mapping[str, str]) -> _Names:
    try:
        plain = json.loads(keys[_NAMES_KEY])
    except (KeyError, ValueError, RecursionError):
        raise BadInput(f"This parcel of labels has no usable key '{_NAMES_KEY}' with their names; "
                       "write it with text2ct.service.parcels.") from None
    return from_plain(_Names, plain, at="labels")


def _for_slicer(labels: LabelVolume) -> dict[str, str]:
    """The keys by which Slicer knows names and colours; extents are the whole grid, which costs no search."""
    extent = " ".join(f"0 {size - 1}" for size in labels.shape)
    keys = {"Segmentation_MasterRepresentation": "Binary labelmap",
            "Segmentation_ContainedRepresentationNames": "Binary labelmap|"}
    for number, segment in enumerate(labels.segments):
        prefix = f"Segment{number}_"
        keys |= {f"{prefix}ID": f"segment_{number}", f"{prefix}Name": segment.name.encode("utf-8", "replace").decode(),
                 f"{prefix}Color": " ".join(f"{c:.6g}" for c in segment.color),
                 f"{prefix}LabelValue": str(segment.value), f"{prefix}Layer": "0", f"{prefix}Extent": extent}
    return keys
