"""One row a stage: how far our numbers are from those of the published program, and how far they may be.

A case is a folder of arrays that the published program recorded. `tests/parity/<system>_case.py`
computes the same arrays with our code and yields rows; `run.py` prints them. The rows say what
was compared, the largest deviation, the tolerance and the verdict, so that a stage that drifts
is seen before a volume looks wrong. Nothing here needs torch: tensors are taken as arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_EXIT_FAILED = 1


@dataclass(frozen=True)
class Row:
    """One stage. `note` says why a deviation could not be measured, or what else is worth knowing."""

    stage: str
    deviation: float
    tolerance: float
    note: str = ""

    @property
    def ok(self) -> bool:
        """Within tolerance; a deviation that is not a number never is."""
        return self.deviation <= self.tolerance


def compare(stage: str, ours: Any, theirs: Any, tolerance: float, relative: bool = False) -> Row:
    """The largest absolute difference of two arrays (or, when `relative`, over the largest of theirs)."""
    a, b = _array(ours), _array(theirs)
    if a.shape != b.shape:
        return Row(stage, math.inf, tolerance, f"ours has the shape {list(a.shape)}, theirs {list(b.shape)}")
    if a.size == 0:
        return Row(stage, math.inf, tolerance, "there is nothing to compare")
    difference = np.abs(a - b)
    scale = float(np.abs(b).max()) if relative else 1.0
    return Row(stage, float(difference.max()) / scale if scale else math.inf, tolerance, _not_numbers(a, b))


def compare_share(stage: str, ours: Any, theirs: Any, share: float, within: float) -> list[Row]:
    """Two rows for whole-number volumes: the largest difference, and the share of voxels that differ at all."""
    worst = compare(stage, ours, theirs, within)
    if not math.isfinite(worst.deviation):
        return [worst]
    differing = float(np.mean(_array(ours) != _array(theirs)))
    return [worst, Row(f"{stage}, share that differs", differing, share)]


def report(rows: Iterable[Row]) -> int:
    """Print one aligned line a stage as it comes; 0 when all hold, 1 when one fails or there is none."""
    count, failed = 0, 0
    for row in rows:
        count += 1
        failed += not row.ok
        verdict = "ok  " if row.ok else "FAIL"
        print(f"{verdict} {row.stage:<52} {row.deviation:>10.3g}  limit {row.tolerance:<8.3g}"
              + (f"  {row.note}" if row.note else ""), flush=True)
    print(f"{count - failed} of {count} stages within tolerance" if count else "No stage was compared.")
    return _EXIT_FAILED if failed or not count else 0


def _array(values: Any) -> NDArray[np.float64]:
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, np.float64)


def _not_numbers(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> str:
    """Which side holds values that are not numbers; numpy's maximum is then NaN, so the row fails."""
    sides = [name for name, values in (("ours", ours), ("theirs", theirs)) if not np.isfinite(values).all()]
    return f"{' and '.join(sides)} hold values that are not finite" if sides else ""
