"""How large a lesion is, as a radiologist states it: the longest diameter in an axial slice, and the volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...geometry import Grid, Triple
from ...report.finding import Finding, LedgerEntry


@dataclass(frozen=True)
class Size:
    """`diameter_mm` is the longest axial diameter (RECIST), `across_mm` the longest at right angles to it."""

    volume_ml: float
    diameter_mm: float
    across_mm: float
    centre: Triple

    def sentence(self) -> str:
        return (f"The lesion has {self.volume_ml:.2f} ml; its longest axial diameter is {self.diameter_mm:.0f} mm, "
                f"{self.across_mm:.0f} mm across.")


def lesion_size(mask: NDArray[np.bool_], grid: Grid) -> Size:
    """The size of a mask that is not empty, in its slices nearest to axial."""
    upright = grid.reoriented("SAL")
    order, flips = grid.reorientation("SAL")
    turned = mask.transpose(order)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    best = (0.0, 0.0)
    for k in np.flatnonzero(turned.any((1, 2))):
        best = max(best, _diameters(turned[k], upright.spacing[1], upright.spacing[2]))
    middle = grid.to_ras(np.argwhere(mask).mean(0)).tolist()
    return Size(float(mask.sum()) * grid.voxel_ml, *best, (middle[0], middle[1], middle[2]))


def _diameters(slice_: NDArray[np.bool_], row_mm: float, column_mm: float) -> tuple[float, float]:
    """The longest distance within a slice, from edge to edge of its voxels, and the extent at right angles to it."""
    rim = slice_ & ~ndimage.binary_erosion(slice_)
    points = np.argwhere(rim)
    corners = np.unique(np.concatenate([points + offset for offset in ((0, 0), (0, 1), (1, 0), (1, 1))]), axis=0)
    places = corners * (row_mm, column_mm)
    hull = _hull(places)
    apart = np.linalg.norm(hull[:, None] - hull[None], axis=-1)
    a, b = np.unravel_index(int(apart.argmax()), apart.shape)
    along = (hull[b] - hull[a]) / max(float(apart[a, b]), 1e-9)
    across = hull @ (-along[1], along[0])
    return float(apart[a, b]), float(np.ptp(across))


def _hull(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners of the convex hull; of each row only the two ends can be any."""
    rows = np.unique(points[:, 0])
    ends = [points[points[:, 0] == row][:, 1] for row in rows]
    return np.array([(row, side) for row, own in zip(rows, ends, strict=True) for side in (own.min(), own.max())])


def size_entries(size: Size, name: str = "") -> tuple[LedgerEntry, ...]:
    """How large a lesion came out, for a ledger; `name` says which one, where there are several."""
    lesion = Finding("lesion", size_mm=round(size.diameter_mm, 1))
    which = f"{name}: " if name else ""
    return (LedgerEntry(lesion, "shown", f"{which}longest axial diameter of the mask (RECIST)", None,
                        round(size.diameter_mm, 1), "mm", size.centre),
            LedgerEntry(lesion, "shown", f"{which}volume of the mask", None, round(size.volume_ml, 3), "ml",
                        size.centre))
