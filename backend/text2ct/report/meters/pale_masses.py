"""Masses that are not solid: ground glass, part solid, hollow.

A solid mass is found by how dense it is. These are found by their outline: a dark wall of
lung, far from the middle in all directions alike, where ground glass ends. What is denser
than ground glass counts as ground glass, and air with a wall around it is filled.
A veil or a consolidation has no such outline, for it fades or follows the pleura.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from ...geometry import Triple
from ..anatomy import Chest
from ..blobs import Outline, lung_field, peaks, seen_from_inside
from ..coarse import Mask
from .focal import at_hilum, lesion_space, shut_air
from .readings import grown, pieces
from .thresholds import LIMITS

_AIR_HU, _GAP_MM, _RIM_MM, _LARGEST_ML = -450.0, 5.0, 6.0, 90.0
_TOP_HU, _BORDER_HU, _HAZE_HU = -450.0, -700.0, -740.0
_DIAMETERS_MM, _WALL_MM, _LOOKED_AT, _APART = (28.0, 40.0, 56.0), 5.0, 1.3, 0.6


def pale_masses(chest: Chest) -> tuple[tuple[Triple, float], ...]:
    """The middle and the diameter of each, the most convex first."""
    hollow = grown(chest.once(shut_air) | chest.once(walled_air), chest, _WALL_MM)
    field = lung_field(chest.lungs, chest.once(lesion_space), _TOP_HU, hollow)
    filled = replace(chest.coarse, hu=np.where(hollow, np.float32(_TOP_HU), chest.coarse.hu))
    found: list[tuple[float, Triple, float]] = []
    for diameter in _DIAMETERS_MM:
        for index, strength in peaks(field, diameter, LIMITS["pale mass"].shown):
            x, y, z = field.coarse.grid.to_ras(np.array(index) + field.low).tolist()
            found.append((strength, (x, y, z), diameter))
    kept: list[tuple[Triple, float]] = []
    for _, place, diameter in sorted(found, reverse=True):
        if all(np.linalg.norm(np.subtract(place, other)) > _APART * max(diameter, size) for other, size in kept):
            kept.append((place, diameter))
    seen = ((place, seen_from_inside(filled, place, _LOOKED_AT * diameter, _BORDER_HU, _HAZE_HU))
            for place, diameter in kept)
    return tuple((place, outline.diameter_mm) for place, outline in seen if _is_round(outline, at_hilum(chest, place)))


def _is_round(outline: Outline, hilar: bool) -> bool:
    """Round where it ends in lung; if that is not on most sides, or vessels cross there, it must be all the rounder."""
    return any(outline.open_share > LIMITS[f"{how} open"].shown and outline.spread < LIMITS[f"{how} spread"].shown
               for how in (("leaning pale mass",) if hilar else ("pale mass", "leaning pale mass")))


def walled_air(chest: Chest) -> Mask:
    """Air with a wall around it that may have gaps, too narrow for a ball."""
    air = (chest.coarse.hu < _AIR_HU) & chest.once(lesion_space)
    cores = ndimage.binary_erosion(air, chest.coarse.ball(_GAP_MM))
    walled = np.zeros_like(air)
    for core in pieces(cores, LIMITS["hole ml"].shown, chest):
        if float(core.sum()) * chest.coarse.voxel_ml < _LARGEST_ML:
            hole = grown(core, chest, _GAP_MM + 1) & air
            rim = grown(hole, chest, _RIM_MM) & ~hole
            if float((chest.coarse.hu[rim] > _AIR_HU).mean()) > LIMITS["cavity wall"].shown:
                walled |= hole
    return walled
