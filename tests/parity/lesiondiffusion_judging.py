"""How stages of a recorded case of LesionDiffusion are judged: the limits, and rows that must be near or the same."""

from __future__ import annotations

from typing import Any

from harness import Row, compare

NETWORK, TRAJECTORY, FORMULA, HU = 1e-4, 5e-4, 1e-5, 0.05


def near(stage: str, ours: Any, theirs: Any, tolerance: float) -> Row:
    return compare(stage, ours, theirs, tolerance, relative=True)


def same(stage: str, differing: int, note: str = "") -> Row:
    """A stage that must be exact, as its number of differences."""
    return Row(stage, float(differing), 0.0, note)


def pairs(listed: Any) -> tuple[tuple[str, str], ...]:
    return tuple((field, value) for field, value in listed)


def unlike(ours: Any, theirs: Any) -> int:
    """How many pairs of field and text differ."""
    a, b = list(ours), list(pairs(theirs))
    return abs(len(a) - len(b)) + sum(one != other for one, other in zip(a, b, strict=False))
