"""DICOM series there and back: geometry, values, order, and what a folder may hold beside them."""

from __future__ import annotations

import logging
import random
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import (
    REPORT,
    SECONDARY_CAPTURE,
    empty_file,
    enhanced_scan,
    hu_of_slice,
    scan_slice,
    stamp_of,
    write_scan,
)
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from text2ct.digest import voxel_digest
from text2ct.errors import BadInput, Cancelled
from text2ct.formats.dicom_read import read_series, read_stamp_of_series
from text2ct.formats.dicom_write import PatientInfo, write_series
from text2ct.geometry import Grid
from text2ct.requests import CancelToken, Watch
from text2ct.volume import CTVolume


def assert_is_the_scan(ct: CTVolume, slices: int = 5) -> None:
    expected = np.stack([hu_of_slice(k).T for k in range(slices)], axis=2)
    np.testing.assert_array_equal(ct.voxels, expected)
    assert ct.orientation == "LPS"
    np.testing.assert_allclose(ct.affine, [[-0.7, 0, 0, 20], [0, -0.8, 0, 30], [0, 0, 2.5, 40], [0, 0, 0, 1]])


@pytest.mark.parametrize("code", ["LPS", "RAS", "LAS", "PIR", "SLA", "IPR"])
def test_a_volume_of_any_orientation_comes_back_in_place(tmp_path: Path, code: str) -> None:
    grid = Grid.centred((5, 6, 7), (0.7, 0.8, 2.5), code)
    ct = CTVolume(np.arange(210, dtype=np.int16).reshape(5, 6, 7) * 100 - 10000, grid.affine)
    write_series(ct, tmp_path / "out", stamp_of(ct))
    back = read_series(tmp_path / "out")
    assert back.orientation == "LPS"
    assert voxel_digest(back) == voxel_digest(ct)
    np.testing.assert_allclose(back.reoriented(code).affine, ct.affine, atol=1e-6)


def test_an_oblique_volume_comes_back_with_its_stamp(tmp_path: Path, ct: CTVolume) -> None:
    stamp = stamp_of(ct)
    write_series(ct, tmp_path / "out", stamp)
    back = read_series(tmp_path / "out")
    assert stamp.changes(back) == []
    np.testing.assert_allclose(back.reoriented(ct.orientation).affine, ct.affine, atol=1e-6)
    assert read_stamp_of_series(tmp_path / "out") == stamp
    assert read_stamp_of_series(tmp_path / "out" / "IM0003.dcm") == stamp


def test_all_values_of_16_bits_survive(tmp_path: Path) -> None:
    ct = CTVolume(np.array([-32768, -1024, -1, 0, 1, 3071, 32767, 5], np.int16).reshape(2, 2, 2), np.eye(4))
    write_series(ct, tmp_path / "out", stamp_of(ct))
    assert voxel_digest(read_series(tmp_path / "out")) == voxel_digest(ct)


def test_one_slice_alone_keeps_its_thickness(tmp_path: Path) -> None:
    ct = CTVolume(np.arange(20, dtype=np.int16).reshape(4, 5, 1), np.diag([1.0, 1.0, 3.0, 1.0]))
    write_series(ct, tmp_path / "out", stamp_of(ct))
    back = read_series(tmp_path / "out")
    assert back.shape == (4, 5, 1)
    assert back.spacing == pytest.approx((1, 1, 3))


def test_slices_are_sorted_by_place_not_by_name_or_number(tmp_path: Path) -> None:
    folder = write_scan(tmp_path / "scan")
    files = sorted(folder.iterdir())
    names = random.Random(1).sample([f"x{n}" for n in range(5)], 5)
    for file, name in zip(files, names, strict=True):
        file.rename(folder / name)
    assert_is_the_scan(read_series(folder))


def test_a_scan_from_head_to_feet_is_turned_upwards(tmp_path: Path) -> None:
    def feet_down(dataset, k):
        dataset.ImagePositionPatient = ["-20", "-30", f"{40 + 2.5 * (4 - k):g}"]
        dataset.PixelData = scan_slice(4 - k).PixelData

    assert_is_the_scan(read_series(write_scan(tmp_path / "scan", feet_down)))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_plain_encodings_are_read(tmp_path: Path, syntax) -> None:
    assert_is_the_scan(read_series(write_scan(tmp_path / "scan", syntax=syntax)))


def test_a_compressed_scan_is_read_where_a_decoder_is_there(tmp_path: Path) -> None:
    def runs(dataset, k):
        values = np.frombuffer(dataset.PixelData, "<u2")
        planes = [(values >> 8).astype(np.uint8).tobytes(), (values & 255).astype(np.uint8).tobytes()]
        packed = [bytes([47]) + plane for plane in planes]
        packed = [p + b"\0" * (len(p) % 2) for p in packed]
        offsets = np.zeros(16, "<u4")
        offsets[:3] = 2, 64, 64 + len(packed[0])
        dataset.PixelData = encapsulate([offsets.tobytes() + b"".join(packed)])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = RLELossless

    assert_is_the_scan(read_series(write_scan(tmp_path / "scan", runs)))


def test_bits_above_those_stored_are_not_taken_for_values(tmp_path: Path) -> None:
    def overlay(dataset, k):
        dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") | 0xF000).astype("<u2").tobytes()

    assert_is_the_scan(read_series(write_scan(tmp_path / "scan", overlay)))


def test_each_slice_is_rescaled_by_its_own_numbers(tmp_path: Path) -> None:
    def own_numbers(dataset, k):
        dataset.RescaleIntercept = str(-1024 - k)
        dataset.PixelData = (hu_of_slice(k) + 1024 + k).astype("<u2").tobytes()

    assert_is_the_scan(read_series(write_scan(tmp_path / "scan", own_numbers)))


def test_an_enhanced_ct_in_one_file_is_read(tmp_path: Path) -> None:
    enhanced_scan().save_as(tmp_path / "one.dcm")
    assert_is_the_scan(read_series(tmp_path / "one.dcm"))


def test_scouts_reports_pictures_and_other_files_beside_the_series_are_left_out(tmp_path: Path) -> None:
    folder = write_scan(tmp_path / "scan")
    scout = scan_slice(0, series="1.2.3.50")
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scout.save_as(folder / "scout")
    for name, kind in (("sr", REPORT), ("sc", SECONDARY_CAPTURE)):
        other = empty_file(kind)
        other.SeriesInstanceUID = "1.2.3.51"
        other.save_as(folder / name)
    (folder / "notes.txt").write_text("not DICOM")
    (folder / ".hidden").write_bytes(b"\0" * 128 + b"DICM")
    assert_is_the_scan(read_series(folder))


def test_subfolders_are_searched_and_a_file_names_its_series(tmp_path: Path) -> None:
    inner = write_scan(tmp_path / "inner")
    assert_is_the_scan(read_series(tmp_path))
    write_scan(inner, lambda d, k: setattr(d, "Rows", 6), slices=3, names="other{k}", series="1.2.3.100")
    assert_is_the_scan(read_series(inner / "IM2.dcm"))
    assert read_series(inner / "other0").shape == (8, 6, 3)


def test_fractions_are_rounded_only_on_demand(tmp_path: Path) -> None:
    folder = write_scan(tmp_path / "scan", lambda d, k: setattr(d, "RescaleSlope", "0.5"))
    with pytest.raises(BadInput, match="fractions"):
        read_series(folder)
    halves = (hu_of_slice(2).T + 1024) * 0.5 - 1024
    np.testing.assert_array_equal(read_series(folder, round_values=True).voxels[:, :, 2], np.rint(halves))


def test_a_scan_of_others_carries_no_stamp(tmp_path: Path) -> None:
    assert read_stamp_of_series(write_scan(tmp_path / "scan")) is None


def test_a_patient_that_is_given_is_prefixed(tmp_path: Path, ct: CTVolume) -> None:
    write_series(ct, tmp_path / "out", stamp_of(ct), patient=PatientInfo("Müller^Jörg", "4711", "19500102", "M"))
    dataset = pydicom.dcmread(tmp_path / "out" / "IM0001.dcm")
    assert str(dataset.PatientName) == "SYNTHETIC^Müller^Jörg"
    assert (dataset.PatientID, dataset.PatientBirthDate, dataset.PatientSex) == ("SYNTHETIC-4711", "19500102", "M")


@pytest.mark.parametrize("patient", [PatientInfo(name="a\\b"), PatientInfo(id="x" * 99), PatientInfo(birth_date="soon"),
                                     PatientInfo(sex="yes")])
def test_a_patient_that_dicom_cannot_hold_is_refused(tmp_path: Path, ct: CTVolume, patient: PatientInfo) -> None:
    with pytest.raises(BadInput):
        write_series(ct, tmp_path / "out", stamp_of(ct), patient=patient)
    assert list(tmp_path.iterdir()) == []


def test_a_sheared_volume_is_not_written(tmp_path: Path) -> None:
    affine = np.eye(4)
    affine[0, 2] = 0.2
    ct = CTVolume(np.zeros((4, 4, 4), np.int16), affine)
    with pytest.raises(BadInput, match="right angles"):
        write_series(ct, tmp_path / "out", stamp_of(ct))


def test_a_cancelled_series_leaves_nothing(tmp_path: Path, ct: CTVolume) -> None:
    cancel = CancelToken()

    def stop_at_second(progress):
        if progress.step == 1:
            cancel.cancel()

    with pytest.raises(Cancelled):
        write_series(ct, tmp_path / "out", stamp_of(ct), watch=Watch(stop_at_second, cancel))
    assert list(tmp_path.iterdir()) == []


def test_two_series_of_the_same_volume_share_no_uid(tmp_path: Path, ct: CTVolume) -> None:
    for name in ("a", "b"):
        write_series(ct, tmp_path / name, stamp_of(ct))
    seen: list[str] = []
    for file in sorted(tmp_path.glob("*/*.dcm")):
        seen.append(pydicom.dcmread(file).SOPInstanceUID)
    assert len(set(seen)) == len(seen) == 2 * ct.shape[2]
    first, second = (pydicom.dcmread(tmp_path / name / "IM0001.dcm") for name in "ab")
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert first[keyword].value != second[keyword].value


def test_reading_needs_no_highdicom() -> None:
    code = "import sys, text2ct.formats.dicom_read, text2ct.formats.dicom_seg; sys.exit('highdicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_reading_leaves_warnings_and_loggers_as_they_were(tmp_path: Path) -> None:
    folder = write_scan(tmp_path / "scan")
    filters, level = list(warnings.filters), logging.getLogger("pydicom").level
    read_series(folder)
    shutil.rmtree(folder)
    with pytest.raises(BadInput):
        read_series(folder)
    assert warnings.filters == filters
    assert (logging.getLogger("pydicom").level, logging.getLogger("pydicom").filters) == (level, [])
