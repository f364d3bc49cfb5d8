"""Requests go into JSON and come back as they were; what is wrong with them is said in sentences."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from text2ct.digest import voxel_digest
from text2ct.errors import BadRequest, Cancelled
from text2ct.geometry import Box
from text2ct.plain import Unseen
from text2ct.requests import CancelToken, GenerateCT, InsertLesion, Progress, ScoreCT, Watch, from_json, to_json
from text2ct.volume import CTVolume, LabelVolume, Segment

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.text(), st.integers(0, 2**63 - 1), st.none() | st.integers(), st.none() | NUMBERS,
       st.none() | st.tuples(*[st.integers()] * 3), st.none() | st.tuples(*[NUMBERS] * 3))
def test_any_request_comes_back_exactly(report: str, seed: int, steps: int | None, guidance: float | None,
                                        shape: tuple[int, int, int] | None,
                                        spacing: tuple[float, float, float] | None) -> None:
    request = GenerateCT(report, seed=seed, steps=steps, guidance=guidance, shape=shape, spacing=spacing)
    assert from_json(to_json(request)) == request


def test_how_to_sample_travels_along_and_may_be_missing() -> None:
    request = GenerateCT("x", sampler="exact", solver="heun", precision="float32", lossy=("cache", "interval"),
                         best_of=4)
    assert request.validate() == []
    assert from_json(to_json(request)) == request
    assert from_json('{"task": "generate", "report": "x"}') == GenerateCT("x")
    with pytest.raises(BadRequest, match="cache, interval, fewer"):
        from_json('{"task": "generate", "report": "x", "lossy": ["magic"]}')
    with pytest.raises(BadRequest, match="published, exact"):
        from_json('{"task": "generate", "report": "x", "sampler": "ddim"}')


def test_volumes_travel_by_digest(ct: CTVolume, labels: LabelVolume) -> None:
    box = Box((1.5, 2.0, 3.25), (10.0, 11.0, 12.0))
    request = InsertLesion(ct, box, attributes=(("density", "solid"),), organs=labels, organ="heart")
    text = to_json(request)
    assert len(text) < 3000
    assert from_json(text, {voxel_digest(ct): ct, voxel_digest(labels): labels}) == request


def test_a_volume_that_was_not_sent_is_asked_for(ct: CTVolume) -> None:
    with pytest.raises(BadRequest, match="send the volume"):
        from_json(to_json(ScoreCT(ct, "Normal.")))


def test_a_volume_on_another_grid_is_not_taken_for_it(ct: CTVolume) -> None:
    moved = ct.affine.copy()
    moved[0, 3] += 0.5
    other = CTVolume(ct.voxels, moved)
    with pytest.raises(BadRequest, match="another grid"):
        from_json(to_json(ScoreCT(ct, "Normal.")), {voxel_digest(ct): other})


@pytest.mark.parametrize(("change", "word"), [
    ({"seed": "7"}, "whole number"), ({"seed": True}, "whole number"), ({"seed": 1.5}, "whole number"),
    ({"colour": "red"}, "no field 'colour'"), ({"preset": "fastest"}, "draft, standard, best"),
    ({"shape": [1, 2]}, "3 values"), ({"shape": 5}, "must be a list"), ({"report": None}, "a text"),
    ({"task": "paint"}, "'task'"), ({"guidance": "much"}, "a number"), ({"base": {"digest": [1]}}, "not given"),
])
def test_a_wrong_field_is_named(change: dict[str, object], word: str) -> None:
    plain = json.loads(to_json(GenerateCT("Normal chest.")))
    with pytest.raises(BadRequest, match=word):
        from_json(json.dumps(plain | change))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "[" * 100_000, '{"task": "generate"}',
                                  '{"task": "generate", "report": "x", "guidance": 1e999}'])
def test_what_is_no_request_gives_a_sentence(text: str) -> None:
    with pytest.raises(BadRequest):
        from_json(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | NUMBERS | st.text(),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)))
def test_any_json_is_a_request_or_a_sentence(value: object) -> None:
    for plain in (value, {"task": "lesion", "ct": value, "box": value},
                  {"task": "generate", "report": "x", "base": value, "spacing": value}):
        try:
            from_json(json.dumps(plain))
        except BadRequest as error:
            assert str(error).endswith(".")


@pytest.mark.parametrize(("request_", "word"), [
    (GenerateCT("  "), "empty"), (GenerateCT("x" * 30_000), "limit"), (GenerateCT("x", seed=-1), "seed"),
    (GenerateCT("x", steps=0), "steps"), (GenerateCT("x", guidance=float("nan")), "guidance"),
    (GenerateCT("x", shape=(0, 1, 1)), "grid"), (GenerateCT("x", spacing=(1, 1, 0)), "spacing"),
    (GenerateCT("x", best_of=0), "best of 0"), (GenerateCT("x", best_of=33), "between 1 and 32"),
    (GenerateCT("x", seed=2**63 - 2, best_of=3), "smaller seed"),
    (GenerateCT("x", lossy=("fewer",), solver="heun"), "their own sampler and solver"),
])
def test_senseless_values_are_said(request_: GenerateCT, word: str) -> None:
    said = request_.validate()
    assert len(said) == 1
    assert word in said[0]


def test_a_box_outside_the_ct_and_labels_elsewhere_are_said(ct: CTVolume, labels: LabelVolume) -> None:
    moved = labels.affine.copy()
    moved[2, 3] += 3
    elsewhere = LabelVolume(labels.voxels, moved, labels.segments)
    request = InsertLesion(ct, Box((9e4, 0, 0), (5, 5, 5)), organs=elsewhere, organ="spleen", parts="paint")
    said = " ".join(request.validate())
    for words in ("outside the CT", "another grid", "no segment 'spleen'", "a lesion mask is needed"):
        assert words in said


def test_a_good_request_has_nothing_said(ct: CTVolume, labels: LabelVolume) -> None:
    middle = tuple(ct.grid.to_ras(np.array(ct.shape) / 2))
    assert InsertLesion(ct, Box(middle, (2, 2, 2)), organs=labels, organ="heart").validate() == []
    assert ScoreCT(ct, "Normal chest.", labels=labels).validate() == []


def test_cancelling_stops_at_the_next_step() -> None:
    seen: list[Progress] = []
    token = CancelToken()
    watch = Watch(seen.append, token)
    watch.at("drawing", 1, 3)
    threading.Thread(target=token.cancel).start()
    with pytest.raises(Cancelled):
        for _ in range(10_000_000):
            watch.at("drawing", 2, 3)
    assert seen[0].stage == "drawing"
    assert seen[0].seconds >= 0


def test_a_request_is_judged_by_its_own_rules_without_its_voxels() -> None:
    ct = CTVolume(np.zeros((4, 5, 6), np.int16), np.diag([1.0, 1, 2, 1]))
    labels = LabelVolume(np.ones((4, 5, 6), np.uint8), ct.affine, (Segment(1, "liver", (1, 0, 0)),))
    inside = InsertLesion(ct, Box((1, 1, 2), (2, 2, 4)), organs=labels, organ="liver")
    outside = InsertLesion(ct, Box((91, 1, 2), (2, 2, 4)), organs=labels, organ="spleen")
    judged = from_json(to_json(inside), Unseen())
    assert isinstance(judged, InsertLesion)
    assert judged.validate() == []
    assert judged.organs is not None
    assert judged.ct.grid.same_as(ct.grid)
    assert judged.organs.segments == labels.segments
    said = " ".join(from_json(to_json(outside), Unseen()).validate())
    assert "outside the CT" in said
    assert "no segment 'spleen'" in said


def test_a_reference_to_a_volume_of_impossible_size_costs_a_sentence_and_no_memory() -> None:
    ct = CTVolume(np.zeros((4, 5, 6), np.int16), np.eye(4))
    plain = json.loads(to_json(ScoreCT(ct, "Effusion.")))
    plain["ct"]["shape"] = [2**40, 1, 1]
    with pytest.raises(BadRequest, match="three sizes"):
        from_json(json.dumps(plain), Unseen())
    plain["ct"]["shape"] = [10**5, 10**5, 10**5]
    judged = from_json(json.dumps(plain), Unseen())
    assert isinstance(judged, ScoreCT)
    assert judged.ct.shape == (10**5, 10**5, 10**5)


def test_half_a_character_is_refused_before_anything_tries_to_write_it(ct: CTVolume) -> None:
    assert "half a character" in " ".join(GenerateCT("Effusion \ud800.").validate())
    box = Box((1.5, 2.0, 3.25), (10.0, 11.0, 12.0))
    assert "half a character" in " ".join(InsertLesion(ct, box, text="\udfff").validate())
