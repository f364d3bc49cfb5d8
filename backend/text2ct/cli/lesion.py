"""`text2ct lesion`: a lesion in a box of a given CT."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import BadInput
from ..formats.files import read_ct, read_labels
from ..geometry import Box
from ..lesion import box_around, read_roi
from ..requests import InsertLesion
from ..resample import resample_labels
from ..volume import LabelVolume
from .asking import add_engine_options, add_sampling_options, add_server_options, ask, server_of
from .console import Console
from .outputs import add_output_options, check_output, write_result


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "lesion", parents=[common], help="a lesion in a box of a CT",
        description="Paint a synthetic lesion into a box of a CT. Outside the lesion's surroundings every voxel stays.")
    parser.add_argument("-i", "--input", type=Path, required=True, metavar="CT", help="the CT (NIfTI, NRRD, DICOM)")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--roi", type=Path, metavar="FILE", help="the box as an ROI saved by 3D Slicer (.mrk.json)")
    place.add_argument("--box", type=float, nargs=6, metavar="MM",
                       help="the box as centre and size: R A S in mm, then its three lengths")
    parser.add_argument("--attribute", action="append", default=[], metavar="NAME=VALUE",
                        help="such as density=solid; repeat for more (see 'text2ct engines')")
    parser.add_argument("--text", default="", help="free words about the lesion")
    parser.add_argument("--organs", type=Path, metavar="FILE", help="organ labels of the CT")
    parser.add_argument("--organ", default="", metavar="NAME", help="the organ that the lesion belongs to")
    parser.add_argument("--mask", type=Path, metavar="FILE", help="the lesion's mask, instead of one made here")
    parser.add_argument("--parts", choices=("both", "mask", "paint"), default="both",
                        help="what to make (default: both)")
    add_engine_options(parser, "lesion")
    add_sampling_options(parser)
    add_server_options(parser)
    add_output_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    check_output(args, args.input, args.mask, args.organs)
    server = server_of(args)
    ct = read_ct(args.input)
    organs, mask = (resample_labels(read_labels(file), ct.grid) if file else None for file in (args.organs, args.mask))
    box = _box(args, mask)
    request = InsertLesion(
        ct, box, engine=args.engine, weights=args.weights, seed=args.seed, preset=args.preset, steps=args.steps,
        attributes=tuple(_pair(text) for text in args.attribute), text=args.text, organs=organs, organ=args.organ,
        mask=mask, parts=args.parts)
    write_result(args, request, ask(request, console, args.device, server), console)
    return 0


def _box(args: argparse.Namespace, mask: LabelVolume | None) -> Box:
    if args.roi:
        return read_roi(args.roi)
    if args.box:
        return Box(tuple(args.box[:3]), tuple(args.box[3:]))
    if mask is None or not mask.voxels.any():
        raise BadInput("No place was given; use --roi FILE, --box R A S X Y Z, or --mask FILE with a lesion in it.")
    return box_around(mask)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise BadInput(f"'{text}' is no attribute; write NAME=VALUE, for example density=solid.")
    return name.strip(), value.strip()
