"""Between HU and the numbers of the networks, and the spacing as the UNet was told it in training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

LOW_HU, HIGH_HU = -1000, 1000
SPACING_SCALE = 100.0


def to_hu(decoded: Tensor) -> NDArray[np.int16]:
    """Decoder output to int16 HU. upstream quirk: cut towards zero, not rounded."""
    hu = (decoded.float() * (HIGH_HU - LOW_HU) + LOW_HU).clamp_(LOW_HU, HIGH_HU)
    whole: NDArray[np.int16] = hu.to(torch.int16).cpu().numpy()
    return whole


def from_hu(hu: NDArray[np.int16]) -> Tensor:
    """HU to the [0, 1] that the encoder takes, cut off at both ends."""
    scaled = (torch.from_numpy(hu.astype(np.float32)) - LOW_HU) / (HIGH_HU - LOW_HU)
    return scaled.clamp_(0.0, 1.0)


def spacing_input(spacing_mm: Sequence[float], batch: int = 1) -> Tensor:
    """Spacing in hundredths of a millimetre, (B, 3)."""
    return torch.tensor([[s * SPACING_SCALE for s in spacing_mm]] * batch, dtype=torch.float32)
