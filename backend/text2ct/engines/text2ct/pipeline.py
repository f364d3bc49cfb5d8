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

from ...diffusion.guidance import ALWAYS, guided, wanted_at
from ...diffusion.rectified_flow import GRIDS, GridName, Step, clean_estimate
from ...diffusion.solvers import EVALUATIONS, SOLVERS, Velocity
from ...errors import Text2CTError
from ...speed.cache import DeepFeatures
from ...speed.compiled import compiled
from ...speed.graphs import Replayed
from ...speed.norms import steadied
from ...speed.plan import Plan
from ...speed.slabs import decoded_in_slabs, whole_bytes
from ...speed.unet import quickened
from .config import CT_MODALITY
from .intensity import spacing_input, to_hu
from .state import SamplerState
from .text import as_ids
from .unet import UNet
from .weights import Networks
from .windows import decoded_as_published

PREVIEW_COARSENING = 4
Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Sampler:
    """How the flow is walked. `exact` is the same schedule with true step lengths.

    `as_published_decode`: a large latent is decoded as the published program does it (`windows`).

    The last four change the picture to save time, and are named so in the account: guidance only
    between two times, the UNet's deep features computed in one of `deep_every` evaluations
    (all but its first `shallow_levels` levels), and steps that stand in place of more.
    """

    grid: GridName = "published"
    solver: str = "euler"
    steps: int = 30
    guidance: float = 5.0
    as_published_decode: bool = False
    guidance_interval: tuple[float, float] = ALWAYS
    deep_every: int = 1
    shallow_levels: int = 1
    in_place_of: int | None = None

    def said(self) -> str:
        """For the account."""
        decode = ", decoded as published" if self.as_published_decode else ""
        lossy = f", lossy: {' and '.join(self._losses())}" if self._losses() else ""
        return f"{self.grid} grid, {self.solver}, {self.steps} steps, guidance {self.guidance:g}{decode}{lossy}"

    def _losses(self) -> list[str]:
        """Each thing that is not done in full."""
        low, high = self.guidance_interval
        return [words for lost, words in (
            (self.deep_every > 1,
             f"levels from {self.shallow_levels + 1} on computed in one of {self.deep_every} evaluations"),
            (self.guidance_interval != ALWAYS, f"guidance only from time {high:g} to {low:g}"),
            (self.in_place_of is not None, f"{self.steps} steps in place of {self.in_place_of}")) if lost]

    def begins_anew(self, done: int) -> bool:
        """Whether the step after `done` needs nothing but the state: there a run may be taken up again."""
        return done * EVALUATIONS[self.solver] % self.deep_every == 0

    def schedule(self, latent_shape: Sequence[int]) -> tuple[Step, ...]:
        return GRIDS[self.grid](self.steps, latent_shape)


def encoded(networks: Networks, ids: Sequence[int]) -> Tensor:
    """The report, as token numbers, as one vector (1, 1, W)."""
    with torch.inference_mode():
        told: Tensor = networks.text(as_ids([ids]))
    return told


def noise(seed: int, channels: int, latent_shape: Sequence[int]) -> Tensor:
    """The start of the walk, (1, C, X, Y, Z)."""
    return torch.randn((1, channels, *latent_shape), generator=torch.Generator().manual_seed(seed))


def velocity(unet: UNet, plan: Plan, sampler: Sampler, context: Tensor, spacing_mm: Sequence[float]) -> Velocity:
    """The guided velocity at samples (B, C, X, Y, Z) and a time, in float32."""
    known = context.to(plan.device, plan.flow)
    unknown = torch.zeros_like(known)
    spacing = spacing_input(spacing_mm).to(plan.device)
    label = torch.full((1,), CT_MODALITY, device=plan.device)
    deep = DeepFeatures(unet, sampler.deep_every, sampler.shallow_levels) if sampler.deep_every > 1 else None

    def asked(sample: Tensor, time: float, *about: Tensor) -> Tensor:
        x = torch.cat([sample] * len(about)).to(plan.flow)
        if plan.speed.channels_last:
            x = x.contiguous(memory_format=torch.channels_last_3d)
        told = torch.cat([one.expand(len(sample), -1, -1) for one in about])
        given = x, torch.tensor([time], device=plan.device), told, spacing, label
        with torch.inference_mode():
            answer: Tensor = unet(*given) if deep is None else deep(about, *given)
        return answer.float()

    def at(sample: Tensor, time: float) -> Tensor:
        if deep is not None:
            deep.next_evaluation()
        if not wanted_at(time, sampler.guidance, sampler.guidance_interval):
            return asked(sample, time, known)
        if plan.one_batch:
            yes, no = asked(sample, time, known, unknown).chunk(2)
        else:
            yes, no = asked(sample, time, known), asked(sample, time, unknown)
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
    if not bool(torch.isfinite(latent).all()):
        raise Text2CTError("Sampling ended in values that are not finite, so there is no CT to decode; "
                           "try another solver, a lower guidance or the precision float32.")
    vae, scaled = networks.vae, _for_coder(networks, plan, latent)

    def piece(part: Tensor, window: int = 0, windows: int = 1) -> Tensor:
        """The latent, or a window of it, decoded as the plan says."""
        def tell(done: int, total: int) -> None:
            if told is not None:
                told(window * total + done, windows * total)

        if plan.decode_at_once:
            tell(0, 1)
            return vae.decode(part)
        return decoded_in_slabs(vae, part, plan.work_bytes, tell, plan.hold_bytes)

    with torch.inference_mode():
        whole = decoded_as_published(piece, scaled) if sampler.as_published_decode else piece(scaled)
        return to_hu(whole[0, 0])


def preview(networks: Networks, plan: Plan, latent: Tensor,
            coarsening: int = PREVIEW_COARSENING) -> NDArray[np.int16]:
    """A quarter of the resolution along each axis, from the latent averaged, for 1/64 of the work."""
    with torch.inference_mode():
        coarse = functional.avg_pool3d(latent, coarsening)
        return to_hu(networks.vae.decode(_for_coder(networks, plan, coarse))[0, 0])


def fit_coarsening(networks: Networks, plan: Plan, latent_shape: Sequence[int]) -> int:
    """How coarse a preview must be to be decoded in one call; 1 where the whole latent can be."""
    able = [factor for factor in (1, 2, PREVIEW_COARSENING) if all(n % factor == 0 for n in latent_shape)]
    sizes, element = networks.sizes.vae, plan.coder.itemsize
    fit = (factor for factor in able
           if whole_bytes(sizes, [n // factor for n in latent_shape], element) <= plan.work_bytes)
    return next(fit, able[-1])


def _for_coder(networks: Networks, plan: Plan, latent: Tensor) -> Tensor:
    return (latent / networks.scale_factor).to(plan.device, plan.coder)


def placed(networks: Networks, plan: Plan) -> None:
    """Both large networks on the device, in their kinds of number. The text tower stays where it is, in float32."""
    networks.unet.to(device=plan.device, dtype=plan.flow)
    networks.vae.to(device=plan.device, dtype=plan.coder)
    quickened(networks.unet, plan.speed)
    if plan.compiled:
        compiled(networks.unet)
    if plan.graphs:
        networks.unet.forward = Replayed(networks.unet.forward)  # type: ignore[method-assign,assignment]
    if plan.speed.channels_last:
        steadied(networks.vae)
        networks.vae.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
