"""Several seeds in one batch end where each ends alone; the best of many is the one that the judge likes best."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from small_networks import SIZES, networks

from text2ct.engines.text2ct import pipeline
from text2ct.engines.text2ct.pipeline import Sampler
from text2ct.engines.text2ct.state import SamplerState
from text2ct.engines.text2ct.unet import UNet
from text2ct.engines.text2ct.variants import Trial, Way, at_once, best_of, glimpses, kept_of, pruned_at
from text2ct.speed.plan import Plan, unet_bytes
from text2ct.speed.unet import Speed, quickened

LATENT = (8, 8, 16)
SEEDS = [3, 4, 5, 6, 7]
PLAN = Plan(torch.device("cpu"), torch.float32, torch.float32, Speed())


@pytest.fixture(scope="module")
def unet() -> UNet:
    return quickened(networks(3)[1], Speed())


def way_of(unet: UNet, sampler: Sampler, together: int) -> Way:
    context = torch.nn.functional.normalize(torch.ones(1, 1, 24), dim=-1)
    return Way(lambda: pipeline.velocity(unet, PLAN, sampler, context, (1.5, 1.5, 3.0)),
               lambda seed: pipeline.noise(seed, 4, LATENT), sampler.schedule(LATENT), sampler, together)


def ends_of(way: Way) -> list[torch.Tensor]:
    """The latent of each seed at the end of the way."""
    return [one.state.move.sample for one in glimpses(way, SEEDS, len(way.schedule))]


@pytest.mark.parametrize("sampler", [Sampler(steps=4), Sampler(steps=4, solver="multistep", deep_every=2),
                                     Sampler(steps=4, guidance_interval=(200.0, 800.0))])
def test_seeds_in_one_batch_end_as_in_single_runs(unet: UNet, sampler: Sampler) -> None:
    alone, together = (ends_of(way_of(unet, sampler, count)) for count in (1, 2))
    assert len(alone) == len(together) == 5
    for one, other in zip(alone, together, strict=True):
        assert one.shape == (1, 4, *LATENT)
        assert (one - other).abs().max() < 1e-4 * one.abs().max()
    assert not torch.allclose(alone[0], alone[1], atol=0.1)


def test_a_seed_in_a_batch_is_the_seed_of_the_plain_walk(unet: UNet) -> None:
    sampler = Sampler(steps=3)
    way = way_of(unet, sampler, 5)
    plain = pipeline.walked(way.field(), pipeline.noise(5, 4, LATENT), way.schedule, "euler")
    assert (ends_of(way)[2] - plain).abs().max() < 1e-4 * plain.abs().max()


def test_as_many_share_a_batch_as_half_of_the_memory_holds() -> None:
    pair = unet_bytes(SIZES.unet, LATENT, torch.float32, 2)
    assert at_once(PLAN, SIZES, LATENT, True, free=pair) == 1
    three = unet_bytes(SIZES.unet, LATENT, torch.float32, 6)
    assert at_once(PLAN, SIZES, LATENT, True, free=2 * three) == 3
    assert at_once(PLAN, SIZES, LATENT, False, free=2 * three) == 6
    assert at_once(replace(PLAN, one_batch=False), SIZES, LATENT, True, free=2 * three) == 6
    assert at_once(PLAN, SIZES, LATENT, True, free=10**12) == 16


def brightness(latent: torch.Tensor) -> float:
    return float(latent.mean())


@pytest.mark.parametrize("solver", ["euler", "multistep"])
def test_the_best_is_a_seed_that_was_walked_to_its_end_as_if_alone(unet: UNet, solver: str) -> None:
    way = way_of(unet, Sampler(steps=6, solver=solver), 3)
    ends = dict(zip(SEEDS, ends_of(way), strict=True))
    early = {one.seed: brightness(one.clean) for one in glimpses(way, SEEDS, 2)}
    best = best_of(way, SEEDS, brightness, lambda latent: (brightness(latent), latent))
    wanted = sorted(SEEDS, key=lambda seed: -early[seed])[:2]
    assert {one.seed for one in best.trials if one.finished} == set(wanted)
    assert best.seed == max(wanted, key=lambda seed: brightness(ends[seed]))
    assert (best.kept - ends[best.seed]).abs().max() < 1e-4 * best.kept.abs().max()
    for trial in best.trials:
        assert trial.early == pytest.approx(early[trial.seed], abs=1e-5)
        assert (trial.final is not None) == trial.finished


def test_only_the_kept_ones_cost_the_whole_way(unet: UNet) -> None:
    way = way_of(unet, Sampler(steps=6), 1)
    steps: list[int] = []
    best_of(way, SEEDS, brightness, lambda latent: (0.0, None), lambda state, clean: steps.append(state.done))
    assert len(steps) == 5 * 2 + 2 * 4


def test_two_are_both_walked_to_the_end_without_an_early_look(unet: UNet) -> None:
    def never(latent: torch.Tensor) -> float:
        raise AssertionError("nothing is to be pruned")

    best = best_of(way_of(unet, Sampler(steps=3), 2), [1, 2], never, lambda latent: (brightness(latent), latent))
    assert all(one.finished and one.early is None for one in best.trials)


def test_what_cannot_be_judged_comes_last_and_among_equals_the_first_is_kept(unet: UNet) -> None:
    way = way_of(unet, Sampler(steps=3), 1)
    scores = iter([None, None, 0.0, None, None])
    best = best_of(way, SEEDS, lambda clean: next(scores), lambda latent: (None, "kept"))
    assert [one.seed for one in best.trials if one.finished] == [3, 5]
    assert (best.seed, best.kept) == (5, "kept")
    assert best.said() == (
        "Best of 5 by the ledger, as shares of the findings that could be decided: "
        "seed 3: not to be told at the end; seed 4: not to be told early, given up; "
        "seed 5: 0.00 early, not to be told at the end; seed 6: not to be told early, given up; "
        "seed 7: not to be told early, given up. Seed 5 was kept.")


def test_seeds_are_given_up_where_a_cached_run_may_be_taken_up() -> None:
    assert pruned_at(Sampler(), 30) == 10
    assert pruned_at(Sampler(deep_every=4), 30) == 12
    assert pruned_at(Sampler(deep_every=4), 3) == 3
    assert pruned_at(Sampler(steps=1), 1) == 1
    assert [kept_of(n) for n in (1, 2, 3, 8, 9, 32)] == [1, 2, 2, 2, 3, 8]


def test_one_step_and_one_seed_are_enough(unet: UNet) -> None:
    way = way_of(unet, Sampler(steps=1), 4)
    best = best_of(way, SEEDS, lambda clean: 0.5, lambda latent: (brightness(latent), latent))
    assert len([one for one in best.trials if one.finished]) == 5
    alone = best_of(way, [9], lambda clean: 0.5, lambda latent: (0.25, latent))
    assert alone.trials == (Trial(9, None, 0.25, True),)


def test_a_state_of_a_batch_is_told_after_every_step(unet: UNet) -> None:
    seen: list[SamplerState] = []
    glimpses(way_of(unet, Sampler(steps=2), 3), SEEDS, 2, lambda state, clean: seen.append(state))
    assert [(state.done, len(state.move.sample)) for state in seen] == [(1, 3), (2, 3), (1, 2), (2, 2)]
