"""Draws the pictures of lesions: for each case the CT, the mask's outline, the CT with the lesion, and the difference.

    python docs/make_lesion_pictures.py [--engine lesiondiffusion] [--weights SET] [--real FOLDER] [--only NAME]

Lungs are those of two real CTs of The Cancer Imaging Archive where FOLDER holds them (CPTAC-PDA C3N-00249 and
LIDC-IDRI-0314), else of a phantom; the abdomen is always a phantom. Works with the engine phantom too, which draws
by rules. The files are docs/pictures/lesion-CASE.png.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from text2ct.engines.run import run
from text2ct.formats.files import read_ct, read_labels
from text2ct.geometry import Box
from text2ct.requests import GenerateCT, InsertLesion, Result
from text2ct.resample import resample_labels
from text2ct.volume import CTVolume, LabelVolume, Segment

HERE = Path(__file__).parent / "pictures"
LUNG, SOFT = (-550, 1500), (60, 350)
VIEW_MM = 90.0
C3N = "cptac_pda_C3N-00249_chest_contrast_1p77x3mm"
LIDC = "lidc_idri_0314_chest_1p5mm"
PHANTOM = "phantom"
ATTRIBUTION = {C3N: "CPTAC-PDA C3N-00249, TCIA, CC BY 3.0", LIDC: "LIDC-IDRI-0314, TCIA, CC BY 3.0"}


@dataclass(frozen=True)
class Case:
    """A lesion to show: where (a CT, an organ of it, a depth in it), how large, and its words for each engine."""

    name: str
    title: str
    ct: str
    organ: str
    size_mm: float
    words: Mapping[str, Mapping[str, str]]
    window: tuple[int, int] = LUNG
    seed: int = 1


def _density(rules: str, learned: str, **more: str) -> Mapping[str, Mapping[str, str]]:
    return {"phantom": {"density": rules}, "lesiondiffusion": {"density": learned, **more}}


CASES = (
    Case("solid", "solid nodule", C3N, "left lung", 22, _density("solid", "soft tissue mass")),
    Case("ground-glass", "ground-glass nodule", C3N, "right lung", 28, _density("ground glass", "ground glass")),
    Case("calcified", "calcified nodule", LIDC, "left lung", 16, _density("calcified", "hyperdense", **{
        "CT value": "400 HU"})),
    Case("cavitary", "nodule with a cavity or dark areas", LIDC, "left lung", 30, _density(
        "cavitary", "soft tissue mass", **{"specific features": "darker areas"}), seed=5),
    Case("spiculated", "spiculated nodule", PHANTOM, "lung_upper_lobe_right", 26, {
        "phantom": {"density": "solid", "margin": "spiculated"},
        "lesiondiffusion": {"density": "soft tissue mass", "specific features": "spiculated"}}),
    Case("liver-dark", "hypodense liver lesion", PHANTOM, "liver", 34, _density("hypodense", "hypodense"), SOFT),
    Case("liver-bright", "bright liver lesion", PHANTOM, "liver", 26, _density("hyperdense", "hyperdense"), SOFT, 4),
    Case("kidney-cyst", "fluid-like kidney lesion", PHANTOM, "kidney_left", 24, _density("cystic", "fluid-like"), SOFT))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", default="phantom")
    parser.add_argument("--weights", default="")
    parser.add_argument("--real", type=Path, help="folder with the real CTs")
    parser.add_argument("--only", default="", metavar="NAME", help="only cases whose name holds this")
    parser.add_argument("--to", type=Path, default=HERE, metavar="FOLDER")
    args = parser.parse_args()
    args.to.mkdir(exist_ok=True)
    for case in CASES:
        if args.only in case.name:
            path = args.to / f"lesion-{case.name}.png"
            draw(case, args.engine, args.weights, args.real, path)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


def draw(case: Case, engine: str, weights: str, real: Path | None, path: Path) -> None:
    """One picture."""
    ct, organs, source = _scene(case, real)
    organ = case.organ if case.organ in {s.name for s in organs.segments} else _lung_lobe(case.organ)
    place = _deep_place(organs, organ, case.seed)
    box = Box(place, (case.size_mm,) * 3)
    request = InsertLesion(ct, box, engine=engine, weights=weights, seed=case.seed, organs=organs, organ=organ,
                           attributes=tuple(case.words[engine].items()))
    made = run(request)
    assert made.ct is not None
    columns = _columns(ct, made, box)
    account = made.provenance
    how = f"{engine} {account.weights}, {account.sampler}" if account.weights_sha256 else f"{engine}, by rules"
    _sheet(case, columns, (account.notice, source, how), path)


def _scene(case: Case, real: Path | None) -> tuple[CTVolume, LabelVolume, str]:
    if case.ct == PHANTOM or real is None:
        ct, organs = _phantom()
        return ct, organs, "a phantom"
    ct, labels = _real(real, case.ct)
    return ct, labels, ATTRIBUTION[case.ct]


@cache
def _phantom() -> tuple[CTVolume, LabelVolume]:
    made = run(GenerateCT("Normal chest.", seed=30))
    assert made.ct is not None
    return made.ct, made.labels[0]


@cache
def _real(folder: Path, name: str) -> tuple[CTVolume, LabelVolume]:
    ct = read_ct(folder / f"{name}.nii.gz")
    lungs = resample_labels(read_labels(folder / f"{name}_lungs.nii.gz"), ct.grid)
    segments = (Segment(1, "right lung", (0.5, 0.5, 0.5)), Segment(2, "left lung", (0.5, 0.5, 0.5)))
    return ct, LabelVolume(lungs.voxels, lungs.affine, segments, "organs")


def _lung_lobe(organ: str) -> str:
    return {"left lung": "lung_upper_lobe_left", "right lung": "lung_upper_lobe_right"}.get(organ, organ)


def _deep_place(organs: LabelVolume, organ: str, seed: int) -> tuple[float, float, float]:
    """A place well inside an organ: by chance among the deepest tenth of its voxels."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(organs.mask(organ), organs.spacing)
    deep = np.argwhere(depth >= np.quantile(depth[depth > 0], 0.9))
    a, b, c = organs.grid.to_ras(deep[np.random.default_rng(seed).integers(len(deep))]).tolist()
    return a, b, c


@dataclass(frozen=True, eq=False)
class Columns:
    """The same axial slice before, after, and of the mask, with its extent in mm."""

    before: NDArray[np.int16]
    after: NDArray[np.int16]
    mask: NDArray[np.bool_]
    extent: tuple[float, float, float, float]


def _columns(ct: CTVolume, made: Result, box: Box) -> Columns:
    """The slice with most of the lesion, cut about the box."""
    assert made.ct is not None
    view = Box(box.center, (VIEW_MM, VIEW_MM, VIEW_MM))
    before, after, mask = (volume.reoriented("LPS").fitted(view) for volume in (ct, made.ct, made.labels[-1]))
    k = int((mask.voxels != 0).sum((0, 1)).argmax())
    width, height = (n * s for n, s in zip(before.shape[:2], before.spacing[:2], strict=True))
    return Columns(before.voxels[:, :, k].T, after.voxels[:, :, k].T, mask.voxels[:, :, k].T != 0,
                   (0, width, height, 0))


def _sheet(case: Case, columns: Columns, said: tuple[str, str, str], path: Path) -> None:
    figure = Figure(figsize=(10.0, 3.0), dpi=88, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    level, width = case.window
    grey = {"cmap": "gray", "vmin": level - width / 2, "vmax": level + width / 2}
    change = columns.after.astype(int) - columns.before
    most = max(100, round(float(np.abs(change).max()), -2))
    panels = (("before", columns.before, grey), ("mask", columns.before, grey), ("after", columns.after, grey),
              (f"difference (±{most:g} HU)", change, {"cmap": "RdBu_r", "vmin": -most, "vmax": most}))
    for axis, (name, pixels, look) in zip(figure.subplots(1, 4), panels, strict=True):
        axis.set_axis_off()
        axis.imshow(pixels, extent=columns.extent, interpolation="bilinear", **look)
        axis.set_title(name, color="white", fontsize=9)
        if name == "mask":
            _outline(axis, columns)
        ink = "black" if name.startswith("diff") else "white"
        axis.plot([5, 25], [columns.extent[2] - 5] * 2, color=ink, linewidth=2)
        axis.text(15, columns.extent[2] - 7, "20 mm", color=ink, fontsize=7, ha="center")
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.08, top=0.82, wspace=0.02)
    figure.text(0.008, 0.93, f"SYNTHETIC: {case.title}, {case.size_mm:g} mm box", color="white", fontsize=11)
    figure.text(0.008, 0.02, "  |  ".join(said), color="white", fontsize=7)
    canvas.draw()
    _save(np.asarray(canvas.buffer_rgba())[:, :, :3], said[0], path)


def _outline(axis, columns: Columns) -> None:  # type: ignore[no-untyped-def]
    if columns.mask.any():
        rows, across = columns.mask.shape
        x = (np.arange(across) + 0.5) / across * columns.extent[1]
        y = (np.arange(rows) + 0.5) / rows * columns.extent[2]
        axis.contour(x, y, columns.mask.astype(float), [0.5], colors="#ff8c3a", linewidths=1.2)


def _save(pixels: NDArray[np.uint8], notice: str, path: Path) -> None:
    """A PNG of 256 colours, which is a third of the size and looks the same."""
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Software", "text2ct")
    texts.add_text("Comment", notice)
    held = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).quantize(256, dither=Image.Dither.NONE).save(
        held, "PNG", optimize=True, pnginfo=texts)
    path.write_bytes(held.getvalue())


if __name__ == "__main__":
    main()
