"""Hounsfield units to the 0..1 of the networks and back: three straight pieces, soft tissue stretched most."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_HU = (-1000.0, -200.0, 200.0, 1000.0)
_UNIT = (0.0, 0.2, 0.8, 1.0)


def to_unit(hu: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(np.interp(hu, _HU, _UNIT), np.float32)


def to_hu(unit: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(np.interp(unit, _UNIT, _HU), np.float32)
