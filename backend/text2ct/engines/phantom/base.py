"""Findings drawn into a given CT: its own lungs are found by HU and shape, everything else stays as it is.

The CT is turned to LPS as a view, and its axes are taken for those of the patient
frame. What the strokes of the phantom need to know comes from the lung mask: depth
below the pleura, a hilum, and fissures where they usually run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...report.finding import Finding
from ...report.lungs import segment_lungs
from ...requests import Watch
from ...volume import CTVolume, LabelVolume
from .canvas import Canvas
from .drawing import Drawing, paint_stage
from .findings import Planned, plan_on
from .findings.opacities import Consolidation
from .findings.stroke import Site, Stage
from .frame import Axes, Bools, Field, Floats
from .lung_trees import paint_bronchi
from .lungs import LOBES, SIDES, Lungs, fissures
from .masks import FindingMasks
from .organs import LOBE_NAMES, SEGMENTS, number
from .scan_noise import ScanNoise, measure_noise
from .shapes import stream
from .trees import join

_STEP = 3.0
_SLAB = 24
_NORMAL_LUNGS = np.array([262.0, 185.0, 255.0])
_CONTRAST_HU = 85.0


@dataclass(frozen=True, eq=False)
class Found:
    """The lungs of a CT: 1 right, 2 left on (z, y, x), and the axes of the frame around them."""

    side: NDArray[np.uint8]
    axes: Axes
    span: NDArray[np.float64]


def draw_into(base: CTVolume, findings: Sequence[Finding], seed: int, watch: Watch) -> Drawing:
    """The base CT with the findings that need no other anatomy than the lungs."""
    watch.at("finding the lungs", 0, 1)
    view = base.reoriented("LPS")
    hu = view.voxels.transpose(2, 1, 0)
    present = [f for f in findings if f.certainty == "present"]
    found = find(view)
    if found is None:
        return Drawing(base, None, not_drawn=tuple(present))
    site = site_of(found, hu, seed)
    watch.at("planning the findings", 0, 1)
    planned = plan_on(site, present)
    new = np.array(hu)
    organs = np.zeros(new.shape, np.uint8)
    masks = FindingMasks((new.shape[0], new.shape[1], new.shape[2]), [p.finding for p in planned.drawn])
    noise = measure_noise(hu)
    for start in range(0, len(new), _SLAB):
        watch.at("drawing", start, len(new))
        stop = min(len(new), start + _SLAB)
        canvas = _canvas(found, site, hu, start, stop)
        _paint(canvas, planned, masks, site, start)
        _write(new, hu, canvas.hu, noise, seed, start, stop)
        organs[start:stop] = canvas.labels
    watch.at("drawing", len(new), len(new))
    turned = CTVolume(new.transpose(2, 1, 0), view.affine).reoriented(base.orientation)
    names = {number(name) for name in LOBE_NAMES.values()}
    segments = tuple(s for s in SEGMENTS if s.value in names)
    labels = [LabelVolume(organs.transpose(2, 1, 0), view.affine, segments, "organs"), *masks.layers(view.grid)]
    back = [_like(layer.reoriented(base.orientation), base) for layer in labels]
    return Drawing(CTVolume(np.asarray(turned.voxels), base.affine), back[0], tuple(back[1:]),
                   masks.shown(), planned.not_drawn + masks.missed())


def find(view: CTVolume) -> Found | None:
    """The lungs of a CT that points LPS, or None where there are none."""
    labels = segment_lungs(view).voxels.transpose(2, 1, 0)
    side = _to_the_rim(labels.astype(np.uint8), view.voxels.transpose(2, 1, 0))
    if (side > 0).sum() < 50:
        return None
    plain = Axes.of(view.grid)
    spans = [np.flatnonzero((side > 0).any(tuple(a for a in range(3) if a != axis))) for axis in (2, 1, 0)]
    ends = [(axis[s[0]], axis[s[-1]]) for axis, s in zip((plain.x, plain.y, plain.z), spans, strict=True)]
    origin = [(float(a) + float(b)) / 2 for a, b in ends]
    span = np.array([float(b) - float(a) for a, b in ends])
    return Found(side, Axes.of(view.grid, origin), span)


def _to_the_rim(side: NDArray[np.uint8], hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    """The lungs with the half-filled voxels at their surface, so that nothing dark stays around what is painted."""
    grown: NDArray[np.uint8] = side.copy()
    for _ in range(2):
        wider = ndimage.grey_dilation(grown, footprint=ndimage.generate_binary_structure(3, 1))
        rim = (grown == 0) & (wider > 0) & (hu < -150)
        grown[rim] = wider[rim]
    return grown


def site_of(found: Found, hu: NDArray[np.int16], seed: int) -> Site:
    """What the strokes need to know of a real chest."""
    right, left = (_depth(found, n) for n in (1, 2))
    scale = np.clip(found.span / _NORMAL_LUNGS, 0.3, 1.6)
    axes = right.axes()
    planes = fissures(seed, axes, right.origin, scale)
    lungs = Lungs(right, left, *planes)
    hila = {side: _hilum(lungs, side) for side in SIDES}
    return Site(seed, lungs, hila, _has_contrast(found, hu), None, lungs.lattice_depth > 0)


def _depth(found: Found, label: int) -> Field:
    """Depth below the pleura on a lattice around the lungs."""
    reach = found.span / 2 + 12
    counts = (np.ceil(2 * reach / _STEP)).astype(int) + 1
    points = [(-r + np.arange(n) * _STEP) for r, n in zip(reach, counts, strict=True)]
    index = []
    for axis, at in zip((found.axes.z, found.axes.y, found.axes.x), points[::-1], strict=True):
        step = float(axis[1] - axis[0]) if len(axis) > 1 else 1.0
        index.append(np.rint((at - axis[0]) / step).astype(int))
    ok = [(i >= 0) & (i < n) for i, n in zip(index, found.side.shape, strict=True)]
    picked = found.side[np.ix_(*[np.clip(i, 0, n - 1) for i, n in zip(index, found.side.shape, strict=True)])] == label
    picked &= ok[0][:, None, None] & ok[1][None, :, None] & ok[2][None, None, :]
    outside = ndimage.distance_transform_edt(~picked, _STEP) if picked.any() else np.full(picked.shape, 99.0)
    depth = ndimage.distance_transform_edt(picked, _STEP) - outside
    depth = ndimage.gaussian_filter(np.clip(depth, -20, None), 0.6).astype(np.float32)
    return Field(depth, (-float(reach[0]), -float(reach[1]), -float(reach[2])), _STEP)


def _hilum(lungs: Lungs, side: str) -> NDArray[np.float64]:
    """A point at the medial surface, somewhat above the middle of the lung."""
    points = lungs.points(lungs.of(side).values > 0)
    if not len(points):
        return np.array([-44.0 if side == "right" else 44.0, 10.0, 10.0])
    middle = points.mean(0)
    return np.array([0.55 * middle[0], middle[1] + 8, middle[2] + 8])


def _has_contrast(found: Found, hu: NDArray[np.int16]) -> bool:
    """Whether the blood in the middle of the chest is enhanced."""
    where = found.axes.box((-30, -55, -60), (55, 10, 10))
    if where is None:
        return False
    soft = hu[where][(hu[where] > 0) & (hu[where] < 400)]
    return bool(soft.size > 100 and float(np.median(soft)) > _CONTRAST_HU)


def _canvas(found: Found, site: Site, hu: NDArray[np.int16], start: int, stop: int) -> Canvas:
    axes = found.axes[slice(start, stop), slice(None), slice(None)]
    canvas = Canvas.empty(axes)
    canvas.hu[...] = hu[start:stop]
    side = found.side[start:stop]
    sign = np.where(side > 0, np.float32(1), np.float32(-1))
    right, left = sign * (side == 1), sign * (side == 2)
    canvas.lobes = site.lungs.lobe_numbers(axes, right, left)
    canvas.lung = ndimage.uniform_filter((side > 0).astype(np.float32), (1, 3, 3)) * (side > 0)
    canvas.lung = np.where(canvas.hu < -300, np.maximum(canvas.lung, 0.99 * (side > 0)), canvas.lung)
    numbers = np.array([0, *(number(LOBE_NAMES.get(n, LOBE_NAMES["LUL"])) for n in LOBES)], np.uint8)
    canvas.labels[...] = numbers[canvas.lobes]
    return canvas


def _paint(canvas: Canvas, planned: Planned, masks: FindingMasks, site: Site, start: int) -> None:
    before = canvas.hu.copy()
    found: list[list[Bools]] = [[] for _ in planned.drawn]
    for stage in Stage:
        if stage == Stage.AIRWAYS:
            _bronchograms(canvas, planned, site, before)
        paint_stage(canvas, planned, stage, found)
    for index, parts in enumerate(found):
        for mask in parts:
            masks.add(index, start, mask)


def _bronchograms(canvas: Canvas, planned: Planned, site: Site, before: Floats) -> None:
    """Air in bronchi that a consolidation has filled around."""
    lobes = {lobe for one in planned.drawn for s in one.strokes if isinstance(s, Consolidation)
             for lobe in s.where.lobes}
    trees = [site.bronchi(lobe) for lobe in sorted(lobes)]
    if trees:
        filled = np.clip((canvas.hu - before - 350) / 200, 0, 1).astype(np.float32)
        paint_bronchi(canvas, join(trees), 0.9, 0.6, filled * canvas.lung)


def _write(new: NDArray[np.int16], hu: NDArray[np.int16], painted: Floats, noise: ScanNoise, seed: int, start: int,
           stop: int) -> None:
    """Put the slab back: the scan's noise over new tissue, and the very same bits where nothing was painted."""
    change = painted - hu[start:stop]
    touched = np.abs(change) > 0.5
    if not touched.any():
        return
    weight = np.clip((np.abs(change) - 250) / 350, 0, 1)
    grain = noise.field(stream(seed, f"base noise {start}"), (change.shape[0], change.shape[1], change.shape[2]))
    value = np.clip(np.rint(painted + weight * grain), -1024, 3071)
    new[start:stop][touched] = value[touched].astype(np.int16)


def _like(layer: LabelVolume, base: CTVolume) -> LabelVolume:
    """The layer with exactly the affine of the base, to which it has been turned back."""
    return LabelVolume(layer.voxels, base.affine, layer.segments, layer.title)
