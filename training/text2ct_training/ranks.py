"""The processes of a run: one alone, or as many as torchrun started.

Everything that one process must know of the others goes through here. Started without
torchrun, a run is a single process and nothing is set up.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, distributed

from text2ct.errors import Unavailable


@dataclass(frozen=True)
class Place:
    """Which of how many processes this is, and the device it works on."""

    rank: int
    count: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and speaks."""
        return self.rank == 0


@contextmanager
def joined(device: str = "auto") -> Iterator[Place]:
    """This process among its fellows, for as long as the block lasts."""
    count, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    chosen = _device(device)
    if count == 1:
        yield Place(0, 1, chosen)
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Place(rank, count, chosen)
    finally:
        distributed.destroy_process_group()


def _device(name: str) -> torch.device:
    available = torch.cuda.is_available()
    if name == "auto":
        name = "cuda" if available else "cpu"
    if name == "cuda":
        if not available:
            raise Unavailable("This machine has no CUDA device that PyTorch can use; train with --device cpu.")
        chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(chosen)
        return chosen
    return torch.device(name)


def mean(values: Mapping[str, float], place: Place) -> dict[str, float]:
    """Each number averaged over the processes."""
    if place.count == 1:
        return dict(values)
    numbers = torch.tensor(list(values.values()), dtype=torch.float64, device=place.device)
    distributed.all_reduce(numbers)
    return dict(zip(values, (numbers / place.count).tolist(), strict=True))


def any_of(said: bool, place: Place) -> bool:
    """Whether one of the processes said yes."""
    if place.count == 1:
        return said
    flag = torch.tensor(int(said), device=place.device)
    distributed.all_reduce(flag, distributed.ReduceOp.MAX)
    return bool(flag)


def all_wait(place: Place) -> None:
    """Go on when all have come here."""
    if place.count > 1:
        distributed.barrier()


def all_rows(rows: Tensor) -> Tensor:
    """The rows of all processes below each other; gradients find their way back to where the rows came from."""
    if not distributed.is_initialized():
        return rows
    return cast(Tensor, _AllRows.apply(rows))  # type: ignore[no-untyped-call]


class _AllRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        distributed.all_reduce(total)
        return total.chunk(distributed.get_world_size())[distributed.get_rank()]
