"""Labels as a DICOM segmentation that refers to the CT series beside it, and back.

Written with highdicom, which knows this object's many rules; read with pydicom
alone. DICOM numbers segments from one and leaves empty slices out, so our label
values, ids and the whole grid stand in our private block: what we wrote comes back
exactly, what others wrote comes back on the slices that they kept.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from ..errors import BadInput, BadRequest, Unavailable
from ..geometry import LPS_TO_RAS, Grid
from ..plain import from_plain, to_plain
from ..provenance import Stamp
from ..volume import LabelVolume, Segment
from .atomic import replacing
from .dicom_codes import OWN_SCHEME, Coded, codes_for, rgb_of_cielab
from .dicom_header import (
    LABELS_ELEMENT,
    PRIVATE_CREATOR,
    PRIVATE_GROUP,
    Header,
    numbers,
    read_header,
    read_private,
    shown,
    text,
    understood,
    whole,
)
from .dicom_planes import Plane, frame_groups, image_size, plane_of
from .dicom_read import Series, open_series
from .dicom_stack import spread
from .dicom_write import MAKER, fit, mark_synthetic, versions
from .limits import check_payload, check_shape

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"


@dataclass(frozen=True)
class Layer:
    """What of our labels DICOM has no place for."""

    title: str
    shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    values: tuple[int, ...]
    segments: tuple[Segment, ...]


def write_seg(labels: LabelVolume, series_folder: Path, path: Path, stamp: Stamp) -> None:
    """Write `labels` as one DICOM SEG that refers to the CT series in `series_folder`."""
    hd = _highdicom()
    series = open_series(series_folder)
    grid = Grid(series.shape, series.affine)
    turned = labels.reoriented(grid.orientation)
    if not turned.same_grid(grid, 1e-2):
        raise BadInput(f"The labels lie on another grid than the CT in {series_folder}; resample them to it first.")
    segments = _described(turned)
    number_of = np.zeros(int(turned.voxels.max()) + 1, np.uint16)
    for number, segment in enumerate(segments, 1):
        if segment.value < len(number_of):
            number_of[segment.value] = number
    with replacing(path) as temporary:
        seg = _segmentation(hd, series, number_of[turned.voxels], labels.title, segments, stamp)
        mark_synthetic(seg, stamp)
        affine = tuple(tuple(float(x) for x in row) for row in grid.affine.tolist())
        layer = Layer(labels.title, grid.shape, affine, tuple(s.value for s in segments), labels.segments)
        block = seg.private_block(PRIVATE_GROUP, PRIVATE_CREATOR)
        block.add_new(LABELS_ELEMENT, "UT", json.dumps(to_plain(layer)))
        seg.save_as(temporary)


def read_seg(path: Path) -> LabelVolume:
    """The labels of a DICOM segmentation, on the grid of the CT where we wrote it."""
    header = read_header(path)
    if header.sop_class != SEGMENTATION:
        raise BadInput(f"{header.name} is not a DICOM segmentation but this: {header.class_name}; give a SEG file.")
    layer = _own_layer(read_private(path, LABELS_ELEMENT))
    with understood(path):
        if text(header.dataset, "SegmentationType") != "BINARY" or header.compressed:
            raise BadInput(f"{header.name} is a compressed or fractional segmentation, only binary ones can be read; "
                           "export it as a binary DICOM SEG.")
        rows, columns = image_size(header)
        groups = frame_groups(header)
        planes = [plane_of(group, header.name, rows, columns) for group in groups]
        frame_numbers = [_segment_number(group) for group in groups]
        segments = _segments(header.dataset)
    stored = min(header.pixel_length, header.file_size - header.pixel_offset)
    check_payload(-(-rows * columns * len(planes) // 8), stored, header.name, False)
    grid = _own_grid(layer, planes, header.name) if layer else spread(planes, header.name)
    values = dict(enumerate(layer.values, 1)) if layer else {s.value: s.value for s in segments}
    voxels = _filled(header, grid, planes, [values.get(n, 0) for n in frame_numbers])
    if layer:
        return LabelVolume(voxels, grid.affine, layer.segments, layer.title)
    return LabelVolume(voxels, grid.affine, tuple(segments), header.description or "labels")


def _own_layer(said: str) -> Layer | None:
    try:
        return from_plain(Layer, json.loads(said)) if said else None
    except (ValueError, RecursionError, BadRequest):
        return None


def _own_grid(layer: Layer, planes: Sequence[Plane], name: str) -> Grid:
    """The grid of the CT that we segmented."""
    shape = check_shape(layer.shape, name)
    if np.shape(layer.affine) != (4, 4) or shape[:2] != (planes[0].columns, planes[0].rows):
        raise BadInput(f"{name} says of itself what its frames are not; it was changed or damaged.")
    return Grid(shape, np.array(layer.affine))


def _segment_number(groups: Sequence[Dataset]) -> int:
    for group in groups:
        for item in group.get("SegmentIdentificationSequence") or []:
            return whole(item, "ReferencedSegmentNumber") or 0
    return 0


def _segments(dataset: Dataset) -> list[Segment]:
    """The segments as the file describes them."""
    found = []
    for item in dataset.get("SegmentSequence") or []:
        number = whole(item, "SegmentNumber") or 0
        lab = numbers(item, "RecommendedDisplayCIELabValue", 3)
        found.append(Segment(number, shown(text(item, "SegmentLabel")) or f"segment {number}", rgb_of_cielab(lab)))
    return found


def _filled(header: Header, grid: Grid, planes: Sequence[Plane],
            values: Sequence[int]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Each frame's bits put where it lies, as its segment's value."""
    voxels = np.zeros(grid.shape, np.uint16, order="F")
    size = planes[0].rows * planes[0].columns
    with header.path.open("rb") as stream:
        for n, (plane, value) in enumerate(zip(planes, values, strict=True)):
            i, j, k = grid.to_ijk(LPS_TO_RAS[:3, :3] @ plane.position).tolist()
            beside = max(abs(i), abs(j), abs(k - round(k))) > 0.1 or not 0 <= round(k) < grid.shape[2]
            if beside or not 0 < value < 65536:
                raise BadInput(f"Frame {n + 1} of {header.name} lies beside the others or names no segment; "
                               "the file is damaged.")
            first = n * size
            stream.seek(header.pixel_offset + first // 8)
            packed = np.frombuffer(stream.read(-(-(first + size) // 8) - first // 8), np.uint8)
            bits = np.unpackbits(packed, bitorder="little")[first % 8:first % 8 + size]
            mask = bits.reshape(plane.rows, plane.columns).T.astype(bool)
            target = voxels[:, :, round(k)]
            if (target[mask] != 0).any():
                raise BadInput(f"The segments of {header.name} overlap, which one label volume cannot hold; "
                               "export them one by one.")
            target[mask] = value
    return voxels.astype(np.uint8) if max(values) < 256 else voxels


def _highdicom() -> Any:
    try:
        import highdicom
        import highdicom.seg
    except ModuleNotFoundError as error:
        raise Unavailable("Writing DICOM segmentations needs the package 'highdicom'; "
                          "install it with: pip install 'text2ct[seg]'.") from error
    return highdicom


def _described(labels: LabelVolume) -> list[Segment]:
    """The segments in the order of their values, with a name for each label that has none."""
    named = {segment.value: segment for segment in labels.segments}
    for value in np.unique(labels.voxels).tolist():
        if value and value not in named:
            named[value] = Segment(value, f"label {value}", (0.8, 0.8, 0.8))
    if not named:
        raise BadInput("The labels hold no segment, and DICOM knows no empty segmentation; leave it out.")
    return [named[value] for value in sorted(named)]


def _segmentation(hd: Any, series: Series, voxels: NDArray[np.uint16], title: str, segments: Sequence[Segment],
                  stamp: Stamp) -> Any:
    made = stamp.provenance
    sources = []
    for n, _ in series.order:
        file = series.images[n].header.path
        with understood(file):
            sources.append(pydicom.dcmread(file, stop_before_pixels=True))
    family = hd.sr.CodedConcept("123110", "DCM", "Artificial Intelligence")
    algorithm = hd.AlgorithmIdentificationSequence(fit(made.engine, 64) or MAKER, family, versions(made))
    said = [_segment(hd, number, segment, algorithm) for number, segment in enumerate(segments, 1)]
    seg = hd.seg.Segmentation(
        sources, voxels.transpose(2, 1, 0), "BINARY", said,
        generate_uid(prefix=None), 100, generate_uid(prefix=None), 1, MAKER,
        fit(made.engine, 64) or MAKER, versions(made), fit(made.weights_sha256, 64) or "none",
        series_description=fit(f"SYNTHETIC segmentation {title}", 64), content_label="SYNTHETIC",
        content_description=fit(stamp.provenance.notice, 64), content_creator_name=MAKER + "^")
    for item, segment in zip(seg.SegmentSequence, segments, strict=True):
        side = codes_for(segment.name).side
        if side is not None:
            item.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence = [_concept(hd, side)]
    return seg


def _segment(hd: Any, number: int, segment: Segment, algorithm: Any) -> Any:
    codes = codes_for(segment.name)
    colour = hd.color.CIELabColor.from_rgb(*(round(255 * min(1.0, max(0.0, c))) for c in segment.color))
    return hd.seg.SegmentDescription(
        number, fit(segment.name, 64) or f"label {segment.value}", _concept(hd, codes.category),
        _concept(hd, codes.type), "AUTOMATIC", algorithm, display_color=colour)


def _concept(hd: Any, code: Coded) -> Any:
    return hd.sr.CodedConcept(code.value, code.scheme, fit(code.meaning, 64) or "Segment",
                              scheme_version="1" if code.scheme == OWN_SCHEME else None)
