"""Replacing layers inside a network that is already built."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn


def swapped(module: nn.Module, swap: Callable[[nn.Module], nn.Module | None]) -> None:
    """Every child for which `swap` has something else, replaced by it."""
    for name, child in list(module.named_children()):
        other = swap(child)
        if other is None:
            swapped(child, swap)
        else:
            setattr(module, name, other)
