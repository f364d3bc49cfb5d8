"""`text2ct convert`: a CT or labels into another format, its account kept."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..formats.files import holds_labels, read_ct, read_layers, stamp_of, write_ct, write_labels
from ..verify import refuse_changed
from ..volume import Volume
from .console import Console
from .outputs import refuse_existing


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "convert", parents=[common], help="a CT or labels into another format",
        description="Convert between NIfTI, NRRD and DICOM. Voxels and geometry stay; a synthetic file stays marked.")
    parser.add_argument("-i", "--input", type=Path, required=True, metavar="PATH", help="file or DICOM folder")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PATH",
                        help=".nii.gz, .nii, .nrrd, .nhdr, .seg.nrrd (labels), or a folder for DICOM (synthetic CT)")
    parser.add_argument("--labels", action="store_true", help="the input holds labels, not a CT")
    parser.add_argument("--round", action="store_true", help="round fractions to whole HU")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument("--orientation", metavar="CODE", help="turn the axes, for example RAS; nothing is resampled")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    refuse_existing(args.output, args.overwrite, args.input)
    stamp = stamp_of(args.input)
    labels = args.labels or holds_labels(args.input, stamp) or holds_labels(args.output, None)
    volumes: list[Volume] = [*read_layers(args.input)] if labels else [read_ct(args.input, args.round)]
    refuse_changed(args.input, stamp, volumes)
    if args.orientation:
        volumes = [volume.reoriented(args.orientation) for volume in volumes]
    made = stamp.provenance if stamp else None
    if labels:
        write_labels(volumes, args.output, made)  # type: ignore[arg-type]
    else:
        write_ct(volumes[0], args.output, made)  # type: ignore[arg-type]
    marked = f"SYNTHETIC by {made.sentence()}" if made else "no account of text2ct"
    console.line(f"{args.output}: {marked}")
    console.data({"output": str(args.output), "synthetic": made is not None})
    return 0
