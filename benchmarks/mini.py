"""Do the mini weights draw what reports say? Held-out reports become CTs, and the ledger measures them.

    python benchmarks/mini.py --count 200 --workers 2 --write backend/text2ct/engines/text2ct/mini/MODEL_CARD.md
    python benchmarks/mini.py --count 200 --engine phantom       # the same by rules: what can be reached at most
    python benchmarks/mini.py --count 200 --weights-only         # nothing drawn by rule into what the weights made

The reports are written with words and sentences of the grammar that no training saw. Each
CT answers each question (a side, where the finding has sides): does the report state it, and
does the CT show it? "Can't tell" counts as wrong in both rates.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from ledger_calibration import END, SIDED, Row, answered, table, write_table

from text2ct.engines.run import run
from text2ct.report.finding import Finding
from text2ct.report.grammar import random_findings, write_report
from text2ct.report.ledger import measure
from text2ct.requests import GenerateCT

JUDGED = ("pleural_effusion", "consolidation", "pneumothorax", "cardiomegaly", "emphysema", "lung_mass")
DRAWN = (*JUDGED, "lung_opacity", "atelectasis", "pericardial_effusion", "hepatic_steatosis")
START = "<!-- table: made by benchmarks/mini.py -->"
MASSES = "The row of lung_mass is not the weights' doing: masses are drawn by rule into what they made."
_FIRST = 7_000_000


def told(number: int) -> tuple[str, tuple[Finding, ...]]:
    """A held-out report, and what it states."""
    findings = random_findings(np.random.default_rng([_FIRST, number]), DRAWN)
    return write_report(findings, np.random.default_rng([_FIRST, number, 1]), "held-out"), findings


def judge(task: tuple[int, GenerateCT]) -> tuple[list[Row], float, bool]:
    """One report to a CT; every question answered, the seconds that it took, and whether rules drew into it."""
    number, request = task
    _, findings = told(number)
    begun = time.perf_counter()
    result = run(request)
    seconds = time.perf_counter() - begun
    if result.ct is None:
        raise SystemExit(f"Report {number} gave no CT.")
    questions = [Finding(kind, side=side) for kind in JUDGED
                 for side in (("right", "left") if kind in SIDED and kind != "lung_mass" else (None,))]
    by_rule = "drawn by rule" in result.provenance.sampler
    return [answered(entry, findings) for entry in measure(result.ct, questions)], seconds, by_rule


def _has_table(document: Path) -> bool:
    """Whether a document can be read and has both marks of a table."""
    try:
        _, start, rest = document.read_text(encoding="utf-8").partition(START)
    except (OSError, UnicodeDecodeError):
        return False
    return bool(start) and END in rest


def _begin() -> None:
    import torch

    torch.set_num_threads(1)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200, help="how many reports")
    parser.add_argument("--first", type=int, default=0, help="number of the first report")
    parser.add_argument("--engine", default="text2ct")
    parser.add_argument("--weights", default="mini")
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--weights-only", action="store_true", help="draw nothing by rule into what the weights made")
    parser.add_argument("--write", type=Path, help="a document whose table is replaced")
    options = parser.parse_args(argv)
    if options.write and not _has_table(options.write):
        parser.error(f"{options.write} cannot be read or has no table to be replaced; it must hold '{START}' and, "
                     f"below, '{END}'.")
    own = {"weights": options.weights, "preset": options.preset, "by_rule": not options.weights_only} \
        if options.engine == "text2ct" else {"shape": (128, 96, 64), "spacing": (3.0, 3.0, 5.0)}
    tasks = [(number, GenerateCT(report=told(number)[0], engine=options.engine, seed=number, guidance=options.guidance,
                                 steps=options.steps, **own))
             for number in range(options.first, options.first + options.count)]
    rows: list[Row] = []
    times: list[float] = []
    ruled: set[bool] = set()
    with ProcessPoolExecutor(options.workers, multiprocessing.get_context("spawn"), _begin) as pool:
        for done, (found, seconds, by_rule) in enumerate(pool.map(judge, tasks), 1):
            rows.extend(found)
            times.append(seconds)
            ruled.add(by_rule)
            if done % 20 == 0:
                print(f"{done} of {len(tasks)}", file=sys.stderr, flush=True)
    how = ", weights only" if options.weights_only else ""
    lines = [f"{options.count} held-out reports ({options.first} to {options.first + options.count - 1}){how}, "
             f"median {np.median(times):.1f} s a CT with {options.workers} at once:", "", *table(rows)]
    if True in ruled:
        lines += ["", MASSES]
    print("\n".join(lines))
    if options.write:
        write_table(options.write, START, lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
