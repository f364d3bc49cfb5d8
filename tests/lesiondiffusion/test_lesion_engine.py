"""The whole engine with tiny random networks: what it keeps, what it refuses, what it says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_weights

from text2ct.digest import voxel_digest
from text2ct.engines.lesiondiffusion import weight_files
from text2ct.engines.lesiondiffusion.blending import within_reach
from text2ct.engines.lesiondiffusion.report_file import Entry, StructuredReport
from text2ct.engines.lesiondiffusion.structured import asked_in, box_in, entry_for, report_of
from text2ct.engines.lesiondiffusion.working import inside_box
from text2ct.engines.run import run
from text2ct.errors import BadInput, BadRequest, Cancelled, Unavailable, WeightsError
from text2ct.geometry import Box
from text2ct.provenance import ALTERED
from text2ct.requests import CancelToken, InsertLesion, Progress, Result, from_json, to_json
from text2ct.volume import CTVolume, LabelVolume, Segment, numbered_segments

Put = Callable[..., Result]


@pytest.fixture
def put(tiny_home: Path, body: CTVolume, box: Box) -> Put:
    """Runs a request of a few steps."""
    def ask(ct: CTVolume = body, where: Box = box, steps: int | None = 2, **more: Any) -> Result:
        run_with = {name: more.pop(name) for name in ("progress", "cancel", "device") if name in more}
        return run(InsertLesion(ct, where, engine="lesiondiffusion", steps=steps, **more), **run_with)

    return ask


def lesion_of(result: Result) -> np.ndarray:
    return np.asarray(result.labels[0].mask("lesion"))


def oblique(ct: CTVolume) -> CTVolume:
    a, b = np.deg2rad(21), np.deg2rad(-13)
    first, second = np.eye(4), np.eye(4)
    first[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    second[1:3, 1:3] = [[np.cos(b), -np.sin(b)], [np.sin(b), np.cos(b)]]
    return CTVolume(ct.voxels, first @ second @ ct.affine)


@pytest.mark.parametrize("way", ["as it is", "flipped", "permuted", "oblique", "cropped", "thin"])
def test_only_the_lesion_and_its_feather_change(way: str, put: Put, body: CTVolume, box: Box) -> None:
    ct = {"as it is": body, "flipped": body.reoriented("ASL"), "permuted": body.reoriented("RSP"),
          "oblique": oblique(body), "cropped": body.window((12, 10, 8), (29, 27, 22)),
          "thin": body.window((0, 0, 14), (40, 36, 17))}[way]
    middle = ct.grid.to_ras((np.array(ct.shape) - 1) / 2).tolist()
    where = Box((middle[0], middle[1], middle[2]), box.size)
    result = put(ct, where)
    assert result.ct is not None
    far = ~within_reach(lesion_of(result), ct.spacing)
    assert np.array_equal(result.ct.voxels[far], ct.voxels[far])
    assert (result.ct.voxels != ct.voxels)[lesion_of(result)].mean() > 0.9
    assert np.array_equal(result.ct.affine, ct.affine)
    assert result.ct.voxels.dtype == np.int16
    low, high = where.voxels_in(ct.grid)
    inside = np.zeros(ct.shape, bool)
    inside[tuple(map(slice, low, high))] = True
    assert not (lesion_of(result) & ~inside).any()


def test_a_lesion_stays_in_the_organ_that_is_named(put: Put, body: CTVolume, liver: LabelVolume) -> None:
    a, b, c = body.grid.to_ras([6, 18, 15]).tolist()
    result = put(where=Box((a, b, c), (30.0, 26.0, 28.0)), organs=liver, organ="liver", parts="mask")
    assert lesion_of(result).any()
    assert not (lesion_of(result) & ~liver.mask("liver")).any()
    assert result.ct is None
    far = body.grid.to_ras([2, 18, 15]).tolist()
    with pytest.raises(BadRequest, match="does not touch the organ"):
        put(where=Box((far[0], far[1], far[2]), (6.0, 6.0, 6.0)), organs=liver, organ="liver")


def test_of_two_segments_that_the_networks_know_by_one_number_the_named_one_holds_the_lesion(
        put: Put, body: CTVolume, liver: LabelVolume) -> None:
    voxels = np.array(liver.voxels)
    voxels[6:19][voxels[6:19] == 5] = 9
    segments = (Segment(5, "left kidney", (0.6, 0.3, 0.2)), Segment(9, "kidney_cyst_left", (0.7, 0.4, 0.3)))
    organs = LabelVolume(voxels, body.affine, segments, "organs")
    for organ in ("left kidney", "kidney_cyst_left"):
        lesion = lesion_of(put(organs=organs, organ=organ, parts="mask"))
        assert lesion.any()
        assert not (lesion & ~organs.mask(organ)).any()


def test_an_organ_without_a_name_is_called_by_its_number(put: Put, body: CTVolume, liver: LabelVolume) -> None:
    numbered = LabelVolume(liver.voxels, body.affine, numbered_segments(liver.voxels), "organs")
    result = put(organs=numbered, organ="label 5", parts="mask")
    assert (numbered.voxels == 5)[lesion_of(result)].all()
    assert any("read as numbers of TotalSegmentator v1" in note for note in result.notes)
    assert result.labels[0] == put(organs=liver, organ="liver", parts="mask").labels[0]
    with pytest.raises(BadRequest, match="no segment 'liver'; they have label 3, label 5"):
        put(organs=numbered, organ="liver")


def test_a_whole_lung_holds_a_lesion_too(put: Put, body: CTVolume, liver: LabelVolume) -> None:
    organs = LabelVolume(liver.voxels, body.affine, (Segment(5, "right lung", (0.5, 0.5, 0.5)),), "organs")
    assert organs.mask("right lung")[lesion_of(put(organs=organs, organ="right lung", parts="mask"))].all()


def test_a_mask_of_the_user_is_painted_as_it_is(put: Put, body: CTVolume) -> None:
    drawn = np.zeros(body.shape, np.uint8)
    drawn[15:22, 14:20, 12:17], drawn[18, 16, 14] = 1, 3
    mask = LabelVolume(drawn, body.affine)
    result = put(mask=mask, parts="paint")
    assert result.ct is not None
    assert np.array_equal(lesion_of(result), drawn > 0)
    assert (result.ct.voxels != body.voxels)[drawn > 0].mean() > 0.9
    with pytest.raises(BadRequest, match="mask is empty"):
        put(mask=LabelVolume(np.zeros(body.shape, np.uint8), body.affine), parts="paint")


def test_a_mask_in_pieces_too_far_apart_for_one_crop_is_refused(put: Put, body: CTVolume) -> None:
    drawn = np.zeros(body.shape, np.uint8)
    drawn[15:18, 14:17, 12:15] = drawn[19:22, 14:17, 12:15] = 1
    assert put(mask=LabelVolume(drawn, body.affine), parts="paint").ct is not None
    wide = CTVolume(body.voxels, body.affine @ np.diag([6.0, 6.0, 6.0, 1.0]))
    with pytest.raises(BadRequest, match="has 2 pieces, too far apart"):
        put(wide, mask=LabelVolume(drawn, wide.affine), parts="paint")
    drawn[18:19, 14:17, 12:15] = 1
    done = put(wide, mask=LabelVolume(drawn, wide.affine), parts="paint")
    assert any("larger than LINet can see at once" in note for note in done.notes)


def test_a_mask_alone_is_not_asked_for_with_a_mask(put: Put, liver: LabelVolume) -> None:
    with pytest.raises(BadRequest, match="leave it out, or ask for both"):
        put(mask=liver, parts="mask")


def test_a_box_between_the_voxels_is_refused_before_anything_is_drawn(put: Put, body: CTVolume) -> None:
    steps: list[Progress] = []
    middle = body.grid.to_ras([15.5, 18.5, 15.5]).tolist()
    with pytest.raises(BadRequest, match="No voxel of the CT lies in the box"):
        put(where=Box((middle[0], middle[1], middle[2]), (0.4, 0.4, 0.4)), progress=steps.append)
    assert not any("drawing" in step.stage for step in steps)


def test_the_same_seed_gives_the_same_voxels_and_another_seed_others(put: Put) -> None:
    one, again, other = put(seed=4), put(seed=4), put(seed=5)
    assert one.ct == again.ct
    assert one.labels[0] == again.labels[0]
    assert one.ct != other.ct


def test_the_first_candidate_is_the_one_of_a_single_draw_and_more_come_nearer(put: Put, body: CTVolume) -> None:
    wanted = 3.0
    sizes = [float(lesion_of(put(candidates=n, parts="mask", attributes=(("size", f"{wanted} ml"),))).sum())
             * body.grid.voxel_ml for n in (1, 4)]
    assert abs(sizes[1] - wanted) <= abs(sizes[0] - wanted) + 1e-9


def test_the_texts_reach_the_painting(put: Put, body: CTVolume) -> None:
    drawn = np.zeros(body.shape, np.uint8)
    drawn[15:22, 14:20, 12:17] = 1
    mask = LabelVolume(drawn, body.affine)
    dark, bright = (put(mask=mask, parts="paint", attributes=(("density", word),)) for word in (
        "hypodense", "hyperdense"))
    assert dark.ct != bright.ct


def test_the_account_says_how_it_was_made(put: Put, body: CTVolume) -> None:
    result = put(seed=9, text="A hypodense lesion.", preset="draft", steps=None)
    made = result.provenance
    assert (made.engine, made.task, made.seed, made.weights, made.notice) == (
        "lesiondiffusion", "lesion", 9, "published", ALTERED)
    assert made.sampler.startswith("patch, dpm++2m 15, ")
    assert len(made.weights_sha256) == 64
    assert made.base_digest == voxel_digest(body)
    diameter, volume = result.ledger
    assert (diameter.unit, volume.unit) == ("mm", "ml")
    assert volume.value == pytest.approx(lesion_of(result).sum() * body.grid.voxel_ml, abs=1e-3)
    assert diameter.value is not None
    assert 2 < diameter.value < 45


def test_every_step_is_told_and_a_cancelled_run_stops_there(put: Put) -> None:
    seen: list[Progress] = []
    put(progress=seen.append, steps=3)
    stages = {p.stage: (p.step, p.total) for p in seen}
    assert stages["drawing the lesion"] == stages["painting the lesion"] == (3, 3)
    token = CancelToken()

    def stop(progress: Progress) -> None:
        if progress.stage == "painting the lesion":
            token.cancel()

    with pytest.raises(Cancelled):
        put(progress=stop, cancel=token)


def test_the_published_mode_makes_the_whole_ct_anew_on_its_own_grid(put: Put, body: CTVolume, liver: LabelVolume,
                                                                    ) -> None:
    drawn = np.zeros(body.shape, np.uint8)
    drawn[15:22, 14:20, 12:17] = 1
    result = put(mode="published", organs=liver, organ="liver", steps=4, mask=LabelVolume(drawn, body.affine))
    assert result.ct is not None
    assert result.ct.orientation == "SAL"
    assert result.ct.spacing == pytest.approx((2.5, 2.5, 2.5))
    assert result.labels[0].same_grid(result.ct)
    assert any("every voxel" in note for note in result.notes)
    assert result.provenance.sampler == "published, ddim 4 eta 1, float32"
    middle = np.argwhere(drawn).mean(0)
    found = result.ct.grid.to_ras(np.argwhere(lesion_of(result)).mean(0))
    assert np.abs(found - body.grid.to_ras(middle)).max() < 1.5
    with pytest.raises(BadRequest, match="published mode needs organ labels"):
        put(mode="published", steps=4)


def test_steps_that_crash_upstream_are_refused_before_anything_is_loaded(put: Put, monkeypatch: pytest.MonkeyPatch,
                                                                         ) -> None:
    monkeypatch.setenv("TEXT2CT_HOME", "/nowhere")
    with pytest.raises(BadRequest, match=r"27 steps would begin at time 1000.*\d+ steps work"):
        put(preset="best", steps=27)


def test_missing_weights_and_a_missing_vocabulary_are_named_with_the_way_to_get_them(
        put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXT2CT_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=r"text2ct weights import LMNet\.ckpt"):
        put(weights="published")
    tiny_weights.install()
    next(tmp_path.rglob("vocab.txt")).unlink()
    with pytest.raises(WeightsError, match="hf download microsoft/BiomedCLIP"):
        put()


def test_too_little_memory_is_said_before_the_start(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_files, "free_bytes", lambda device: 1_000_000)
    with pytest.raises(Unavailable, match=r"Drawing this lesion needs about \d"):
        put()


def test_a_device_that_is_not_there_is_refused(put: Put) -> None:
    with pytest.raises(Unavailable, match="cuda:7"):
        put(device="cuda:7")


def test_an_organ_that_nobody_named_is_guessed_and_said(put: Put, liver: LabelVolume) -> None:
    assert any("No organ was named" in note for note in put(parts="mask").notes)
    assert not any("No organ was named" in note for note in put(parts="mask", organs=liver).notes)
    with pytest.raises(BadRequest, match="'soul' is no organ"):
        put(attributes=(("lesion location", "soul"),))


def test_requests_with_the_new_fields_travel_unchanged(body: CTVolume, box: Box) -> None:
    request = InsertLesion(body, box, engine="lesiondiffusion", candidates=4, mode="published")
    assert from_json(to_json(request), {voxel_digest(body): body}) == request
    assert "33 candidates" in replace(request, candidates=33).validate()[0]


def test_boxes_anywhere_give_a_lesion_inside_them(put: Put, body: CTVolume) -> None:
    rng = np.random.default_rng(8)
    for seed in range(8):
        a, b, c = body.grid.to_ras(rng.uniform(0, np.array(body.shape) - 1)).tolist()
        x, y, z = rng.uniform(4, 70, 3).tolist()
        where = Box((a, b, c), (x, y, z))
        result = put(where=where, seed=seed, parts="mask")
        low, high = where.voxels_in(body.grid)
        inside = np.zeros(body.shape, bool)
        inside[tuple(map(slice, low, high))] = True
        assert lesion_of(result).any()
        assert not (lesion_of(result) & ~inside).any()


def test_a_structured_report_comes_back_as_it_went_in(put: Put, body: CTVolume) -> None:
    entry = Entry(5, (("density", "low density lesion,"), ("shape", "round-like,"), ("CT value", "12.0 HU,")),
                  ((48, 40, 52),), ((14, 10, 12),))
    place = box_in(entry, body.grid)
    assert place is not None
    result = put(where=place, attributes=asked_in(entry), parts="mask")
    told = report_of(result.attributes, LabelVolume(_filled(place, body), body.affine)).entries[0]
    assert (told.organ, told.value("density"), told.value("CT value")) == (5, "low density lesion,", "12.0 HU,")
    assert np.abs(np.subtract(told.centres[0], entry.centres[0])).max() <= 3  # a voxel of the CT has 2.5 mm
    assert np.abs(np.subtract(told.sizes[0], entry.sizes[0])).max() <= 5
    assert place.voxels_in(body.grid.reoriented("SAL").with_spacing((1.0, 1.0, 1.0))) == (
        (41, 35, 46), (55, 45, 58))
    with pytest.raises(BadInput, match="says nothing of the organ 'spleen'; it has liver"):
        entry_for(StructuredReport((entry,)), "spleen")


def _filled(place: Box, ct: CTVolume) -> np.ndarray:
    return inside_box(place, ct.grid).astype(np.uint8)
