"""DICOM segmentations: they lie on the CT's grid, come back exactly, and highdicom agrees."""

from __future__ import annotations

import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_files import stamp_of, write_scan

from text2ct.digest import voxel_digest
from text2ct.errors import BadInput, Unavailable
from text2ct.formats.dicom_read import read_series, read_stamp_of_series
from text2ct.formats.dicom_seg import read_seg, write_seg
from text2ct.formats.dicom_write import write_series
from text2ct.volume import CTVolume, LabelVolume, Segment


@pytest.fixture
def series(tmp_path: Path, ct: CTVolume) -> Path:
    write_series(ct, tmp_path / "ct", stamp_of(ct))
    return tmp_path / "ct"


@pytest.fixture
def seg(series: Path, labels: LabelVolume) -> Path:
    path = series.parent / "seg.dcm"
    write_seg(labels, series, path, stamp_of(labels, "labels"))
    return path


def without_our_block(path: Path) -> Path:
    """The file as a tool would write it that keeps no private data."""
    dataset = pydicom.dcmread(path)
    dataset.remove_private_tags()
    dataset.save_as(path)
    return path


def test_labels_come_back_exactly_on_the_grid_of_the_ct(seg: Path, series: Path, labels: LabelVolume) -> None:
    back = read_seg(seg)
    assert voxel_digest(back) == voxel_digest(labels)
    assert back.same_grid(read_series(series))
    assert (back.segments, back.title) == (labels.segments, labels.title)
    stamp = read_stamp_of_series(seg)
    assert stamp == stamp_of(labels, "labels")
    assert stamp is not None
    assert stamp.changes(back) == []


def test_labels_in_another_orientation_are_turned_to_the_ct(series: Path, labels: LabelVolume) -> None:
    turned = labels.reoriented("SAR")
    write_seg(turned, series, series.parent / "t.dcm", stamp_of(turned, "labels"))
    assert voxel_digest(read_seg(series.parent / "t.dcm")) == voxel_digest(labels)


def test_highdicom_reads_names_codes_and_masks(seg: Path, ct: CTVolume, labels: LabelVolume) -> None:
    read = highdicom.seg.segread(seg)
    assert read[0x0008001C].value == "YES"
    assert read.SeriesDescription.startswith("SYNTHETIC")
    first, second, third = (read.get_segment_description(n) for n in (1, 2, 3))
    assert [d.segment_label for d in (first, second, third)] == ["lung_upper_lobe_left", "heart", "Knötchen"]
    assert first.segmented_property_type.value == "45653009"
    side = first.SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence[0]
    assert side.CodeMeaning == "Left"
    assert second.segmented_property_type.scheme_designator == "SCT"
    assert third.segmented_property_type.scheme_designator == "99TEXT2CT"
    assert str(first.algorithm_type.value) == "AUTOMATIC"
    series_files = sorted((seg.parent / "ct").iterdir())
    uids = [pydicom.dcmread(f, stop_before_pixels=True).SOPInstanceUID for f in series_files]
    masks = read.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    expected = labels.reoriented("LPS")
    for n, segment in enumerate(labels.segments):
        np.testing.assert_array_equal(masks[..., n].transpose(2, 1, 0), expected.mask(segment.name))


def test_a_segmentation_without_our_block_is_read_on_the_slices_it_keeps(seg: Path, labels: LabelVolume) -> None:
    back = read_seg(without_our_block(seg))
    expected = labels.reoriented("LPS")
    assert [s.name for s in back.segments] == [s.name for s in labels.segments]
    for segment, old in zip(back.segments, labels.segments, strict=True):
        here = np.argwhere(back.mask(segment.name))
        there = np.argwhere(expected.mask(old.name))
        np.testing.assert_allclose(back.grid.to_ras(here), expected.grid.to_ras(there), atol=1e-3)
        np.testing.assert_allclose(segment.color, old.color, atol=0.02)


def test_labels_without_a_name_and_segments_without_voxels_survive(series: Path, labels: LabelVolume) -> None:
    odd = LabelVolume(labels.voxels, labels.affine, (labels.segments[1], Segment(300, "liver", (0, 1, 0))), "odd")
    write_seg(odd, series, series.parent / "odd.dcm", stamp_of(odd))
    back = read_seg(series.parent / "odd.dcm")
    assert voxel_digest(back) == voxel_digest(odd)
    assert back.segments == odd.segments


def test_labels_that_do_not_fit_the_ct_are_refused(series: Path, labels: LabelVolume) -> None:
    moved = LabelVolume(labels.voxels, np.diag([1.0, 1, 1, 1]), labels.segments)
    with pytest.raises(BadInput, match="another grid"):
        write_seg(moved, series, series.parent / "no.dcm", stamp_of(moved))
    empty = LabelVolume(np.zeros_like(labels.voxels), labels.affine)
    with pytest.raises(BadInput, match="no segment"):
        write_seg(empty, series, series.parent / "no.dcm", stamp_of(empty))
    assert not (series.parent / "no.dcm").exists()


def test_what_is_no_readable_segmentation_is_refused(seg: Path, tmp_path: Path) -> None:
    scan = write_scan(tmp_path / "scan")
    with pytest.raises(BadInput, match="not a DICOM segmentation but this: CT Image"):
        read_seg(scan / "IM0.dcm")
    with pytest.raises(BadInput, match="not a CT image but this: Segmentation"):
        read_series(seg)
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(seg.read_bytes()[:-20])
    with pytest.raises(BadInput, match="cut off or damaged"):
        read_seg(cut)


@pytest.mark.parametrize(("edit", "words"), [
    (lambda d: setattr(d, "SegmentationType", "FRACTIONAL"), "fractional"),
    (lambda d: setattr(d, "NumberOfFrames", 999), "999 frames"),
    (lambda d: d.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].__setattr__(
        "ImagePositionPatient", ["0", "0", "0"]), "beside the others"),
    (lambda d: d.PerFrameFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].__setattr__(
        "ReferencedSegmentNumber", 77), "names no segment"),
])
def test_a_segmentation_that_contradicts_itself_is_refused(seg: Path, edit, words: str) -> None:
    dataset = pydicom.dcmread(seg)
    edit(dataset)
    dataset.save_as(seg)
    with pytest.raises(BadInput, match=words):
        read_seg(seg)


def test_overlapping_segments_of_others_are_refused(seg: Path) -> None:
    dataset = pydicom.dcmread(without_our_block(seg))
    dataset.PixelData = b"\xff" * len(dataset.PixelData)
    dataset.save_as(seg)
    with pytest.raises(BadInput, match="overlap"):
        read_seg(seg)


def test_without_highdicom_the_way_to_get_it_is_said(series: Path, labels: LabelVolume,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(Unavailable, match=r"pip install 'text2ct\[seg\]'"):
        write_seg(labels, series, series.parent / "no.dcm", stamp_of(labels))
