"""Guidance without a classifier: away from what the network says when it knows nothing of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ALWAYS = (0.0, 1000.0)


def guided(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """unconditional + scale * (conditional - unconditional); a scale of 1 is the conditional answer."""
    return unconditional + scale * (conditional - unconditional)


def wanted_at(time: float, scale: float, interval: tuple[float, float] = ALWAYS) -> bool:
    """Whether a step needs both answers: a scale of 1, or a time outside the interval, needs only one."""
    return scale != 1.0 and interval[0] <= time <= interval[1]
