"""Where voxels lie in the patient: grids, boxes and the maps between them.

A grid is a shape and a 4x4 affine that takes voxel indices (i, j, k) to RAS+
millimetres, as nibabel has it. Voxel i covers the interval [i - 1/2, i + 1/2).
All conversions of axes and directions in the core live here, so that no reader,
writer or engine flips an array by itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import BadInput

Affine = NDArray[np.float64]
Points = NDArray[np.float64]
Triple = tuple[float, float, float]

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_LETTERS = (("L", "R"), ("P", "A"), ("I", "S"))
_AXIS_OF = {letter: (axis, sign) for axis, pair in enumerate(_LETTERS)
            for letter, sign in zip(pair, (-1, 1), strict=True)}
_EDGE_SLACK = 1e-3  # voxels; Slicer keeps ROI centres in float32, exact edges must not gain a voxel


@dataclass(frozen=True, eq=False)
class Grid:
    """A box of voxels in the patient: shape (i, j, k) and the affine to RAS+ mm."""

    shape: tuple[int, int, int]
    affine: Affine

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise BadInput(f"A grid needs three positive sizes, not {self.shape}; give for example 128 128 64.")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine", checked_affine(self.affine))

    @classmethod
    def centred(cls, shape: Sequence[int], spacing: Sequence[float], orientation: str = "LPS") -> Grid:
        """A grid whose middle is the RAS origin, its axes pointing as `orientation` says."""
        affine = np.eye(4)
        for column, letter in enumerate(orientation):
            axis, sign = _AXIS_OF[letter]
            affine[:3, column] = 0
            affine[axis, column] = sign * float(spacing[column])
        affine[:3, 3] = -affine[:3, :3] @ ((np.asarray(shape, float) - 1) / 2)
        return cls((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    @property
    def spacing(self) -> Triple:
        a, b, c = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return (a, b, c)

    @property
    def directions(self) -> NDArray[np.float64]:
        """Unit vectors of the three axes as columns."""
        return np.divide(self.affine[:3, :3], self.spacing)

    @property
    def orientation(self) -> str:
        """Where each axis points, as three letters such as RAS or LPS."""
        return "".join(_LETTERS[axis][int(sign > 0)] for axis, sign in self._closest_axes())

    @property
    def voxel_ml(self) -> float:
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000

    def to_ras(self, ijk: ArrayLike) -> Points:
        """Points (..., 3) in voxel indices to RAS mm."""
        ras: Points = np.asarray(ijk, float) @ self.affine[:3, :3].T + self.affine[:3, 3]
        return ras

    def to_ijk(self, ras: ArrayLike) -> Points:
        """Points (..., 3) in RAS mm to voxel indices."""
        inverse = np.linalg.inv(self.affine)
        ijk: Points = np.asarray(ras, float) @ inverse[:3, :3].T + inverse[:3, 3]
        return ijk

    def same_as(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """Whether both put every voxel at the same place, judged at the corners."""
        if self.shape != other.shape:
            return False
        corners = np.array(list(itertools.product(*[(0, n - 1) for n in self.shape])))
        return bool(np.abs(self.to_ras(corners) - other.to_ras(corners)).max() <= tolerance_mm)

    def reorientation(self, code: str) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
        """Which axis comes first, second, third, and which of those is flipped, to point as `code`."""
        wanted = [_AXIS_OF[letter] for letter in checked_orientation(code)]
        closest = self._closest_axes()
        order = [next(i for i, (axis, _) in enumerate(closest) if axis == want) for want, _ in wanted]
        flips = [closest[i][1] != sign for i, (_, sign) in zip(order, wanted, strict=True)]
        return (order[0], order[1], order[2]), (flips[0], flips[1], flips[2])

    def reoriented(self, code: str) -> Grid:
        order, flips = self.reorientation(code)
        affine = np.eye(4)
        affine[:3, :3] = self.affine[:3, list(order)]
        affine[:3, 3] = self.affine[:3, 3]
        shape = [self.shape[i] for i in order]
        for axis, flipped in enumerate(flips):
            if flipped:
                affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
                affine[:3, axis] *= -1
        return Grid((shape[0], shape[1], shape[2]), affine)

    def window(self, low: Sequence[int], high: Sequence[int]) -> Grid:
        """The grid of voxels low <= index < high; it may reach outside this one."""
        affine = self.affine.copy()
        affine[:3, 3] = self.to_ras(np.asarray(low, float))
        sizes = [int(b) - int(a) for a, b in zip(low, high, strict=True)]
        return Grid((sizes[0], sizes[1], sizes[2]), affine)

    def with_spacing(self, spacing: Sequence[float]) -> Grid:
        """The same box of space at another spacing; the voxel count is rounded up."""
        old = np.asarray(self.spacing)
        new = np.asarray(spacing, float)
        shape = np.maximum(1, np.ceil(np.asarray(self.shape) * old / new - 1e-6)).astype(int)
        affine = self.affine.copy()
        affine[:3, :3] = self.directions * new
        corner = self.to_ras([-0.5] * 3)
        affine[:3, 3] = corner + affine[:3, :3] @ [0.5, 0.5, 0.5]
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)

    def _closest_axes(self) -> list[tuple[int, int]]:
        """For each array axis the patient axis nearest to it, each used once, and its sign.

        Halfway between two axes (a volume turned by 45 degrees) the choice depends on the
        directions in the patient alone, so that every order of the array axes agrees on it.
        """
        directions = self.directions
        scores = {p: sum(abs(directions[p[i], i]) for i in range(3)) for p in itertools.permutations(range(3))}
        best = max(scores.values())

        def in_patient(order: tuple[int, ...]) -> tuple[float, ...]:
            columns = [directions[:, order.index(axis)] for axis in range(3)]
            return tuple(np.concatenate([c * np.sign(c[axis]) for axis, c in enumerate(columns)]).round(3).tolist())

        chosen = max((p for p, score in scores.items() if score > best - 1e-3), key=in_patient)
        return [(chosen[i], 1 if directions[chosen[i], i] > 0 else -1) for i in range(3)]


@dataclass(frozen=True)
class Box:
    """A box in the patient: centre and edge lengths in RAS mm, and the directions of its edges."""

    center: Triple
    size: Triple
    axes: tuple[Triple, Triple, Triple] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    def problems(self) -> list[str]:
        """Sentences that say why this is no box, if it is none."""
        numbers = np.array([*self.center, *self.size, *itertools.chain(*self.axes)], float)
        if not np.isfinite(numbers).all():
            return ["The box has a coordinate that is not a number; draw it again."]
        if min(self.size) <= 0:
            return [f"The box has an edge of {min(self.size):g} mm; every edge must be longer than zero."]
        axes = np.array(self.axes)
        if np.abs(axes @ axes.T - np.eye(3)).max() > 1e-3:
            return ["The edges of the box are not at right angles to each other; draw it again."]
        return []

    @classmethod
    def between(cls, low: Sequence[float], high: Sequence[float]) -> Box:
        """The box between two opposite RAS corners, edges along the patient's axes."""
        a, b = np.minimum(low, high), np.maximum(low, high)
        center, size = ((a + b) / 2).tolist(), (b - a).tolist()
        return cls((center[0], center[1], center[2]), (size[0], size[1], size[2]))

    def corners(self) -> Points:
        signs = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
        corners: Points = self.center + (signs * np.asarray(self.size)) @ np.array(self.axes)
        return corners

    def voxels_in(self, grid: Grid, clip: bool = True) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The half-open voxel window [low, high) that covers this box; clipped, it may be empty."""
        ijk = grid.to_ijk(self.corners())
        low = np.floor(ijk.min(0) + 0.5 + _EDGE_SLACK).astype(int)
        high = np.ceil(ijk.max(0) + 0.5 - _EDGE_SLACK).astype(int)
        high = np.maximum(high, low + 1)
        if clip:
            low, high = np.clip(low, 0, grid.shape), np.clip(high, 0, grid.shape)
        return tuple(low.tolist()), tuple(high.tolist())


def checked_affine(affine: ArrayLike) -> Affine:
    """The affine as a read-only float64 copy, or a sentence that says why it is none."""
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4):
        raise BadInput(f"An affine is a 4x4 matrix, this one is {matrix.shape}; check the header of the file.")
    if not np.isfinite(matrix).all():
        raise BadInput("The affine holds a value that is not a number; the header of the file is damaged.")
    spacing = np.linalg.norm(np.clip(matrix[:3, :3], -1e6, 1e6), axis=0)
    if spacing.min() < 1e-4 or spacing.max() > 1e4 or np.abs(matrix[:3, 3]).max() > 1e6:
        sizes = " x ".join(f"{s:.4g}" for s in spacing)
        raise BadInput(f"The affine has voxels of {sizes} mm, or an origin far outside any scanner; "
                       "the header of the file is damaged.")
    if abs(np.linalg.det(matrix[:3, :3] / spacing)) < 1e-3:
        raise BadInput("The affine has two axes that point the same way; the header of the file is damaged.")
    if np.abs(matrix[3] - [0, 0, 0, 1]).max() > 0:
        raise BadInput("The last row of the affine is not 0 0 0 1; the header of the file is damaged.")
    matrix.flags.writeable = False
    return matrix


def checked_orientation(code: str) -> str:
    """Three letters, one of each pair R/L, A/P, S/I, in upper case."""
    upper = code.upper()
    if len(upper) != 3 or {_AXIS_OF.get(c, (9, 0))[0] for c in upper} != {0, 1, 2}:
        raise BadInput(f"'{code}' is no orientation; give three letters such as RAS, LPS or LAS.")
    return upper


def times(values: Sequence[float]) -> str:
    """Sizes for people: 512 x 512 x 128."""
    return " x ".join(f"{v:g}" for v in values)
