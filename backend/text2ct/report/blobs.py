"""Round spots in the lungs: what is convex in every direction, unlike a vessel.

A vessel is dark across but not along; a nodule falls off on all sides. So a spot is
a place where even the flattest of the three second derivatives is clearly negative,
at the scale of its own size. Each spot is then measured by cutting it out at half
of its height.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..geometry import Triple
from .coarse import Coarse, Image, Mask
from .lungs import Lungs

DIAMETERS_MM = (7.0, 10.0, 14.0, 20.0, 28.0, 40.0, 56.0)
_LUNG_HU, _TOP_HU = -850.0, 60.0
_SIGMA_OF_DIAMETER = 0.29
_FINE_MM, _OPENED_MM = 2.2, 14.0
_LARGE_MM, _STEP_MM, _RIM_STEPS = 25.0, 1.5, (2, 9)
_BORDER_HU, _HAZE_HU, _RAYS = -400.0, -500.0, 200


@dataclass(frozen=True)
class Spot:
    """One round spot: its middle, its size and how it looks.

    `roundness` is 1 for a perfect ball; `rim_hu` is the lung just around it, dark around
    a nodule and hazy around a consolidation; `alone` is the share of its surroundings
    that is aerated lung, small where it hangs on vessels or the mediastinum. Seen from
    its middle, `open_share` of all directions end in lung, at distances that differ by
    `spread` of their mean: a mass that leans on the heart is round where it is open, a
    consolidation is not. Only large spots are looked at from inside.
    """

    place: Triple
    diameter_mm: float
    mean_hu: float
    core_hu: float
    roundness: float
    strength: float
    rim_hu: float
    alone: float
    index: tuple[int, int, int]
    open_share: float = 0.0
    spread: float = 1.0


@dataclass(frozen=True, eq=False)
class Field:
    """The lungs cut out on a fine grid; outside them everything is as dark as lung, and nothing is above `top`."""

    image: Image
    hu: Image
    inside: Mask
    low: tuple[int, int, int]
    coarse: Coarse
    top: float


def lung_field(lungs: Lungs, space: Mask, top: float = _TOP_HU, filled: Mask | None = None) -> Field:
    """The lungs at about two millimetres, cropped; `space` is where lung or a lesion in it may be.

    What is `filled` is taken for as dense as `top`.
    """
    coarse = Coarse.of(lungs.coarse.fine, _FINE_MM)

    def here(mask: Mask) -> Mask:
        return mask if coarse.factors == lungs.coarse.factors else _regridded(mask, lungs.coarse, coarse)

    inside = here(space)
    where = ndimage.find_objects(inside.astype(np.uint8))
    box = where[0] if where else tuple(slice(0, 1) for _ in range(3))
    inside, hu = inside[box], coarse.hu[box]
    image = np.where(inside, np.clip(hu, _LUNG_HU - 60, top), _LUNG_HU).astype(np.float32)
    if filled is not None:
        image[here(filled)[box] & inside] = top
    return Field(image, hu, inside, (box[0].start, box[1].start, box[2].start), coarse, top)


def find_spots(field: Field, weakest: float) -> tuple[Spot, ...]:
    """Spots of 6 to 70 mm, strongest first; a spot inside a stronger one is left out."""
    found = [spot for diameter in DIAMETERS_MM for spot in _at_scale(field, diameter, weakest)]
    kept: list[Spot] = []
    for spot in sorted(found, key=lambda s: -s.strength):
        if all(_apart(spot, other) for other in kept):
            kept.append(spot)
    return tuple(kept)


def _apart(a: Spot, b: Spot) -> bool:
    gap = float(np.linalg.norm(np.subtract(a.place, b.place)))
    return gap > 0.6 * max(a.diameter_mm, b.diameter_mm)


def _at_scale(field: Field, diameter: float, weakest: float) -> Iterator[Spot]:
    if diameter < 1.6 * max(field.coarse.spacing):
        return
    for index, strength in peaks(field, diameter, weakest):
        spot = _measured(field, index, diameter, strength)
        if spot is not None:
            yield spot


def peaks(field: Field, diameter: float, weakest: float) -> Iterator[tuple[tuple[int, int, int], float]]:
    """Where something of about this diameter is most convex, and how much: 1 would be from lung to `top` at once."""
    strength = convexity(field.image, field.coarse.voxels(_SIGMA_OF_DIAMETER * diameter)) / (field.top - _LUNG_HU)
    strength[~field.inside] = 0
    reach = tuple(2 * max(1, int(0.4 * v)) + 1 for v in field.coarse.voxels(diameter))
    highest = (strength > weakest) & (strength == ndimage.maximum_filter(strength, reach))
    for i, j, k in np.argwhere(highest):
        yield (int(i), int(j), int(k)), float(strength[i, j, k])


def convexity(image: Image, sigma: tuple[float, float, float]) -> Image:
    """The smallest of the three curvatures (scale-normalised, positive on a bright spot)."""
    second = np.empty((3, 3, *image.shape), np.float32)
    for a in range(3):
        for b in range(a, 3):
            order = [0, 0, 0]
            order[a] += 1
            order[b] += 1
            curve = ndimage.gaussian_filter(image, sigma, order=order, mode="nearest", truncate=3.0)
            second[a, b] = second[b, a] = -curve * sigma[a] * sigma[b]
    trace = second[0, 0] + second[1, 1] + second[2, 2]
    smallest = np.zeros(image.shape, np.float32)
    likely = (second[0, 0] > 0) & (second[1, 1] > 0) & (second[2, 2] > 0) & (trace > 20)
    if likely.any():
        matrices = np.moveaxis(second[:, :, likely], 2, 0)
        smallest[likely] = np.linalg.eigvalsh(matrices)[:, 0]
    return np.maximum(smallest, 0)


def _measured(field: Field, index: tuple[int, int, int], diameter: float, strength: float) -> Spot | None:
    """The spot cut out at half its height within a ball somewhat larger than the scale."""
    reach = [int(np.ceil(v)) for v in field.coarse.voxels(0.95 * diameter)]
    box = tuple(slice(max(0, i - r), min(n, i + r + 1))
                for i, r, n in zip(index, reach, field.image.shape, strict=True))
    axes = np.ogrid[box]
    distance = np.sqrt(sum(((a - i) * s) ** 2 for a, i, s in
                           zip(axes, index, field.coarse.spacing, strict=True)))
    local, inside = field.image[box], field.inside[box]
    center = distance < max(0.25 * diameter, 1.01 * min(field.coarse.spacing))
    core = float(np.median(local[center]))
    if core < _LUNG_HU + 200:
        return None
    half = (local > (core + _LUNG_HU) / 2) & inside & (distance < 0.95 * diameter)
    shape = ndimage.binary_opening(half, field.coarse.ball(0.2 * diameter)) if diameter >= _OPENED_MM else half
    labels, count = ndimage.label(shape)
    middle = tuple(i - b.start for i, b in zip(index, box, strict=True))
    if not count or not labels[middle]:
        return None
    own = labels == labels[middle]
    volume = float(own.sum()) * field.coarse.voxel_ml * 1000
    size = float((6 * volume / np.pi) ** (1 / 3))
    ball = distance < size / 2
    overlap = float((own & ball).sum()) / max(1, int((own | ball).sum()))
    x, y, z = field.coarse.grid.to_ras(np.array(index) + field.low).tolist()
    hu = field.hu[box]
    ring = ndimage.binary_dilation(own, field.coarse.ball(8)) & ~ndimage.binary_dilation(own, field.coarse.ball(4))
    air = ring & inside & (hu < -500)
    rim = float(np.median(hu[air])) if air.any() else 0.0
    alone = float(air.sum()) / max(1, int(ring.sum()))
    largest = size * (1.2 if diameter >= _OPENED_MM else 1.08)
    seen = seen_from_inside(field.coarse, (x, y, z), largest) if largest >= _LARGE_MM else Outline()
    return Spot((x, y, z), largest, float(hu[own].mean()), float(np.median(hu[center])), overlap, strength, rim,
                alone, index, seen.open_share, seen.spread)


@dataclass(frozen=True)
class Outline:
    """A lesion as its middle sees it: the share of directions that end in lung, how much their lengths differ
    (0 for a ball), and twice their mean."""

    open_share: float = 0.0
    spread: float = 1.0
    diameter_mm: float = 0.0


def seen_from_inside(coarse: Coarse, place: Triple, diameter: float, border: float = _BORDER_HU,
                     haze: float = _HAZE_HU) -> Outline:
    """How far it is from `place` to where it gets darker than `border`, in directions that are free of haze beyond."""
    lengths = np.arange(0, 0.75 * diameter + 24, _STEP_MM)
    steps = np.linalg.inv(coarse.grid.affine[:3, :3]) @ directions(_RAYS).T
    points = coarse.grid.to_ijk(place)[:, None, None] + steps[:, :, None] * lengths
    hu = ndimage.map_coordinates(coarse.hu, points, order=1, mode="nearest")
    after = np.arange(*_RIM_STEPS)
    left = hu < border
    left[:, len(lengths) - after[-1]:] = False
    end = left.argmax(1)
    beyond = np.take_along_axis(hu, np.minimum(end[:, None] + after, len(lengths) - 1), 1)
    is_open = left.any(1) & (np.median(beyond, 1) < haze)
    reach = lengths[end[is_open]]
    if len(reach) < 5 or reach.mean() == 0:
        return Outline()
    return Outline(float(is_open.mean()), float(reach.std() / reach.mean()), 2 * float(reach.mean()))


def directions(count: int) -> NDArray[np.float64]:
    """Evenly spread unit vectors."""
    turn = np.arange(count) + 0.5
    polar, around = np.arccos(1 - 2 * turn / count), np.pi * (1 + 5 ** 0.5) * turn
    return np.stack([np.cos(around) * np.sin(polar), np.sin(around) * np.sin(polar), np.cos(polar)], 1)


def _regridded(mask: Mask, source: Coarse, target: Coarse) -> Mask:
    """A coarse mask on another coarse grid of the same CT."""
    fine = source.spread(mask.astype(np.uint8))
    picks = [np.minimum(np.arange(n) * f + f // 2, m - 1)
             for n, f, m in zip(target.hu.shape, target.factors, fine.shape, strict=True)]
    picked: NDArray[np.uint8] = fine[np.ix_(*picks)]
    return picked > 0
