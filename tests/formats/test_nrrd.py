"""NRRD and segmentations: read and written as Slicer and SimpleITK do, refused with a sentence otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from text2ct.errors import BadInput
from text2ct.formats import nrrd, seg_nrrd
from text2ct.formats.files import read_ct, read_labels, read_layers, write_ct, write_labels
from text2ct.volume import CTVolume, LabelVolume, Segment

PLAIN = """NRRD0004
type: short
dimension: 3
space: left-posterior-superior
sizes: 2 2 2
space directions: (1,0,0) (0,1,0) (0,0,1)
endian: little
encoding: raw
space origin: (0,0,0)

"""


@pytest.mark.parametrize("name", ["ct.nrrd", "ct.nhdr"])
@pytest.mark.parametrize("orientation", ["LPS", "RAS", "SAL"])
def test_simpleitk_puts_our_voxels_at_the_same_points(ct: CTVolume, tmp_path: Path, name: str,
                                                      orientation: str) -> None:
    turned = ct.reoriented(orientation)
    write_ct(turned, tmp_path / name)
    image = SimpleITK.ReadImage(str(tmp_path / name))
    for index in [(0, 0, 0), (1, 2, 3), (4, 0, 2)]:
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        assert np.allclose(lps * [-1, -1, 1], turned.grid.to_ras(index), atol=1e-6)
        assert image[index] == turned.voxels[index]
    assert read_ct(tmp_path / name) == turned


@pytest.mark.parametrize("compress", [True, False])
def test_we_read_what_simpleitk_writes(ct: CTVolume, tmp_path: Path, compress: bool) -> None:
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(ct.voxels.T))
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((10, -20, 30))
    SimpleITK.WriteImage(image, str(tmp_path / "s.nrrd"), compress)
    got = read_ct(tmp_path / "s.nrrd")
    assert np.array_equal(got.voxels, ct.voxels)
    assert np.allclose(got.affine, [[-0.7, 0, 0, -10], [0, -0.8, 0, 20], [0, 0, 2.5, 30], [0, 0, 0, 1]])


def test_keys_with_strange_texts_come_back(ct: CTVolume, tmp_path: Path) -> None:
    keys = {"plain": "a: b := c", "lines": "one\ntwo\\n", "ümlaut": "größer"}
    nrrd.write(ct, tmp_path / "ct.nrrd", keys)
    assert nrrd.read(tmp_path / "ct.nrrd").keys == keys


def test_names_and_colours_of_a_segmentation_come_back(labels: LabelVolume, tmp_path: Path) -> None:
    write_labels([labels], tmp_path / "s.seg.nrrd")
    (got,) = read_layers(tmp_path / "s.seg.nrrd")
    assert got == labels
    assert got.title == "organs"
    fields, keys = nrrd.read_header(tmp_path / "s.seg.nrrd")
    assert keys["Segment1_Name"] == "heart"
    assert keys["Segment0_Extent"] == "1 3 1 2 1 3"
    assert fields["dimension"] == "3"


def test_overlapping_segments_stand_in_layers(labels: LabelVolume, tmp_path: Path) -> None:
    over = np.zeros(labels.shape, np.uint8)
    over[1:6, 1:5, 0:4] = 1
    findings = LabelVolume(over, labels.affine, (Segment(1, "pleural_effusion right", (0, 1, 1), "e"),), "findings")
    path = tmp_path / "s.seg.nrrd"
    write_labels([labels, findings], path)
    assert read_layers(path) == (labels, findings)
    assert nrrd.read_header(path)[0]["kinds"] == "list domain domain domain"
    with pytest.raises(BadInput, match="overlap"):
        read_labels(path)


def test_layers_that_do_not_overlap_become_one_label_map(labels: LabelVolume, tmp_path: Path) -> None:
    alone = np.zeros(labels.shape, np.uint8)
    alone[6, 0, 0] = 1
    other = LabelVolume(alone, labels.affine, (Segment(1, "mass", (1, 0, 0), "m"),), "findings")
    write_labels([labels, other], tmp_path / "s.seg.nrrd")
    merged = read_labels(tmp_path / "s.seg.nrrd")
    assert [s.name for s in merged.segments] == ["lung_upper_lobe_left", "heart", "Knötchen", "mass"]
    assert merged.mask("mass").sum() == 1
    assert np.array_equal(merged.mask("heart"), labels.mask("heart"))


def test_a_segmentation_as_slicer_5_writes_it_is_read(tmp_path: Path) -> None:
    """Header lines as Slicer 5 writes them: cropped extent, two layers, terminology tags."""
    header = """NRRD0004
# Complete NRRD file format specification at:
# http://teem.sourceforge.net/nrrd/format.html
type: unsigned char
dimension: 4
space: left-posterior-superior
sizes: 2 3 2 2
space directions: none (0,1.5,0) (-1.5,0,0) (0,0,3)
kinds: list domain domain domain
endian: little
encoding: raw
space origin: (10,20,30)
Segment0_Color:=0.501961 0.682353 0.501961
Segment0_Extent:=0 0 0 0 0 0
Segment0_ID:=Segment_1
Segment0_LabelValue:=1
Segment0_Layer:=0
Segment0_Name:=tumour
Segment0_Tags:=Segmentation.Status:inprogress|TerminologyEntry:Segmentation category and type~SCT^85756007^Tissue|
Segment1_Color:=0.9 0.8 0.4
Segment1_ID:=Segment_2
Segment1_LabelValue:=1
Segment1_Layer:=1
Segment1_Name:=edema
Segmentation_ContainedRepresentationNames:=Binary labelmap|Closed surface|
Segmentation_ReferenceImageExtentOffset:=3 4 5

"""
    values = np.zeros((2, 3, 2, 2), np.uint8)
    values[0, 1, 0, 0] = 1
    values[1, 1, 0, 0] = 1
    path = tmp_path / "slicer.seg.nrrd"
    path.write_bytes(header.encode() + values.tobytes(order="F"))
    tumour, edema = read_layers(path)
    assert tumour.mask("tumour").sum() == 1
    assert edema.mask("edema")[1, 0, 0]
    assert np.allclose(tumour.grid.to_ras([1, 0, 0]), [-10, -21.5, 30])


def test_simpleitk_reads_our_label_map(labels: LabelVolume, tmp_path: Path) -> None:
    write_labels([labels], tmp_path / "l.nrrd")
    assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "l.nrrd"))).T, labels.voxels)


@pytest.mark.parametrize(("before", "after", "words"), [
    ("NRRD0004", "NRRD0009", "not an NRRD"), ("type: short", "type: block", "lacks a usable"),
    ("type: short\n", "", "lacks a usable"), ("sizes: 2 2 2", "sizes: 2 2", "2 sizes"),
    ("sizes: 2 2 2", "sizes: 2 2 x", "lacks a usable"), ("sizes: 2 2 2", "sizes: 4000 4000 4000", "claims"),
    ("sizes: 2 2 2", "sizes: -2 2 2", "claims"), ("sizes: 2 2 2", "sizes: 300 300 300", "cut off"),
    ("sizes: 2 2 2", f"sizes: 2 2 {10**30}", "claims"),
    ("encoding: raw", "encoding: bzip2", "encoding"), ("encoding: raw", "encoding: gzip", "damaged"),
    ("space: left-posterior-superior\n", "", "does not say"), ("(1,0,0)", "none", "does not say"),
    ("(1,0,0)", "(1,0)", "does not say"), ("(1,0,0)", "(nan,0,0)", "not a number"), ("(1,0,0)", "(a,0,0)", "vector"),
    ("(1,0,0)", "(0,1,0)", "same way"), ("endian: little", "endian little", "neither"),
    ("endian: little", "data file: ../elsewhere.raw", "elsewhere"), ("endian: little", "byte skip: 5", "skip"),
    ("endian: little", "data file: absent.raw", "beside it"),
])
def test_a_senseless_header_gives_one_sentence(tmp_path: Path, before: str, after: str, words: str) -> None:
    path = tmp_path / "bad.nrrd"
    path.write_bytes(PLAIN.replace(before, after).encode() + b"\0" * 16)
    with pytest.raises(BadInput, match=words) as error:
        nrrd.read_ct(path)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_a_colour_or_time_series_is_refused_as_a_ct(tmp_path: Path) -> None:
    text = PLAIN.replace("dimension: 3", "dimension: 4").replace("sizes: 2 2 2", "sizes: 3 2 2 2")
    (tmp_path / "c.nrrd").write_bytes(text.replace("(1,0,0)", "none (1,0,0)").encode() + b"\0" * 48)
    with pytest.raises(BadInput, match="4 axes"):
        read_ct(tmp_path / "c.nrrd")


def test_a_segmentation_is_not_taken_for_a_ct(labels: LabelVolume, tmp_path: Path) -> None:
    write_labels([labels], tmp_path / "s.seg.nrrd")
    with pytest.raises(BadInput, match="segmentation"):
        read_ct(tmp_path / "s.seg.nrrd")


def test_layers_on_different_grids_are_not_written_together(labels: LabelVolume, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="different grids"):
        seg_nrrd.write([labels, labels.window((0, 0, 0), (2, 2, 2))], tmp_path / "x.seg.nrrd")
    assert list(tmp_path.iterdir()) == []
