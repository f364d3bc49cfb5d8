"""A lesion painted by LINet: the crop encoded, its latent sampled inside the mask, decoded, and set back.

Only voxels of the lesion and its feather are written; the crop around it is seen by
the networks and thrown away.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ...geometry import Grid
from ...volume import CTVolume
from .blending import blended
from .crops import Mask
from .hounsfield import to_unit
from .published import decoded_hu, latent_mask
from .working import Crop, values_on

_AROUND_MM = 12.0  # of the lesion, where what the decoder loses is measured


def unit_crop(ct: CTVolume, crop: Crop) -> Tensor:
    """The crop as the VQ-GAN reads it, (1, 1, z, y, x); beyond the image its edge goes on."""
    return torch.from_numpy(to_unit(values_on(ct.voxels, ct.grid, crop.grid)))[None, None]


def mask_on_latent(mask: Mask, grid: Grid, crop: Crop, latent: Tensor) -> Tensor:
    """The lesion on the latent's grid as in training; a lesion finer than that still takes the latents it touches."""
    fine = values_on(mask.astype(np.float32), grid, crop.grid, outside=0.0)
    found = latent_mask(fine > 0.5, latent)
    if not found.any():
        found = F.adaptive_max_pool3d(torch.from_numpy(fine)[None, None], latent.shape[2:])
        found = (found >= max(float(found.max()), 1e-6)).float()
    return found.to(latent)


def set_back(ct: CTVolume, mask: Mask, painted: Tensor, untouched: Tensor, crop: Crop, seed: int) -> CTVolume:
    """The CT with the lesion of the decoded crop; `untouched` is the crop decoded without it.

    Every voxel beyond the feather keeps its bits.
    """
    low, high = reach(mask, ct.grid, _AROUND_MM)
    cut = tuple(map(slice, low, high))
    window = ct.grid.window(low, high)
    new, base = (values_on(decoded_hu(one), crop.grid, window) for one in (painted, untouched))
    voxels: NDArray[np.int16] = np.array(ct.voxels)
    voxels[cut] = blended(ct.voxels[cut], new, base, mask[cut], ct.spacing, np.random.default_rng(
        seed_for(seed, "scan noise")))
    return CTVolume(voxels, ct.affine)


def seed_for(seed: int, what: str) -> int:
    """A seed of its own for each use of a request's seed."""
    return int.from_bytes(hashlib.sha256(f"{seed} {what}".encode()).digest()[:6], "big")


def reach(mask: Mask, grid: Grid, around_mm: float) -> tuple[list[int], list[int]]:
    """The window of a mask with room around it, inside the image."""
    where = [np.flatnonzero(mask.any(tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    room = [int(np.ceil(around_mm / s)) + 3 for s in grid.spacing]
    low = [max(0, int(found[0]) - r) for found, r in zip(where, room, strict=True)]
    high = [min(n, int(found[-1]) + 1 + r) for found, r, n in zip(where, room, grid.shape, strict=True)]
    return low, high
