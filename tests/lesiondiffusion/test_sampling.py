"""The samplers' arithmetic, judged where the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from text2ct.diffusion.gaussian import ddim_plan, ddim_times, dpm_plan, noised, posterior, sample
from text2ct.engines.lesiondiffusion.sampling import SCHEDULE, Sampler
from text2ct.errors import BadRequest

CRASHING = [S for S in range(1, 1001) if 999 % (1000 // S) == 0]


def test_the_published_times_are_visited() -> None:
    assert ddim_times(200)[:3] == [1, 6, 11]
    assert ddim_times(200)[-1] == 996
    assert len(ddim_times(150)) == 167


def test_every_number_of_steps_that_crashes_upstream_is_refused_with_one_that_works() -> None:
    assert {3, 9, 27, 36, 37, 101, 111, 251, 333, 501, 1000} <= set(CRASHING)
    for steps in range(1, 1001):
        if steps in CRASHING:
            with pytest.raises(BadRequest, match=r"past the end of the noise schedule.*; (\d+) steps work") as caught:
                ddim_times(steps)
            better = int(str(caught.value).split("; ")[1].split()[0])
            assert max(ddim_times(better)) <= 999
        else:
            assert max(ddim_times(steps)) <= 999
    for steps in (0, 1001):
        with pytest.raises(BadRequest):
            ddim_times(steps)


def test_the_last_step_keeps_the_quirk_of_the_published_sampler() -> None:
    last = ddim_plan(SCHEDULE, 200)[-1]
    assert last.a_next == pytest.approx(0.9985, abs=1e-6)
    assert last.sigma == pytest.approx(0.02743, abs=1e-5)
    assert ddim_plan(SCHEDULE, 200, eta=0)[-1].sigma == 0


def gaussian_data(mean: float, spread: float):  # type: ignore[no-untyped-def]
    """The exact noise predictor when the data are one Gaussian."""
    def predict(x, t):  # type: ignore[no-untyped-def]
        a = SCHEDULE.alphas_cumprod[t]
        variance = a * spread**2 + 1 - a
        return math.sqrt(1 - a) * (x - math.sqrt(a) * mean) / variance

    return predict


@pytest.mark.parametrize("sampler", [Sampler("ddim", 200), Sampler("ddim", 200, 0.0), Sampler("dpm++2m", 20)])
def test_a_sampler_gives_the_distribution_of_the_data(sampler: Sampler) -> None:
    rng = np.random.default_rng(0)
    draw = (lambda: rng.normal(size=20_000)) if sampler.kind == "ddim" else None
    done = sample(gaussian_data(0.7, 0.3), rng.normal(size=20_000), sampler.plan, draw)
    assert done.mean() == pytest.approx(0.7, abs=0.02)
    assert done.std() == pytest.approx(0.3, abs=0.02)


def test_the_solver_of_second_order_needs_a_fifth_of_the_steps() -> None:
    predict, start = gaussian_data(0.7, 0.3), np.linspace(-2, 2, 101)

    def at(sampler: Sampler) -> np.ndarray:
        still = (lambda: 0 * start) if sampler.kind == "ddim" else None
        return sample(predict, start, sampler.plan, still)

    truth = 0.7 + 0.3 * (start - math.sqrt(SCHEDULE.alphas_cumprod[999]) * 0.7)
    few, many = (np.abs(at(one) - truth).max() for one in (Sampler("dpm++2m", 20), Sampler("ddim", 100, 0.0)))
    assert few < many
    assert few < 0.005


def test_the_posterior_is_that_of_bayes() -> None:
    """Against the product of the two Gaussians, worked out by hand."""
    t, x0, x = 400, 0.8, -0.3
    before, beta = float(np.cumprod(1 - SCHEDULE.betas)[t - 1]), float(SCHEDULE.betas[t])
    precision = 1 / (1 - before) + (1 - beta) / beta
    wanted = (math.sqrt(before) * x0 / (1 - before) + math.sqrt(1 - beta) * x / beta) / precision
    mean, variance, log_variance = posterior(SCHEDULE, x0, x, t)
    assert mean == pytest.approx(wanted, rel=1e-9)
    assert variance == pytest.approx(1 / precision, rel=1e-9)
    assert log_variance == pytest.approx(math.log(variance))
    assert posterior(SCHEDULE, x0, x, 0)[1] == 0


def test_noising_keeps_the_scale() -> None:
    rng = np.random.default_rng(1)
    x = noised(SCHEDULE, rng.normal(size=50_000), rng.normal(size=50_000), 500)
    assert x.std() == pytest.approx(1, abs=0.02)


def test_what_is_kept_is_exact_at_the_end() -> None:
    mask, known = np.array([1.0, 0.0, 1.0]), np.array([5.0, 6.0, 7.0])
    done = sample(gaussian_data(0.0, 1.0), np.zeros(3), dpm_plan(SCHEDULE, 10), None,
                  lambda x: x * mask + known * (1 - mask))
    assert done[1] == 6.0
    assert done[0] != 5.0
