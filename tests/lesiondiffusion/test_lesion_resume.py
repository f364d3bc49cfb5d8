"""A run that was killed after a step ends in the same voxels when it is taken up; and what is seen meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from text2ct.engines.lesiondiffusion.crops import Window
from text2ct.engines.lesiondiffusion.previews import paint_preview
from text2ct.engines.lesiondiffusion.sampling import Begun
from text2ct.engines.lesiondiffusion.trail import NOT_TAKEN_UP, Drawn, State, read_state
from text2ct.engines.lesiondiffusion.working import Crop
from text2ct.engines.run import run
from text2ct.geometry import Box, Grid
from text2ct.requests import InsertLesion, Progress
from text2ct.volume import CTVolume, LabelVolume

MASK, PAINT = "drawing the lesion", "painting the lesion"


class Killed(Exception):
    """What happens to a worker."""


@pytest.fixture
def asked(tiny_home: Path, body: CTVolume, box: Box, liver: LabelVolume) -> InsertLesion:
    return InsertLesion(body, box, engine="lesiondiffusion", steps=3, candidates=2, organs=liver, organ="liver",
                        attributes=(("density", "hypodense"),), seed=3)


def killed_after(request: InsertLesion, keeps: int) -> bytes:
    """The state that a run leaves that dies when it has kept this many."""
    kept: list[bytes] = []

    def keep(state: bytes) -> None:
        kept.append(state)
        if len(kept) == keeps:
            raise Killed

    with pytest.raises(Killed):
        run(request, keep=keep)
    return kept[-1]


@pytest.mark.parametrize(("preset", "keeps"), [("standard", (1, 3, 5, 8, 9)), ("best", (2, 9))])
def test_a_run_taken_up_after_any_step_ends_in_the_same_voxels(asked: InsertLesion, preset: str,
                                                               keeps: tuple[int, ...]) -> None:
    request = replace(asked, preset=preset, steps={"standard": 3, "best": 4}[preset])  # type: ignore[arg-type]
    states: list[bytes] = []
    whole = run(request, keep=states.append)
    each = len(states) // 3
    steps = [(MASK, n) for n in range(1, 2 * each + 1)] + [(PAINT, n) for n in range(1, each + 1)]
    assert len(states) == len(steps)
    for n in keeps:
        seen: list[Progress] = []
        again = run(request, seen.append, resume=killed_after(request, n) if n == 5 else states[n - 1])
        assert again.ct == whole.ct
        assert again.labels == whole.labels
        assert again.notes == whole.notes
        assert [(p.stage, p.step) for p in seen if p.stage in (MASK, PAINT)] == steps[n:]


def test_a_mask_of_the_user_is_taken_up_too(asked: InsertLesion, body: CTVolume) -> None:
    drawn = np.zeros(body.shape, np.uint8)
    drawn[15:22, 14:20, 12:17] = 1
    request = replace(asked, mask=LabelVolume(drawn, body.affine), parts="paint")
    assert run(request, resume=killed_after(request, 3)).ct == run(request).ct


def test_a_state_of_another_request_is_not_taken_up_and_that_is_said(asked: InsertLesion) -> None:
    state, fresh = killed_after(asked, 8), run(replace(asked, seed=4))
    other = run(replace(asked, seed=4), resume=state)
    assert other.ct == fresh.ct
    assert other.notes == (*fresh.notes, NOT_TAKEN_UP)


@pytest.mark.parametrize("drawn", [False, True])
def test_a_damaged_state_is_not_taken_up(drawn: bool) -> None:
    numbers, mask = torch.ones(1, 1, 2, 3, 4), np.zeros((9, 9, 9), bool)
    mask[2:5, 3, 4:9] = True
    state = State(Begun(2, numbers, numbers), drawn=Drawn(mask, (("density", "dark,"),), ("said",)) if drawn else None)
    whole = state.to_bytes("me")
    read = read_state(whole, "me", 3)
    assert read is not None
    assert torch.equal(read.begun.x, numbers)
    assert read.drawn is None or (np.array_equal(read.drawn.mask, mask) and read.drawn.notes == ("said",))
    assert (read.drawn is not None) == drawn
    for spoilt in (whole[:-1], whole + b"x", b"", whole[100:], whole.replace(b'"done": 2', b'"done": 9'),
                   whole.replace(b'"shapes": [[1', b'"shapes": [[-1'), whole.replace(b"state 1", b"state 2")):
        assert read_state(spoilt, "me", 3) is None
    assert read_state(whole, "you", 3) is None


def test_the_published_mode_starts_anew_and_says_so(asked: InsertLesion, body: CTVolume) -> None:
    drawn = np.zeros(body.shape, np.uint8)
    drawn[15:22, 14:20, 12:17] = 1
    request = replace(asked, mode="published", steps=4, mask=LabelVolume(drawn, body.affine))
    assert NOT_TAKEN_UP in run(request, resume=b"anything").notes


def test_previews_show_the_place_of_the_lesion_now_and_then(asked: InsertLesion) -> None:
    seen: list[Progress] = []
    run(replace(asked, steps=11, candidates=1), seen.append)
    for stage in (MASK, PAINT):
        shown = {p.step: p.preview for p in seen if p.stage == stage and p.preview is not None}
        assert sorted(shown) == [5, 10]
        low, high = asked.box.voxels_in(shown[5].grid)
        assert all(0 <= a < b <= n for a, b, n in zip(low, high, shown[5].shape, strict=True))
        assert stage == MASK or (shown[5].voxels != shown[10].voxels).any()


def test_a_latent_that_is_linear_in_brightness_is_previewed_as_the_ct_that_it_encodes() -> None:
    rng = np.random.default_rng(0)
    unit = torch.from_numpy(rng.uniform(0.3, 0.7, (1, 1, 8, 10, 12)).astype(np.float32))
    small = torch.nn.functional.avg_pool3d(unit, 2)
    latent = torch.cat([3 * small + 1, torch.zeros_like(small), 0.5 - small, torch.ones_like(small)], 1)
    grid = Grid.centred((8, 10, 12), (1.0, 1.0, 1.0), "SAL")
    preview = paint_preview(unit, latent, Crop(grid, Window((2, 2, 2), (4, 4, 4))))(latent)
    assert preview.shape == (4, 5, 6)
    assert preview.spacing == pytest.approx((2.0, 2.0, 2.0))
    expected = (small[0, 0].numpy() - 0.5) / 0.6 * 400
    assert np.abs(preview.voxels - expected).max() < 2
    assert preview.grid.to_ras([-0.5] * 3) == pytest.approx(grid.to_ras([-0.5] * 3))
