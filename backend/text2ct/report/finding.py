"""The values that stand for what a report says and what a CT was found to show.

A Finding is one statement of a report; a LedgerEntry is the answer of a measurement
to it. Both are plain values so that they travel into sidecar files, over the wire
and into Slicer's table unchanged. The words for kinds live in `vocabulary`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..geometry import Triple

Certainty = Literal["present", "absent", "uncertain"]
Side = Literal["left", "right", "bilateral"]
Lobe = Literal["RUL", "RML", "RLL", "LUL", "lingula", "LLL"]
Severity = Literal["small", "moderate", "large"]
Answer = Literal["shown", "not shown", "can't tell"]


@dataclass(frozen=True)
class Finding:
    """One thing a report says is there, is not there, or may be there."""

    kind: str
    certainty: Certainty = "present"
    side: Side | None = None
    lobe: tuple[Lobe, ...] = ()
    station: str | None = None
    size_mm: float | None = None
    severity: Severity | None = None
    count: int | None = None
    density: str | None = None
    margin: str | None = None
    change: str | None = None
    span: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Understanding:
    """A report as understood: its findings, and the spans that say something we could not read."""

    findings: tuple[Finding, ...]
    not_understood: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class LedgerEntry:
    """What was asked, what the CT shows, and how that was measured.

    `agrees` is None where nothing can be said: an uncertain finding, or no measurement.
    `place` is a RAS point worth looking at.
    """

    finding: Finding
    answer: Answer
    method: str
    agrees: bool | None = None
    value: float | None = None
    unit: str = ""
    place: Triple | None = None
