"""A contact sheet: the CT as a radiologist would leaf through it, on one page.

Axial, coronal and sagittal slices in the lung and the soft-tissue window, in the usual
view (patient's right on the left of the picture), findings outlined, and the word
SYNTHETIC on it. The picture carries the stamp of its CT.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .errors import Unavailable
from .formats import png
from .provenance import STAMP_KEY, Provenance, Stamp
from .volume import CTVolume, LabelVolume

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WINDOWS = (("lung", -550, 1500), ("soft tissue", 40, 400))
_AXIAL = (0.28, 0.45, 0.62)
_COARSE = 4  # voxels; enough to find the body
_Plane = tuple[int, int]  # axis of the LPS array and index along it


def contact_sheet(ct: CTVolume, path: Path, marks: Sequence[LabelVolume] = (), title: str = "",
                  provenance: Provenance | None = None) -> None:
    """Draw the sheet into a PNG; `marks` are outlined, slices go through the largest of them."""
    rgb = render(ct, marks, title or (provenance.sentence() if provenance else "no account"), bool(provenance))
    texts = {"Software": "text2ct"}
    if provenance is not None:
        stamp = replace(Stamp.of(provenance, ct, "picture"), voxels_sha256=png.digest_of(rgb)).sealed()
        texts |= {"Comment": provenance.notice, STAMP_KEY: stamp.to_json()}
    png.write(rgb, path, texts)


def render(ct: CTVolume, marks: Sequence[LabelVolume], title: str, synthetic: bool) -> NDArray[np.uint8]:
    """The sheet as pixels (height, width, 3)."""
    figure = _figure()
    low, high = _body(ct.reoriented("LPS"))
    volume = ct.reoriented("LPS").window(low, high)
    layers = [layer.reoriented("LPS").window(low, high) for layer in marks]
    planes = _planes(volume, layers)
    boxes = figure.subplots(len(WINDOWS), len(planes), squeeze=False)
    for row, (name, level, width) in enumerate(WINDOWS):
        for column, plane in enumerate(planes):
            _draw(boxes[row][column], volume, layers, plane, level, width)
        boxes[row][0].text(2, 2, name, color="white", fontsize=7, va="top")
    warning = "SYNTHETIC - not for diagnosis   " if synthetic else ""
    figure.suptitle(warning + title, fontsize=9, color="white", y=0.985)
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.01, top=0.93, wspace=0.02, hspace=0.03)
    figure.canvas.draw()
    pixels: NDArray[np.uint8] = np.asarray(figure.canvas.buffer_rgba())[:, :, :3]  # type: ignore[attr-defined]
    return np.ascontiguousarray(pixels)


def _body(volume: CTVolume) -> tuple[list[int], list[int]]:
    """The voxel window of everything denser than fat, with a margin; the air around it is not worth the page."""
    coarse = np.argwhere(volume.voxels[::_COARSE, ::_COARSE, ::_COARSE] > -150) * _COARSE
    if not len(coarse):
        return [0, 0, 0], list(volume.shape)
    low, high = coarse.min(0) - 2 * _COARSE, coarse.max(0) + 3 * _COARSE
    return np.maximum(low, 0).tolist(), np.minimum(high, volume.shape).tolist()


def _planes(volume: CTVolume, layers: Sequence[LabelVolume]) -> list[_Plane]:
    """Three axial slices, a coronal and a sagittal one, through the marks where there are any."""
    size = volume.shape
    centers = _centers(layers)
    axial = [(2, min(size[2] - 1, int(f * size[2]))) for f in _AXIAL]
    for _, _, k in centers[:len(axial)]:
        nearest = min(range(len(axial)), key=lambda n: abs(axial[n][1] - k))
        axial[nearest] = (2, k)
    coronal, sagittal = (centers[0][1], centers[min(1, len(centers) - 1)][0]) if centers else (
        int(0.45 * size[1]), int(0.33 * size[0]))
    return [*axial, (1, coronal), (0, sagittal)]


def _centers(layers: Sequence[LabelVolume]) -> list[tuple[int, int, int]]:
    """A voxel in the middle of each mark, the largest mark first."""
    found = []
    for layer in layers:
        for segment in layer.segments:
            inside = np.argwhere(layer.voxels == segment.value)
            if len(inside):
                i, j, k = np.median(inside, axis=0).astype(int).tolist()
                found.append((len(inside), (i, j, k)))
    return [center for _, center in sorted(found, reverse=True)]


def _draw(axes: Any, volume: CTVolume, layers: Sequence[LabelVolume], plane: _Plane, level: int, width: int) -> None:
    axis = plane[0]
    spacing = [s for n, s in enumerate(volume.spacing) if n != axis]
    axes.imshow(_slice(volume.voxels, plane), cmap="gray", vmin=level - width / 2, vmax=level + width / 2,
                aspect=spacing[1] / spacing[0], interpolation="bilinear")
    for layer in layers:
        for segment in layer.segments:
            mask = _slice(layer.voxels, plane) == segment.value
            if mask.any() and not mask.all() and min(mask.shape) > 1:
                axes.contour(mask, levels=[0.5], colors=[segment.color], linewidths=0.7)
    axes.set_axis_off()


def _slice(voxels: NDArray[Any], plane: _Plane) -> NDArray[Any]:
    """One slice of an LPS array as rows and columns of the usual view."""
    axis, index = plane
    flat: NDArray[Any] = np.take(voxels, index, axis=axis).T
    return flat if axis == 2 else flat[::-1]


def _figure() -> Figure:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise Unavailable("Pictures need matplotlib; install it with: pip install 'text2ct[pictures]'.") from error
    figure = Figure(figsize=(15, 6.2), dpi=80, facecolor="black")
    FigureCanvasAgg(figure)
    return figure
