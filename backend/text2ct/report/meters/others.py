"""What else can be measured: mediastinal shift, liver HU, metal, unevenness of the lung."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..anatomy import Chest
from ..finding import Finding
from .parenchyma import ground_glass
from .pleura import pleural_gas
from .readings import Amount, Reading, grown, judged
from .thresholds import LIMITS

_CONTRAST_HU = 75.0


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
    """How far the trachea stands from the spine; positive is to the left."""
    amount = chest.once(shift_mm)
    if amount is None:
        return Reading(None, "mediastinal shift (no airway found)")
    limit = LIMITS["mediastinal_shift"]
    wanted = {"left": amount.value, "right": -amount.value}.get(finding.side or "", abs(amount.value))
    reading = judged(Amount(wanted, amount.place), limit.shown, "airway from the spine", "mm", limit.doubt)
    return Reading(reading.shown, reading.method, round(amount.value, 1), "mm to the left", reading.place)


def shift_mm(chest: Chest) -> Amount | None:
    """How far the trachea stands to the left of the spine."""
    airway = chest.lungs.airway
    if not airway.any():
        return None
    levels = np.flatnonzero(airway.any((0, 1)))
    trunk = airway.copy()
    trunk[..., :levels[0] + len(levels) // 4] = False
    return Amount(-float(np.median(chest.x[trunk])), chest.coarse.place(trunk))


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
