"""Cut the excerpt of a recorded case that stands in the repository: `python make_excerpt.py CASE TARGET`.

The excerpt keeps what is small: prompts, schedules, small functions, the text tower
(with the words of its texts only), LMNet down to its first transformer, one corner of
the sampler's way, and the samples that became masks (as the count of thresholds that
each voxel passes).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from text2ct.engines.lesiondiffusion.networks import TensorFile
from text2ct.engines.lesiondiffusion.published import THRESHOLDS

TEXTS = ("config.json", "text.json", "prompts_records.json", "prompts_pipeline.json", "volume/type.json")
ARRAYS = ("text.npz", "schedules.npz", "prompts_records.npz", "preprocess.npz")
TOWER = "cond_stage_model.model."
DEEPEST = 5
CORNER = (slice(None), slice(None), slice(4, 9), slice(4, 9), slice(4, 9))


def main(case: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in TEXTS:
        plain = json.loads((case / name).read_text(encoding="utf-8"))
        (target / Path(name).name).write_text(json.dumps(plain, ensure_ascii=False) + "\n", encoding="utf-8")
    for name in ARRAYS:
        with np.load(case / name) as arrays:
            np.savez_compressed(target / name, **{key: arrays[key] for key in arrays if "_half_" not in key})
    file = TensorFile.open(case / "LMNet.safetensors")
    kept = [name for name in file.tensors if name.startswith(TOWER)]
    for n in range(DEEPEST + 1):
        kept += [name for name in file.tensors if name.startswith(f"model_ema.input_blocks{n}")]
    kept += [name for name in file.tensors if name.startswith(("model_ema.time_embed", "model_ema.context_linear"))]
    tensors = {name: one.numpy().astype(np.float16) for name, one in file.read({name: name for name in kept}).items()}
    words = f"{TOWER}transformer.embeddings.word_embeddings.weight"
    used = np.zeros(len(tensors[words]), bool)
    used[np.unique(np.load(target / "text.npz")["ids"])] = True
    tensors[words] = np.where(used[:, None], tensors[words], 0)
    np.savez_compressed(target / "lmnet_part.npz", **tensors)
    _arrays(case, target)


def _arrays(case: Path, target: Path) -> None:
    full = np.load(case / "lmnet.npz")
    kept = {name: full[name] for name in ("x", "cond", "t", "context")}
    kept |= {f"ema_act.{name}": full[f"ema_act.{name}"] for name in (
        "time_embed", "context_linear_projection", f"input_blocks.{DEEPEST}")}
    for name in ("x", "pred_x0", "noise"):
        kept[f"corner.{name}"] = full[f"ddim_eta1.{name}"][CORNER]
    np.savez_compressed(target / "lmnet_part_arrays.npz", **kept)
    pipe = np.load(case / "pipeline.npz")
    own = [name for name in pipe if name.startswith("lm.")]
    masks = {name: pipe[name] for name in own if name.endswith(("_zyx", "n_calls", ".cond"))}
    for name in own:
        if name.endswith(".sample"):
            masks[name] = sum((pipe[name] > limit).astype(np.uint8) for limit in THRESHOLDS)
    np.savez_compressed(target / "masks.npz", **masks)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
