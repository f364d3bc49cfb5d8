"""One exact mask a finding, kept as bits, and packed into as few label layers as do not overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...geometry import Grid
from ...report.finding import Finding
from ...report.vocabulary import KINDS
from ...volume import LabelVolume, Segment
from .frame import Bools


class FindingMasks:
    """Masks of findings on a (z, y, x) grid, filled slab by slab."""

    def __init__(self, shape: tuple[int, int, int], findings: list[Finding]) -> None:
        self._shape = shape
        self._findings = findings
        self._rows: list[dict[int, NDArray[np.uint8]]] = [{} for _ in findings]

    def add(self, index: int, start: int, mask: Bools) -> None:
        """Voxels of a finding in slices from `start` on, in addition to those known."""
        for k in np.flatnonzero(mask.any((1, 2))):
            bits = np.packbits(mask[k].reshape(-1))
            known = self._rows[index].get(start + int(k))
            self._rows[index][start + int(k)] = bits if known is None else known | bits

    def mask(self, index: int) -> Bools:
        """The mask of one finding."""
        _, ny, nx = self._shape
        mask = np.zeros(self._shape, bool)
        for k, bits in self._rows[index].items():
            mask[k] = np.unpackbits(bits, count=ny * nx).reshape(ny, nx).astype(bool)
        return mask

    def shown(self) -> tuple[Finding, ...]:
        """The findings that have a voxel in the picture, in their order."""
        return tuple(f for f, rows in zip(self._findings, self._rows, strict=True) if rows)

    def missed(self) -> tuple[Finding, ...]:
        """The findings that lie outside the picture."""
        return tuple(f for f, rows in zip(self._findings, self._rows, strict=True) if not rows)

    def layers(self, grid: Grid) -> tuple[LabelVolume, ...]:
        """Label volumes on an LPS grid; a finding lies in the first layer where it touches no other."""
        layers: list[tuple[NDArray[np.uint8], list[Segment]]] = []
        shown = [index for index, rows in enumerate(self._rows) if rows]
        for place, index in enumerate(shown):
            mask = self.mask(index)
            fitting = next((layer for layer in layers if not layer[0][mask].any()), None)
            if fitting is None:
                fitting = (np.zeros(self._shape, np.uint8), [])
                layers.append(fitting)
            fitting[1].append(segment_of(self._findings[index], len(fitting[1]) + 1, place))
            fitting[0][mask] = len(fitting[1])
        return tuple(LabelVolume(v.transpose(2, 1, 0), grid.affine, tuple(s), "findings") for v, s in layers)


def segment_of(finding: Finding, value: int, index: int) -> Segment:
    """The segment of a finding: its kind and place as name, its place in the list as part of the id."""
    place = " ".join(finding.lobe) or finding.side or ""
    kind = KINDS.get(finding.kind)
    color = kind.color if kind is not None else (0.9, 0.6, 0.2)
    return Segment(value, f"{finding.kind} {place}".strip(), color, f"finding_{index + 1}_{finding.kind}")
