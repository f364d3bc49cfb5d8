"""`text2ct lesion`: a lesion in a box of a given CT, a table of them, or one lesion at several times."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from ..engines import catalog
from ..errors import BadInput
from ..formats.files import format_of, read_ct, read_labels
from ..geometry import Box
from ..lesion import box_around, read_roi
from ..requests import MAX_CANDIDATES, InsertLesion, Result
from ..volume import CTVolume, LabelVolume
from . import lesion_series
from .asking import add_engine_options, add_sampling_options, add_server_options, ask, server_of
from .console import Console
from .outputs import add_output_options, check_output, write_result

_NOWHERE = Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "lesion", parents=[common], help="a lesion in a box of a CT",
        description="Paint a synthetic lesion into a box of a CT. Outside the lesion's surroundings every voxel stays.")
    parser.add_argument("-i", "--input", type=Path, required=True, metavar="CT", help="the CT (NIfTI, NRRD, DICOM)")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--roi", type=Path, metavar="FILE", help="the box as an ROI saved by 3D Slicer (.mrk.json)")
    place.add_argument("--box", type=float, nargs=6, metavar="MM",
                       help="the box as centre and size: R A S in mm, then its three lengths")
    place.add_argument("--table", type=Path, metavar="CSV", help="many lesions in one go: a row each, with the columns "
                       "r,a,s,x,y,z (mm) and, where wanted, organ, text, seed and attributes by name")
    parser.add_argument("--overlapping", choices=("refuse", "merge"), default="refuse",
                        help="what to do with boxes of a table that overlap (default: refuse)")
    parser.add_argument("--attribute", action="append", default=[], metavar="NAME=VALUE",
                        help="such as density=solid; repeat for more (see 'text2ct engines')")
    parser.add_argument("--text", default="", help="free words about the lesion")
    parser.add_argument("--structured", type=Path, metavar="JSON", help="a structured report of LesionDiffusion's "
                        "authors (type.json): the attributes, and the box where none is given")
    parser.add_argument("--organs", type=Path, metavar="FILE", help="organ labels of the CT")
    parser.add_argument("--organ", default="", metavar="NAME", help="the organ that the lesion belongs to")
    parser.add_argument("--mask", type=Path, metavar="FILE", help="the lesion's mask, instead of one made here")
    parser.add_argument("--parts", choices=("both", "mask", "paint"), default="both",
                        help="what to make (default: both)")
    parser.add_argument("--candidates", type=int, default=1, metavar="N",
                        help=f"draw so many masks, up to {MAX_CANDIDATES}, and keep the one of the wanted size")
    parser.add_argument("--mode", choices=("patch", "published"), default="patch",
                        help="patch changes the lesion only; published makes the whole CT anew, as its authors do")
    _add_growth(parser)
    add_engine_options(parser, "lesion")
    add_sampling_options(parser)
    add_server_options(parser)
    add_output_options(parser)
    parser.set_defaults(run=run)


def _add_growth(parser: argparse.ArgumentParser) -> None:
    growth = parser.add_argument_group("growth", "the same lesion at several times, a folder each; day 0 is the lesion "
                                       "as it is drawn or given")
    growth.add_argument("--growth", type=float, metavar="DAYS", help="in which time its volume doubles; -DAYS: halves")
    growth.add_argument("--days", type=float, nargs="+", metavar="DAY", help="at which days, for example 0 90 180")
    growth.add_argument("--limit-ml", type=float, metavar="ML", help="growth slows down towards this volume")


def run(args: argparse.Namespace, console: Console) -> int:
    _check_options(args)
    check_output(args, args.input, args.mask, args.organs, args.table)
    server = server_of(args)
    ct = read_ct(args.input)
    organs, mask = (_on(ct, read_labels(file)) if file else None for file in (args.organs, args.mask))
    stated, place = _structured(args, ct)
    own = tuple(_pair(text) for text in args.attribute)
    attributes = (*(pair for pair in stated if pair[0] not in dict(own)), *own)
    request = InsertLesion(
        ct, _NOWHERE if args.table else _box(args, mask, place), engine=args.engine, weights=args.weights,
        seed=args.seed, preset=args.preset, steps=args.steps, attributes=attributes, text=args.text,
        organs=organs, organ=args.organ, mask=mask, parts=args.parts, candidates=args.candidates, mode=args.mode)

    def asked(one: InsertLesion) -> Result:
        return ask(one, console, args.device, server)

    if args.table:
        lesion_series.from_table(args, request, asked, console)
    elif args.growth is not None:
        lesion_series.growing(args, request, asked, console)
    else:
        write_result(args, request, asked(request), console)
    return 0


def _check_options(args: argparse.Namespace) -> None:
    """Options that do not go together, before anything is read."""
    if args.table and args.mask:
        raise BadInput("--table draws a mask for each row; leave --mask out, or paint the lesions one by one.")
    if (args.growth is None) != (args.days is None):
        raise BadInput("--growth and --days belong together; write for example --growth 120 --days 0 90 180.")
    if args.growth is not None and not (math.isfinite(args.growth) and args.growth):
        raise BadInput(f"A lesion cannot double in {args.growth:g} days; write for example --growth 120, or --growth "
                       "-120 for one that halves.")
    wrong = [day for day in args.days or () if not math.isfinite(day)]
    if wrong or (args.limit_ml is not None and not 0 < args.limit_ml < math.inf):
        raise BadInput(f"{wrong[0] if wrong else args.limit_ml:g} is no "
                       f"{'day' if wrong else 'volume'} that a lesion can have; give a number.")
    if args.limit_ml is not None and args.growth is None:
        raise BadInput("--limit-ml bounds a growth; add --growth and --days.")
    if args.growth is not None and (args.table or args.parts == "mask" or args.mode == "published"):
        raise BadInput("--growth paints one lesion at several times; leave out --table, --parts mask and "
                       "--mode published.")
    if args.dicom and args.parts == "mask" and format_of(args.input) != "dicom":
        raise BadInput("A DICOM SEG refers to a DICOM series; give the CT as one, or make the painted CT too.")
    if args.structured and args.engine != "lesiondiffusion":
        raise BadInput("A structured report is in the words of LesionDiffusion; add --engine lesiondiffusion.")
    samples = bool(catalog.engine(args.engine, "lesion").weight_sets)
    if not samples and (args.candidates != 1 or args.mode != "patch"):
        raise BadInput(f"The engine {args.engine} draws one mask by rules; --candidates and --mode are for engines "
                       "that sample, such as --engine lesiondiffusion.")


def _on(ct: CTVolume, labels: LabelVolume) -> LabelVolume:
    from ..resample import resample_labels

    return resample_labels(labels, ct.grid)


def _structured(args: argparse.Namespace, ct: CTVolume) -> tuple[tuple[tuple[str, str], ...], Box | None]:
    """The attributes and the box of a structured report, where one is given."""
    if args.structured is None:
        return (), None
    from ..engines.lesiondiffusion.report_file import read_structured
    from ..engines.lesiondiffusion.structured import asked_in, box_in, entry_for

    entry = entry_for(read_structured(args.structured), args.organ)
    return asked_in(entry), box_in(entry, ct.grid)


def _box(args: argparse.Namespace, mask: LabelVolume | None, place: Box | None) -> Box:
    if args.roi:
        return read_roi(args.roi)
    if args.box:
        return Box(tuple(args.box[:3]), tuple(args.box[3:]))
    if mask is None and place is not None:
        return place
    if mask is None or not mask.voxels.any():
        raise BadInput("No place was given; use --roi FILE, --box R A S X Y Z, or --mask FILE with a lesion in it.")
    return box_around(mask)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise BadInput(f"'{text}' is no attribute; write NAME=VALUE, for example density=solid.")
    return name.strip(), value.strip()
