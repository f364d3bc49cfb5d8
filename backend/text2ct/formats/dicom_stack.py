"""From planes to one volume: their order, their distance, and the affine, as pure functions.

Order is the place along the normal of the planes; file names and instance numbers
mean nothing. A volume is a grid, so planes that are not evenly stacked (a slice
missing or there twice, a tilted gantry, planes of several scans) are refused with
the place of the trouble rather than bent into one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..geometry import LPS_TO_RAS, Affine, Grid, checked_affine
from .dicom_planes import Plane
from .limits import check_shape

SHEAR = 1e-3
_SAME_MM = 1e-3
_SLACK_MM, _SLACK_STEP = 0.06, 0.05
Vector = NDArray[np.float64]


def ordered(planes: Sequence[Plane], what: str) -> tuple[list[int], Affine]:
    """The order of the planes along their normal, and the RAS affine of the volume that they make."""
    _check_alike(planes, what)
    row, column = _axes(planes[0])
    normal = np.cross(row, column)
    positions = np.array([plane.position for plane in planes])
    heights = positions @ normal
    order = np.argsort(heights, kind="stable").tolist()
    step = _step([planes[n] for n in order], positions[order], heights[order], normal, what)
    affine = np.eye(4)
    affine[:3, 0] = row * planes[0].spacing[1]
    affine[:3, 1] = column * planes[0].spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = positions[order[0]]
    return order, checked_affine(LPS_TO_RAS @ affine)


def spread(planes: Sequence[Plane], what: str) -> Grid:
    """The grid on which planes lie that may stand there more than once, or not at all."""
    _check_alike(planes, what)
    row, column = _axes(planes[0])
    normal = np.cross(row, column)
    positions = np.array([plane.position for plane in planes])
    heights = positions @ normal
    steps = np.diff(np.unique(heights.round(3)))
    step = float(steps.min()) if len(steps) else planes[0].thickness or 0.0
    if step <= 0 or (len(steps) and np.abs(steps / step - np.rint(steps / step)).max() > _SLACK_STEP):
        raise BadInput(f"The frames of {what} are unevenly spaced; resample them evenly first.")
    count = round(float(heights.max() - heights.min()) / step) + 1
    shape = check_shape((planes[0].columns, planes[0].rows, count), what)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = row * planes[0].spacing[1], column * planes[0].spacing[0]
    affine[:3, 2] = normal * (float(heights.max() - heights.min()) / (count - 1) if count > 1 else step)
    affine[:3, 3] = positions[int(heights.argmin())]
    return Grid(shape, LPS_TO_RAS @ affine)


def tilt_degrees(way: Vector, normal: Vector, count: int) -> float:
    """The angle between the way from slice to slice and the normal; 0 where it cannot be told from rounding."""
    drift, rise = float(np.linalg.norm(np.cross(way, normal))), float(way @ normal)
    if drift * (count - 1) <= max(SHEAR * rise * (count - 1), _SLACK_MM):
        return 0.0
    return float(np.degrees(np.arctan2(drift, rise)))


def _axes(plane: Plane) -> tuple[Vector, Vector]:
    """Unit vectors along a row and down a column."""
    row, column = np.array(plane.orientation[:3]), np.array(plane.orientation[3:])
    sizes = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(s - 1) for s in sizes) > 1e-2 or abs(row @ column) > SHEAR:
        raise BadInput(f"{plane.name} has an image orientation that no scanner writes; "
                       "the file is damaged.")
    return row / sizes[0], column / sizes[1]


def _check_alike(planes: Sequence[Plane], what: str) -> None:
    first = planes[0]
    for plane in planes[1:]:
        if (plane.rows, plane.columns) != (first.rows, first.columns):
            raise BadInput(f"The slices of {what} differ in size: {first.name} has {first.columns} x {first.rows} "
                           f"pixels, {plane.name} has {plane.columns} x {plane.rows}; give one scan only.")
        if not np.allclose(plane.spacing, first.spacing, rtol=1e-4, atol=0):
            raise BadInput(f"The slices of {what} differ in pixel spacing: {first.name} has {first.spacing[1]:g} mm, "
                           f"{plane.name} has {plane.spacing[1]:g} mm; give one scan only.")
        if not np.allclose(plane.orientation, first.orientation, rtol=0, atol=SHEAR):
            raise BadInput(f"The slices of {what} point in different directions ({first.name} and {plane.name}); "
                           "give one scan only.")


def _step(planes: Sequence[Plane], positions: Vector, heights: Vector, normal: Vector, what: str) -> Vector:
    """The way from one slice to the next, as one vector."""
    if len(planes) == 1:
        thickness = planes[0].thickness
        if not thickness:
            raise BadInput(f"{what} has one slice that does not say how thick it is; give the whole series.")
        return normal * thickness
    steps = np.diff(heights)
    usual = float(np.median(steps))
    axis = int(np.argmax(np.abs(normal)))
    places = [f"{'xyz'[axis]}={position[axis]:.4g}" for position in positions]
    _check_none_twice(planes, steps, usual, places, what)
    _check_none_missing(steps, usual, places, what)
    way: Vector = (positions[-1] - positions[0]) / (len(planes) - 1)
    tilt = tilt_degrees(way, normal, len(planes))
    if tilt:
        raise BadInput(f"The slices of {what} are shifted against each other, the gantry was tilted by {tilt:.1f} "
                       "degrees; resample the series to straight slices first.")
    ideal = positions[0] + np.arange(len(planes))[:, None] * way
    off = np.linalg.norm(positions - ideal, axis=1)
    if off.max() > max(_SLACK_MM, _SLACK_STEP * usual):
        raise BadInput(f"The slices of {what} are unevenly spaced, from {steps.min():.4g} to {steps.max():.4g} mm "
                       f"and worst at {places[int(off.argmax())]}; resample them evenly first.")
    return way


def _check_none_twice(planes: Sequence[Plane], steps: Vector, usual: float, places: Sequence[str], what: str) -> None:
    twice = np.flatnonzero(steps < max(_SAME_MM, 0.01 * usual))
    if len(twice):
        n = int(twice[0])
        names = sorted({planes[n].name, planes[n + 1].name})
        raise BadInput(f"{what} has {len(twice)} {'slice' if len(twice) == 1 else 'slices'} twice, first at "
                       f"{places[n]} ({' and '.join(names)}); remove the copies or give one phase only.")


def _check_none_missing(steps: Vector, usual: float, places: Sequence[str], what: str) -> None:
    gaps = np.rint(steps / usual).astype(np.int64) - 1
    wide = np.flatnonzero((gaps >= 1) & (np.abs(steps - (gaps + 1) * usual) <= 0.2 * usual))
    if len(wide):
        n, count = int(wide[0]), int(gaps[wide].sum())
        said = "a slice is missing" if count == 1 else f"{count} slices are missing, first"
        raise BadInput(f"In {what} {said} between {places[n]} and {places[n + 1]}; fetch the whole series.")
