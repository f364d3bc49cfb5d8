"""From a DICOM header to planes: where each image lies and how its numbers become HU.

A CT Image file holds one plane, an Enhanced CT file many, described in functional
groups. Both come out as the same plain values. What a CT may not be (colour, a
scout, something else) and what a header may not claim is refused here, by name,
before any pixel is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from ..errors import BadInput
from .dicom_header import Header, numbers, shown, text, understood, whole
from .limits import MAX_AXIS, check_payload

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = ("1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
_FAR_MM = 1e5
_GROUPS = {"ImagePositionPatient": "PlanePositionSequence", "ImageOrientationPatient": "PlaneOrientationSequence",
           "PixelSpacing": "PixelMeasuresSequence", "SliceThickness": "PixelMeasuresSequence",
           "SpacingBetweenSlices": "PixelMeasuresSequence", "RescaleSlope": "PixelValueTransformationSequence",
           "RescaleIntercept": "PixelValueTransformationSequence", "RescaleType": "PixelValueTransformationSequence"}


@dataclass(frozen=True)
class Plane:
    """One image of a file in LPS mm: `orientation` holds the directions along a row and down a column."""

    name: str
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    spacing: tuple[float, ...]
    thickness: float | None
    rows: int
    columns: int


@dataclass(frozen=True)
class Stored:
    """How stored bits become HU."""

    allocated: int
    used: int
    signed: bool
    rescale: tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Image:
    """The planes of one file, and how its pixels are read."""

    header: Header
    planes: tuple[Plane, ...]
    stored: Stored


def not_a_ct(header: Header) -> str:
    """What a file is instead of a CT image; empty for a CT image."""
    dataset = header.dataset
    with understood(header.path):
        samples, colours = whole(dataset, "SamplesPerPixel"), text(dataset, "PhotometricInterpretation").strip()
        kind = dataset.get("ImageType")
        parts = [str(part).upper() for part in kind] if kind is not None and not isinstance(kind, str) else []
    if (samples or 1) > 1 or colours.startswith(("RGB", "YBR", "PALETTE")):
        return "colour image"
    if header.sop_class not in (CT_IMAGE, *ENHANCED_CT):
        return header.class_name
    return "scout image (localizer)" if "LOCALIZER" in parts else ""


def image_of(header: Header) -> Image:
    """The planes of a CT file, or a sentence that says what its header lacks or claims."""
    with understood(header.path):
        rows, columns = image_size(header)
        frames = whole(header.dataset, "NumberOfFrames")
        enhanced = header.sop_class in ENHANCED_CT
        if not enhanced and (frames or 1) != 1:
            raise BadInput(f"{header.name} holds {frames} frames in a plain CT image; write it again as one file a "
                           "slice.")
        groups = frame_groups(header) if enhanced else [[header.dataset]]
        planes = tuple(plane_of(group, header.name, rows, columns) for group in groups)
        rescale = tuple(_rescale(group, header.name) for group in groups)
        facts = _bits(header, rescale)
    needed = rows * columns * len(planes) * facts.allocated // 8
    _check_pixels(header, needed)
    return Image(header, planes, facts)


def image_size(header: Header) -> tuple[int, int]:
    rows, columns = whole(header.dataset, "Rows"), whole(header.dataset, "Columns")
    if not rows or not columns or not (0 < rows <= MAX_AXIS and 0 < columns <= MAX_AXIS):
        raise BadInput(f"{header.name} claims {rows or 'no'} rows and {columns or 'no'} columns; each must be "
                       f"1 to {MAX_AXIS}, so the file is damaged or no CT.")
    return rows, columns


def frame_groups(header: Header) -> list[list[Dataset]]:
    """For each frame the data sets that may describe it: its own functional groups, then the shared ones."""
    claimed = whole(header.dataset, "NumberOfFrames") or 0
    own = list(header.dataset.get("PerFrameFunctionalGroupsSequence") or [])
    shared = list(header.dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    if not 0 < claimed <= MAX_AXIS * 64 or len(own) != claimed:
        raise BadInput(f"{header.name} claims {claimed} frames and describes {len(own)}; the file is damaged.")
    return [[frame, *shared] for frame in own]


def plane_of(groups: Sequence[Dataset], name: str, rows: int, columns: int) -> Plane:
    """One plane from the data sets that describe it."""
    position = _said(groups, "ImagePositionPatient", 3)
    orientation = _said(groups, "ImageOrientationPatient", 6)
    spacing = _said(groups, "PixelSpacing", 2)
    if position is None or orientation is None or spacing is None:
        lacks = "position" if position is None else "orientation" if orientation is None else "pixel spacing"
        raise BadInput(f"{name} does not say the {lacks} of its image in the patient; export the original CT series.")
    if (max(map(abs, position)) > _FAR_MM or max(map(abs, orientation)) > 2
            or not 1e-3 <= min(spacing) <= max(spacing) <= 1e3):
        raise BadInput(f"{name} has an image position, orientation or pixel spacing that no scanner writes; "
                       "the file is damaged.")
    said = (_said(groups, keyword, 1) for keyword in ("SpacingBetweenSlices", "SliceThickness"))
    thickness = next((value[0] for value in said if value and 0 < value[0] <= 1e3), None)
    return Plane(name, position, orientation, spacing, thickness, rows, columns)


def _said(groups: Sequence[Dataset], keyword: str, count: int) -> tuple[float, ...] | None:
    for dataset in _places(groups, keyword):
        values = numbers(dataset, keyword, count)
        if values is not None:
            return values
    return None


def _places(groups: Sequence[Dataset], keyword: str) -> list[Dataset]:
    """Where a keyword may stand: in the data set itself, or in the functional group that is made for it."""
    inner = [item for group in groups for item in list(group.get(_GROUPS[keyword]) or [])[:1]]
    return [*groups, *inner]


def _rescale(groups: Sequence[Dataset], name: str) -> tuple[float, float]:
    slope, intercept = _said(groups, "RescaleSlope", 1), _said(groups, "RescaleIntercept", 1)
    if slope is None or intercept is None or slope[0] == 0:
        raise BadInput(f"{name} has no usable rescale slope and intercept, so its values cannot become HU; "
                       "export the original CT series.")
    said = (text(place, "RescaleType").strip() for place in _places(groups, "RescaleType"))
    units = next(filter(None, said), "HU")
    if units.upper() not in ("HU", "US", "HU_MOD"):
        raise BadInput(f"{name} holds values in '{shown(units)}', not in Hounsfield units; give a plain CT series.")
    return slope[0], intercept[0]


def _bits(header: Header, rescale: tuple[tuple[float, float], ...]) -> Stored:
    dataset = header.dataset
    allocated, stored = whole(dataset, "BitsAllocated"), whole(dataset, "BitsStored")
    stored = allocated if stored is None else stored
    high, signed = whole(dataset, "HighBit"), whole(dataset, "PixelRepresentation")
    if (allocated not in (8, 16, 32) or stored is None or not 0 < stored <= allocated
            or high not in (None, stored - 1) or signed not in (0, 1)):
        raise BadInput(f"{header.name} stores its pixels in an unusual way ({allocated} bits allocated, {stored} "
                       f"stored, highest {high}, sign {signed}); write the series again with a common tool.")
    return Stored(allocated, stored, signed == 1, rescale)


def _check_pixels(header: Header, needed: int) -> None:
    """Whether the file can hold the pixels that its header claims."""
    if header.pixel_kind:
        raise BadInput(f"{header.name} stores {header.pixel_kind} pixels; a CT holds whole numbers.")
    if header.pixel_length == 0:
        raise BadInput(f"{header.name} holds no pixels; fetch the file again.")
    left = header.file_size - header.pixel_offset
    check_payload(needed, left if header.compressed else min(left, header.pixel_length), header.name,
                  header.compressed)
