"""Lung tissue that is denser or darker than it should be: consolidation, ground glass, atelectasis, emphysema.

Dense lung is soft tissue where lung should be that is too thick for a vessel, not
round enough for a mass and not even enough for fluid. Ground glass is lung well above
the patient's own normal lung and well below soft tissue. Emphysema is the share of
lung below a fixed HU.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from ..anatomy import Chest
from ..coarse import Mask
from ..finding import Finding
from . import focal
from .focal import nodules
from .pale_masses import pale_masses
from .pleura import pleural_fluid, pleural_gas
from .readings import Amount, Reading, asked_regions, grown, judged, pieces, regional, same_side
from .thresholds import LIMITS

_DENSE_HU, _VESSEL_MM = -230.0, 6.5
_HILUM_MM, _HILUM_ML, _FAT_HU, _FREE = 42.0, 60.0, (-130.0, -60.0), 0.6
_BEHIND_HILUM_MM, _AORTA_MM = 23.0, 34.0


def consolidation(chest: Chest, finding: Finding) -> Reading:
    amount = regional(chest.once(dense_lung), chest, finding)
    limit = LIMITS["consolidation"]
    return judged(amount, limit.shown, "dense lung by place", "ml", limit.doubt)


def atelectasis(chest: Chest, finding: Finding) -> Reading:
    amount = regional(chest.once(dense_lung), chest, finding)
    limit = LIMITS["atelectasis"]
    found = judged(amount, limit.shown, "dense lung by place", "ml", limit.doubt)
    return found if found.shown else replace(found, shown=None, method="dense lung by place (plates are not measured)")


def lung_opacity(chest: Chest, finding: Finding) -> Reading:
    amount = regional(chest.once(ground_glass), chest, finding)
    limit = LIMITS["lung_opacity"]
    return judged(amount, limit.shown, "ground glass by place", "ml", limit.doubt)


def emphysema(chest: Chest, finding: Finding) -> Reading:
    limit = LIMITS["emphysema"]
    return judged(low_attenuation(chest), limit.shown, "share of lung below -945 HU", "%", limit.doubt)


def low_attenuation(chest: Chest) -> Amount:
    """The share of dark lung in percent, pneumothorax and large airways left out."""
    lung = chest.lungs.both & ~grown(chest.once(pleural_gas), chest, 6) & ~grown(chest.lungs.airway, chest, 8)
    dark = lung & (chest.coarse.hu < -945)
    share = 100 * float(dark.sum()) / max(1, int(lung.sum()))
    return Amount(share, chest.coarse.place(ndimage.binary_opening(dark) if dark.any() else dark))


def dense_lung(chest: Chest) -> Mask:
    """Soft tissue in the place of lung, without fluid, masses, vessels and what borders the mediastinum."""
    space = chest.cavities[0] | chest.cavities[1]
    dense = space & (chest.smooth > _DENSE_HU) & (chest.smooth < 250)
    dense &= ~grown(chest.once(pleural_fluid), chest, 5) & ~_round_lesions(chest)
    core = ndimage.binary_opening(dense, chest.coarse.ball(_VESSEL_MM))
    kept = np.zeros_like(core)
    for piece in pieces(core, 3, chest):
        if not _is_something_else(chest, piece):
            kept |= piece
    return np.asarray(grown(kept, chest, 4) & dense)


def _is_something_else(chest: Chest, piece: Mask) -> bool:
    """Hilum or aorta near the middle, the diaphragm below both lungs, or the fat pads of the heart."""
    aside = float(np.abs(chest.x[piece]).mean())
    small = float(piece.sum()) * chest.coarse.voxel_ml < _HILUM_ML
    beside_spine = float(chest.y[piece].mean()) < float(np.median(chest.y[chest.lungs.both])) - _BEHIND_HILUM_MM
    near = _AORTA_MM if beside_spine else _HILUM_MM + 13 if small else _HILUM_MM
    bulge = aside < near and _free_share(chest, piece) < _FREE
    floor = min(float(np.quantile(chest.z[lung], 0.04)) for lung in (chest.lungs.right, chest.lungs.left) if lung.any())
    fat = _FAT_HU[0] < float(np.median(chest.coarse.hu[piece])) < _FAT_HU[1]
    return bulge or float(chest.z[piece].mean()) < floor or fat


def _free_share(chest: Chest, piece: Mask) -> float:
    """The share of aerated lung in what is 4 to 8 mm away."""
    rim = grown(piece, chest, 8) & ~grown(piece, chest, 4)
    return float((chest.coarse.hu[rim] < -400).mean()) if rim.any() else 0.0


def _round_lesions(chest: Chest) -> Mask:
    """Balls around the nodules and masses."""
    mask = np.zeros(chest.coarse.hu.shape, bool)
    for spot in nodules(chest):
        away = sum((a - c) ** 2 for a, c in zip(chest.coarse.ras, spot.place, strict=True))
        mask |= np.asarray(np.sqrt(away) < 0.62 * spot.diameter_mm + 4)
    return mask


def ground_glass(chest: Chest) -> Mask:
    """Even lung clearly denser than the same lung elsewhere, away from solid tissue and borders."""
    veil = np.zeros(chest.coarse.hu.shape, bool)
    solid = grown(chest.smooth > -300, chest, 6)
    for lung in (chest.lungs.right, chest.lungs.left):
        if not lung.any():
            continue
        tissue = lung & ~chest.once(pleural_gas)
        base = float(np.percentile(chest.coarse.hu[tissue if tissue.any() else lung], 35))
        inner = ndimage.binary_erosion(lung, chest.coarse.ball(4))
        veil |= inner & (chest.smooth > base + LIMITS["ground glass above lung"].shown) & (chest.smooth < -350)
    veil &= ~solid & (np.abs(chest.x) > _HILUM_MM)
    return np.asarray(ndimage.binary_opening(veil, chest.coarse.ball(6.5)))


def lung_mass(chest: Chest, finding: Finding) -> Reading:
    """The largest round spot of mass size, solid or not, or a thick sharp piece of dense lung that hangs on others."""
    found = focal.lung_mass(chest, finding)
    if found.shown:
        return found
    limit, place = LIMITS["lung_mass"], focal.asked_place(chest, finding)
    pale = [Amount(size, at) for at, size in chest.once(pale_masses)
            if focal.hit(place, chest, at) and focal.size_fits(size, finding)]
    largest = max(pale, key=lambda amount: amount.value, default=None)
    if largest is not None and largest.value >= limit.shown:
        return judged(largest, limit.shown, "round outline in the lungs", "mm")
    allowed = np.logical_or.reduce(asked_regions(chest, finding)) & same_side(chest, finding)
    for piece in pieces(chest.once(dense_lung), LIMITS["solid mass ml"].shown, chest):
        size = float((6000 * piece.sum() * chest.coarse.voxel_ml / np.pi) ** (1 / 3))
        inside = (piece & grown(allowed, chest, 10)).sum() > 0.5 * piece.sum()
        if inside and focal.size_fits(size, finding) and _is_solid_mass(chest, piece):
            return judged(Amount(size, chest.coarse.place(piece)), limit.shown, "thick sharp dense lung", "mm")
    return found


def _is_solid_mass(chest: Chest, piece: Mask) -> bool:
    """Thick enough for a ball to lie in it, and no haze around it."""
    reach = float(ndimage.distance_transform_edt(piece, chest.coarse.spacing).max())
    ring = grown(piece, chest, 8) & ~grown(piece, chest, 4) & (chest.coarse.hu < -500) & chest.lungs.both
    own = chest.lungs.side("right" if float(chest.x[piece].mean()) > 0 else "left")
    if not ring.any() or not own.any():
        return False
    haze = float(np.median(chest.coarse.hu[ring])) - float(np.median(chest.coarse.hu[own]))
    return haze < LIMITS["solid mass rim"].shown and reach >= LIMITS["solid mass reach"].shown
