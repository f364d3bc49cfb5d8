"""Headers of DICOM files, read with care: the one door between us and pydicom's parser.

A file may lie about every length. Reads are clipped to the file and counted, so
that no header can take more memory or time than a real one; pixels stay on disk,
only their place is noted. Whatever pydicom raises becomes one sentence here, and its
warnings about a stranger's file are kept away from our users.
"""

from __future__ import annotations

import logging
import math
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import UID

from ..errors import BadInput, Text2CTError

PRIVATE_GROUP, PRIVATE_CREATOR = 0x7355, "TEXT2CT"
STAMP_ELEMENT, LABELS_ELEMENT = 0x01, 0x02
_IMPLICIT, _EXPLICIT, _BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_MAX_BYTES, _MAX_READS, _MAX_ITEMS = 12 << 20, 400_000, 150_000
_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_PIXEL_TAGS = {0x7FE00010: "", 0x7FE00008: "floating point", 0x7FE00009: "floating point"}
_TAGS = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesDescription", "ImageType", "Rows", "Columns",
    "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SliceThickness",
    "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "RescaleType", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "SegmentSequence", "SegmentationType")
_QUIET = threading.RLock()


@dataclass(frozen=True, eq=False)
class Header:
    """What a file says about itself, and where its pixels lie. `pixel_length` is -1 for compressed pixels."""

    path: Path
    dataset: Dataset
    sop_class: str
    series_uid: str
    description: str
    syntax: str
    little_endian: bool
    pixel_kind: str
    pixel_offset: int
    pixel_length: int
    file_size: int

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def class_name(self) -> str:
        with understood(self.path):
            name = UID(self.sop_class).name if self.sop_class else "object of no class"
        return shown(name.removesuffix(" Storage"))

    @property
    def compressed(self) -> bool:
        return self.pixel_length < 0


class _TooMuch(Exception):
    """A header that wants more than that of any CT."""


class _Careful:
    """A file that never hands out more than it holds, and stops when a header has taken too much."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size = stream, size
        self._bytes, self._reads = _MAX_BYTES, _MAX_READS

    def read(self, size: int = -1) -> bytes:
        left = max(0, self._size - self._stream.tell())
        wanted = left if size < 0 else min(size, left)
        self._bytes -= wanted
        self._reads -= 1
        if self._bytes < 0 or self._reads < 0:
            raise _TooMuch
        return self._stream.read(wanted)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        """pydicom may close what it read; the owner of the stream does that."""


def is_dicom(path: Path) -> bool:
    """Whether the file begins as a DICOM file does."""
    try:
        with path.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_header(path: Path) -> Header:
    """The header of a DICOM file without its pixels."""
    with understood(path), path.open("rb") as stream:
        dataset = _parsed(path, stream, _TAGS)
        size = path.stat().st_size
        syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
        kind, offset, length = _pixel_place(syntax, stream)
        for keyword in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "SegmentSequence"):
            _check_items(dataset, keyword)
        meta = dataset.file_meta
        return Header(path, dataset, text(dataset, "SOPClassUID") or str(meta.get("MediaStorageSOPClassUID", "")),
                      text(dataset, "SeriesInstanceUID"), shown(text(dataset, "SeriesDescription")),
                      syntax, syntax != _BIG_ENDIAN, kind, offset, length, size)


def read_private(path: Path, element: int) -> str:
    """The text that we keep in our private block of a file; empty where there is none."""
    with understood(path), path.open("rb") as stream:
        dataset = _parsed(path, stream, None)
        try:
            value = dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR)[element].value
        except KeyError:
            return ""
        said = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
        return said.strip("\0 ")


@contextmanager
def understood(path: Path) -> Iterator[None]:
    """Inside, pydicom works on a stranger's file: it is kept quiet, and any failure of it is one sentence."""
    with _QUIET, warnings.catch_warnings(), _silent("pydicom", "pydicom.pixels.utils", "pydicom.pixels.decoders.base"):
        warnings.simplefilter("ignore")
        try:
            yield
        except Text2CTError:
            raise
        except _TooMuch as error:
            raise BadInput(f"{path.name} has a header far longer than that of any CT; it is damaged or no CT image, "
                           "fetch it again.") from error
        except OSError as error:
            raise BadInput(f"{path} could not be read: {error.strerror or 'the disk failed'}; "
                           "check the path and your rights to it.") from error
        except Exception as error:
            raise BadInput(f"{path.name} is damaged inside, its DICOM header cannot be understood; "
                           "fetch the file again.") from error


def text(dataset: Dataset, keyword: str) -> str:
    """One value as text, empty where there is none."""
    value = dataset.get(keyword)
    if value is None or isinstance(value, Dataset):
        return ""
    return str(value if isinstance(value, (str, bytes)) or not isinstance(value, Sequence) else next(iter(value), ""))


def numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Exactly `count` finite numbers, or None."""
    value = dataset.get(keyword)
    many = [value] if isinstance(value, (str, int, float)) else list(value or ())
    if len(many) != count or any(v is None or v == "" for v in many):
        return None
    values = tuple(float(v) for v in many)
    return values if all(map(math.isfinite, values)) else None


def whole(dataset: Dataset, keyword: str) -> int | None:
    """One whole number, or None."""
    value = numbers(dataset, keyword, 1)
    return int(value[0]) if value and value[0].is_integer() else None


def shown(value: str) -> str:
    """A text from a file, fit to stand in a sentence."""
    return "".join(c for c in value if c.isprintable()).strip()[:60]


@contextmanager
def _silent(*loggers: str) -> Iterator[None]:
    """No records from these loggers; each caller takes away only its own filter again."""
    def nothing(record: logging.LogRecord) -> bool:
        return False

    for name in loggers:
        logging.getLogger(name).addFilter(nothing)
    try:
        yield
    finally:
        for name in loggers:
            logging.getLogger(name).removeFilter(nothing)


def _parsed(path: Path, stream: BinaryIO, tags: tuple[str, ...] | None) -> Dataset:
    if stream.read(132)[128:] != b"DICM":
        raise BadInput(f"{path.name} is no DICOM file; give a CT series as its scanner or archive wrote it.")
    stream.seek(0)
    careful: Any = _Careful(stream, path.stat().st_size)
    read_preamble(careful, False)
    meta = read_dataset(careful, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    syntax = str(meta.get("TransferSyntaxUID", ""))
    if not syntax:
        raise BadInput(f"{path.name} does not say how it is encoded (no transfer syntax); "
                       "export the series again.")
    if syntax == _DEFLATED:
        raise BadInput(f"{path.name} is deflated as a whole, which is not supported; "
                       "write it again without compression.")
    stream.seek(0)
    return pydicom.dcmread(careful, defer_size=_MAX_BYTES, stop_before_pixels=True,
                           specific_tags=list(tags) if tags else None)


def _pixel_place(syntax: str, stream: BinaryIO) -> tuple[str, int, int]:
    """(kind, offset, length) of the pixels at which the stream stands; length 0 where there are none."""
    implicit = syntax == _IMPLICIT
    order: Literal["little", "big"] = "big" if syntax == _BIG_ENDIAN else "little"
    start = stream.read(12)
    group, element = (int.from_bytes(start[a:a + 2], order) for a in (0, 2))
    kind = _PIXEL_TAGS.get(group << 16 | element)
    if kind is None or len(start) < 12:
        return "", 0, 0
    long_form = not implicit and start[4:6] in (b"OB", b"OW", b"UN", b"OF", b"OD")
    if implicit:
        length, header = int.from_bytes(start[4:8], order), 8
    elif long_form:
        length, header = int.from_bytes(start[8:12], order), 12
    else:
        length, header = int.from_bytes(start[6:8], order), 8
    native = syntax in (_IMPLICIT, _EXPLICIT, _BIG_ENDIAN) and length != 0xFFFFFFFF
    return kind, stream.tell() - 12 + header, length if native else -1


def _check_items(dataset: Dataset, keyword: str) -> None:
    """Refuse a sequence of absurdly many items before it is unpacked."""
    raw = dataset.get_item(keyword) if keyword in dataset else None
    value = getattr(raw, "value", None)
    if isinstance(value, bytes) and sum(value.count(tag) for tag in _ITEM_TAGS) > _MAX_ITEMS:
        raise _TooMuch
