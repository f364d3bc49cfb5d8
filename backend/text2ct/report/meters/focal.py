"""Focal lesions: nodules, masses, metastases, cavities, granulomas and bullae, each with its size and lobe.

They are picked from the round spots of the lungs. Vessels cross near the hila, so a
spot there must be more convincing than one in the periphery to count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy import ndimage

from ...geometry import Triple
from ..anatomy import Chest
from ..blobs import Spot, find_spots, lung_field
from ..coarse import Mask
from ..finding import Finding
from .pleura import pleural_gas
from .readings import SIDES, Amount, Reading, asked_regions, grown, judged, pieces, same_side
from .thresholds import LIMITS

_GRANULOMA_MM, _LOWEST = 2.5, 0.1
_SOFT_HU, _CLEAR_HU = 60.0, -850.0
_HILUM_MM, _BELOW_APEX = (64.0, 26.0), 0.68
_LOBE_MARGIN_MM, _CENTRAL_MM, _LARGE_MM = 14.0, 50.0, 30.0


def lung_nodule(chest: Chest, finding: Finding) -> Reading:
    """The most convincing spot of nodule size in the asked place."""
    largest = LIMITS["largest nodule"].shown
    spots = [s for s in nodules(chest) if 4 <= s.diameter_mm < largest and size_fits(s.diameter_mm, finding)]
    return _largest(chest, finding, spots, "round spots in the lungs", LIMITS["lung_nodule"].shown)


def lung_mass(chest: Chest, finding: Finding) -> Reading:
    smallest = LIMITS["lung_mass"].shown
    spots = [s for s in nodules(chest) if s.diameter_mm >= smallest and size_fits(s.diameter_mm, finding)
             and (_is_ball(s) or not at_hilum(chest, s.place))]
    return _largest(chest, finding, spots, "large round spots in the lungs", smallest)


def at_hilum(chest: Chest, place: Triple) -> bool:
    """Where the large vessels of the lung cross: beside the middle, neither in front nor behind, not in the apex."""
    low, high = (float(np.quantile(chest.z[chest.lungs.both], q)) for q in (0.02, 0.98))
    middle = float(np.median(chest.y[chest.lungs.both]))
    return (abs(place[0] - chest.lungs.midline) < _HILUM_MM[0] and abs(place[1] - middle) < _HILUM_MM[1]
            and place[2] < low + _BELOW_APEX * (high - low))


def metastases(chest: Chest, finding: Finding) -> Reading:
    spots = _in_place(chest, finding, [s for s in nodules(chest) if s.diameter_mm >= 5])
    place = spots[0].place if spots else None
    return judged(Amount(float(len(spots)), place), LIMITS["metastases"].shown, "count of round spots", "nodules")


def nodules(chest: Chest) -> tuple[Spot, ...]:
    """Spots that are lesions rather than vessels, bulges of the mediastinum or consolidation."""
    return tuple(s for s in chest.once(all_spots) if is_lesion(chest, s))


def all_spots(chest: Chest) -> tuple[Spot, ...]:
    return find_spots(lung_field(chest.lungs, chest.once(lesion_space)), LIMITS["spot strength"].shown)


def lesion_space(chest: Chest) -> Mask:
    """Where lung is or would be, without the airway."""
    return (chest.cavities[0] | chest.cavities[1]) & ~grown(chest.lungs.airway, chest, 5)


def is_lesion(chest: Chest, spot: Spot) -> bool:
    """Convex, round and free enough for its place and size, with clear lung around it."""
    if spot.diameter_mm >= _LARGE_MM and _is_ball(spot):
        return True
    if spot.diameter_mm >= _LARGE_MM:
        score, free = spot.strength * spot.roundness, spot.alone > LIMITS["large spot alone"].shown
        limit = LIMITS["free lump" if _is_free_lump(spot) else "large free spot" if free else "large spot"].shown
        return score >= limit and spot.alone > 0.5 and _is_rim_clear(chest, spot)
    central = abs(spot.place[0] - chest.lungs.midline) < _CENTRAL_MM
    limit = LIMITS["central spot" if central else "peripheral spot"].shown
    convex = spot.strength * _faintness(spot) * spot.alone
    # A vessel that hangs on a nodule spoils its outline, but not how it falls off on all sides.
    round_enough = spot.roundness > LIMITS["spot round"].shown or convex >= LIMITS["convincing spot"].shown
    return convex >= limit and round_enough and spot.alone > LIMITS["spot alone"].shown and spot.rim_hu < -550


def _faintness(spot: Spot) -> float:
    """How much weaker a spot looks because the lung around it is denser than usual, as a collapsed one is."""
    return (_SOFT_HU - _CLEAR_HU) / (_SOFT_HU - max(spot.rim_hu, _CLEAR_HU))


def _is_free_lump(spot: Spot) -> bool:
    """Solid, with lung nearly all around: a mass whatever its outline, for consolidation touches pleura or vessels."""
    least = LIMITS["free lump share"].shown
    return spot.core_hu > LIMITS["ball core"].shown and spot.alone > least and spot.open_share > least


def _is_rim_clear(chest: Chest, spot: Spot) -> bool:
    """No haze around it: as dark as lung, or no denser than the rest of a lung that is dense because it collapsed."""
    own = chest.once(lung_hu)["right" if spot.place[0] > chest.lungs.midline else "left"]
    return spot.rim_hu < max(LIMITS["spot rim"].shown, own + LIMITS["solid mass rim"].shown)


def lung_hu(chest: Chest) -> Mapping[str, float]:
    """The median HU of each lung without free air."""
    gas = chest.once(pleural_gas)
    tissue = {side: chest.coarse.hu[chest.lungs.side(side) & ~gas] for side in SIDES}
    return {side: float(np.median(hu)) if hu.size else -1000.0 for side, hu in tissue.items()}


def _is_ball(spot: Spot) -> bool:
    """Solid, and round in the directions in which it ends in lung."""
    return (spot.core_hu > LIMITS["ball core"].shown and spot.open_share > LIMITS["ball open"].shown
            and spot.spread < LIMITS["ball spread"].shown)


def size_fits(diameter_mm: float, finding: Finding) -> bool:
    """Within about half of the asked size; anything fits when the report denies or gives no size."""
    if finding.size_mm is None or finding.certainty == "absent":
        return True
    return 0.55 * finding.size_mm - 2 <= diameter_mm <= 1.5 * finding.size_mm + 2


def _in_place(chest: Chest, finding: Finding, spots: list[Spot]) -> list[Spot]:
    """Spots in one of the asked regions."""
    allowed = asked_place(chest, finding)
    return [s for s in spots if hit(allowed, chest, s.place)]


def asked_place(chest: Chest, finding: Finding) -> Mask:
    """Where a lesion is asked for, with a margin where a lobe is only approximate."""
    where = np.logical_or.reduce(asked_regions(chest, finding))
    return (grown(where, chest, _LOBE_MARGIN_MM) if finding.lobe else where) & same_side(chest, finding)


def hit(mask: Mask, chest: Chest, place: Triple) -> bool:
    index = np.clip(np.rint(chest.coarse.grid.to_ijk(place)).astype(int), 0, np.array(mask.shape) - 1)
    return bool(mask[tuple(index)])


def _largest(chest: Chest, finding: Finding, spots: list[Spot], method: str, smallest_mm: float) -> Reading:
    found = _in_place(chest, finding, spots)
    if not found:
        return Reading(False, method, 0.0, "mm")
    best = max(found, key=lambda s: s.diameter_mm)
    return judged(Amount(best.diameter_mm, best.place), smallest_mm, method, "mm")


def granuloma(chest: Chest, finding: Finding) -> Reading:
    """Calcium inside the lung."""
    if float(chest.heart.sum()) * chest.coarse.voxel_ml < 60:
        return Reading(None, "calcium in the lung (the heart is needed to know the contrast)")
    blood = float(np.quantile(chest.coarse.hu[chest.heart], 0.95))
    limit = max(LIMITS["granuloma hu"].shown, blood + 60)
    fine = chest.coarse.hu > limit
    inner = ~grown(~chest.lungs.both, chest, 5)
    found = fine & inner & (np.abs(chest.x) > 22)
    labels, _ = ndimage.label(found, np.ones((3, 3, 3)))
    kept = np.zeros_like(found)
    around = ndimage.uniform_filter(chest.coarse.hu, 7)
    for part, box in enumerate(ndimage.find_objects(labels), 1):
        own = labels[box] == part
        if own.sum() * chest.coarse.voxel_ml < 3 and float(around[box][own].mean()) < -300:
            kept[box] |= own
    kept &= asked_place(chest, finding)
    amount = Amount(float(chest.coarse.hu[kept].max()) if kept.any() else 0.0, chest.coarse.place(kept))
    reading = judged(amount, limit, "calcium in the lung", "HU")
    blind = not reading.shown and max(chest.coarse.spacing) > _GRANULOMA_MM
    return replace(reading, shown=None, method=reading.method + " (voxels too large to deny it)") if blind else reading


def cavity(chest: Chest, finding: Finding) -> Reading:
    """Air shut off from the lung by soft tissue on all sides; several small ones are bronchi in dense lung.

    Never denied: the wall of a cavity often has a gap through which its air is one with the lung's.
    """
    found = [(size, piece) for size, piece in _compact(chest, finding, chest.once(shut_air)) if _walled(chest, piece)]
    limit = LIMITS["cavity"]
    if len(found) > 2:
        return Reading(None, "walled air in the lung (not told from open bronchi)", round(found[0][0], 1), "mm")
    best = Amount(found[0][0], chest.coarse.place(found[0][1])) if found else Amount(0.0)
    reading = judged(best, limit.shown, "walled air in the lung", "mm", limit.doubt)
    if reading.shown:
        return reading
    return replace(reading, shown=None, method="walled air in the lung (walls with a gap are not seen)")


def bulla(chest: Chest, finding: Finding) -> Reading:
    """A large even space of gas inside lung that is not emphysematous all over."""
    pleural = grown(chest.once(pleural_gas), chest, 6)
    gas = chest.once(lung_holes) & ~pleural
    found = [(size, piece) for size, piece in _compact(chest, finding, gas) if not _walled(chest, piece)]
    best = Amount(found[0][0], chest.coarse.place(found[0][1])) if found else Amount(0.0)
    reading = judged(best, LIMITS["bulla"].shown, "even gas in the lung", "mm", LIMITS["bulla"].doubt)
    rest = chest.lungs.both & ~pleural
    for _, piece in found[:2]:
        rest &= ~grown(piece, chest, 5)
    dark = 100 * float((chest.coarse.hu[rest] < -945).mean()) if rest.any() else 0.0
    if reading.shown is not False and dark > LIMITS["bulla share"].shown:
        return replace(reading, shown=None, method="even gas in the lung (not told from emphysema)")
    return reading


def _compact(chest: Chest, finding: Finding, gas: Mask) -> list[tuple[float, Mask]]:
    """Compact pieces of gas in the asked place and their diameters, largest first."""
    found = []
    for piece in pieces(gas & asked_place(chest, finding), LIMITS["hole ml"].shown, chest):
        size = float((6000 * piece.sum() * chest.coarse.voxel_ml / np.pi) ** (1 / 3))
        reach = float(ndimage.distance_transform_edt(piece, chest.coarse.spacing).max())
        if 2 * reach > 0.5 * size and not _as_low_as_the_stomach(chest, piece):
            found.append((size, piece))
    return found


def _as_low_as_the_stomach(chest: Chest, piece: Mask) -> bool:
    lung = chest.lungs.side("right" if float(chest.x[piece].mean()) > 0 else "left")
    return not lung.any() or float(chest.z[piece].mean()) < float(np.quantile(chest.z[lung], _LOWEST))


def _walled(chest: Chest, piece: Mask) -> bool:
    rim = grown(piece, chest, 6) & ~piece
    return float((chest.coarse.hu[rim] > -450).mean()) > LIMITS["cavity wall"].shown


def shut_air(chest: Chest) -> Mask:
    """Air in the chest that is not connected with the lungs or the airway."""
    space = (chest.cavities[0] | chest.cavities[1]) & (np.abs(chest.x) > 35)
    air = (chest.coarse.hu < -450) & (chest.cage.inside | chest.lungs.both)
    labels, count = ndimage.label(air)
    if not count:
        return np.zeros_like(air)
    sizes = np.bincount(labels.ravel()) * chest.coarse.voxel_ml
    sizes[0] = np.inf
    return np.asarray((sizes < 90)[labels] & space & ~grown(chest.lungs.airway, chest, 6))


def lung_holes(chest: Chest) -> Mask:
    """Gas in even pieces inside the cavities, without airway."""
    even = ndimage.gaussian_filter(chest.coarse.hu, chest.coarse.voxels(1.2))
    space = (chest.cavities[0] | chest.cavities[1]) & ~grown(chest.lungs.airway, chest, 10) & (np.abs(chest.x) > 35)
    return np.asarray(ndimage.binary_opening(space & (even < -940), chest.coarse.ball(3)))
