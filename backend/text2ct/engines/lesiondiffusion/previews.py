"""A look at a lesion while it forms, for a few milliseconds: no network runs for it.

LMNet's guess is shown as a bright form in the CT's crop. LINet's is a latent, whose
decoding costs as much as several steps; but brightness is nearly linear in it, so the
straight line that turns the untouched latent into the untouched crop is fitted once
and shows the forming one at the latent's own voxels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...volume import CTVolume
from .crops import Mask
from .hounsfield import to_hu
from .working import Crop, Floats

EVERY = 5
_RAISED_HU = 300.0
Preview = Callable[[Tensor], CTVolume]


def mask_preview(hu: Floats, allowed: Mask, crop: Crop) -> Preview:
    """Shows a guess of raw masks (b, 1, z, y, x): the first of them, raised out of the CT around it."""
    def shown(guess: Tensor) -> CTVolume:
        form = (guess[0, 0].float().cpu().numpy() > 0.5) & allowed
        raised = np.clip(np.rint(hu + _RAISED_HU * form), -1024, 3071)
        return CTVolume(raised.astype(np.int16), crop.grid.affine)

    return shown


def paint_preview(unit: Tensor, latent: Tensor, crop: Crop) -> Preview:
    """Shows a latent as a CT, by the line that fits `latent` to the crop (1, 1, z, y, x) that it encodes."""
    a, b, c = latent.shape[2:]
    small = F.adaptive_avg_pool3d(unit.float().cpu(), (a, b, c))[0, 0]
    weights = torch.linalg.lstsq(_rows(latent), small.reshape(-1, 1), driver="gelsd").solution
    coarse = [s * n / m for s, n, m in zip(crop.grid.spacing, crop.grid.shape, (a, b, c), strict=True)]
    grid = crop.grid.with_spacing(coarse)

    def shown(guess: Tensor) -> CTVolume:
        values = (_rows(guess) @ weights).reshape(a, b, c).clamp(0, 1)
        return CTVolume(np.rint(to_hu(values.numpy())).astype(np.int16), grid.affine)

    return shown


def _rows(latent: Tensor) -> Tensor:
    """A row of channels for each voxel of a latent, and a one."""
    rows = latent[0].detach().float().cpu().flatten(1).T
    return torch.cat([rows, torch.ones(len(rows), 1)], 1)
