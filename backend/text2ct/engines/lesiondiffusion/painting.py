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
from scipy import ndimage
from torch import Tensor

from ...geometry import Grid
from ...volume import CTVolume
from .blending import blended
from .crops import Mask
from .hounsfield import to_unit
from .published import decoded_hu, latent_mask
from .working import Crop, Floats, reach, values_on

_RING = (1, 6)  # voxels of the crop between which the tissue around a lesion lies
_SPECK, _STEADY_HU = 3.5, 30.0  # deviations, and the least of them
_AROUND_MM = 12.0  # of the lesion, where what the decoder loses is measured


def unit_crop(ct: CTVolume, crop: Crop) -> Tensor:
    """The crop as the VQ-GAN reads it, (1, 1, z, y, x); beyond the image its edge goes on."""
    return torch.from_numpy(to_unit(values_on(ct.voxels, ct.grid, crop.grid)))[None, None]


def mask_on_latent(mask: Mask, grid: Grid, crop: Crop, latent: Tensor, touched: bool = False) -> Tensor:
    """The lesion on the latent's grid as in training; a lesion finer than that still takes the latents it touches."""
    fine = values_on(mask.astype(np.float32), grid, crop.grid, outside=0.0)
    found = touched_latents(torch.from_numpy(fine > 0.5)[None, None].float(), latent) if touched else latent_mask(
        fine > 0.5, latent)
    if not found.any():
        found = F.adaptive_max_pool3d(torch.from_numpy(fine)[None, None], latent.shape[2:])
        found = (found >= max(float(found.max()), 1e-6)).float()
    return found.to(latent)


def touched_latents(mask: Tensor, latent: Tensor) -> Tensor:
    """Every latent in which a voxel of the lesion lies."""
    return F.adaptive_max_pool3d(mask, latent.shape[2:])


def lost_level(unit: Tensor, untouched: Tensor, mask: Mask, grid: Grid, crop: Crop) -> float:
    """By how much the decoder missed the level of the tissue around the lesion: a small one misses it by much."""
    lesion = values_on(mask.astype(np.float32), grid, crop.grid, outside=0.0) > 0
    near = ndimage.binary_dilation(lesion, iterations=_RING[1]) & ~ndimage.binary_dilation(lesion, iterations=_RING[0])
    lost = (unit - untouched.cpu().float())[0, 0].numpy()
    return float(np.median(lost[near])) if near.any() else 0.0


def set_back(ct: CTVolume, mask: Mask, painted: Tensor, untouched: Tensor, crop: Crop, seed: int,
             mean_hu: float | None = None) -> CTVolume:
    """The CT with the lesion of the decoded crop; `untouched` is the crop decoded without it.

    Every voxel beyond the feather keeps its bits. With `mean_hu` the lesion as a whole is moved to that mean, and
    specks far off the rest of it are held: a small VQ-GAN has codes of bone and air where it means tissue.
    """
    low, high = reach(mask, ct.grid, _AROUND_MM)
    cut = tuple(map(slice, low, high))
    window = ct.grid.window(low, high)
    new, base = (values_on(decoded_hu(one), crop.grid, window) for one in (painted, untouched))
    old, inside = ct.voxels[cut], mask[cut]
    if mean_hu is not None:
        new = held(new, old, inside)

    def made(shift: float) -> NDArray[np.int16]:
        rng = np.random.default_rng(seed_for(seed, "scan noise"))
        return blended(old, np.asarray(new + np.float32(shift), np.float32), base, inside, ct.spacing, rng)

    voxels: NDArray[np.int16] = np.array(ct.voxels)
    first = made(0.0)
    voxels[cut] = first if mean_hu is None else made(mean_hu - float(first[inside].mean()))
    return CTVolume(voxels, ct.affine)


def held(hu: Floats, old: NDArray[np.int16], inside: Mask) -> Floats:
    """Values held to a few deviations about the median of the lesion, both told by its middle half; around the lesion
    to what lies between that and the tissue that is there."""
    low, middle, high = np.quantile(hu[inside], (0.25, 0.5, 0.75))
    room = max(_SPECK * (high - low) / 1.349, _STEADY_HU)
    least = np.where(inside, middle - room, np.minimum(old, middle - room))
    most = np.where(inside, middle + room, np.maximum(old, middle + room))
    return np.asarray(np.clip(hu, least, most), np.float32)


def seed_for(seed: int, what: str) -> int:
    """A seed of its own for each use of a request's seed."""
    return int.from_bytes(hashlib.sha256(f"{seed} {what}".encode()).digest()[:6], "big")
