"""What is no CT series, each refused with one sentence that names the trouble."""

from __future__ import annotations

import re
import tracemalloc
import warnings
from pathlib import Path

import pytest
from dicom_files import SECONDARY_CAPTURE, Edit, empty_file, enhanced_scan, scan_slice, write_scan
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless

from text2ct.errors import BadInput
from text2ct.formats.dicom_read import read_series


def refusal(path: Path) -> str:
    """The one sentence with which a path is refused; nothing else may be said, not even a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(BadInput) as caught:
            read_series(path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    assert len(sentence) < 500
    return sentence


def setting(keyword: str, value: object, only: int | None = None) -> Edit:
    return lambda dataset, k: setattr(dataset, keyword, value) if only in (None, k) else None


def at(x: float, y: float, z: float) -> list[str]:
    return [f"{v:.6g}" for v in (x, y, z)]


EDITS: dict[str, tuple[Edit, str]] = {
    "tilted gantry": (lambda d, k: setattr(d, "ImagePositionPatient", at(-20, -30 + 0.5 * k, 40 + 2.5 * k)),
                      r"gantry was tilted by 11\.3 degrees"),
    "slice missing": (lambda d, k: setattr(d, "ImagePositionPatient", at(-20, -30, 40 + 2.5 * (k + (k > 2)))),
                      r"a slice is missing between z=45 and z=50"),
    "slices missing": (lambda d, k: setattr(d, "ImagePositionPatient", at(-20, -30, 40 + 2.5 * (k + 3 * (k > 2)))),
                       r"3 slices are missing, first between z=45 and z=55"),
    "slice twice": (setting("ImagePositionPatient", at(-20, -30, 45), only=3),
                    r"1 slice twice, first at z=45 \(IM2\.dcm and IM3\.dcm\)"),
    "all at one place": (setting("ImagePositionPatient", at(-20, -30, 45)), r"4 slices twice"),
    "uneven": (lambda d, k: setattr(d, "ImagePositionPatient", at(-20, -30, 40 + 2.5 * k + 0.6 * (k == 2))),
               r"unevenly spaced, from 1\.9 to 3\.1 mm"),
    "other size": (setting("Rows", 3, only=2), r"differ in size: .*8 x 6 .*8 x 3"),
    "other spacing": (setting("PixelSpacing", ["0.9", "0.9"], only=2), r"differ in pixel spacing"),
    "other direction": (setting("ImageOrientationPatient", ["0", "1", "0", "-1", "0", "0"], only=2),
                        r"different directions"),
    "no orientation": (lambda d, k: d.pop("ImageOrientationPatient"), r"orientation of its image"),
    "no position": (lambda d, k: d.pop("ImagePositionPatient"), r"position of its image"),
    "no spacing": (lambda d, k: d.pop("PixelSpacing"), r"pixel spacing of its image"),
    "zero spacing": (setting("PixelSpacing", ["0", "0"]), r"no scanner writes"),
    "skewed axes": (setting("ImageOrientationPatient", ["1", "0", "0", "0.5", "0.8660254", "0"]), r"no scanner writes"),
    "colour": (setting("SamplesPerPixel", 3), r"no CT images but 5 x colour image"),
    "scout only": (setting("ImageType", ["ORIGINAL", "PRIMARY", "LOCALIZER"]), r"scout image"),
    "absurd rows": (setting("Rows", 60000), r"claims 60000 rows"),
    "no columns": (lambda d, k: d.pop("Columns"), r"no columns"),
    "more pixels than held": (setting("Columns", 4000), r"claims 48000 bytes of voxels but holds 96"),
    "no pixels": (lambda d, k: d.pop("PixelData"), r"holds no pixels"),
    "overflow up": (setting("RescaleIntercept", "60000"), r"do not fit 16-bit"),
    "overflow down": (setting("RescaleSlope", "-1000"), r"do not fit 16-bit"),
    "fractions": (setting("RescaleSlope", "0.25"), r"fractions"),
    "huge slope": (setting("RescaleSlope", "1e308"), r"no numbers|16-bit"),
    "no rescale": (lambda d, k: d.pop("RescaleIntercept"), r"no usable rescale"),
    "other units": (setting("RescaleType", "MGML"), r"'MGML', not in Hounsfield"),
    "odd bits": (setting("BitsAllocated", 12), r"unusual way"),
    "high bit elsewhere": (setting("HighBit", 15), r"unusual way"),
    "frames in a plain image": (setting("NumberOfFrames", 3), r"3 frames"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_scan_that_makes_no_volume_is_refused_by_name(tmp_path: Path, name: str) -> None:
    edit, words = EDITS[name]
    assert re.search(words, refusal(write_scan(tmp_path / "scan", edit)))


def test_rounded_positions_are_no_missing_slice(tmp_path: Path) -> None:
    def rounded(dataset, k):
        dataset.ImagePositionPatient = at(-20, -30, round(40 + 0.625 * k, 1))

    ct = read_series(write_scan(tmp_path / "scan", rounded, slices=9))
    assert ct.spacing[2] == pytest.approx(0.625, abs=0.02)


def test_mixed_series_are_named_with_their_counts(tmp_path: Path) -> None:
    folder = write_scan(tmp_path / "scan")
    write_scan(folder, setting("SeriesDescription", "Lung 1 mm"), slices=3, names="b{k}", series="1.2.3.100")
    said = refusal(folder)
    assert "2 series: 'Thorax 2.5 mm' (1.2.3.99, 5 files); 'Lung 1 mm' (1.2.3.100, 3 files)" in said
    assert "folder of its own" in said


def test_a_picture_given_as_a_ct_is_named(tmp_path: Path) -> None:
    colour = scan_slice(0)
    colour.PhotometricInterpretation = "RGB"
    colour.save_as(tmp_path / "a.dcm")
    assert "colour image" in refusal(tmp_path / "a.dcm")
    empty_file(SECONDARY_CAPTURE).save_as(tmp_path / "b.dcm")
    assert "not a CT image but this: Secondary Capture Image" in refusal(tmp_path / "b.dcm")


def test_files_that_are_no_dicom_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a letter")
    assert "no DICOM file" in refusal(tmp_path / "notes.txt")
    assert "no DICOM files" in refusal(tmp_path)
    assert "does not exist" in refusal(tmp_path / "nowhere")
    (tmp_path / "empty.dcm").write_bytes(b"\0" * 128 + b"DICM")
    assert "transfer syntax" in refusal(tmp_path / "empty.dcm")


def test_a_file_cut_off_in_its_pixels_is_refused(tmp_path: Path) -> None:
    folder = write_scan(tmp_path / "scan")
    file = folder / "IM2.dcm"
    file.write_bytes(file.read_bytes()[:-10])
    assert re.search(r"IM2\.dcm claims 96 bytes of voxels but holds 86", refusal(folder))


def test_every_shorter_part_of_a_file_is_refused(tmp_path: Path) -> None:
    whole = (write_scan(tmp_path / "scan", slices=1) / "IM0.dcm").read_bytes()
    part = tmp_path / "part.dcm"
    for size in range(0, len(whole), 7):
        part.write_bytes(whole[:size])
        refusal(part)


def test_a_length_of_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    raw = (write_scan(tmp_path / "scan", slices=1) / "IM0.dcm").read_bytes()
    for vr in (b"UT", b"OB", b"UN"):
        liar = raw[:-108] + b"\x08\x00\x3e\x10" + vr + b"\0\0\xf0\xff\xff\xff" + raw[-108:]
        (tmp_path / "liar.dcm").write_bytes(liar)
        tracemalloc.start()
        refusal(tmp_path / "liar.dcm")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 50e6


def test_a_header_of_endless_items_is_refused(tmp_path: Path) -> None:
    dataset = enhanced_scan()
    dataset.pop("PerFrameFunctionalGroupsSequence")
    dataset.pop("PixelData")
    dataset.save_as(tmp_path / "bomb.dcm")
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 600_000
    with (tmp_path / "bomb.dcm").open("ab") as stream:
        stream.write(b"\x00\x52\x30\x92SQ\0\0" + len(items).to_bytes(4, "little") + items)
    assert "far longer than that of any CT" in refusal(tmp_path / "bomb.dcm")


def test_a_compressed_scan_without_a_decoder_is_refused_with_advice(tmp_path: Path) -> None:
    def squeezed(dataset, k):
        dataset.PixelData = encapsulate([b"\xff\xd8\xff\xf7" + b"\0" * 60])
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless

    said = refusal(write_scan(tmp_path / "scan", squeezed))
    assert re.search(r"compressed \(JPEG-LS.*\) and could not be decoded here; install pylibjpeg", said)


def test_a_deflated_file_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    dataset = scan_slice(0)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(tmp_path / "deflated.dcm")
    assert "deflated" in refusal(tmp_path / "deflated.dcm")


def test_an_enhanced_ct_whose_frames_are_not_described_is_refused(tmp_path: Path) -> None:
    dataset = enhanced_scan()
    dataset.NumberOfFrames = 4000
    dataset.save_as(tmp_path / "one.dcm")
    assert "claims 4000 frames and describes 5" in refusal(tmp_path / "one.dcm")
