"""torch.compile for the residual blocks of a UNet, where this machine has what it needs.

Compiling joins the group norm and the SiLU after it, and the sums around the convolutions,
into single passes over memory. Only residual blocks are compiled: attention keeps the kernel
that was chosen for it, and the hooks by which a run is stopped between levels stay plain Python.

What it needs is a C++ compiler with Python's headers on a CPU, and Triton on a GPU. Whether
they work is tried on one line of arithmetic, since no list of conditions would be complete;
the reason of a failure becomes a sentence for the account, and the run goes on without.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ..engines.text2ct.unet import ResBlock, UNet
from .unet import LeanBlock

_SHAPES = 128  # kinds of block times batches that are compiled apart; PyTorch gives up after 8 unless told


def compiler_problem(device: torch.device) -> str:
    """Why torch.compile does not work here, in a few words; "" when it does."""
    try:
        torch.compile(_one_line, dynamic=False)(torch.zeros(64, device=device))
    except Exception as error:  # whatever a missing compiler, header or driver raises
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")
    return ""


def compiled(unet: UNet) -> UNet:
    """The same network, its residual blocks compiled when they are first called with a new shape."""
    for block in unet.modules():
        if isinstance(block, (ResBlock, LeanBlock)):
            block.forward = _patient(torch.compile(block.forward, dynamic=False))  # type: ignore[method-assign]
    return unet


def _one_line(x: Tensor) -> Tensor:
    return functional.silu(x) + 1


def _patient(call: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """With room for all shapes of the network: they share one function, which counts as one to the compiler."""

    def called(x: Tensor, signal: Tensor) -> Tensor:
        with torch._dynamo.config.patch(cache_size_limit=_SHAPES):  # newer releases call it recompile_limit too
            return call(x, signal)

    return called
