"""What a meter gives back, and how an asked place picks among what was measured.

Most findings have a side or lobes. A meter measures each side (or each spot) once;
the functions here then answer what was asked: "right" looks right only, "bilateral"
needs both sides, no side takes whatever is largest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ...geometry import Triple
from ..anatomy import Chest
from ..coarse import Mask
from ..finding import Finding, Side

SIDES: tuple[Side, ...] = ("right", "left")


@dataclass(frozen=True)
class Reading:
    """One measurement. `shown` is None where the number says neither yes nor no."""

    shown: bool | None
    method: str
    value: float | None = None
    unit: str = ""
    place: Triple | None = None


@dataclass(frozen=True)
class Amount:
    """How much of something was found, and where."""

    value: float
    place: Triple | None = None


Meter = Callable[[Chest, Finding], Reading]


def judged(amount: Amount, threshold: float, method: str, unit: str, doubt: float | None = None) -> Reading:
    """Shown from `threshold` up; between `doubt` and the threshold nothing is said."""
    shown: bool | None = amount.value >= threshold
    if not shown and doubt is not None and amount.value > doubt:
        shown = None
    return Reading(shown, method, round(amount.value, 3), unit, amount.place if shown is not False else None)


def asked_sides(finding: Finding) -> tuple[Side, ...]:
    """The sides a finding names, by its side or by its lobes; none when it names neither."""
    if finding.side in SIDES:
        return (finding.side,)
    if finding.side == "bilateral":
        return SIDES
    found: set[Side] = {"right" if lobe.startswith("R") else "left" for lobe in finding.lobe}
    return tuple(side for side in SIDES if side in found)


def sided(amounts: Mapping[Side, Amount], finding: Finding) -> Amount:
    """The amount that decides: the smaller one where both sides are asked for, the larger one where none is."""
    sides = asked_sides(finding)
    if not sides:
        return max(amounts.values(), key=lambda a: a.value)
    if finding.certainty == "absent":
        return max((amounts[s] for s in sides), key=lambda a: a.value)
    return min((amounts[s] for s in sides), key=lambda a: a.value)


def asked_regions(chest: Chest, finding: Finding) -> tuple[Mask, ...]:
    """Where a lung finding is asked for: one mask a lobe, else one a side, else all of both lungs."""
    if finding.lobe:
        return tuple(chest.lobe(lobe) for lobe in finding.lobe)
    sides = asked_sides(finding)
    if sides:
        return tuple(chest.cavity(side) for side in sides)
    return (chest.cavity("right") | chest.cavity("left"),)


def regional(found: Mask, chest: Chest, finding: Finding, margin_mm: float = 8.0) -> Amount:
    """Millilitres of `found` in the asked region; the least filled region decides when several are asked for."""
    amounts = []
    for region in asked_regions(chest, finding):
        near = grown(region, chest, margin_mm) if finding.lobe else region
        near = near & same_side(chest, finding)
        part = found & near
        amounts.append(Amount(float(part.sum()) * chest.coarse.voxel_ml, chest.coarse.place(part)))
    order = max if finding.certainty == "absent" else min
    return order(amounts, key=lambda a: a.value)


def same_side(chest: Chest, finding: Finding) -> Mask:
    """The half or halves of the chest that a finding names."""
    sides = asked_sides(finding) or SIDES
    return np.asarray(np.logical_or.reduce([chest.half(side) for side in sides]))


def grown(mask: Mask, chest: Chest, mm: float) -> Mask:
    """The mask and everything within `mm` of it."""
    where = ndimage.find_objects(mask.view(np.uint8))
    if not where or mm <= 0:
        return mask
    out = np.zeros_like(mask)
    box = tuple(slice(max(0, s.start - int(v) - 1), s.stop + int(v) + 1)
                for s, v in zip(where[0], chest.coarse.voxels(mm), strict=True))
    out[box] = ndimage.distance_transform_edt(~mask[box], chest.coarse.spacing) <= mm
    return out


def pieces(mask: Mask, smallest_ml: float, chest: Chest) -> Sequence[Mask]:
    """Connected pieces of at least this volume, largest first."""
    labels, count = ndimage.label(mask)
    if not count:
        return ()
    sizes = np.bincount(labels.ravel())[1:] * chest.coarse.voxel_ml
    order = [int(n) + 1 for n in np.argsort(-sizes) if sizes[n] >= smallest_ml]
    return tuple(labels == n for n in order)
