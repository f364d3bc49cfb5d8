"""A raw CT as the published training saw it: two trilinear resizes straight to 512 x 512 x 128.

upstream quirk: the second resize ignores the size of the patient, so that the spacing that
the networks are told (0.75 x 0.75 x 3 mm) is a name, not a measure. That is what the weights
were trained on; a geometry-true crop or pad belongs to training of our own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from ...geometry import Affine, Triple
from ...volume import CTVolume
from .intensity import HIGH_HU, LOW_HU

SHAPE = (512, 512, 128)
SPACING: Triple = (0.75, 0.75, 3.0)


def as_published(ct: CTVolume) -> NDArray[np.int16]:
    """HU of the training volume, axes pointing right, front, up."""
    spacing = ct.grid.spacing  # upstream quirk: spacing along the axes of the file, before they are put in order
    ras = ct.reoriented("RAS").voxels.astype(np.float32)
    zyx = torch.from_numpy(ras.transpose(2, 1, 0).copy()).clamp_(LOW_HU, HIGH_HU)[None, None]
    ratios = [old / new for old, new in zip(reversed(spacing), reversed(SPACING), strict=True)]
    first = [int(n * ratio) for n, ratio in zip(zyx.shape[2:], ratios, strict=True)]
    resized = _resized(_resized(zyx, first), SHAPE[::-1])
    hu: NDArray[np.int16] = resized[0, 0].numpy().astype(np.int16).transpose(2, 1, 0)
    return hu


def published_affine() -> Affine:
    """What the published program writes into its files: no origin, nominal spacing."""
    return np.diag([*SPACING, 1.0])


def _resized(volume: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    return functional.interpolate(volume, size=tuple(size), mode="trilinear", align_corners=False)
