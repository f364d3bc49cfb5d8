"""`text2ct info`: what a file holds."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..formats.files import format_of, holds_labels, read_ct, read_layers, stamp_of
from ..geometry import times
from ..volume import LabelVolume, Volume
from .console import Console


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("info", parents=[common], help="what a file holds",
                                 description="Show grid, orientation and values of a CT or label file.")
    parser.add_argument("file", type=Path, metavar="PATH", help="file or DICOM folder")
    parser.add_argument("--labels", action="store_true", help="read it as labels")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    stamp = stamp_of(args.file)
    labels = args.labels or holds_labels(args.file, stamp)
    volumes: list[Volume] = [*read_layers(args.file)] if labels else [read_ct(args.file, round_values=True)]
    facts: dict[str, Any] = {"file": str(args.file), "format": format_of(args.file), **_grid(volumes[0])}
    if labels:
        facts["segments"] = [s.name for v in volumes if isinstance(v, LabelVolume) for s in v.segments]
    else:
        voxels = volumes[0].voxels
        facts |= {"hu_min": int(voxels.min()), "hu_max": int(voxels.max()), "hu_mean": round(float(voxels.mean()), 2)}
    facts["synthetic"] = stamp.provenance.sentence() if stamp else None
    for name, value in facts.items():
        console.line(f"{name:<12} {_say(value)}")
    console.data(facts)
    return 0


def _grid(volume: Volume) -> dict[str, Any]:
    grid = volume.grid
    return {"shape": list(grid.shape), "spacing_mm": [round(s, 6) for s in grid.spacing],
            "orientation": grid.orientation, "affine_ras": grid.affine.tolist()}


def _say(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return "\n             ".join("  ".join(f"{x:10.4f}" for x in row) for row in value)
    if isinstance(value, list):
        return ", ".join(value) if value and isinstance(value[0], str) else times(value)
    return "no account of text2ct" if value is None else str(value)
