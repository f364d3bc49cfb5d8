"""The method on one page: encode the report, draw noise, walk the flow, decode.

Each part is a function of plain values, so that a test or a training loop can use it alone.
The noise comes from its own generator on the CPU, and the latent and the arithmetic of the
steps are float32 everywhere, so that a seed means the same on every device up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ...diffusion.guidance import guided, wanted_at
from ...diffusion.rectified_flow import GRIDS, GridName, Step, clean_estimate
from ...diffusion.solvers import SOLVERS, Velocity
from ...speed.norms import steadied
from ...speed.plan import Plan
from ...speed.slabs import decoded_in_slabs
from ...speed.unet import quickened
from .config import CT_MODALITY
from .intensity import spacing_input, to_hu
from .state import SamplerState
from .text import as_ids
from .tokenizer import tokens
from .unet import UNet
from .weights import Networks
from .windows import decoded_as_published

PREVIEW_COARSENING = 4
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Sampler:
    """How the flow is walked. `exact` is the same schedule with true step lengths."""

    grid: GridName = "published"
    solver: str = "euler"
    steps: int = 30
    guidance: float = 5.0
    guidance_interval: tuple[float, float] = (0.0, 1000.0)
    as_published_decode: bool = False

    def said(self) -> str:
        """For the account."""
        decode = ", decoded in the published windows" if self.as_published_decode else ""
        return f"{self.grid} grid, {self.solver}, {self.steps} steps, guidance {self.guidance:g}{decode}"

    def schedule(self, latent_shape: Sequence[int]) -> tuple[Step, ...]:
        return GRIDS[self.grid](self.steps, latent_shape)


def encoded(networks: Networks, prompt: str) -> tuple[Tensor, int]:
    """The report as one vector (1, 1, W), and how many of its tokens did not fit."""
    found = tokens(prompt, networks.text.sizes.length)
    with torch.inference_mode():
        return networks.text(as_ids([found.ids])), found.dropped


def noise(seed: int, channels: int, latent_shape: Sequence[int]) -> Tensor:
    """The start of the walk, (1, C, X, Y, Z)."""
    return torch.randn((1, channels, *latent_shape), generator=torch.Generator().manual_seed(seed))


def velocity(unet: UNet, plan: Plan, sampler: Sampler, context: Tensor, spacing_mm: Sequence[float]) -> Velocity:
    """The guided velocity at a sample and a time, in float32."""
    known = context.to(plan.device, plan.flow)
    both = torch.cat([known, torch.zeros_like(known)])
    spacing = spacing_input(spacing_mm).to(plan.device)
    label = torch.full((1,), CT_MODALITY, device=plan.device)

    def asked(sample: Tensor, time: float, about: Tensor) -> Tensor:
        x = sample.to(plan.flow).expand(len(about), -1, -1, -1, -1)
        if plan.speed.channels_last:
            x = x.contiguous(memory_format=torch.channels_last_3d)
        with torch.inference_mode():
            answer: Tensor = unet(x, torch.tensor([time], device=plan.device), about, spacing, label)
        return answer.float()

    def at(sample: Tensor, time: float) -> Tensor:
        if not wanted_at(time, sampler.guidance, sampler.guidance_interval):
            return asked(sample, time, known)
        if plan.one_batch:
            yes, no = asked(sample, time, both).chunk(2)
        else:
            yes, no = asked(sample, time, known), asked(sample, time, both[1:])
        return guided(yes, no, sampler.guidance)

    return at


def walked(field: Velocity, start: Tensor, schedule: Sequence[Step], solver: str, state: SamplerState | None = None,
           each: Callable[[SamplerState, Tensor], None] | None = None) -> Tensor:
    """The latent at the end of the schedule; `each` is told the state and the clean estimate after every step."""
    done = state.done if state is not None else 0
    move = state.move if state is not None else None
    sample = start if move is None else move.sample
    for number, step in enumerate(schedule[done:], done + 1):
        before = sample
        move = SOLVERS[solver](field, sample, step, move)
        sample = move.sample
        if each is not None:
            each(SamplerState(number, move), clean_estimate(before, move.velocity, step.time))
    return sample


def decoded(networks: Networks, plan: Plan, sampler: Sampler, latent: Tensor,
            told: Told | None = None) -> NDArray[np.int16]:
    """HU of a latent, (X, Y, Z)."""
    vae, scaled = networks.vae, _for_coder(networks, plan, latent)
    with torch.inference_mode():
        if sampler.as_published_decode:
            return to_hu(decoded_as_published(vae.decode, scaled, told)[0, 0])
        if plan.decode_at_once:
            return to_hu(vae.decode(scaled)[0, 0])
        return to_hu(decoded_in_slabs(vae, scaled, plan.work_bytes, told, plan.hold_bytes)[0, 0])


def preview(networks: Networks, plan: Plan, latent: Tensor) -> NDArray[np.int16]:
    """A quarter of the resolution along each axis, from the latent averaged, for 1/64 of the work."""
    with torch.inference_mode():
        coarse = functional.avg_pool3d(latent, PREVIEW_COARSENING)
        return to_hu(networks.vae.decode(_for_coder(networks, plan, coarse))[0, 0])


def _for_coder(networks: Networks, plan: Plan, latent: Tensor) -> Tensor:
    return (latent / networks.scale_factor).to(plan.device, plan.coder)


def placed(networks: Networks, plan: Plan) -> None:
    """Both large networks on the device, in their kinds of number. The text tower stays where it is, in float32."""
    networks.unet.to(device=plan.device, dtype=plan.flow)
    networks.vae.to(device=plan.device, dtype=plan.coder)
    quickened(networks.unet, plan.speed)
    if plan.speed.channels_last:
        steadied(networks.vae)
        networks.vae.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
