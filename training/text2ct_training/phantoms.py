"""Endless labelled chest CTs: what the small networks learn from.

Case number `index` is always the same patient with the same findings and the same
report, on any machine and in any shard, so a run can stop and go on where it was. The
held-out split has other patients and words of the grammar that training never sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from text2ct.engines.phantom.drawing import draw
from text2ct.geometry import Grid
from text2ct.report.finding import Finding
from text2ct.report.grammar import DRAWABLE, Split, random_findings, write_report
from text2ct.volume import CTVolume, LabelVolume

_STREAMS = {"train": 0, "held-out": 1}


@dataclass(frozen=True, eq=False)
class PhantomCase:
    """One example: a CT, its exact labels, the report, and the findings that the report states."""

    index: int
    seed: int
    ct: CTVolume
    labels: tuple[LabelVolume, ...]
    report: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class PhantomTap:
    """An endless iterable of cases on one grid with findings of some kinds.

    Shard `shard` of `shards` gives every `shards`-th case.
    """

    grid: Grid
    split: Split = "train"
    seed: int = 0
    shard: int = 0
    shards: int = 1
    start: int = 0
    kinds: tuple[str, ...] = DRAWABLE

    def __post_init__(self) -> None:
        if not 0 <= self.shard < self.shards:
            raise ValueError(f"Shard {self.shard} of {self.shards} does not exist; count from 0.")

    def case(self, index: int) -> PhantomCase:
        """Case number `index`, drawn now."""
        patient, findings, report = self._told(index)
        seed = int(patient.generate_state(1, np.uint64)[0] >> np.uint64(1))
        drawing = draw(findings, seed, self.grid)
        return PhantomCase(index, seed, drawing.ct, drawing.labels, report, drawing.drawn)

    def words(self, index: int) -> tuple[str, tuple[Finding, ...]]:
        """The report of a case and the findings that it states, without drawing them."""
        _, findings, report = self._told(index)
        return report, findings

    def _told(self, index: int) -> tuple[np.random.SeedSequence, tuple[Finding, ...], str]:
        stream = np.random.SeedSequence([self.seed, _STREAMS[self.split], index])
        patient, what, words = stream.spawn(3)
        findings = random_findings(np.random.default_rng(what), self.kinds)
        return patient, findings, write_report(findings, np.random.default_rng(words), self.split)

    def from_case(self, index: int) -> PhantomTap:
        """The same tap, to go on at this case number."""
        return replace(self, start=index)

    def __iter__(self) -> Iterator[PhantomCase]:
        index = self.start + (self.shard - self.start) % self.shards
        while True:
            yield self.case(index)
            index += self.shards
