"""Heart and great vessels: cardiothoracic ratio, pericardial fluid, calcium, and the width of the aorta."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..anatomy import Chest
from ..coarse import Mask
from ..finding import Finding
from .pleura import pleural_fluid
from .readings import Amount, Reading, grown, judged, pieces
from .thresholds import LIMITS

_CALCIUM_HU, _METAL_HU = 330.0, 1700.0
_BETWEEN_LUNG_AND_RIB_MM = 12.0  # both sides; phantoms: 6, with large effusions 6 to 18


def cardiomegaly(chest: Chest, finding: Finding) -> Reading:
    limit = LIMITS["cardiomegaly"]
    if float(chest.heart.sum()) * chest.coarse.voxel_ml < 100:
        return Reading(None, "cardiothoracic ratio (no whole heart between the lungs)")
    return judged(chest.once(cardiothoracic_ratio), limit.shown, "cardiothoracic ratio", "", limit.doubt)


def cardiothoracic_ratio(chest: Chest) -> Amount:
    """The reach to both sides of the heart without the fluid around it, over the widest inner width of the chest."""
    heart, inner = chest.heart, chest_width(chest)
    if not heart.any() or inner <= 0:
        return Amount(0.0)
    own = heart & ~chest.once(pericardial_fluid)
    x = chest.x[own if own.any() else heart]
    width = float(np.quantile(x, 0.995) - np.quantile(x, 0.005))
    return Amount(width / inner, chest.coarse.place(heart))


def chest_width(chest: Chest) -> float:
    """From rib to rib where the chest is widest; where ribs are blurred, hardly more than from lung to lung."""
    lung = chest.lungs.both
    spans = [float(np.ptp(chest.x[..., k][lung[..., k]])) for k in np.flatnonzero(lung.any((0, 1)))]
    return min(chest.cage.width_mm, max(spans, default=0.0) + _BETWEEN_LUNG_AND_RIB_MM)


def pericardial_effusion(chest: Chest, finding: Finding) -> Reading:
    limit = LIMITS["pericardial_effusion"]
    return judged(chest.once(pericardial_ml), limit.shown, "fluid around the heart", "ml", limit.doubt)


def pericardial_ml(chest: Chest) -> Amount:
    fluid = chest.once(pericardial_fluid)
    return Amount(float(fluid.sum()) * chest.coarse.voxel_ml, chest.coarse.place(fluid))


def pericardial_fluid(chest: Chest) -> Mask:
    """Even water-dense tissue that lies against the heart, not in the pleural space."""
    heart = grown(chest.heart, chest, 4)
    if not heart.any():
        return heart
    even = ndimage.gaussian_filter(chest.coarse.hu, chest.coarse.voxels(1.8))
    low, high = chest.heart_level
    near = grown(chest.heart, chest, 26) & ~grown(chest.once(pleural_fluid), chest, 4)
    fluid = near & (even > -18) & (even < 27)
    if chest.liver.any() and float(np.median(chest.smooth[chest.liver])) < 36:
        fluid &= ~grown(chest.liver, chest, 25)
    fluid[..., :max(0, low - 3)] = False
    fluid[..., high + 2:] = False
    fluid = ndimage.binary_opening(fluid, chest.coarse.ball(3))
    kept = np.zeros_like(fluid)
    for piece in pieces(fluid, 2, chest):
        if (piece & heart).any() or (grown(piece, chest, 4) & heart).any():
            kept |= piece
    return kept


def coronary_artery_wall_calcification(chest: Chest, finding: Finding) -> Reading:
    limit = LIMITS["coronary_artery_wall_calcification"]
    if chest.once(has_metal):
        return Reading(None, "calcium on the heart (metal in the image)")
    found = calcium(chest) & grown(chest.heart, chest, 8)
    low, high = chest.heart_level
    found[..., :low] = False
    found[..., high:] = False
    return judged(_ml(chest, found), limit.shown, "calcium on the heart", "ml", limit.doubt)


def arterial_wall_calcification(chest: Chest, finding: Finding) -> Reading:
    limit = LIMITS["arterial_wall_calcification"]
    if chest.once(has_metal):
        return Reading(None, "calcium on the aorta (metal in the image)")
    found = calcium(chest)
    if "aorta" in chest.labels:
        found &= grown(chest.labels["aorta"], chest, 5)
    else:
        found &= ~grown(chest.heart, chest, 6)
    return judged(_ml(chest, found), limit.shown, "calcium on the aorta", "ml", limit.doubt)


def has_metal(chest: Chest) -> bool:
    """Whether something between the lungs is brighter than calcium is at this resolution."""
    return bool((chest.coarse.hu > 1000)[grown(chest.between_lungs, chest, 6) & (chest.cage.depth > 8)].any())


def calcium(chest: Chest) -> Mask:
    """Bright specks between the lungs that are neither bone nor metal nor contrast."""
    hu = chest.coarse.hu
    middle = chest.between_lungs
    blood = hu[chest.heart] if chest.heart.any() else np.array([40.0])
    limit = max(_CALCIUM_HU, float(np.quantile(blood, 0.98)) + 130)
    bright = middle & (hu > limit) & (hu < _METAL_HU)
    bone = ndimage.binary_opening(hu > 130, chest.coarse.ball(6))
    spine = bone & (chest.y < float(np.median(chest.y[chest.lungs.both])))
    return np.asarray(bright & ~grown(spine, chest, 9) & (chest.cage.depth > 16))


def aneurysm(chest: Chest, finding: Finding) -> Reading:
    """The widest round cross-section of the aorta; from labels only."""
    limit = LIMITS["aneurysm"]
    if "aorta" not in chest.labels or not chest.labels["aorta"].any():
        return Reading(None, "aortic width needs aorta labels")
    return judged(chest.once(aortic_width), limit.shown, "widest aortic cross-section", "mm", limit.doubt)


def aortic_width(chest: Chest) -> Amount:
    """Twice the largest distance from the wall, inside the aorta."""
    aorta = chest.labels["aorta"]
    reach = ndimage.distance_transform_edt(np.pad(aorta, 1), chest.coarse.spacing)[1:-1, 1:-1, 1:-1]
    step = float(np.mean(chest.coarse.spacing[:2]))
    widest = reach == reach.max()
    return Amount(2 * float(reach.max()) - step, chest.coarse.place(widest))


def _ml(chest: Chest, mask: Mask) -> Amount:
    return Amount(float(mask.sum()) * chest.coarse.voxel_ml, chest.coarse.place(mask))
