"""How often the ledger is right: phantoms with random findings, measured, and compared with what was drawn.

    python benchmarks/ledger_calibration.py --count 500 --first 400000 --workers 2 --write docs/ledger.md

Thresholds were chosen on seeds below 100000; evaluate on seeds that nobody has looked at
(docs/ledger.md says which blocks were). With --labels a table of its own is written. Each
phantom answers one question a kind (a side, where the kind has sides): is it there?
"Can't tell" counts as a wrong answer in the rates and is listed beside them. A
question is left out where another finding looks the same by definition: metastases
are nodules.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from text2ct.engines.phantom.drawing import draw
from text2ct.geometry import Grid
from text2ct.report.finding import Finding, LedgerEntry
from text2ct.report.ledger import METERS, measure

GRID = Grid.centred((128, 128, 64), (3.0, 3.0, 5.0))
SIDED = ("pleural_effusion", "pneumothorax", "consolidation", "lung_opacity", "atelectasis", "lung_mass",
         "lung_nodule", "bulla", "cavity", "granuloma")
SAME_LOOK = {"lung_nodule": ("metastases",)}
LOBES = ("RUL", "RML", "RLL", "LUL", "LLL")
SEVERITIES = ("small", "moderate", "large")
STARTS = {False: "<!-- table: made by benchmarks/ledger_calibration.py -->",
          True: "<!-- table with labels: made by benchmarks/ledger_calibration.py --labels -->"}
END = "<!-- end of table -->"
Row = tuple[str, str, bool, bool | None]


def random_findings(seed: int) -> list[Finding]:
    """None to four findings of different kinds."""
    rng = np.random.default_rng([seed, 5])
    weights = np.array([2.5 if kind in SIDED[:3] + ("lung_mass", "lung_nodule", "emphysema", "cardiomegaly") else 1.0
                        for kind in METERS if kind != "lung_cyst"])
    kinds = [kind for kind in METERS if kind != "lung_cyst"]
    count = int(rng.choice(5, p=[0.1, 0.3, 0.3, 0.2, 0.1]))
    chosen = rng.choice(kinds, count, replace=False, p=weights / weights.sum())
    return [random_finding(str(kind), rng) for kind in chosen]


def random_finding(kind: str, rng: np.random.Generator) -> Finding:
    """One finding with a random place and size."""
    values: dict[str, Any] = {"severity": str(rng.choice(SEVERITIES))}
    if kind == "pleural_effusion":
        values["side"] = str(rng.choice(["left", "right", "left", "right", "bilateral"]))
    elif kind in ("pneumothorax", "mediastinal_shift"):
        values["side"] = str(rng.choice(["left", "right"]))
    elif kind in SIDED:
        values["lobe"] = (str(rng.choice(["RUL", "LUL"] if kind == "bulla" else LOBES)),)
    sizes = {"lung_nodule": (10, 29), "lung_mass": (32, 70), "granuloma": (5, 10)}
    if kind in sizes:
        values["size_mm"] = float(round(rng.uniform(*sizes[kind])))
        values["severity"] = None
    return Finding(kind, **values)


def evaluate(task: tuple[int, bool]) -> list[Row]:
    """Draw one phantom, ask every question, and compare: kind, side, drawn, shown."""
    seed, with_labels = task
    drawing = draw(random_findings(seed), seed, GRID)
    questions = [Finding(kind, side=side) for kind in METERS if kind != "lung_cyst"
                 for side in (("right", "left") if kind in SIDED else (None,))]
    entries = measure(drawing.ct, questions, drawing.organs if with_labels else None)
    drawn = {finding.kind for finding in drawing.drawn}
    return [row for row in (answered(entry, drawing.drawn) for entry in entries)
            if row[2] or not drawn & set(SAME_LOOK.get(row[0], ()))]


def answered(entry: LedgerEntry, drawn: Sequence[Finding]) -> Row:
    asked = entry.finding
    truth = any(f.kind == asked.kind and (asked.side is None or asked.side in _sides(f)) for f in drawn)
    shown = {"shown": True, "not shown": False}.get(entry.answer)
    return asked.kind, asked.side or "", truth, shown


def _sides(finding: Finding) -> tuple[str, ...]:
    if finding.lobe:
        return tuple("right" if lobe.startswith("R") else "left" for lobe in finding.lobe)
    return ("left", "right") if finding.side == "bilateral" else (finding.side or "",)


def table(rows: Iterable[Row]) -> list[str]:
    """One line of markdown a kind and side."""
    grouped: dict[tuple[str, str], list[tuple[bool, bool | None]]] = {}
    for kind, side, truth, shown in rows:
        grouped.setdefault((kind, side), []).append((truth, shown))
    lines = ["| finding | side | drawn | not drawn | sensitivity | specificity | can't tell |",
             "|---|---|---|---|---|---|---|"]
    for (kind, side), answers in sorted(grouped.items()):
        there, absent = [s for t, s in answers if t], [s for t, s in answers if not t]
        unsure = sum(s is None for _, s in answers) / len(answers)
        lines.append(f"| {kind} | {side} | {len(there)} | {len(absent)} | {_rate(there, True)} | "
                     f"{_rate(absent, False)} | {unsure:.0%} |")
    return lines


def _rate(answers: Sequence[bool | None], right: bool) -> str:
    return f"{sum(a is right for a in answers) / len(answers):.3f}" if answers else "-"


def write_table(document: Path, start: str, lines: Sequence[str]) -> None:
    """Replace what stands between `start` and the next end mark of a document."""
    text = document.read_text(encoding="utf-8")
    head, _, rest = text.partition(start)
    _, _, tail = rest.partition(END)
    document.write_text("\n".join([head + start, *lines, END + tail]), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="how many phantoms")
    parser.add_argument("--first", type=int, default=400_000, help="the first seed")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--labels", action="store_true", help="give the ledger the organ labels too")
    parser.add_argument("--write", type=Path, help="a document whose table is replaced")
    options = parser.parse_args(argv)
    tasks = [(seed, options.labels) for seed in range(options.first, options.first + options.count)]
    rows: list[Row] = []
    with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done, found in enumerate(pool.map(evaluate, tasks, chunksize=4), 1):
            rows.extend(found)
            if done % 50 == 0:
                print(f"{done} of {len(tasks)}", file=sys.stderr, flush=True)
    mode = "with organ labels" if options.labels else "without labels"
    lines = [f"{options.count} phantoms, seeds {options.first} to {options.first + options.count - 1}, {mode}:", "",
             *table(rows)]
    print("\n".join(lines))
    if options.write:
        write_table(options.write, STARTS[options.labels], lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
