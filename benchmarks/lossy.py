"""What the lossy shortcuts cost and save with given weights: likeness, seconds, and what the CT still shows.

    python benchmarks/lossy.py --weights mini                  # every shortcut, four reports
    python benchmarks/lossy.py --weights published --device cuda --reports my_reports.txt --preset standard

Each report is made in full and with each set of shortcuts, from the same seed. PSNR is over the
2000 HU that the weights know; "seconds" is the share of the full way's processor time (wall
time on a GPU), decoding included; "shown" is the share of decidable findings that the ledger
agrees with, and "same" the share of findings whose answer is that of the full way. Findings
are not drawn by rule here, for that would hide what the weights lose.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "backend"))
from text2ct.engines.run import Runner
from text2ct.report.ledger import measure, score
from text2ct.report.parser import understand
from text2ct.requests import GenerateCT, Shortcut, Watch

if TYPE_CHECKING:
    from text2ct.report.finding import LedgerEntry
    from text2ct.volume import CTVolume

REPORTS = (
    "Large right pleural effusion. No pneumothorax. Heart size is normal.",
    "Consolidation in the left lower lobe. No pleural effusion.",
    "Severe cardiomegaly. Small bilateral pleural effusions.",
    "Moderate left pneumothorax. No consolidation. No cardiomegaly.",
)
WAYS: tuple[tuple[Shortcut, ...], ...] = (
    (), ("cache",), ("interval",), ("fewer",), ("cache", "interval"), ("cache", "interval", "fewer"))
HU_RANGE = 2000.0


@dataclass(frozen=True)
class Made:
    """One CT, what it took, and what the ledger says of it."""

    ct: CTVolume
    seconds: float
    ledger: tuple[LedgerEntry, ...]
    sampler: str


@dataclass(frozen=True)
class Cost:
    """A set of shortcuts against the full way, over all reports."""

    way: tuple[Shortcut, ...]
    psnr: float
    seconds: float
    share: float
    shown: float | None
    same: float


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--weights", default="", help="weight set of the engine text2ct (default: its own choice)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--preset", default="standard", choices=("draft", "standard", "best"))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=0, help="of the first report; each further one takes the next")
    parser.add_argument("--reports", type=Path, help="a text file, one report a line")
    args = parser.parse_args()
    import torch

    from text2ct.engines.text2ct.engine import Text2CTEngine

    torch.set_num_threads(args.threads)
    reports = REPORTS if args.reports is None else [
        line for line in args.reports.read_text(encoding="utf-8").splitlines() if line.strip()]
    requests = [GenerateCT(report, "text2ct", args.weights, args.seed + i, args.preset, args.steps, by_rule=False)
                for i, report in enumerate(reports)]
    print(f"weights {args.weights or 'default'}, {args.device}, {len(requests)} reports, {time.strftime('%Y-%m-%d')}")
    print(f"{'':<26}{'PSNR dB':>9}{'seconds':>9}{'of full':>9}{'shown':>8}{'same':>7}")
    for cost in costs(Text2CTEngine(), requests, WAYS, args.device):
        shown = "-" if cost.shown is None else f"{cost.shown:.2f}"
        print(f"{' + '.join(cost.way) or 'full':<26}{cost.psnr:>9.1f}{cost.seconds:>9.2f}{cost.share:>9.2f}{shown:>8}"
              f"{cost.same:>7.2f}", flush=True)
    return 0


def costs(engine: Runner, requests: Sequence[GenerateCT], ways: Sequence[tuple[Shortcut, ...]],
          device: str) -> list[Cost]:
    """A line for each way, the first of which is the one that the others are compared with."""
    made(engine, requests[0], ways[0], device)  # loads and warms up
    all_made = [[made(engine, request, way, device) for request in requests] for way in ways]
    return [compared(way, some, all_made[0]) for way, some in zip(ways, all_made, strict=True)]


def made(engine: Runner, request: GenerateCT, way: tuple[Shortcut, ...], device: str) -> Made:
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    start = clock()
    result = engine.run(replace(request, lossy=way), Watch(device=device))
    seconds = clock() - start
    if result.ct is None:
        raise SystemExit("The engine made no CT.")
    entries = measure(result.ct, understand(request.report).findings)
    return Made(result.ct, seconds, entries, result.provenance.sampler)


def compared(way: tuple[Shortcut, ...], some: Sequence[Made], full: Sequence[Made]) -> Cost:
    pairs = list(zip(some, full, strict=True))
    answers = [(one.answer, other.answer) for a, b in pairs for one, other in zip(a.ledger, b.ledger, strict=True)]
    seconds = sum(one.seconds for one in some) / len(some)
    return Cost(way, float(np.mean([psnr(a.ct, b.ct) for a, b in pairs])), seconds,
                seconds * len(full) / sum(one.seconds for one in full), score([e for one in some for e in one.ledger]),
                sum(a == b for a, b in answers) / len(answers) if answers else 1.0)


def psnr(one: CTVolume, other: CTVolume) -> float:
    """Decibels; endless where both are the same."""
    error = float(np.mean((one.voxels.astype(np.float64) - other.voxels) ** 2))
    return 10 * math.log10(HU_RANGE**2 / error) if error else math.inf


if __name__ == "__main__":
    sys.exit(main())
