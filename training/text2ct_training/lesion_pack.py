"""`python -m text2ct_training.lesion_pack LMNET_RECIPE LINET_RECIPE FOLDER`: finished small networks as a weight set.

The folder then holds what the engine wants of one: lmnet.safetensors, linet.safetensors
(with the VQ-GAN inside), vocab.txt, and config.json with what their tensors do not show
and the size and sha256 of each file, as weights that ship with the package want them.
Both networks must have been trained on the same crops and with the same settings, for the
set has one config.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from text2ct.errors import BadInput, Text2CTError
from text2ct.formats.atomic import replacing
from text2ct.plain import to_plain
from text2ct.weights.package import CONFIG, ShippedFile

from .lesion_nets import vocabulary
from .recipe import LINetRecipe, LMNetRecipe, read_recipe

MOST_BYTES = 6_000_000


def packed_set(lmnet: LMNetRecipe, linet: LINetRecipe, folder: Path) -> None:
    """Copy the finished files of two runs into a folder, with their vocabulary and their settings."""
    stated = settings_of(lmnet, linet)
    files = {name: Path(recipe.out) / f"{name}.safetensors" for name, recipe in (("lmnet", lmnet), ("linet", linet))}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise BadInput(f"{missing[0]} is not there yet; finish its run first.")
    listed = [to_plain(_shipped(name, path)) for name, path in files.items()]
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in files.items():
        with replacing(folder / f"{name}.safetensors") as temporary:
            shutil.copyfile(path, temporary)
    with replacing(folder / "vocab.txt") as temporary:
        temporary.write_text("\n".join(vocabulary(lmnet.text.vocabulary)) + "\n", encoding="utf-8")
    with replacing(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps({"settings": stated, "files": listed}, indent=1) + "\n", encoding="utf-8")


def _shipped(name: str, path: Path) -> ShippedFile:
    data = path.read_bytes()
    if len(data) > MOST_BYTES:
        raise BadInput(f"{path} takes {len(data) / 1e6:.1f} MB; at most {MOST_BYTES / 1e6:.0f} MB may ship. Make the "
                       "network smaller.")
    return ShippedFile(name, len(data), hashlib.sha256(data).hexdigest())


def settings_of(lmnet: LMNetRecipe, linet: LINetRecipe) -> dict[str, Any]:
    """What the engine must be told of the two networks (see `networks.Settings`)."""
    pairs = {"crops": (lmnet.crops, linet.crops), "vocabulary": (lmnet.text.vocabulary, linet.text.vocabulary),
             "heads": (lmnet.text.heads, linet.text.heads), "head": (lmnet.model.head, linet.model.head),
             "groups": (lmnet.model.groups, linet.model.groups),
             "predicts": (lmnet.loss.predicts, linet.loss.predicts)}
    unlike = [name for name, (one, other) in pairs.items() if one != other]
    if unlike:
        raise BadInput(f"The recipes of LMNet and LINet differ in {' and '.join(unlike)}; a set has one of each.")
    crops = lmnet.crops
    return {"mask_crop": list(crops.mask), "paint_crop": list(crops.paint), "spacing_mm": crops.spacing,
            "mask_spacing_mm": crops.finest, "head": lmnet.model.head, "groups": lmnet.model.groups,
            "vq_groups": linet.vq_groups, "text_heads": lmnet.text.heads, "predicts": lmnet.loss.predicts,
            "averaged": True, "exact_volume": lmnet.loss.predicts == "data",
            "touched": linet.loss.touched, "exact_hu": linet.loss.predicts == "data"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m text2ct_training.lesion_pack", description=packed_set.__doc__)
    for name in ("lmnet", "linet", "folder"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    try:
        lmnet, linet = read_recipe(args.lmnet), read_recipe(args.linet)
        if not isinstance(lmnet, LMNetRecipe) or not isinstance(linet, LINetRecipe):
            raise BadInput("Give a recipe of the task lesion-lmnet, then one of lesion-linet.")
        packed_set(lmnet, linet, args.folder)
    except Text2CTError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"The weight set is in {args.folder}.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
