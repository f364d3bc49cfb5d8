"""Draws the pictures of the documents, so that they always show what the program makes now.

    python docs/make_pictures.py [--real FOLDER] [--mini]

Twelve findings in phantoms, or with --mini some of them by the small weights that ship with
the package; and, with a folder of real CTs, the same findings drawn into a real one beside the
untouched scan (CPTAC-PDA C3N-00249 of The Cancer Imaging Archive).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from text2ct.engines.run import run
from text2ct.formats import png
from text2ct.formats.files import read_ct
from text2ct.provenance import SYNTHETIC
from text2ct.requests import GenerateCT
from text2ct.volume import CTVolume, LabelVolume

HERE = Path(__file__).parent / "pictures"
LUNG, SOFT = (-550, 1500), (40, 400)
FINDINGS = (
    ("Normal chest.", LUNG), ("Large right pleural effusion.", SOFT), ("Moderate left pneumothorax.", LUNG),
    ("Consolidation in the right lower lobe.", LUNG), ("Ground glass opacities in both lungs.", LUNG),
    ("Severe emphysema.", LUNG), ("22 mm spiculated nodule in the left upper lobe.", LUNG),
    ("55 mm mass in the right upper lobe.", SOFT), ("Multiple metastases in both lungs.", LUNG),
    ("Severe cardiomegaly.", SOFT), ("Large pericardial effusion.", SOFT),
    ("Bronchiectasis in the right lower lobe.", LUNG))
INTO_REAL = (("Large right pleural effusion.", SOFT), ("Moderate left pneumothorax.", LUNG),
             ("Consolidation in the right lower lobe.", LUNG),
             ("28 mm spiculated nodule in the left upper lobe.", LUNG))
BY_MINI = (*FINDINGS[:6], FINDINGS[7], FINDINGS[9], ("No pleural effusion. No pneumothorax.", LUNG))
Panel = tuple[str, tuple[int, int], CTVolume, tuple[LabelVolume, ...]]
REAL = "cptac_pda_C3N-00249_chest_contrast_1p77x3mm.nii.gz"


def views(ct: CTVolume, marks: tuple[LabelVolume, ...]) -> list[tuple[NDArray[np.int16], float]]:
    """An axial and a coronal slice through the largest mark, each with its aspect."""
    volume = ct.reoriented("LPS")
    at = np.array(volume.shape) * [0.5, 0.45, 0.5]
    if marks and marks[0].voxels.any():
        layer = marks[0].reoriented("LPS").voxels
        values, counts = np.unique(layer[layer > 0], return_counts=True)
        at = np.median(np.argwhere(layer == values[counts.argmax()]), axis=0)
    _, j, k = (int(n) for n in at)
    a, b, c = volume.spacing
    body = np.argwhere(volume.voxels[::4, ::4, ::4] > -150) * 4
    (i0, j0, _), (i1, j1, _) = body.min(0), body.max(0) + 4
    return [(volume.voxels[i0:i1, j0:j1, k].T, b / a), (volume.voxels[i0:i1, j, ::-1].T, c / a)]


def sheet(panels: list[Panel], columns: int, name: str) -> None:
    """Panels of two views each, several to a row, with their reports above."""
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 2.35 * rows), dpi=90, facecolor="black")
    canvas = FigureCanvasAgg(figure)
    boxes = figure.subplots(rows, 2 * columns, squeeze=False)
    for box in boxes.ravel():
        box.set_axis_off()
    for n, (title, (level, width), ct, marks) in enumerate(panels):
        for m, (pixels, aspect) in enumerate(views(ct, marks)):
            box = boxes[n // columns][2 * (n % columns) + m]
            box.imshow(pixels, cmap="gray", vmin=level - width / 2, vmax=level + width / 2, aspect=aspect)
            if m == 0:
                box.set_title(title, color="white", fontsize=8, loc="left")
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.03, top=0.95, wspace=0.02, hspace=0.13)
    figure.text(0.5, 0.005, SYNTHETIC, color="white", fontsize=8, ha="center")
    canvas.draw()
    png.write(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[:, :, :3]), HERE / name,
              {"Software": "text2ct", "Comment": SYNTHETIC})


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the pictures of the documents.")
    parser.add_argument("--real", type=Path, help="folder with the real CT to draw into")
    parser.add_argument("--mini", action="store_true", help="only the sheet of the mini weights (needs PyTorch)")
    options = parser.parse_args()
    real = options.real
    HERE.mkdir(exist_ok=True)
    if options.mini:
        results = [(text, window, run(GenerateCT(text, engine="text2ct", weights="mini", seed=n)))
                   for n, (text, window) in enumerate(BY_MINI)]
        return sheet([(text, window, r.ct, r.labels[1:]) for text, window, r in results if r.ct], 3, "mini.png")
    made = [(text, window, run(GenerateCT(text, seed=30 + n))) for n, (text, window) in enumerate(FINDINGS)]
    sheet([(text, window, r.ct, r.labels[1:]) for text, window, r in made if r.ct], 3, "findings.png")
    if real is not None:
        base = read_ct(real / REAL)
        drawn = [(text, window, run(GenerateCT(text, seed=5, base=base))) for text, window in INTO_REAL]
        panels: list[Panel] = []
        for text, window, r in drawn:
            panels.append((f"the real scan, here for: {text}", window, base, r.labels[1:]))
            panels += [(f"SYNTHETIC: {text}", window, r.ct, r.labels[1:])] if r.ct else []
        sheet(panels, 2, "into-a-real-ct.png")


if __name__ == "__main__":
    main()
