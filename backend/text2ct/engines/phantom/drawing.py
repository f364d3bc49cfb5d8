"""From findings and a seed to a labelled CT, slab by slab.

`draw` knows nothing of reports or requests. It plans every finding on the lattice of
the patient first, so that slabs are independent, then paints each slab in the same
order: body, lungs, findings in the air spaces, trees, findings in front of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...geometry import Grid
from ...report.finding import Finding
from ...requests import Watch
from ...volume import CTVolume, LabelVolume
from .canvas import Canvas
from .chest import Chest
from .findings import Planned, changes_of, plan
from .findings.stroke import Stage
from .frame import Axes, Bools
from .masks import FindingMasks
from .organs import SEGMENTS
from .patient import Patient
from .texture import MARGIN, Scanner

_SLAB_VOXELS = 2_600_000


@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawn CT with exact labels. Findings that cannot be drawn stand in `not_drawn`."""

    ct: CTVolume
    organs: LabelVolume | None
    findings: tuple[LabelVolume, ...] = ()
    drawn: tuple[Finding, ...] = ()
    not_drawn: tuple[Finding, ...] = field(default=())

    @property
    def labels(self) -> tuple[LabelVolume, ...]:
        return (*([self.organs] if self.organs is not None else []), *self.findings)


def draw(findings: Sequence[Finding], seed: int, grid: Grid, watch: Watch | None = None) -> Drawing:
    """The patient of `seed` with `findings`, on a grid whose axes point LPS."""
    watch = watch or Watch()
    watch.at("building the patient", 0, 1)
    patient = Patient.of(seed)
    present = [f for f in findings if f.certainty == "present"]
    return draw_on(Chest.of(patient, changes_of(patient, present)), present, grid, watch)


def draw_on(chest: Chest, present: Sequence[Finding], grid: Grid, watch: Watch) -> Drawing:
    """A chest that is already built, with findings that are all present."""
    watch.at("planning the findings", 0, 1)
    patient = chest.patient
    planned = plan(chest, present)
    axes = Axes.of(grid)
    nz, ny, nx = axes.shape
    hu, organs = np.empty(axes.shape, np.int16), np.empty(axes.shape, np.uint8)
    masks = FindingMasks(axes.shape, [p.finding for p in planned.drawn])
    scanner = Scanner(patient, axes.spacing, (ny, nx))
    thickness = max(4, _SLAB_VOXELS // (ny * nx))
    for start in range(0, nz, thickness):
        watch.at("drawing", start, nz)
        stop = min(nz, start + thickness)
        canvas = Canvas.empty(_with_margin(axes, start, stop))
        _paint(canvas, chest, planned, masks, start, stop)
        scanned = scanner.scan(canvas.hu, canvas.body_depth, canvas.axes.z, start)
        np.clip(np.rint(scanned), -1024, 3071, out=scanned)
        hu[start:stop] = scanned
        organs[start:stop] = canvas.labels[MARGIN:-MARGIN]
    watch.at("drawing", nz, nz)
    ct = CTVolume(hu.transpose(2, 1, 0), grid.affine)
    labels = LabelVolume(organs.transpose(2, 1, 0), grid.affine, SEGMENTS, "organs")
    return Drawing(ct, labels, masks.layers(grid), masks.shown(), planned.not_drawn + masks.missed())


def _paint(canvas: Canvas, chest: Chest, planned: Planned, masks: FindingMasks, start: int, stop: int) -> None:
    chest.paint_around(canvas)
    chest.air_spaces.paint(canvas)
    found: list[list[Bools]] = [[] for _ in planned.drawn]
    for stage in Stage:
        if stage == Stage.AIRWAYS:
            chest.trees.paint(canvas)
        paint_stage(canvas, planned, stage, found)
    for index, parts in enumerate(found):
        for mask in parts:
            masks.add(index, start, mask[MARGIN:MARGIN + stop - start])


def paint_stage(canvas: Canvas, planned: Planned, stage: Stage, found: list[list[Bools]]) -> None:
    """The strokes of one stage. Where a finding takes lung away, what was found in that lung before is gone."""
    lung = canvas.lung.copy()
    new: list[tuple[int, Bools]] = []
    for index, one in enumerate(planned.drawn):
        for stroke in one.strokes:
            if stroke.stage == stage:
                mask = stroke.paint(canvas)
                if mask is not None:
                    new.append((index, mask))
    gone = lung - canvas.lung > 0.5
    if gone.any():
        for index, parts in enumerate(found):
            found[index] = [mask & ~gone for mask in parts]
    for index, mask in new:
        found[index].append(mask)


def _with_margin(axes: Axes, start: int, stop: int) -> Axes:
    """The slab with one slice more on both sides, for the blur across slices."""
    step = axes.spacing[0]
    z = axes.z[start:stop]
    more: NDArray[np.float32] = np.concatenate([[z[0] - step], z, [z[-1] + step]]).astype(np.float32)
    return Axes(more, axes.y, axes.x, axes.spacing)
