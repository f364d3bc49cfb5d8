"""Recipes that take a second: networks of a few hundred numbers on latents and CTs of a few voxels."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from text2ct.formats import nifti
from text2ct.geometry import Grid
from text2ct.volume import CTVolume
from text2ct_training.__main__ import task_of
from text2ct_training.loop import Outcome, train
from text2ct_training.ranks import joined
from text2ct_training.recipe import TextRecipe, UNetRecipe, VAERecipe, checked
from text2ct_training.shards import write_shards

CT_SHAPE, LATENT = (32, 32, 16), (2, 8, 8, 4)
UNET = {"in_channels": 2, "out_channels": 2, "channels": [4, 8], "attention": [False, True], "head_channels": [0, 4],
        "res_blocks": 1, "norm_groups": 2, "context_width": 6, "classes": 2}
VAE = {"latent_channels": 2, "channels": [4, 4], "res_blocks": [1, 1], "norm_groups": 2}
TEXT = {"hidden": 8, "mlp": 16, "heads": 2, "layers": 1, "projection": 6, "length": 48}
VISION = {"width": 8, "codes": 6, "image": 32, "patch": 16, "slab": 8, "spatial_layers": 1, "temporal_layers": 1,
          "head_width": 4, "heads": 2, "projection": 6}
KINDS = {"unet": UNetRecipe, "vae": VAERecipe, "text": TextRecipe}
_REPORTS = ("Large right pleural effusion.", "No pleural effusion. Cardiomegaly.", "Nodule in the left upper lobe.",
            "Severe emphysema of both lungs.", "Normal chest CT.")


def written_latents(folder: Path, count: int = 12) -> Path:
    """Shards whose latents are plain steps along an axis: something a tiny network can learn."""
    rng = np.random.default_rng(0)
    rows = [{"latent": np.broadcast_to(np.linspace(-1, 1, 8, dtype=np.float32)[:, None, None], LATENT)
             * np.float32(1 + 0.1 * (n % 3)), "context": rng.standard_normal((1, 6)).astype(np.float32),
             "spacing": np.array([0.75, 0.75, 3.0], np.float32)} for n in range(count)]
    write_shards(folder, rows, 5)
    return folder


def written_cts(folder: Path, count: int = 5) -> Path:
    """A list of CTs and reports, as the preparation leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for n in range(count):
        hu = np.random.default_rng(n).integers(-1000, 400, CT_SHAPE).astype(np.int16)
        nifti.write(CTVolume(hu, Grid.centred(CT_SHAPE, (3, 3, 5), "RAS").affine), folder / f"{n}.nii.gz")
        lines.append(json.dumps({"image": f"{n}.nii.gz", "report": _REPORTS[n % len(_REPORTS)]}))
    (folder / "list.jsonl").write_text("\n".join(lines))
    return folder / "list.jsonl"


def recipe(task: str, out: Path, data: Path, **run: Any) -> UNetRecipe | VAERecipe | TextRecipe:
    """A tiny recipe of a task; `data` is the folder of shards, or the list of CTs."""
    model = {"unet": UNET, "vae": VAE, "text": TEXT}[task]
    table: dict[str, Any] = {
        "task": task, "out": str(out), "model": model,
        "run": {"steps": 4, "batch": 2, "learning_rate": 1e-3, "clip": 1.0, "average": 0.9, "log_every": 1, **run},
        "data": {"source": "shards", "place": str(data)} if task == "unet" else
                {"source": "files", "place": str(data), "shape": list(CT_SHAPE)}}
    if task == "vae":
        table["loss"] = {"gradient": 0.5, "features": 0.1, "adversarial": 0.1, "critic_width": 2, "adversarial_from": 1}
        table["data"]["crop"] = [16, 16, 0]
    if task == "text":
        table["vision"], table["loss"] = VISION, {"contrast": 1.0, "findings": 0.1}
    return checked(KINDS[task], table, "tiny")  # type: ignore[arg-type]


def run(wanted: UNetRecipe | VAERecipe | TextRecipe, resume: bool = False) -> Outcome:
    torch.set_num_threads(1)
    with joined("cpu") as place:
        return train(task_of(wanted), wanted, place, resume)


def run_as_one_of_two(rank: int, port: int, recipes: list[UNetRecipe | VAERecipe | TextRecipe]) -> None:
    """What torchrun would start, without its start-up time."""
    os.environ.update({"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                       "MASTER_PORT": str(port)})
    torch.set_num_threads(1)
    with joined("cpu") as place:
        for wanted in recipes:
            train(task_of(wanted), wanted, place)


def log(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
