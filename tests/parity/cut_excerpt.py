"""Cuts the stages that fit into the repository out of a recorded Text2CT case.

    python tests/parity/cut_excerpt.py RECORDED_CASE tests/data/parity-text2ct

Kept are the text tower (of its vocabulary only the rows that the case uses), the vision
tower, the time grids and the preparation of a CT. UNet and VAE are too large; for them the
same folder holds answers of MONAI's own classes at a smaller width (record_monai.py).
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "backend"))
VOCABULARY = "model.text_model.embeddings.token_embedding.weight"
UNUSED = ("to_pixels", "to_patch_emb_first_frame")


def cut(case: Path, target: Path) -> None:
    """Write the excerpt."""
    from text2ct.engines.text2ct.weights import mapped
    from text2ct.weights.checkpoint import open_checkpoint

    target.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "reports.json", "scheduler.npz"):
        shutil.copyfile(case / name, target / name)
    text = {key: array for key, array in np.load(case / "text.npz").items() if not key.startswith("random")}
    np.savez_compressed(target / "text.npz", **text)
    prepared = dict(np.load(case / "preprocess.npz"))
    prepared["out_corner"] = prepared["out_corner"][:12, :12, :6]
    del prepared["out_stride16_16_4"]
    np.savez_compressed(target / "preprocess.npz", **prepared)
    seen = dict(np.load(case / "vision.npz"))
    np.savez_compressed(target / "vision.npz", volume=seen["volume"][:1], embedding=seen["embedding"][:1],
                        logit_scale=seen["logit_scale"])
    containers = json.loads((case / "containers.json").read_text())
    name, container = next(item for item in containers.items() if item[0].lower().startswith("clip"))
    held = open_checkpoint(case / container["tensors"])
    tensors = {key: tensor.numpy() for key, tensor in mapped(held, held.tensors).items()
               if not any(word in key for word in UNUSED)}
    used = np.unique(np.concatenate([text[key].ravel() for key in ("input_ids", "input_ids_basic")]))
    rows = np.zeros_like(tensors[VOCABULARY])
    rows[used] = tensors[VOCABULARY][used]
    np.savez_compressed(target / "weights.npz", **{**tensors, VOCABULARY: rows})
    container["tensors"] = "weights.npz"
    (target / "containers.json").write_text(json.dumps({name: container}, indent=1) + "\n")


if __name__ == "__main__":
    cut(Path(sys.argv[1]), Path(sys.argv[2]))
