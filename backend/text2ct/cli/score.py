"""`text2ct score`: how well a CT shows what a report says."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..account import ledger_lines
from ..formats.files import read_ct, read_layers
from ..plain import to_plain
from ..requests import ScoreCT
from .asking import add_engine_options, add_server_options, ask, read_report, server_of
from .console import Console


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "score", parents=[common], help="how well a CT shows a report",
        description="Measure a CT finding by finding against a report. For research, not for diagnosis.")
    parser.add_argument("-i", "--input", type=Path, required=True, metavar="CT", help="the CT (NIfTI, NRRD, DICOM)")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("-r", "--report-file", type=Path, metavar="FILE", help="the report as a text file, - for stdin")
    source.add_argument("--report", metavar="TEXT", help="the report itself")
    parser.add_argument("--labels", type=Path, metavar="FILE", help="organ labels of the CT (else they are estimated)")
    add_engine_options(parser, "score")
    add_server_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    from ..resample import resample_labels

    server = server_of(args)
    report = read_report(args.report, args.report_file)
    ct = read_ct(args.input)
    labels = resample_labels(read_layers(args.labels)[0], ct.grid) if args.labels else None
    result = ask(ScoreCT(ct, report, args.engine, args.weights, labels), console, server=server)
    for line in [*result.notes, *ledger_lines(result)]:
        console.line(line)
    if result.score is not None:
        console.line(f"Agreement: {result.score:.0%} of what could be decided.")
    console.data({"score": result.score, "ledger": to_plain(result.ledger),
                  "notes": list(result.notes), "provenance": to_plain(result.provenance)})
    return 0
