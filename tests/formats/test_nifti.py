"""NIfTI: what we write, others read alike; what others write, we read alike or refuse with a sentence."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from text2ct.errors import BadInput
from text2ct.formats import nifti
from text2ct.formats.files import read_ct, read_labels
from text2ct.volume import CTVolume, LabelVolume


def sentence(error: pytest.ExceptionInfo[BadInput]) -> str:
    text = str(error.value)
    assert text.endswith(".")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz"])
def test_nibabel_reads_what_we_wrote(ct: CTVolume, tmp_path: Path, name: str) -> None:
    nifti.write(ct, tmp_path / name, comment="hello", description="SYNTHETIC")
    image = nibabel.load(tmp_path / name)
    assert np.array_equal(np.asarray(image.dataobj), ct.voxels)
    assert np.allclose(image.affine, ct.affine, atol=1e-4)
    assert np.allclose(image.get_qform(), ct.affine, atol=1e-4)
    assert image.header["descrip"].item() == b"SYNTHETIC"
    assert image.header.get_xyzt_units()[0] == "mm"
    assert read_ct(tmp_path / name).same_grid(ct, 1e-3)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "PIR", "SAL"])
def test_simpleitk_puts_our_voxels_at_the_same_points(ct: CTVolume, tmp_path: Path, orientation: str) -> None:
    turned = ct.reoriented(orientation)
    nifti.write(turned, tmp_path / "ct.nii.gz")
    image = SimpleITK.ReadImage(str(tmp_path / "ct.nii.gz"))
    for index in [(0, 0, 0), (1, 2, 3), (4, 0, 2)]:
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        assert np.allclose(lps * [-1, -1, 1], turned.grid.to_ras(index), atol=1e-3)
        assert image[index] == turned.voxels[index]


def test_a_file_with_only_a_qform_is_read(ct: CTVolume, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(ct.voxels, ct.affine)
    image.set_sform(None, 0)
    image.set_qform(ct.affine, 1)
    nibabel.save(image, tmp_path / "q.nii.gz")
    assert read_ct(tmp_path / "q.nii.gz").same_grid(ct, 1e-2)


def test_nifti2_big_endian_and_scaled_files_are_read(ct: CTVolume, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti2Image(ct.voxels, ct.affine), tmp_path / "two.nii.gz")
    assert read_ct(tmp_path / "two.nii.gz") == ct
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.dtype(">i2"))
    big = nibabel.Nifti1Image(ct.voxels.astype(">i2"), ct.affine, header)
    nibabel.save(big, tmp_path / "big.nii")
    assert np.array_equal(read_ct(tmp_path / "big.nii").voxels, ct.voxels)
    scaled = nibabel.Nifti1Image((ct.voxels + 1024).astype(np.uint16), ct.affine)
    scaled.header.set_slope_inter(1, -1024)
    nibabel.save(scaled, tmp_path / "scaled.nii.gz")
    assert np.array_equal(read_ct(tmp_path / "scaled.nii.gz").voxels, ct.voxels)


def test_float_files_with_whole_hu_are_read_and_fractions_only_when_rounded(ct: CTVolume, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(ct.voxels.astype(np.float32), ct.affine), tmp_path / "whole.nii.gz")
    assert np.array_equal(read_ct(tmp_path / "whole.nii.gz").voxels, ct.voxels)
    nibabel.save(nibabel.Nifti1Image(ct.voxels + np.float32(0.25), ct.affine), tmp_path / "part.nii.gz")
    with pytest.raises(BadInput, match="fractions") as error:
        read_ct(tmp_path / "part.nii.gz")
    assert "--round" in sentence(error)
    assert np.array_equal(read_ct(tmp_path / "part.nii.gz", round_values=True).voxels, ct.voxels)


def test_four_axes_with_one_time_point_are_three(ct: CTVolume, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(ct.voxels[..., None], ct.affine), tmp_path / "one.nii.gz")
    assert read_ct(tmp_path / "one.nii.gz").shape == ct.shape


def test_float_labels_as_segmentation_tools_write_them_are_read(labels: LabelVolume, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(labels.voxels.astype(np.float32), labels.affine), tmp_path / "labels.nii.gz")
    assert np.array_equal(read_labels(tmp_path / "labels.nii.gz").voxels, labels.voxels)
    assert read_labels(tmp_path / "labels.nii.gz").voxels.dtype == np.uint8


def test_comments_are_found_again(ct: CTVolume, tmp_path: Path) -> None:
    nifti.write(ct, tmp_path / "ct.nii.gz", comment="first {}")
    assert nifti.read_comments(tmp_path / "ct.nii.gz") == ["first {}"]
    assert nibabel.load(tmp_path / "ct.nii.gz").header.extensions[0].get_content() == b"first {}"


def write_header(path: Path, change: dict[int, bytes], voxels: bytes = b"\0" * 64) -> None:
    """A small valid file with some header bytes replaced."""
    volume = CTVolume(np.zeros((4, 4, 2), np.int16), np.eye(4))
    nifti.write(volume, path)
    data = bytearray(path.read_bytes()[:352]) + voxels
    for at, piece in change.items():
        data[at:at + len(piece)] = piece
    path.write_bytes(data)


@pytest.mark.parametrize(("change", "words"), [
    ({40: struct.pack("<4h", 3, 30000, 30000, 30000)}, "claims"),
    ({40: struct.pack("<4h", 3, 400, 400, 400)}, "cut off"),
    ({40: struct.pack("<4h", 3, -4, 4, 2)}, "claims"),
    ({40: struct.pack("<8h", 4, 4, 4, 1, 2, 1, 1, 1)}, "axes"),
    ({40: struct.pack("<8h", 9, 4, 4, 1, 2, 1, 1, 1)}, "axes"),
    ({70: struct.pack("<2h", 128, 24)}, "colour"),
    ({70: struct.pack("<2h", 1792, 128)}, "no CT"),
    ({280: struct.pack("<f", float("nan"))}, "not a number"),
    ({280: struct.pack("<12f", *[0.0] * 12)}, "voxels of"),
    ({252: struct.pack("<2h", 0, 0)}, "right is"),
    ({108: struct.pack("<f", -1e30)}, "impossible place"),
    ({344: b"abc\0"}, "not a NIfTI|none of the formats"),
    ({344: b"ni1\0"}, "pair"),
    ({112: struct.pack("<2f", 1e6, 0)}, "do not fit"),
])
def test_a_senseless_header_gives_one_sentence(tmp_path: Path, change: dict[int, bytes], words: str) -> None:
    path = tmp_path / "bad.nii"
    write_header(path, change, voxels=b"\x01\0" * 32)
    with pytest.raises(BadInput, match=words) as error:
        read_ct(path)
    sentence(error)


def test_a_cut_or_damaged_gzip_gives_one_sentence(ct: CTVolume, tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    nifti.write(ct, path)
    whole = path.read_bytes()
    for size in (0, 1, 10, 60, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:size])
        with pytest.raises(BadInput) as error:
            read_ct(path)
        sentence(error)
    path.write_bytes(whole[:200] + b"\xff" * 40 + whole[240:])
    with pytest.raises(BadInput, match="damaged"):
        read_ct(path)


def test_any_flipped_bit_of_a_gzip_is_noticed_or_harmless(ct: CTVolume, tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    nifti.write(ct, path)
    whole = path.read_bytes()
    for at in range(0, 8 * len(whole), 37):
        data = bytearray(whole)
        data[at // 8] ^= 1 << at % 8
        path.write_bytes(data)
        try:
            assert np.array_equal(read_ct(path).voxels, ct.voxels), at
        except BadInput as error:
            assert str(error).endswith(".")
    path.write_bytes(whole[:-3])
    with pytest.raises(BadInput, match="cut off"):
        read_ct(path)


def test_a_small_gzip_cannot_ask_for_gigabytes(tmp_path: Path) -> None:
    plain = tmp_path / "bomb.nii"
    write_header(plain, {40: struct.pack("<4h", 3, 800, 800, 800)})
    packed = tmp_path / "bomb.nii.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    with pytest.raises(BadInput, match="claims 102400"):
        read_ct(packed)


@pytest.mark.parametrize(("values", "words"), [
    (np.full((3, 3, 3), np.nan, np.float32), "no numbers"),
    (np.full((3, 3, 3), np.inf, np.float32), "no numbers"),
    (np.full((3, 3, 3), 40000, np.uint16), "do not fit"),
    (np.full((3, 3, 3), -40000, np.int32), "do not fit"),
    (np.full((3, 3, 3), 1e30, np.float64), "do not fit"),
])
def test_values_that_are_no_hu_give_one_sentence(tmp_path: Path, values: np.ndarray, words: str) -> None:
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "v.nii.gz")
    with pytest.raises(BadInput, match=words) as error:
        read_ct(tmp_path / "v.nii.gz")
    sentence(error)


def test_a_gzip_of_several_members_is_read_whole(ct: CTVolume, tmp_path: Path) -> None:
    path = tmp_path / "ct.nii"
    nifti.write(ct, path)
    data = path.read_bytes()
    joined = tmp_path / "joined.nii.gz"
    joined.write_bytes(gzip.compress(data[:500]) + gzip.compress(data[500:]))
    assert np.array_equal(read_ct(joined).voxels, ct.voxels)


def test_real_cts_read_as_nibabel_reads_them(shared: Path) -> None:
    for name in ("cip_ct64_chest_4mm.nii.gz", "totalseg_example_ct_abdomen_3mm.nii.gz",
                 "lidc_idri_0314_chest_3mm.nii.gz"):
        image = nibabel.load(shared / "data/real-ct" / name)
        ours = read_ct(shared / "data/real-ct" / name)
        assert np.array_equal(ours.voxels, np.asarray(image.dataobj))
        assert np.allclose(ours.affine, image.affine, atol=1e-4)
