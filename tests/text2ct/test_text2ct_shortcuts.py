"""What changes the picture to save time: off it is the plain way, on it costs what it says and is said."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from small_networks import SIZES, networks

from text2ct.diffusion.solvers import EVALUATIONS, Velocity
from text2ct.engines.text2ct import pipeline
from text2ct.engines.text2ct.pipeline import Sampler
from text2ct.engines.text2ct.state import SamplerState
from text2ct.engines.text2ct.unet import UNet
from text2ct.speed.cache import DeepFeatures
from text2ct.speed.lossy import shortened
from text2ct.speed.plan import Plan
from text2ct.speed.unet import Speed, quickened

LATENT = (16, 8, 8)
STEPS = Sampler(grid="exact", steps=8)


@pytest.fixture(scope="module")
def unet() -> UNet:
    return quickened(networks(3)[1], Speed())


def field_of(unet: UNet, sampler: Sampler, one_batch: bool = True) -> Velocity:
    context = torch.nn.functional.normalize(torch.ones(1, 1, 24), dim=-1)
    plan = Plan(torch.device("cpu"), torch.float32, torch.float32, Speed(), one_batch)
    return pipeline.velocity(unet, plan, sampler, context, (1.5, 1.5, 3.0))


def made(unet: UNet, sampler: Sampler, one_batch: bool = True, state: SamplerState | None = None,
         each: Callable[[SamplerState, torch.Tensor], None] | None = None) -> torch.Tensor:
    """The latent at the end of the way."""
    start = pipeline.noise(1, SIZES.unet.in_channels, LATENT)
    return pipeline.walked(field_of(unet, sampler, one_batch), start, sampler.schedule(LATENT), sampler.solver, state,
                           each)


def counted(unet: UNet, module: torch.nn.Module, sampler: Sampler, one_batch: bool = True) -> int:
    """How many samples go through a part of the network in a whole walk."""
    seen: list[int] = []
    hook = module.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    try:
        made(unet, sampler, one_batch)
    finally:
        hook.remove()
    return sum(seen)


def test_a_cache_that_computes_everything_each_time_is_the_plain_network(unet: UNet) -> None:
    made_by = torch.Generator().manual_seed(5)
    x = torch.randn(2, 4, *LATENT, generator=made_by)
    context = torch.randn(2, 1, 24, generator=made_by)
    given = x, torch.tensor([300.0]), context, torch.ones(1, 3), torch.ones(1, dtype=torch.long)
    for shallow in (1, 2, 3):
        deep = DeepFeatures(unet, 1, shallow)
        with torch.inference_mode():
            for _ in range(2):
                deep.next_evaluation()
                assert torch.equal(deep((context,), *given), unet(*given))


def test_features_of_the_same_sample_and_time_can_be_used_again_without_a_difference(unet: UNet) -> None:
    field = field_of(unet, replace(STEPS, deep_every=2, shallow_levels=2))
    sample = pipeline.noise(1, 4, LATENT)
    assert torch.equal(field(sample, 500.0), field(sample, 500.0))
    assert not torch.equal(field(sample, 500.0), field(sample, 100.0))


@pytest.mark.parametrize("one_batch", [True, False])
@pytest.mark.parametrize(("every", "computed"), [(1, 8), (2, 4), (3, 3)])
def test_deep_levels_are_computed_as_often_as_is_said(unet: UNet, every: int, computed: int, one_batch: bool) -> None:
    sampler = replace(STEPS, deep_every=every)
    assert counted(unet, unet.middle_block, sampler, one_batch) == 2 * computed
    assert counted(unet, unet.down_blocks[1], sampler, one_batch) == 2 * computed
    assert counted(unet, unet.down_blocks[0], sampler, one_batch) == 2 * 8
    assert counted(unet, unet.up_blocks[-1], sampler, one_batch) == 2 * 8


@pytest.mark.parametrize("one_batch", [True, False])
def test_the_cache_changes_the_picture_a_little(unet: UNet, one_batch: bool) -> None:
    plain = made(unet, STEPS, one_batch)
    cached = made(unet, replace(STEPS, deep_every=2), one_batch)
    assert torch.isfinite(cached).all()
    assert 1e-4 < (cached - plain).std() / plain.std() < 0.5


def test_both_kinds_of_guidance_use_the_same_features(unet: UNet) -> None:
    sampler = replace(STEPS, deep_every=2)
    together, apart = made(unet, sampler, True), made(unet, sampler, False)
    assert (together - apart).abs().max() < 1e-4 * together.abs().max()


@pytest.mark.parametrize("solver", ["euler", "heun", "multistep"])
@pytest.mark.parametrize("interval", [(0.0, 1000.0), (100.0, 700.0)])
def test_a_cached_run_taken_up_where_that_is_allowed_ends_in_the_same_numbers(
        unet: UNet, solver: str, interval: tuple[float, float]) -> None:
    sampler = replace(STEPS, solver=solver, deep_every=3, guidance_interval=interval)
    states: list[SamplerState] = []
    whole = made(unet, sampler, each=lambda state, clean: states.append(state))
    allowed = [state for state in states if sampler.begins_anew(state.done)]
    assert [state.done for state in allowed] == [3, 6]
    for state in allowed:
        assert torch.equal(made(unet, sampler, state=state), whole)


def test_without_a_cache_every_step_may_be_taken_up() -> None:
    assert all(STEPS.begins_anew(done) for done in range(1, 9))


def test_outside_the_interval_the_network_is_asked_about_one_sample(unet: UNet) -> None:
    times = [step.time for step in STEPS.schedule(LATENT)]
    guided = sum(200 <= time <= 800 for time in times)
    assert 0 < guided < 8
    sampler = replace(STEPS, guidance_interval=(200.0, 800.0))
    assert counted(unet, unet.middle_block, sampler) == 8 + guided
    assert not torch.equal(made(unet, sampler), made(unet, STEPS))


def test_shortcuts_do_what_their_names_say_and_the_account_names_them() -> None:
    assert shortened(STEPS, ()) == STEPS
    assert "lossy" not in Sampler().said()
    full = shortened(Sampler(), ("cache", "interval", "fewer"))
    assert (full.steps, full.solver, EVALUATIONS[full.solver], full.grid) == (15, "multistep", 1, "exact")
    assert full.said() == (
        "exact grid, multistep, 15 steps, guidance 5, lossy: levels from 2 on computed in one of 2 evaluations and "
        "guidance only from time 900 to 100 and 15 steps in place of 30")
    for name in ("cache", "interval", "fewer"):
        assert ", lossy: " in shortened(Sampler(), (name,)).said()


def test_a_cache_that_does_not_fit_the_network_is_refused(unet: UNet) -> None:
    for every, shallow in ((0, 1), (2, 0), (2, 4)):
        with pytest.raises(ValueError, match="do not fit"):
            DeepFeatures(copy.copy(unet), every, shallow)
