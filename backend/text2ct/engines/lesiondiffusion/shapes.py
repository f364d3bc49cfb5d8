"""Names and shapes of a checkpoint's tensors, and the two questions the networks ask of them.

The networks are built from these alone, so that a checkpoint of other widths or depths
needs no configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]


def below(shapes: Shapes, prefix: str) -> dict[str, tuple[int, ...]]:
    """The tensors under `prefix`, named without it."""
    return {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}


def count(shapes: Shapes, prefix: str = "") -> int:
    """How many numbered things stand under `prefix`."""
    return len({name.removeprefix(prefix).split(".")[0] for name in shapes if name.startswith(prefix)})
