"""A DICOM CT series, a folder or any file of it, as one CTVolume.

All headers are read and judged first: which files belong together, whether they make
a grid, whether they can hold what they claim. Only then is memory taken, and the
slices are read one by one into their place.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import UID

from ..errors import BadInput
from ..geometry import Affine
from ..provenance import Stamp, read_stamp
from ..volume import CTVolume
from .dicom_header import STAMP_ELEMENT, Header, is_dicom, read_header, read_private, shown, understood
from .dicom_planes import Image, image_of, not_a_ct
from .dicom_stack import ordered
from .limits import check_shape, whole_hu

MAX_FILES = 20_000
_SERIES_SHOWN = 6


@dataclass(frozen=True, eq=False)
class Series:
    """A series that was judged: its files, and for each slice upwards the file and frame that hold it."""

    images: tuple[Image, ...]
    order: tuple[tuple[int, int], ...]
    shape: tuple[int, int, int]
    affine: Affine


def read_series(path: Path, *, round_values: bool = False) -> CTVolume:
    """The CT in a folder, or the one that a file belongs to."""
    series = open_series(path)
    voxels = np.empty(series.shape, np.int16, order="F")
    place = {found: k for k, found in enumerate(series.order)}
    for n, image in enumerate(series.images):
        for frame, stored in enumerate(_frames(image)):
            voxels[:, :, place[n, frame]] = _hu(image, frame, stored, round_values).T
    return CTVolume(voxels, series.affine)


def read_stamp_of_series(path: Path) -> Stamp | None:
    """The account that we wrote into a series, or into the one file given; None where it is not ours."""
    file = _chosen(path)[0].path if path.is_dir() else path
    return read_stamp(read_private(file, STAMP_ELEMENT))


def open_series(path: Path) -> Series:
    """The series at `path` by its headers alone."""
    images = tuple(image_of(header) for header in _chosen(path))
    found = [(n, frame) for n, image in enumerate(images) for frame in range(len(image.planes))]
    planes = [plane for image in images for plane in image.planes]
    what = f"the series in {(path if path.is_dir() else path.parent).name or path}"
    shape = check_shape((planes[0].columns, planes[0].rows, len(planes)), what[0].upper() + what[1:])
    order, affine = ordered(planes, what)
    return Series(images, tuple(found[n] for n in order), shape, affine)


def _chosen(path: Path) -> list[Header]:
    """The headers of the one CT series that is meant."""
    if not path.exists():
        raise BadInput(f"{path} does not exist; give a folder with a DICOM series or one file of it.")
    if path.is_dir():
        return _only_series(path, [read_header(file) for file in _files(path, deep=True)])
    mine = read_header(path)
    other = not_a_ct(mine)
    if other:
        raise BadInput(f"{path.name} is not a CT image but this: {other}; give a file of the CT series.")
    others = [read_header(file) for file in _files(path.parent, deep=False) if not file.samefile(path)]
    return [mine, *(h for h in others if mine.series_uid and h.series_uid == mine.series_uid and not not_a_ct(h))]


def _files(folder: Path, deep: bool) -> list[Path]:
    """The DICOM files of a folder, by name; hidden files and other formats are left out."""
    found: list[Path] = []
    seen = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if deep and not f.startswith("."))
        seen += len(names)
        if seen > MAX_FILES:
            raise BadInput(f"{folder} holds more than {MAX_FILES} files; give the folder of one series.")
        found += [Path(place, name) for name in sorted(names) if not name.startswith(".")]
    return [file for file in found if file.is_file() and is_dicom(file)]


def _only_series(folder: Path, headers: Sequence[Header]) -> list[Header]:
    """The CT images of a folder when they are one series; other objects beside them are left out."""
    kinds = [not_a_ct(header) for header in headers]
    images = [header for header, kind in zip(headers, kinds, strict=True) if not kind]
    if not headers:
        raise BadInput(f"{folder} holds no DICOM files; give the folder of a CT series.")
    if not images:
        held = ", ".join(f"{count} x {kind}" for kind, count in Counter(kinds).most_common(_SERIES_SHOWN))
        raise BadInput(f"{folder} holds no CT images but {held}; give the folder of a CT series.")
    counts = Counter(header.series_uid for header in images)
    if len(counts) > 1:
        names = {header.series_uid: header.description or "no description" for header in images}
        said = "; ".join(f"'{names[uid]}' ({uid[-24:] or 'no UID'}, {count} files)"
                         for uid, count in counts.most_common(_SERIES_SHOWN))
        raise BadInput(f"{folder} holds {len(counts)} series: {said}; put each into a folder of its own, "
                       "or give one file of the series that you mean.")
    return images


def _frames(image: Image) -> Iterator[NDArray[np.generic]]:
    """The stored values of each frame (rows, columns)."""
    if image.header.compressed:
        yield from _decoded(image)
        return
    rows, columns = image.planes[0].rows, image.planes[0].columns
    facts = image.stored
    order = "<" if image.header.little_endian else ">"
    kind = np.dtype(f"{order}{'i' if facts.signed else 'u'}{facts.allocated // 8}")
    spare = facts.allocated - facts.used
    with image.header.path.open("rb") as stream:
        stream.seek(image.header.pixel_offset)
        for _ in image.planes:
            raw = stream.read(rows * columns * kind.itemsize)
            if len(raw) < rows * columns * kind.itemsize:
                raise BadInput(f"{image.header.name} ends in the middle of its pixels; fetch the file again.")
            values = np.frombuffer(raw, kind).reshape(rows, columns).astype(kind.newbyteorder("="))
            yield (values << spare) >> spare if spare else values


def _decoded(image: Image) -> NDArray[np.generic]:
    """The frames of a compressed file (frames, rows, columns), as far as pydicom finds a decoder."""
    header = image.header
    size = (len(image.planes), image.planes[0].rows, image.planes[0].columns)
    with understood(header.path):
        dataset = pydicom.dcmread(header.path)
        try:
            values: NDArray[np.generic] = dataset.pixel_array
        except (NotImplementedError, RuntimeError, AttributeError) as error:
            how = shown(UID(header.syntax).name)
            raise BadInput(f"{header.name} is compressed ({how}) and could not be decoded here; install pylibjpeg "
                           "with its plugins, or write the series without compression.") from error
        if values.size != np.prod(size) or values.dtype.kind not in "iu":
            raise BadInput(f"{header.name} decompresses to another size than its header says; the file is damaged.")
        return values.reshape(size)


def _hu(image: Image, frame: int, stored: NDArray[np.generic], round_values: bool) -> NDArray[np.int16]:
    """Hounsfield units of one frame, exact in whole numbers wherever the rescale is."""
    slope, intercept = image.stored.rescale[frame]
    if (slope, intercept) == (1, 0):
        values: NDArray[np.generic] = stored
    elif slope == 1 and intercept.is_integer() and abs(intercept) < 2**31:
        values = stored.astype(np.int64 if stored.dtype.itemsize > 2 else np.int32) + int(intercept)
    else:
        with np.errstate(over="ignore"):
            values = stored.astype(np.float64) * slope + intercept
    return whole_hu(values, image.header.name, round_values)
