"""Fluid and air in the pleural space, in millilitres a side.

Fluid is what is as dense as water, even, thick, lies against the inner chest wall
and meets the lung. Free air is gas as dark as the air around the patient in one
even space against the wall. Both are thicker than a skin fold: a film of a few
millimetres is not measured.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import ndimage

from ..anatomy import Chest
from ..coarse import Mask
from ..finding import Finding, Side
from .readings import SIDES, Amount, Reading, grown, judged, pieces, sided
from .thresholds import LIMITS

_FLUID_HU, _THIN_HU, _FLUID_RIM_HU, _FLAT = (-14.0, 27.0), (-25.0, 29.0), (-150.0, 36.0), 5.0
_RIM_HU, _RIM_MM, _GAS_BLUR_MM = (-40.0, 34.0), 4.5, 1.2
_PLEURAL_GAS_HU, _DARKER_THAN_LUNG = (-978.0, -935.0), 110.0


def pleural_effusion(chest: Chest, finding: Finding) -> Reading:
    amount = sided(effusion_ml(chest), finding)
    limit = LIMITS["pleural_effusion"]
    return judged(amount, limit.shown, "pleural fluid by side", "ml", limit.doubt)


def pneumothorax(chest: Chest, finding: Finding) -> Reading:
    amount = sided(pneumothorax_ml(chest), finding)
    limit = LIMITS["pneumothorax"]
    return judged(amount, limit.shown, "pleural air by side", "ml", limit.doubt)


def effusion_ml(chest: Chest) -> Mapping[Side, Amount]:
    fluid = chest.once(fluid_with_rim)
    return {side: _amount(chest, fluid & chest.half(side)) for side in SIDES}


def pneumothorax_ml(chest: Chest) -> Mapping[Side, Amount]:
    gas = chest.once(gas_by_side)
    return {side: _amount(chest, gas[side]) for side in SIDES}


def gas_by_side(chest: Chest) -> Mapping[Side, Mask]:
    """Free air, each piece of it on the side of the lung that most of it lies in.

    In front of the heart the air of one side reaches over the spine's plane, and the two
    lungs touch there: neither that plane nor their border may cut a piece in two.
    """
    gas = chest.once(pleural_gas)
    sides: dict[Side, Mask] = {side: np.zeros_like(gas) for side in SIDES}
    for piece in pieces(gas, 0.0, chest):
        own = max(SIDES, key=lambda side: int((piece & chest.lungs.side(side)).sum()))
        sides[own] |= piece
    return sides


def pleural_fluid(chest: Chest) -> Mask:
    """Even water-dense tissue inside the cage that lies against the wall and reaches the lung."""
    space = chest.cage.inside & (np.abs(chest.x) > 14) & ~_as_dark_as_fluid(chest)
    even = ndimage.gaussian_filter(chest.coarse.hu, chest.coarse.voxels(1.6))
    thick = space & (chest.smooth > _FLUID_HU[0]) & (chest.smooth < _FLUID_HU[1]) & (chest.gradient < _FLAT)
    thin = space & (even > _THIN_HU[0]) & (even < _THIN_HU[1]) & grown(chest.lungs.both, chest, 16)
    wall = (chest.cage.depth < 11) & behind(chest)
    kept = np.zeros_like(space)
    for core, area, reach, share in ((thick, 8.0, 14.0, 0.03), (thick, 35.0, 40.0, 0.03), (thin, 8.0, 12.0, 0.4)):
        core = ndimage.binary_opening(core, chest.coarse.ball(4))
        near_lung = grown(chest.lungs.both, chest, reach)
        for piece in pieces(core, 5, chest):
            if area_cm2(chest, piece & wall) > area and (piece & near_lung).sum() > share * piece.sum():
                kept |= piece
    rim = space & (chest.smooth > _FLUID_RIM_HU[0]) & (chest.smooth < _FLUID_RIM_HU[1])
    return np.asarray(grown(kept, chest, 5) & rim) if kept.any() else kept


def fluid_with_rim(chest: Chest) -> Mask:
    """The fluid up to where it is half muscle: its volume, where `pleural_fluid` is what it surely fills."""
    fluid = chest.once(pleural_fluid)
    if not fluid.any():
        return fluid
    even = ndimage.gaussian_filter(chest.coarse.hu, chest.coarse.voxels(1.6))
    rim = (even > _RIM_HU[0]) & (even < _RIM_HU[1]) & (np.abs(chest.x) > 14) & ~chest.lungs.both
    return np.asarray(fluid | grown(fluid, chest, _RIM_MM) & rim)


def area_cm2(chest: Chest, layer: Mask) -> float:
    """The area of a layer about 9 mm thick."""
    return float(layer.sum()) * chest.coarse.voxel_ml / 0.9


def behind(chest: Chest) -> Mask:
    """The back and the sides of the chest: where fluid lies in a patient on the back."""
    return np.asarray(chest.y < float(np.median(chest.y[chest.lungs.both])) + 20)


def _as_dark_as_fluid(chest: Chest) -> Mask:
    """Where a fatty liver would be taken for fluid: below the dome, away from the wall behind the lung."""
    liver = chest.liver
    if not liver.any() or float(np.median(chest.smooth[liver])) > 36:
        return np.zeros_like(liver)
    lowest = max(int(np.flatnonzero(lung.any((0, 1)))[0]) for lung in (chest.lungs.right, chest.lungs.left)
                 if lung.any())
    below = np.arange(liver.shape[2]) < lowest
    center = float(np.median(chest.y[chest.lungs.both]))
    return np.asarray(chest.half("right") & (below[None, None] | (chest.y > center - 15) | (chest.cage.depth > 40)))


def pleural_gas(chest: Chest) -> Mask:
    """Even gas inside the cage that lies against the wall over a broad area.

    A small pneumothorax is two blocks thick: more blur than this would mix it with lung and wall.
    """
    coarse = chest.coarse
    even = ndimage.gaussian_filter(coarse.hu, coarse.voxels(_GAS_BLUR_MM))
    medians = [float(np.median(coarse.hu[lung])) for lung in (chest.lungs.right, chest.lungs.left) if lung.any()]
    limit = float(np.clip(max(medians, default=-850.0) - _DARKER_THAN_LUNG, *_PLEURAL_GAS_HU))
    gas = chest.lungs.both & (even < limit) & ~grown(chest.lungs.airway, chest, 8)
    gas = ndimage.binary_opening(gas, coarse.ball(4))
    kept = np.zeros_like(gas)
    for piece in pieces(gas, 8, chest):
        if area_cm2(chest, piece & (chest.cage.depth < 12)) > 7:
            kept |= piece
    return kept


def _amount(chest: Chest, mask: Mask) -> Amount:
    return Amount(float(mask.sum()) * chest.coarse.voxel_ml, chest.coarse.place(mask))
