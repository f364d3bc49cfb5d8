"""What else can be measured: mediastinal shift, liver HU, metal, unevenness of the lung."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..anatomy import Chest
from ..finding import Finding
from .parenchyma import ground_glass
from .pleura import pleural_gas
from .readings import Amount, Reading, grown, judged, pieces
from .thresholds import LIMITS

_STOMACH_GAS_HU, _SURE_GAS_HU, _HIATUS_MM, _HIATUS_RISE_MM = -400.0, -700.0, 28.0, 10.0
_CONTRAST_HU, _HEART_ML, _HEART_LEFT_MM = 75.0, 100.0, 15.0


def hepatic_steatosis(chest: Chest, finding: Finding) -> Reading:
    """Liver HU; with contrast only an outright dark liver says anything."""
    liver = chest.liver
    if float(liver.sum()) * chest.coarse.voxel_ml < 40:
        return Reading(None, "liver HU (too little liver in the image)")
    hu = float(np.median(chest.smooth[liver]))
    place = chest.coarse.place(liver)
    contrast = chest.heart.any() and float(np.median(chest.smooth[chest.heart])) > _CONTRAST_HU
    limit = LIMITS["hepatic_steatosis contrast" if contrast else "hepatic_steatosis"]
    shown: bool | None = hu < limit.shown
    if not shown and limit.doubt is not None and hu < limit.doubt:
        shown = None
    return Reading(shown, "liver HU" + (" with contrast" if contrast else ""), round(hu, 1), "HU", place)


def mediastinal_shift(chest: Chest, finding: Finding) -> Reading:
    """How far heart and airway stand from where they belong; positive is to the left."""
    amount = chest.once(shift_mm)
    if amount is None:
        return Reading(None, "mediastinal shift (no heart or no airway found)")
    limit = LIMITS["mediastinal_shift"]
    wanted = {"left": amount.value, "right": -amount.value}.get(finding.side or "", abs(amount.value))
    reading = judged(Amount(wanted, amount.place), limit.shown, "heart and airway from their place", "mm", limit.doubt)
    return Reading(reading.shown, reading.method, round(amount.value, 1), "mm to the left", reading.place)


def shift_mm(chest: Chest) -> Amount | None:
    """The mean of two: the heart from its place left of the spine, the airway at the carina from the spine."""
    airway, heart = chest.lungs.airway, chest.heart
    if not airway.any() or float(heart.sum()) * chest.coarse.voxel_ml < _HEART_ML:
        return None
    levels = np.flatnonzero(airway.any((0, 1)))
    carina = airway.copy()
    carina[..., levels[0] + len(levels) // 3 + 1:] = False
    of_airway, of_heart = -float(np.median(chest.x[carina])), -float(chest.x[heart].mean()) - _HEART_LEFT_MM
    return Amount((of_airway + of_heart) / 2, chest.coarse.place(heart))


def hiatal_hernia(chest: Chest, finding: Finding) -> Reading:
    limit = LIMITS["hiatal_hernia"]
    if not chest.heart.any() or not chest.lungs.airway.any():
        return Reading(None, "gas behind the heart (no heart or no airway found)")
    return judged(chest.once(gas_behind_heart), limit.shown, "gas behind the heart", "ml", limit.doubt)


def gas_behind_heart(chest: Chest) -> Amount:
    """Gas near the midline, behind and below the middle of the heart, above both lung bases: a risen stomach."""
    heart, airway = chest.heart, chest.lungs.airway
    bases = [float(chest.z[lung].min()) for lung in (chest.lungs.right, chest.lungs.left) if lung.any()]
    gas = (chest.coarse.hu < _STOMACH_GAS_HU) & ~chest.lungs.both & ~grown(airway, chest, 8) & chest.lungs.body
    gas &= (chest.y < float(chest.y[heart].mean())) & (chest.z < float(chest.z[heart].mean()) + _HIATUS_RISE_MM)
    gas &= (chest.z > max(bases) + _HIATUS_RISE_MM) & (np.abs(chest.x) < 2 * _HIATUS_MM)
    kept = np.zeros_like(gas)
    for piece in pieces(gas, LIMITS["hiatal_hernia"].doubt or 0.0, chest):
        if abs(float(chest.x[piece].mean())) < _HIATUS_MM and float(chest.coarse.hu[piece].min()) < _SURE_GAS_HU:
            kept |= piece
    return Amount(float(kept.sum()) * chest.coarse.voxel_ml, chest.coarse.place(kept))


def medical_material(chest: Chest, finding: Finding) -> Reading:
    limit = LIMITS["medical_material"]
    return judged(chest.once(metal), limit.shown, "brightest spot in the body", "HU", limit.doubt)


def metal(chest: Chest) -> Amount:
    """The brightest voxel of the fine image, where bone never is so bright."""
    fine = chest.coarse.fine.voxels
    at = np.unravel_index(int(fine.argmax()), fine.shape)
    x, y, z = chest.coarse.fine.grid.to_ras(np.array(at)).tolist()
    return Amount(float(fine[at]), (x, y, z))


def mosaic_attenuation_pattern(chest: Chest, finding: Finding) -> Reading:
    limit = LIMITS["mosaic_attenuation_pattern"]
    return judged(chest.once(unevenness), limit.shown, "unevenness of lung over 15 mm", "HU", limit.doubt)


def unevenness(chest: Chest) -> Amount:
    """How much lung HU varies from place to place once the pull of gravity is taken away."""
    lung = chest.lungs.both & ~grown(chest.once(pleural_gas), chest, 6) & ~grown(chest.once(ground_glass), chest, 8)
    lung &= (chest.smooth < -650) & ~grown(chest.smooth > -500, chest, 5)
    if lung.sum() < 500:
        return Amount(0.0)
    weight = lung.astype(np.float32)
    sigma = chest.coarse.voxels(5)
    local = ndimage.gaussian_filter(chest.coarse.hu * weight, sigma) / np.maximum(
        ndimage.gaussian_filter(weight, sigma), 1e-3)
    y, values = chest.y[lung], local[lung]
    slope, offset = np.polyfit(y, values, 1)
    return Amount(float(np.std(values - slope * y - offset)), chest.coarse.place(lung))
