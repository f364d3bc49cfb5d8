"""Texts on their way to the networks: tokens, organs, attributes, structured reports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_weights
from hypothesis import given, settings
from hypothesis import strategies as st

from text2ct.engines import catalog
from text2ct.engines.lesiondiffusion.attributes import Surroundings, asked, check_asked, completed
from text2ct.engines.lesiondiffusion.organs import V1, V2, as_v1, number_of
from text2ct.engines.lesiondiffusion.quantities import size_ml, size_share
from text2ct.engines.lesiondiffusion.report_file import (
    Entry,
    StructuredReport,
    parsed,
    read_structured,
    to_plain,
    write_structured,
)
from text2ct.engines.lesiondiffusion.tokens import linet_tokens, lmnet_tokens, short_ct_value
from text2ct.engines.lesiondiffusion.vocabulary import CT_VALUE, FIELDS, MENUS, known, trained
from text2ct.engines.lesiondiffusion.wordpiece import WordPiece
from text2ct.errors import BadInput, BadRequest, WeightsError
from text2ct.volume import LabelVolume, Segment, numbered_segments


def labelled(values: list[int], segments: tuple[Segment, ...]) -> LabelVolume:
    return LabelVolume(np.array(values, np.uint8).reshape(-1, 1, 1), np.eye(4), segments)


def test_a_text_is_split_into_the_longest_known_pieces(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(tiny_weights.WORDS) + "\n")
    words = WordPiece.read(tmp_path / "vocab.txt")
    ids = {name: number for number, name in enumerate(tiny_weights.WORDS)}
    assert words.encode("") == [2, 3]
    assert words.encode("Enhanced  CT,") == [2, ids["enhanced"], ids["ct"], ids[","], 3]
    assert words.encode("lungs") == [2, ids["lung"], ids["##s"], 3]
    assert words.encode("Ünïcode β") == words.encode("unicode ☃")
    assert words.encode("a &amp;amp; b")[2] == 1
    assert len(words.encode("a " * 500)) == 256


def test_a_file_that_is_no_vocabulary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("some\nwords\n")
    with pytest.raises(WeightsError, match=r"no vocabulary of BERT: it has no \[PAD\]"):
        WordPiece.read(tmp_path / "vocab.txt")


_ALPHABET = st.one_of(st.characters(exclude_categories=("Cs", "Co", "Cn"), max_codepoint=0x52F),
                      st.sampled_from("漢字ひ“”—…€™ﬁ①\u3000\u200b\u0301"))


@settings(max_examples=150, deadline=None)
@given(text=st.text(_ALPHABET, max_size=40))
def test_words_are_split_as_the_reference_tokenizer_splits_them(text: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    from text2ct.engines.lesiondiffusion.wordpiece import words

    judge = tokenizers.normalizers.BertNormalizer(lowercase=True)
    theirs = [word for word, _ in tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str(
        judge.normalize_str(text))]
    assert list(words(text)) == theirs


def test_the_names_of_both_versions_of_totalsegmentator_map_to_numbers_of_the_first() -> None:
    assert (len(set(V1)), len(set(V2))) == (104, 117)
    assert [number_of(name) for name in V1] == list(range(1, 105))
    assert number_of("lung_upper_lobe_left") == 13
    assert number_of("left kidney") == 3
    assert number_of("urinary_bladder") == number_of("bladder") == 104
    assert number_of("vertebrae_L5") == 18
    assert number_of("rib_right_12") == 81
    assert number_of("heart") == 44
    assert number_of("thyroid_gland") is None


def test_labels_without_names_are_read_as_numbers_of_the_version_that_they_fit() -> None:
    for values, expected, version in (([5, 104], [5, 104], "v1"), ([7, 20, 117], [10, 57, 0], "v2")):
        labels = labelled(values, numbered_segments(np.array(values, np.uint8)))
        voxels, said = as_v1(labels)
        assert voxels.ravel().tolist() == expected
        assert version in said[0]


def test_organs_that_the_networks_do_not_know_are_named() -> None:
    labels = labelled([1, 2], (Segment(1, "liver", (1, 0, 0)), Segment(2, "prostate", (1, 0, 0))))
    voxels, said = as_v1(labels)
    assert voxels.ravel().tolist() == [5, 0]
    assert "prostate" in said[0]


def test_the_real_labels_of_an_abdomen_are_mapped_to_organs_of_their_size(shared: Path) -> None:
    from text2ct.formats.files import read_labels

    labels = read_labels(shared / "data" / "real-ct" / "totalseg_example_ct_abdomen_3mm_labels117.nii.gz")
    voxels, said = as_v1(labels)
    assert "v2" in said[0]
    ml = np.bincount(voxels.ravel(), minlength=105) * labels.grid.voxel_ml
    assert int(ml[1:].argmax()) + 1 in (5, 55, 57, 94, 95, 88, 89, 100, 101)
    assert ml[5] > 500
    assert 50 < ml[1] < 600


def test_every_word_of_a_menu_is_read_as_a_trained_text() -> None:
    vocabulary = catalog.engine("lesiondiffusion").lesion_vocabulary
    assert dict(vocabulary) == dict(MENUS)
    assert set(vocabulary) == {field for field in FIELDS if field != CT_VALUE}
    for field, words in vocabulary.items():
        if field in ("lesion location", "size"):
            continue
        for word in words:
            text = trained(field, word)
            assert known(field, word)
            assert text == "" or text.endswith(",")
            assert trained(field, text) == text


def test_values_are_read_alone_together_and_free() -> None:
    assert trained("density", "Low-density") == "low density lesion,"
    assert trained("shape", "irregular wall thickening") == "irregular,wall thickening,"
    assert trained("shape", "round-like,protrusion into the lumen,") == "round-like,protrusion into the lumen,"
    assert trained("specific features", "spiculated, stone") == "spiculated margins,stone,"
    assert trained("density", "like chalk") == "like chalk,"
    assert not known("density", "like chalk")
    assert trained("specific features", "none") == ""


def seen(organs: np.ndarray | None = None) -> Surroundings:
    hu = np.full((6, 6, 6), 55.0, np.float32)
    lesion, near = np.zeros((6, 6, 6), bool), np.zeros((6, 6, 6), bool)
    lesion[2:4, 2:4, 2:4], near[1:5, 1:5, 1:5] = True, True
    return Surroundings(hu, lesion, near & ~lesion, organs, 40.0 if organs is not None else None)


def test_what_was_not_said_is_read_from_the_image_and_the_organs() -> None:
    organs = np.full((6, 6, 6), 5, np.uint8)
    filled = dict(completed({}, 5, seen(organs)))
    assert filled["enhancement status"] == "non-contrast CT,"
    assert filled["lesion location"] == "liver"
    assert filled["cavity"] == "within the parenchymal organ,"
    assert filled["relationship with adjacent organs"].startswith("no close")
    assert filled["CT value"] == "20.0 HU,"
    organs[:, :, :3] = 2
    filled = dict(completed({}, 5, seen(organs)))
    assert filled["cavity"] == "protruding from the parenchymal organ,"
    assert filled["relationship with adjacent organs"] == "close relationship with adjacent organs,"


def test_a_stone_lies_in_the_lumen_and_a_mass_in_the_wall() -> None:
    stone = dict(completed({"specific features": "stone,"}, 4, seen()))
    assert stone["cavity"] == "within the lumen of a hollow organ,"
    assert dict(completed({}, 104, seen()))["cavity"] == "wall thickening,"


def test_what_was_said_stands_and_words_of_the_text_fill_in() -> None:
    said, notes = asked((("density", "hyperdense"), ("CT value", "about 70 HU"), ("Shape", "like a star")),
                        "A non-contrast CT with an irregular, spiculated hypodense mass, not cystic.")
    filled = dict(completed(said, 5, seen()))
    assert filled["density"] == "high density lesion,"
    assert filled["CT value"] == "70.0 HU,"
    assert filled["shape"] == "like a star,"
    assert filled["enhancement status"] == "non-contrast CT,"
    assert filled["specific features"] == "spiculated margins,"
    assert "like a star" in notes[0]
    with pytest.raises(BadRequest, match=r"'colour' is not known; there are enhancement status,"):
        asked((("colour", "red"),), "")


def test_a_size_is_a_word_a_volume_or_diameters() -> None:
    assert size_share("") == 1.0
    assert size_share("Small,") == 0.5
    ball = {"2.5 ml": 2.5, "2,5 ml": 2.5, "3 cc": 3.0, "2 cm3": 2.0, "1500 mm³": 1.5, "2 cm": 4.189, "20mm": 4.189,
            "[[20 10 10]] pixel,": 1.047, "20 x 10 x 10 mm": 1.047, "20 × 10 mm": 1.047}
    assert {text: round(size_ml(text) or 0, 3) for text in ball} == ball
    assert size_ml("medium") is None


@pytest.mark.parametrize("attribute", [("size", "tiny"), ("size", "-5 ml"), ("size", "0 ml"), ("size", "20"),
                                       ("size", "2 5 ml"), ("CT value", "soft"), ("CT value", "20 to 40 HU")])
def test_a_quantity_that_cannot_be_understood_is_refused_with_an_example(attribute: tuple[str, str]) -> None:
    with pytest.raises(BadRequest, match="is not understood; write"):
        check_asked((attribute,), "")


@pytest.mark.parametrize(("text", "hu"), [
    ("\u221250 HU", -50.0), ("35,5 HU", 35.5), ("- 600", -600.0), ("+40HU,", 40.0),
    ("Mean density of the lesion region is approximately -12.5 HU,", -12.5)])
def test_a_ct_value_is_read_as_people_write_it(text: str, hu: float) -> None:
    said, _ = asked((("CT value", text),), "")
    assert dict(completed(said, 5, seen()))["CT value"] == f"{hu} HU,"


def test_a_calcification_is_heard_in_free_words_too_but_not_a_denied_one() -> None:
    assert asked((), "A calcified nodule.")[0]["CT value"] == "500 HU"
    assert asked((("Density", "calcified"),), "")[0]["CT value"] == "500 HU"
    assert "CT value" not in asked((), "A non-calcified nodule.")[0]
    assert "CT value" not in asked((("density", "hypodense"),), "calcified")[0]


def test_tokens_are_those_of_the_networks() -> None:
    filled = completed({"specific features": "", "CT value": "35"}, 5, seen())
    lmnet, linet = dict(lmnet_tokens(filled, 5, "x,")), dict(linet_tokens(filled, 5))
    assert set(lmnet) == {"enhancement status", "lesion location", "shape", "surface characteristics",
                          "relationship with adjacent organs", "cavity"}
    assert linet["specific features"] == ""
    assert short_ct_value("Mean density of the lesion region is approximately -12.5 HU,") == "-12.5 HU,"
    assert short_ct_value("soft,") == "soft,"


def test_a_structured_report_is_read_and_written_unchanged(tmp_path: Path, shared: Path) -> None:
    for path in sorted((shared / "data" / "lesiondiffusion-demo").glob("*/type.json")):
        report = read_structured(path)
        write_structured(report, tmp_path / "again.json")
        assert json.loads((tmp_path / "again.json").read_text()) == json.loads(path.read_text())
        assert all(known(field, value) for field, value in report.entries[0].attributes
                   if field not in ("lesion location", "size", "CT value")), path


def test_a_structured_report_of_ours_is_a_value() -> None:
    report = StructuredReport((Entry(5, (("shape", "irregular,"),), ((1, 2, 3),), ((4, 5, 6),)), Entry(13, ())))
    assert parsed(to_plain(report)) == report
    assert report.organs == (5, 13)


@pytest.mark.parametrize(("plain", "said"), [
    ([], "object with an entry"), ({"liver": []}, "names the organ 'liver'"), ({"105": ["", "", {}]}, "from 1 to 104"),
    ({"5": ["a"]}, "no attributes for organ 5"), ({"5": ["", "", {"shape": 3}]}, "no text"),
    ({"5": ["", "", {}, [[[1, 2]]]]}, "three whole numbers")])
def test_a_wrong_structured_report_is_refused_in_a_sentence(plain: object, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parsed(plain)
