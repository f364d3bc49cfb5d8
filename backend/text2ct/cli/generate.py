"""`text2ct generate`: a CT from a report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from ..formats.files import read_ct
from ..requests import GenerateCT, Shortcut
from .asking import add_engine_options, add_sampling_options, add_server_options, ask, read_report, server_of
from .console import Console
from .outputs import add_output_options, check_output, write_result


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "generate", parents=[common], help="a CT from a report",
        description="Make a synthetic chest CT that shows what a report says, with labels, ledger and account.")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("-i", "--input", type=Path, metavar="FILE", help="the report as a text file, - for stdin")
    source.add_argument("--report", metavar="TEXT", help="the report itself")
    parser.add_argument("--base", type=Path, metavar="CT", help="draw the findings into this CT, not a new patient")
    parser.add_argument("--shape", type=int, nargs=3, metavar="N", help="voxels along i, j, k (default: the preset's)")
    parser.add_argument("--spacing", type=float, nargs=3, metavar="MM", help="voxel size along i, j, k")
    parser.add_argument("--guidance", type=float, metavar="G", help="how strongly to follow the text, where it applies")
    parser.add_argument("--weights-only", action="store_true",
                        help="draw nothing by rule into what the weights made")
    add_engine_options(parser, "generate")
    add_sampling_options(parser)
    _add_way_options(parser)
    add_server_options(parser)
    add_output_options(parser)
    parser.set_defaults(run=run)


def _add_way_options(parser: argparse.ArgumentParser) -> None:
    """How an engine samples; where nothing is given it is the engine's own choice."""
    way = parser.add_argument_group("sampling", "for engines that sample")
    way.add_argument("--sampler", choices=("published", "exact"), default="",
                     help="the steps and the decoding of the authors, rounding included, or the same steps with true "
                          "lengths, decoded as a whole (default: the steps of the weights, decoded as a whole)")
    way.add_argument("--solver", choices=("euler", "heun", "multistep"), default="", help="how a step is taken")
    way.add_argument("--precision", choices=("float32", "bfloat16"), default="",
                     help="kind of number of the large network (default: the one this machine is fast in)")
    way.add_argument("--lossy", choices=get_args(Shortcut), nargs="+", default=(),
                     help="save time at the cost of the picture; the account says so")
    way.add_argument("--best-of", type=int, default=1, metavar="N",
                     help="begin N seeds and keep the CT that shows most of the report (default: 1)")


def run(args: argparse.Namespace, console: Console) -> int:
    check_output(args, args.base)
    server = server_of(args)
    request = GenerateCT(
        read_report(args.report, args.input), engine=args.engine, weights=args.weights, seed=args.seed,
        preset=args.preset, steps=args.steps, guidance=args.guidance,
        shape=tuple(args.shape) if args.shape else None, spacing=tuple(args.spacing) if args.spacing else None,
        base=read_ct(args.base) if args.base else None, by_rule=not args.weights_only,
        sampler=args.sampler, solver=args.solver, precision=args.precision, lossy=tuple(args.lossy),
        best_of=args.best_of)
    write_result(args, request, ask(request, console, args.device, server), console)
    return 0
