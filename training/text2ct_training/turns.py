"""What the loop needs to know of a task: its turns and its examples.

A turn is a network with the loss it is trained by, as one module: a batch in, the losses
out. Most tasks have one; the VAE has two that answer each other, the coder and its critic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from .data import Batch, Examples

State = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Weights:
    """A finished network as a file: its name, its tensors as the engine names them, single values beside them."""

    name: str
    tensors: State
    values: Mapping[str, float] = field(default_factory=dict)


class Turn(nn.Module):
    """A network and its loss. The entry "loss" is what is made smaller; the others are only reported."""

    averaged = True
    learning_rate: float | None = None

    def active(self, step: int) -> bool:
        """Whether it is trained at this step."""
        return True

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        raise NotImplementedError

    def after_step(self) -> None:
        """Put back into its bounds what an optimiser moved out of them."""

    def finished(self, state: State) -> list[Weights]:
        """The files that a state of this module becomes; none for what only helped to learn."""
        return []


def part(state: State, prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix, without it."""
    return {name[len(prefix):]: tensor for name, tensor in state.items() if name.startswith(prefix)}


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained, and on what."""

    turns: Mapping[str, Turn]
    train: Examples
    held_out: Examples
