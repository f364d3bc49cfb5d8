"""Recipes of the lesion networks that take a second, on shards of balls in a block."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from text2ct.formats import nifti
from text2ct.geometry import Grid
from text2ct.volume import CTVolume, LabelVolume, Segment
from text2ct_training.__main__ import task_of
from text2ct_training.lesion_shards import text_of
from text2ct_training.loop import Outcome, train
from text2ct_training.ranks import joined
from text2ct_training.recipe import LesionVQRecipe, LINetRecipe, LMNetRecipe, checked
from text2ct_training.shards import write_shards

MASK, PAINT = (8, 8, 8), (24, 24, 24)
CROPS = {"mask": list(MASK), "paint": list(PAINT), "spacing": 3.0, "mask_spacing": 2.0}
NET = {"channels": 8, "multiples": [1, 4], "context": 16, "blocks": 1, "head": 16, "groups": 4}
TEXT = {"learned": True, "width": 16, "inner": 16, "layers": 1, "heads": 2, "middle": 16, "places": 48}
VQ = {"channels": 8, "levels": 2, "codes": 32, "groups": 2}
_KINDS = {"lesion-vq": LesionVQRecipe, "lesion-lmnet": LMNetRecipe, "lesion-linet": LINetRecipe}
Recipe = LesionVQRecipe | LMNetRecipe | LINetRecipe


def ball(shape: tuple[int, int, int], radius: float) -> NDArray[np.bool_]:
    axes = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij")
    return np.sqrt(sum(axis**2 for axis in axes)) <= radius


def written_lesions(folder: Path, count: int = 10) -> Path:
    """Shards of balls of two densities."""
    rows = []
    for number in range(count):
        lesion, mask, bright = ball(PAINT, 4 + number % 3), ball(MASK, 3), number % 2
        image = np.where(lesion, 400 if bright else -200, 40).astype(np.int16)
        texts = ["enhanced CT,", "liver", "round-like,", ("high" if bright else "low") + " density lesion,"]
        rows.append({"image": image, "lesion": np.packbits(lesion), "linet": text_of([*texts, "35.0 HU,"]),
                     "mask": np.packbits(mask), "organs": np.full(MASK, 5, np.uint8),
                     "target": np.packbits(np.ones(MASK, bool)), "window": np.array([1, 1, 1, 7, 7, 7], np.int64),
                     "lmnet": text_of(texts[:3])})
    write_shards(folder, rows, 4)
    return folder


def recipe(task: str, out: Path, shards: Path, vq: Path | None = None, **run: Any) -> Recipe:
    table: dict[str, Any] = {
        "task": task, "out": str(out), "crops": CROPS, "data": {"place": str(shards)},
        "run": {"steps": 4, "batch": 2, "learning_rate": 1e-3, "clip": 1.0, "average": 0.9, "log_every": 1, **run}}
    if task == "lesion-vq":
        table |= {"model": VQ, "loss": {"adversarial_from": 1, "critic_width": 2, "revive": 2}}
    else:
        table |= {"model": NET, "text": TEXT, "loss": {"predicts": "data", "box": 8.0}}
    if task == "lesion-linet":
        table |= {"vq": str(vq), "vq_groups": 2}
    return checked(_KINDS[task], table, "tiny")  # type: ignore[arg-type]


def run(wanted: Recipe, resume: bool = False) -> Outcome:
    torch.set_num_threads(1)
    with joined("cpu") as place:
        return train(task_of(wanted), wanted, place, resume)


def written_lists(folder: Path, count: int = 2) -> dict[str, Path]:
    """CTs, labels, reports and organs as files, and their lists."""
    import json

    shape = (20, 18, 16)
    affine = Grid.centred(shape, (1, 1, 1), "LAS").affine
    named: dict[str, list[str]] = {"images": [], "labels": [], "types": [], "organs": []}
    attributes = {"enhancement status": "enhanced CT,", "lesion location": "5", "shape": "round-like,",
                  "size": "[[4 4 4]] pixel,", "density": "low density lesion,", "density variations": "homogeneous,",
                  "CT value": "Mean density of the lesion region is approximately 35 HU,",
                  "surface characteristics": "well-defined margin,",
                  "relationship with adjacent organs": "no close relationship with surrounding organs,",
                  "specific features": ""}
    for number in range(count):
        place = folder / "liver" / "cancer" / f"case{number}"
        place.mkdir(parents=True)
        lesion = ball(shape, 3)
        label = np.where(lesion, 2, 1).astype(np.uint8)
        nifti.write(CTVolume(np.where(lesion, 35, 60).astype(np.int16), affine), place / "image.nii.gz")
        for name, voxels in (("labels", label), ("organs", np.full(shape, 5, np.uint8))):
            segments = tuple(Segment(n, f"label {n}", (1.0, 0.0, 0.0)) for n in range(1, int(voxels.max()) + 1))
            nifti.write(LabelVolume(voxels, affine, segments), place / f"{name}.nii.gz")
            named[name].append(f"liver/cancer/case{number}/{name}.nii.gz")
        (place / "type.json").write_text(json.dumps({"5": ["round-like,", "", attributes, [[], []]]}))
        named["images"].append(f"liver/cancer/case{number}/image.nii.gz")
        named["types"].append(f"liver/cancer/case{number}/type.json")
    lists = {name: folder / f"{name}.txt" for name in named}
    for name, path in lists.items():
        path.write_text("\n".join(named[name]) + "\n")
    return lists
