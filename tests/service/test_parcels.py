"""Volumes on the wire: they come back equal, the same volume gives the same bytes, and no header is believed."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from hypothesis import given
from hypothesis import strategies as st

from text2ct.errors import BadInput
from text2ct.formats import seg_nrrd
from text2ct.plain import to_plain
from text2ct.service import parcels
from text2ct.volume import CTVolume, LabelVolume, Segment, Volume

MANY = 10**6


def there_and_back(volume: Volume, folder: Path) -> Volume:
    path, sha = parcels.parcel_of(volume, folder)
    assert sha == parcels.file_sha256(path) == path.name.partition(".")[0]
    read = parcels.read_labels if isinstance(volume, LabelVolume) else parcels.read_ct
    return read(path, MANY)


@pytest.mark.parametrize("code", ["RAS", "LPS", "SAL", "PIR"])
def test_a_ct_comes_back_equal_in_any_orientation(ct: CTVolume, tmp_path: Path, code: str) -> None:
    turned = ct.reoriented(code)
    back = there_and_back(turned, tmp_path)
    assert back == turned
    assert to_plain(back) == to_plain(turned)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_labels_come_back_with_every_name_colour_and_id(labels: LabelVolume, tmp_path: Path, kind: type) -> None:
    segments = (*labels.segments, Segment(9, "two\nlines|and \\ signs", (1 / 3, 0.1 + 0.2, 0.0), "lung ul/l"),
                Segment(200, "same id", (0.0, 0.0, 1.0), "heart"))
    given = replace(labels, voxels=labels.voxels.astype(kind), segments=segments, title="a|b ü")
    back = there_and_back(given, tmp_path)
    assert back == given
    assert to_plain(back) == to_plain(given)
    assert isinstance(back, LabelVolume)
    assert back.title == given.title


@given(st.lists(st.tuples(st.integers(1, 65535), st.text(max_size=20), st.floats(0, 1), st.text(max_size=20)),
                max_size=5, unique_by=lambda row: row[0]), st.text(max_size=30))
def test_any_names_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, float, str]],
                             title: str) -> None:
    segments = tuple(Segment(value, name, (c, 0.5, c), id_) for value, name, c, id_ in rows)
    given_ = LabelVolume(np.zeros((2, 3, 4), np.uint16), np.diag([1.5, 2, 3, 1.0]), segments, title)
    back = there_and_back(given_, tmp_path_factory.mktemp("names"))
    assert back == given_
    assert isinstance(back, LabelVolume)
    assert back.title == title


@given(st.lists(st.floats(-300, 300, allow_subnormal=False), min_size=3, max_size=3),
       st.lists(st.floats(0.01, 20), min_size=3, max_size=3))
def test_any_affine_comes_back_to_the_last_digit(tmp_path_factory: pytest.TempPathFactory, origin: list[float],
                                                 spacing: list[float]) -> None:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    ct = CTVolume(np.ones((2, 2, 2), np.int16), affine)
    assert to_plain(there_and_back(ct, tmp_path_factory.mktemp("affine"))) == to_plain(ct)


def test_the_same_volume_gives_the_same_bytes_however_its_memory_lies(ct: CTVolume, tmp_path: Path) -> None:
    other = replace(ct, voxels=np.asfortranarray(ct.voxels))
    (tmp_path / "b").mkdir()
    first, second = parcels.parcel_of(ct, tmp_path), parcels.parcel_of(other, tmp_path / "b")
    again = parcels.parcel_of(parcels.read_ct(first[0], MANY), tmp_path / "b")
    assert first[1] == second[1] == again[1]
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == [first[0].name]


def test_a_parcel_is_a_file_that_other_programs_open(ct: CTVolume, labels: LabelVolume, tmp_path: Path) -> None:
    path, _ = parcels.parcel_of(ct, tmp_path)
    assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))), ct.voxels.transpose(2, 1, 0))
    path, _ = parcels.parcel_of(labels, tmp_path)
    (layer,) = seg_nrrd.read_layers(path)
    assert np.array_equal(layer.voxels, labels.voxels)
    assert [s.name for s in layer.segments] == [s.name for s in labels.segments]


def test_too_many_voxels_are_refused_by_the_header_alone(tmp_path: Path) -> None:
    path = tmp_path / "bomb.nrrd"
    path.write_bytes(b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4000 4000 4000\nencoding: gzip\n\n")
    with pytest.raises(BadInput, match=r"4000 x 4000 x 4000 voxels; the limit is 1000000"):
        parcels.read_ct(path, MANY)


def test_a_header_that_claims_more_than_the_file_holds_is_refused(ct: CTVolume, tmp_path: Path) -> None:
    path, _ = parcels.parcel_of(ct, tmp_path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"sizes: 7 6 5", b"sizes: 70 60 50"))
    with pytest.raises(BadInput, match=r"claims|cut off|ends after"):
        parcels.read_ct(path, MANY)
    path.write_bytes(data[:-9])
    with pytest.raises(BadInput):
        parcels.read_ct(path, MANY)


def test_a_parcel_cannot_point_to_another_file(ct: CTVolume, tmp_path: Path) -> None:
    path, _ = parcels.parcel_of(ct, tmp_path)
    header, _, voxels = path.read_bytes().partition(b"\n\n")
    (tmp_path / "secret").write_bytes(voxels)
    for field in (b"data file", b"datafile", b"Data File"):
        path.write_bytes(header + b"\n" + field + b": secret\n\n")
        with pytest.raises(BadInput, match="another file"):
            parcels.read_ct(path, MANY)


@pytest.mark.parametrize("kind", ["float", "int", "unsigned char", "longlong", "block", ""])
def test_values_of_another_type_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd.nrrd"
    path.write_bytes(f"NRRD0004\ntype: {kind}\ndimension: 3\nsizes: 2 2 2\nencoding: gzip\n\n".encode()
                     + gzip.compress(bytes(64)))
    with pytest.raises(BadInput):
        parcels.read_ct(path, MANY)


@pytest.mark.parametrize("names", ["", "{", "[]", "{}", json.dumps({"title": 1, "segments": [], "kind": "uint8"}),
                                   json.dumps({"title": "", "segments": [], "kind": "float64"}),
                                   json.dumps({"title": "", "segments": [], "kind": "uint16"}),
                                   json.dumps({"title": "", "kind": "uint8", "segments": [
                                       {"value": 0, "name": "", "color": [0, 0, 0], "id": ""}]})])
def test_names_that_make_no_sense_are_refused(labels: LabelVolume, tmp_path: Path, names: str) -> None:
    path, _ = parcels.parcel_of(labels, tmp_path)
    header, _, voxels = path.read_bytes().partition(b"\n\n")
    lines = [line for line in header.split(b"\n") if not line.startswith(b"text2ct_labels")]
    path.write_bytes(b"\n".join([*lines, f"text2ct_labels:={names}".encode()]) + b"\n\n" + voxels)
    with pytest.raises(BadInput):
        parcels.read_labels(path, MANY)


def test_random_damage_is_a_sentence_and_never_another_error(labels: LabelVolume, tmp_path: Path) -> None:
    path, _ = parcels.parcel_of(labels, tmp_path)
    good, chance = path.read_bytes(), np.random.default_rng(3)
    for _ in range(300):
        data = bytearray(good)
        data[chance.integers(len(data))] = chance.integers(256)
        path.write_bytes(data)
        try:
            read = parcels.read_labels(path, MANY)
        except BadInput as error:
            assert len(str(error)) > 20
        else:
            assert read.voxels.dtype == labels.voxels.dtype
    os.truncate(path, 0)
    with pytest.raises(BadInput):
        parcels.read_labels(path, MANY)
