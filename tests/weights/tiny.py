"""A catalog of two tiny engines, so that fetching and converting can be tested with kilobytes.

Run as a program it is the command line on that catalog, for tests that need a process
of their own: huggingface_hub reads its environment when it is imported.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from text2ct.engines import catalog
from text2ct.engines.terms import Engine, WeightFile, WeightSet
from text2ct.weights import manifest

if TYPE_CHECKING:
    import torch

SHAPES = {"net.weight": (64, 300), "net.bias": (64,), "net.steps": ()}
BYTES = 64 * 301 * 4 + 8


def weights_of(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random values for the tiny network."""
    import torch

    made = torch.Generator().manual_seed(seed)
    return {"net.weight": torch.randn(64, 300, generator=made), "net.bias": torch.randn(64, generator=made),
            "net.steps": torch.tensor(7)}


def engines(sha256: str = "") -> dict[str, Engine]:
    one = WeightFile("net", "folder/net.pt", BYTES, "tiny", wrappers=("state",), scalars=("scale", "epoch"),
                     sha256=sha256, optional=("loss.",))
    two = WeightFile("other", "other.ckpt", BYTES, "tiny-other", wrappers=("state_dict",))
    open_set = WeightSet("published", "Tiny weights", "hub", catalog.CC_BY_NC_SA, (one, two), repo="someone/tiny")
    gated = WeightSet("gated", "Gated tiny weights", "hub", catalog.MIT, (one,), repo="someone/gated",
                      repo_type="dataset", gated=True)
    by_hand = WeightSet("published", "Tiny weights by hand", "import", catalog.MIT, (two,), notes="Ask the authors.")
    return {"tiny": Engine("tiny", "Tiny", "", ("generate",), None, catalog.MIT, weight_sets=(open_set, gated)),
            "hand": Engine("hand", "Hand", "", ("lesion",), None, catalog.MIT, weight_sets=(by_hand,))}


def write_manifests(folder: Path) -> None:
    kinds = {"net.weight": "float32", "net.bias": "float32", "net.steps": "int64"}
    for name, file, prefix in (("tiny", "net.pt", ""), ("tiny-other", "other.ckpt", "o.")):
        tensors = {prefix + key: [list(shape), kinds[key]] for key, shape in SHAPES.items()}
        (folder / f"{name}.json").write_text(json.dumps({"file": file, "tensors": tensors}))


def main() -> int:
    import argparse

    from text2ct.cli import weights
    from text2ct.cli.console import Console, common_options
    from text2ct.errors import Text2CTError

    catalog.ENGINES = engines(os.environ.get("TINY_SHA256", ""))
    manifest.FOLDER = Path(os.environ["TINY_MANIFESTS"])
    parser = argparse.ArgumentParser()
    weights.add(parser.add_subparsers(required=True), common_options())
    args = parser.parse_args(["weights", *sys.argv[1:]])
    try:
        return int(args.run(args, Console(args.quiet, args.verbose, args.json, args.progress_as)))
    except Text2CTError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
