"""Compiling and CUDA graphs: what can be done is done and equal, what cannot is said and left out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from small_networks import SIZES, randomised

from text2ct.engines.text2ct import pipeline
from text2ct.engines.text2ct.config import UNetSizes, VAESizes
from text2ct.engines.text2ct.text import TextTower
from text2ct.engines.text2ct.unet import UNet
from text2ct.engines.text2ct.vae import VAE
from text2ct.engines.text2ct.weights import Networks
from text2ct.errors import BadInput
from text2ct.speed import plan as plans
from text2ct.speed.compiled import compiled, compiler_problem
from text2ct.speed.graphs import Recording, Replayed
from text2ct.speed.plan import Plan, Wishes, planned, wishes
from text2ct.speed.unet import Speed, quickened

CPU = torch.device("cpu")
ONE_LEVEL = UNetSizes(channels=(8,), attention=(True,), head_channels=(8,), res_blocks=1, norm_groups=4,
                      context_width=24, with_spacing=False)
LATENT = (16, 16, 8)


@pytest.fixture
def networks() -> Networks:
    unet, vae = randomised(UNet(SIZES.unet), 1), randomised(VAE(VAESizes(channels=(4, 8, 8), norm_groups=2)), 2)
    assert isinstance(unet, UNet)
    assert isinstance(vae, VAE)
    return Networks(SIZES, TextTower(SIZES.text), unet, vae, 1.0)


def is_compiled(network: torch.nn.Module) -> bool:
    """Whether a block of it was given another way to compute."""
    return any("forward" in vars(module) for module in network.modules())


def test_a_compiled_network_gives_the_plain_answer() -> None:
    problem = compiler_problem(CPU)
    if problem:
        pytest.skip(f"torch.compile does not work on this machine: {problem}")
    plain = randomised(UNet(ONE_LEVEL), 0)
    assert isinstance(plain, UNet)
    quick = compiled(quickened(copy.deepcopy(plain), Speed()))
    made = torch.Generator().manual_seed(1)
    given = (torch.randn(1, 4, 8, 8, 8, generator=made), torch.tensor([400.0]),
             torch.randn(1, 1, 24, generator=made), torch.ones(1, 3), torch.ones(1, dtype=torch.long))
    with torch.inference_mode():
        wanted, answer = plain(*given), quick(*given)
    assert is_compiled(quick)
    assert not is_compiled(plain)
    assert (answer - wanted).abs().max() < 2e-5 * wanted.abs().max()


def test_a_network_of_many_shapes_is_compiled_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def watching(call: Any, dynamic: bool) -> Any:
        def called(*given: Any) -> Any:
            seen.append(torch._dynamo.config.cache_size_limit)
            return call(*given)

        return called

    usual = torch._dynamo.config.cache_size_limit
    monkeypatch.setattr(torch, "compile", watching)
    network = compiled(UNet(ONE_LEVEL))
    network(torch.zeros(1, 4, 8, 8, 8), torch.ones(1), torch.zeros(1, 1, 24), torch.ones(1, 3),
            torch.ones(1, dtype=torch.long))
    assert set(seen) == {128}
    assert torch._dynamo.config.cache_size_limit == usual < 128


def test_a_missing_compiler_is_said_and_the_network_stays_plain(
        monkeypatch: pytest.MonkeyPatch, networks: Networks) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("No working C++ compiler found.\nmore of it")

    monkeypatch.setattr(torch, "compile", broken)
    plan = planned(CPU, SIZES, LATENT, free=10**11, wished=Wishes(compiled=True))
    assert not plan.compiled
    assert plan.notes == ("torch.compile was wished for and does not work here (No working C++ compiler found); "
                          "the network runs uncompiled.",)
    assert "compiled" not in plan.said()
    pipeline.placed(networks, plan)
    assert not is_compiled(networks.unet)


def test_a_plan_that_compiles_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "compiler_problem", lambda device: "")
    plan = planned(CPU, SIZES, LATENT, free=10**11, flow=torch.float32, wished=Wishes(compiled=True))
    assert plan.compiled
    assert plan.said() == "float32 on cpu, compiled"
    assert planned(CPU, SIZES, LATENT, free=10**11) == planned(CPU, SIZES, LATENT, free=10**11, wished=Wishes())


def test_graphs_asked_for_on_a_cpu_are_said_and_not_used(networks: Networks) -> None:
    plan = planned(CPU, SIZES, LATENT, free=10**11, wished=Wishes(graphs=True))
    assert not plan.graphs
    assert plan.notes == ("CUDA graphs were wished for and need an NVIDIA GPU; on cpu steps run without.",)
    pipeline.placed(networks, plan)
    assert "forward" not in vars(networks.unet)


def test_wishes_are_read_from_the_environment_and_an_unknown_one_is_named() -> None:
    assert wishes({}) == Wishes()
    assert wishes({"TEXT2CT_SPEED": " compiled, graphs"}) == Wishes(compiled=True, graphs=True)
    with pytest.raises(BadInput, match="names 'warp', which is unknown; it may hold compiled and graphs"):
        wishes({"TEXT2CT_SPEED": "warp"})


class Tape:
    """A recorder as CUDA's is: it replays into the same memory, and looks at nothing but its own inputs."""

    def __init__(self) -> None:
        self.recorded = 0

    def __call__(self, function: Any, inputs: Sequence[torch.Tensor]) -> Recording:
        self.recorded += 1
        output = torch.zeros_like(function(*inputs))
        return Recording(inputs, output, lambda: output.copy_(function(*inputs)))


def test_a_recording_is_made_once_for_a_shape_and_then_replayed_with_new_numbers() -> None:
    tape = Tape()
    replayed = Replayed(lambda a, b: a * 2 + b, tape)
    first = replayed(torch.tensor([1.0, 2.0]), torch.tensor([10.0]))
    second = replayed(torch.tensor([3.0, 4.0]), torch.tensor([20.0]))
    assert tape.recorded == 1
    assert first.tolist() == [12.0, 14.0]
    assert second.tolist() == [26.0, 28.0]
    replayed(torch.ones(3), torch.tensor([1.0]))
    replayed(torch.ones(2, dtype=torch.float64), torch.tensor([1.0]))
    replayed(torch.ones(2), torch.tensor([1.0]))
    assert tape.recorded == 3


def test_only_the_last_recordings_are_kept() -> None:
    tape = Tape()
    replayed = Replayed(lambda a: a + 1, tape)
    for size in (1, 2, 3, 4, 1, 5, 1, 2):
        assert replayed(torch.zeros(size)).tolist() == [1.0] * size
    assert tape.recorded == 6


def test_a_network_that_is_replayed_gives_the_plain_answer_in_a_whole_walk(networks: Networks) -> None:
    sampler = pipeline.Sampler(steps=4, guidance_interval=(300.0, 900.0))
    plan = Plan(CPU, torch.float32, torch.float32, Speed())
    pipeline.placed(networks, plan)
    context = torch.nn.functional.normalize(torch.ones(1, 1, 24), dim=-1)

    def walk() -> torch.Tensor:
        field = pipeline.velocity(networks.unet, plan, sampler, context, (1.5, 1.5, 3.0))
        return pipeline.walked(field, pipeline.noise(1, 4, LATENT), sampler.schedule(LATENT), "euler")

    wanted, tape = walk(), Tape()
    networks.unet.forward = Replayed(networks.unet.forward, tape)  # type: ignore[method-assign,assignment]
    assert torch.equal(walk(), wanted)
    assert torch.equal(walk(), wanted)
    assert tape.recorded == 2
