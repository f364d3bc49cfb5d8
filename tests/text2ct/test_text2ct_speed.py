"""Every swap gives what the plain network gives, alone and together; slabs give what one call gives."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from small_networks import SIZES, networks

from text2ct.engines.text2ct import windows
from text2ct.engines.text2ct.attention import explicit_attention, fused_attention
from text2ct.engines.text2ct.config import PUBLISHED, VAESizes
from text2ct.engines.text2ct.intensity import to_hu
from text2ct.engines.text2ct.pipeline import Sampler, decoded, velocity
from text2ct.engines.text2ct.text import TextTower
from text2ct.engines.text2ct.unet import UNet
from text2ct.engines.text2ct.vae import VAE
from text2ct.engines.text2ct.weights import Networks
from text2ct.errors import Text2CTError, Unavailable
from text2ct.speed.norms import SteadyNorm
from text2ct.speed.plan import Plan, planned
from text2ct.speed.slabs import decoded_in_slabs, decoding_bytes
from text2ct.speed.unet import PLAIN, Speed, blocked_attention, quickened

SWAPS = ("fused_attention", "folded_report", "lean_blocks", "phases", "points", "channels_last")
SPACING = (1.5, 1.5, 3.0)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def unet() -> UNet:
    return networks(3)[1]


@pytest.fixture(scope="module")
def vae() -> VAE:
    return networks(4)[2]


def asked(unet: UNet, speed: Speed, one_batch: bool = True, kind: torch.dtype = torch.float32) -> torch.Tensor:
    """The guided velocity of one sample with these swaps made in a copy of the network."""
    made = torch.Generator().manual_seed(1)
    sample = torch.randn(1, 4, 16, 8, 24, generator=made)
    context = torch.nn.functional.normalize(torch.randn(1, 1, 24, generator=made), dim=-1)
    quick = quickened(copy.deepcopy(unet).to(kind), speed)
    plan = Plan(torch.device("cpu"), kind, torch.float32, speed, one_batch)
    return velocity(quick, plan, Sampler(), context, SPACING)(sample, 486.0)


@pytest.mark.parametrize("swap", SWAPS)
def test_each_swap_alone_gives_the_plain_answer(unet: UNet, swap: str) -> None:
    plain, quick = asked(unet, PLAIN, one_batch=False), asked(unet, replace(PLAIN, **{swap: True}), one_batch=False)
    assert plain.std() > 0.1
    assert (quick - plain).abs().max() < 2e-5 * plain.abs().max()


def test_all_swaps_and_guidance_as_one_batch_give_the_plain_answer(unet: UNet) -> None:
    plain = asked(unet, PLAIN, one_batch=False)
    assert (asked(unet, Speed()) - plain).abs().max() < 3e-5 * plain.abs().max()


def test_bfloat16_stays_near_the_plain_answer(unet: UNet) -> None:
    plain = asked(unet, PLAIN, one_batch=False)
    quick = asked(unet, Speed(), kind=torch.bfloat16)
    assert quick.dtype == torch.float32
    assert (quick - plain).std() < 0.08 * plain.std()


def test_a_folded_network_refuses_a_context_of_two_tokens(unet: UNet) -> None:
    quick = quickened(copy.deepcopy(unet), Speed())
    x, one = torch.zeros(1, 4, 8, 8, 8), torch.ones(1)
    with pytest.raises(ValueError, match="one token"):
        quick(x, one, torch.zeros(1, 2, 24), torch.zeros(1, 3), one.long())


def test_all_kinds_of_attention_agree() -> None:
    made = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 3, 100, 8, generator=made) for _ in range(3))
    wanted = explicit_attention(q, k, v)
    assert (fused_attention(q, k, v) - wanted).abs().max() < 1e-5
    assert (blocked_attention(q, k, v, block=32) - wanted).abs().max() < 1e-5


def test_a_norm_with_channels_last_keeps_its_digits_where_the_mean_is_large() -> None:
    norm = torch.nn.GroupNorm(2, 4)
    x = torch.randn(2, 4, 8, 8, 8, generator=torch.Generator().manual_seed(0)) + 300
    wanted = copy.deepcopy(norm).double()(x.double())
    last = x.contiguous(memory_format=torch.channels_last_3d)
    with torch.no_grad():
        assert (SteadyNorm(norm)(last) - wanted).abs().max() < 1e-4
        assert torch.equal(SteadyNorm(norm)(x), norm(x))


@pytest.mark.parametrize(("work", "hold"), [(10**9, 0), (2_000_000, 0), (300_000, 0), (2_000_000, 3_000_000),
                                            (2_000_000, 10**9)])
def test_slabs_decode_as_one_call_does_whatever_the_memory(vae: VAE, work: int, hold: int) -> None:
    latent = torch.randn(1, 4, 12, 8, 16, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        at_once = vae.decode(latent)
    slabs = decoded_in_slabs(vae, latent, work, hold_bytes=hold)
    assert at_once.std() > 0.05
    assert (slabs - at_once).abs().max() < 2e-5
    assert abs(to_hu(slabs).astype(int) - to_hu(at_once)).max() <= 1


def test_a_decoder_whose_norms_measure_nothing_sees_no_further_than_its_convolutions_and_takes_one_pass() -> None:
    torch.manual_seed(3)
    vae = VAE(VAESizes(latent_channels=4, channels=(4, 8), res_blocks=(1, 1), norm_groups=2, decoder_groups=0)).eval()
    latent = torch.randn(1, 4, 24, 8, 8)
    other = latent.clone()
    other[:, :, :4] += 5
    told: list[tuple[int, int]] = []
    with torch.inference_mode():
        whole, changed = vae.decode(latent), vae.decode(other)
    slabs = decoded_in_slabs(vae, latent, 40_000, lambda done, total: told.append((done, total)))
    assert (slabs - whole).abs().max() < 2e-5
    assert len(told) > 4
    assert [done for done, _ in told] == list(range(told[0][1]))
    assert (whole - changed).abs()[:, :, :8].max() > 1e-3
    assert torch.equal(whole[:, :, 28:], changed[:, :, 28:])


def test_slabs_tell_how_far_they_are(vae: VAE) -> None:
    told: list[tuple[int, int]] = []
    decoded_in_slabs(vae, torch.zeros(1, 4, 8, 8, 8), 2_000_000, lambda done, total: told.append((done, total)))
    assert len({total for _, total in told}) == 1
    assert [done for done, _ in told] == list(range(told[0][1]))


def test_windows_differ_from_one_call_as_in_the_published_program(vae: VAE) -> None:
    latent = torch.randn(1, 4, 12, 8, 8, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        whole = vae.decode(latent)
        apart, same = (windows.windowed(lambda part, *_: vae.decode(part), latent, (size,) * 3, 0.4) - whole
                       for size in (8, 80))
    assert apart.abs().max() > 1e-3
    assert same.abs().max() < 1e-6


def test_the_published_latent_is_decoded_in_four_windows() -> None:
    assert windows.starts(128, 80, 0.4) == [0, 48]
    assert windows.starts(32, 32, 0.4) == [0]
    assert windows.starts(20, 12, 0.4) == [0, 7, 8]


def test_windows_are_decoded_in_slabs_where_memory_is_short_and_each_piece_of_work_is_told(
        vae: VAE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "WINDOW", 8)
    latent = torch.randn(1, 4, 16, 8, 8, generator=torch.Generator().manual_seed(5))
    three = Networks(SIZES, TextTower(SIZES.text), networks(3)[1], vae, 1.0)
    plan, sampler = Plan(CPU, torch.float32, torch.float32, PLAIN), Sampler(as_published_decode=True)
    told: list[tuple[int, int]] = []
    at_once = decoded(three, replace(plan, decode_at_once=True), sampler, latent)
    slabs = decoded(three, replace(plan, work_bytes=300_000), sampler, latent, lambda *done: told.append(done))
    whole = decoded(three, replace(plan, decode_at_once=True), Sampler(), latent)
    assert abs(slabs.astype(int) - at_once).max() <= 1
    assert abs(slabs.astype(int) - whole).max() > 1
    assert [done for done, _ in told] == list(range(told[0][1]))


def test_a_sample_that_is_no_longer_a_number_is_said_and_not_decoded(vae: VAE) -> None:
    three = Networks(SIZES, TextTower(SIZES.text), networks(3)[1], vae, 1.0)
    latent = torch.zeros(1, 4, 8, 8, 8)
    latent[0, 0, 0, 0, 0] = torch.nan
    with pytest.raises(Text2CTError, match="not finite, so there is no CT"):
        decoded(three, Plan(CPU, torch.float32, torch.float32), Sampler(), latent)


@pytest.mark.parametrize("as_published", [False, True])
@pytest.mark.parametrize("latent", [(128, 128, 32), (32, 32, 16)])
def test_more_memory_is_never_refused_and_no_plan_takes_more_than_is_free(
        latent: tuple[int, ...], as_published: bool) -> None:
    runs = False
    for free in range(200_000_000, 40_000_000_000, 50_000_000):
        try:
            plan = planned(CPU, PUBLISHED, latent, free=free, flow=torch.float32, as_published_decode=as_published)
        except Unavailable:
            assert not runs, f"refused with {free / 1e9:.2f} GB, and not with less"
            continue
        runs = True
        assert plan.peak_bytes <= free
        assert plan.hold_bytes >= 0
    assert runs
    assert plan.one_batch


def test_the_published_decode_is_planned_by_its_windows() -> None:
    plans = [planned(CPU, PUBLISHED, (128, 128, 32), free=80_000_000_000, as_published_decode=windowed)
             for windowed in (False, True)]
    assert [plan.decode_at_once for plan in plans] == [False, True]
    small = [planned(CPU, PUBLISHED, (64, 64, 32), free=80_000_000_000, as_published_decode=windowed)
             for windowed in (False, True)]
    assert small[0] == small[1]


def test_memory_is_planned_and_refused_before_the_start() -> None:
    device, latent = CPU, (128, 128, 32)
    sizes = SIZES
    plenty = planned(device, sizes, latent, free=64_000_000_000)
    assert plenty.one_batch
    assert plenty.peak_bytes < 64_000_000_000
    assert decoding_bytes(sizes.vae, latent, 4, 10**6) > latent[0] * latent[1] * latent[2] * 64 * 4
    with pytest.raises(Unavailable, match=r"needs about .* GB on cpu, and 0\.2 GB are free"):
        planned(device, sizes, latent, free=200_000_000)
