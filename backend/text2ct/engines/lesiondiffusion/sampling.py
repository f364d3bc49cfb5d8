"""One page of sampling: texts to context, noise to a mask, noise to a painted latent.

Noise is drawn on the CPU from a seed, first the start, then one field a step, so that
a seed means the same on every device. A sampler is a value: the published one is DDIM
with 200 steps and all of its noise; DPM-Solver++(2M) needs fewer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from ...diffusion.gaussian import Schedule, Step, ddim_plan, dpm_plan, sample
from .report_file import Attributes
from .wordpiece import WordPiece

SCHEDULE = Schedule.scaled_linear(1000, 0.0015, 0.0195)
Told = Callable[[int, int, Tensor, Tensor], None]  # step, steps, x, guess of x_0
Predicts = Literal["noise", "data"]


class Noise(Protocol):
    """Gives standard normal numbers of a shape."""

    def __call__(self, *shape: int) -> Tensor: ...


@dataclass(frozen=True)
class Sampler:
    """How to get from noise to a result. `eta` is the share of DDIM's noise."""

    kind: Literal["ddim", "dpm++2m"] = "ddim"
    steps: int = 200
    eta: float = 1.0

    @property
    def plan(self) -> list[Step]:
        return ddim_plan(SCHEDULE, self.steps, self.eta) if self.kind == "ddim" else dpm_plan(SCHEDULE, self.steps)

    @property
    def name(self) -> str:
        return f"{self.kind} {len(self.plan)}" + (f" eta {self.eta:g}" if self.kind == "ddim" else "")


PUBLISHED = Sampler()


@dataclass(frozen=True, eq=False)
class Begun:
    """Where an earlier walk stood: steps done, x after them, the last guess of x_0."""

    done: int
    x: Tensor
    x0: Tensor


def seeded(seed: int) -> Noise:
    """Noise from a CPU generator of its own."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator)


def context_of(samples: Sequence[Attributes], tower: nn.Module, vocabulary: WordPiece) -> Tensor:
    """One vector for each value, (samples, values, width); shorter samples end with the vector of the empty text."""
    longest = max(len(tokens) for tokens in samples)
    texts = [[value for _, value in tokens] + [""] * (longest - len(tokens)) for tokens in samples]
    different = {text for row in texts for text in row}
    vectors = {text: tower(torch.tensor([vocabulary.encode(text)]))[0] for text in different}
    return torch.stack([torch.stack([vectors[text] for text in row]) for row in texts])


def sample_mask(net: nn.Module, condition: Tensor, context: Tensor, sampler: Sampler, noise: Noise,
                told: Told | None = None, predicts: Predicts = "noise", begun: Begun | None = None) -> Tensor:
    """Raw masks (b, 1, z, y, x), around 0 and 1, given organs, target and box (b, 3, z, y, x)."""
    shape = (condition.shape[0], 1, *condition.shape[2:])
    place = condition.device

    def predict(x: Tensor, t: int) -> Tensor:
        done: Tensor = net(torch.cat([x, condition], 1), _times(t, x), context)
        return done if predicts == "noise" else noise_in(x, done, t)

    return _walk(predict, shape, place, sampler, noise, None, told, begun)


def sample_latent(net: nn.Module, latent: Tensor, mask: Tensor, context: Tensor | None, sampler: Sampler, noise: Noise,
                  told: Told | None = None, predicts: Predicts = "noise", begun: Begun | None = None) -> Tensor:
    """The latent (b, 4, z, y, x) with new content where `mask` (b, 1, z, y, x) is 1, the rest as it was.

    With `context` None the network does not read the text, as in the published test configuration.
    """
    channels = latent.shape[1]

    def predict(x: Tensor, t: int) -> Tensor:
        done: Tensor = net(torch.cat([x, mask], 1), _times(t, x), context)[:, :channels]
        return done if predicts == "noise" else noise_in(x, done, t)

    def keep(x: Tensor) -> Tensor:
        return x * mask + latent * (1 - mask)

    return _walk(predict, tuple(latent.shape), latent.device, sampler, noise, keep, told, begun)


def noise_in(x: Tensor, clean: Tensor, t: int) -> Tensor:
    """The noise that is in `x` when this is what lies under it."""
    a = float(SCHEDULE.alphas_cumprod[t])
    return (x - math.sqrt(a) * clean) / math.sqrt(1 - a)


def _walk(predict: Callable[[Tensor, int], Tensor], shape: tuple[int, ...], place: torch.device, sampler: Sampler,
          noise: Noise, keep: Callable[[Tensor], Tensor] | None, told: Told | None, begun: Begun | None) -> Tensor:
    plan = sampler.plan
    before = None if begun is None else (begun.done, begun.x.to(place), begun.x0.to(place))

    def each(number: int, x: Tensor, x0: Tensor) -> None:
        if told is not None:
            told(number + 1, len(plan), x, x0)

    def draw() -> Tensor:
        return noise(*shape).to(place)

    with torch.inference_mode():
        done: Tensor = sample(predict, draw(), plan, draw if sampler.kind == "ddim" else None, keep, each, before)
    return done


def _times(t: int, x: Tensor) -> Tensor:
    return torch.full((x.shape[0],), t, device=x.device)
