"""What is understood of a report while it is typed: which words, as what, in which colour.

No Qt here; the panel paints the spans and shows the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from slicer.i18n import tr as _

if TYPE_CHECKING:
    from text2ct.report.finding import Finding

PRESENT, ABSENT, UNCERTAIN, UNREAD = "present", "absent", "uncertain", "unread"
LIGHT = {PRESENT: "#2e7d32", ABSENT: "#6b6b6b", UNCERTAIN: "#9a5a00", UNREAD: "#c62828"}
DARK = {PRESENT: "#81c784", ABSENT: "#a8a8a8", UNCERTAIN: "#ffb74d", UNREAD: "#ff8a80"}
_TOKENS_READ = 512  # what the text tower of the published engine reads of a report
_LETTERS_A_TOKEN = 4


@dataclass(frozen=True)
class Mark:
    """A span of the report, what it was taken for, and words that say so."""

    start: int
    end: int
    kind: str
    words: str


@dataclass(frozen=True)
class Reading:
    """A report as understood: its marks in order, and the name of its first present finding."""

    marks: tuple[Mark, ...]
    title: str

    def at(self, position: int) -> str:
        """What is known of the word at a position, for a tooltip."""
        return "; ".join(mark.words for mark in self.marks if mark.start <= position <= mark.end)

    def summary(self, colours: Mapping[str, str] = LIGHT) -> str:
        """One line of rich text for the panel."""
        return ", ".join(f'<span style="color:{colours[mark.kind]}">{escape(mark.words)}</span>' for mark in self.marks)


def read(report: str) -> Reading:
    """Understand a report, in some milliseconds."""
    from text2ct.report.parser import understand

    said = understand(report)
    marks = [Mark(*finding.span, finding.certainty, in_words(finding)) for finding in said.findings]
    marks += [Mark(a, b, UNREAD, _("not understood: {text}").format(text=report[a:b].strip()))
              for a, b in said.not_understood]
    first = next((f for f in said.findings if f.certainty == PRESENT), None)
    return Reading(tuple(sorted(marks, key=lambda mark: (mark.start, mark.end))), name_of(first))


def name_of(finding: Finding | None) -> str:
    """A short name for a result: its first finding, with its lobe or else its side."""
    if finding is None:
        return _("chest CT")
    where = "/".join(finding.lobe) or finding.side
    return " ".join(filter(None, [where, finding.kind.replace("_", " ")]))


def in_words(finding: Finding) -> str:
    """A finding as understood, in a few words."""
    size = f"{finding.size_mm:g} mm" if finding.size_mm else None
    certainty = {ABSENT: _("no"), UNCERTAIN: _("perhaps")}.get(finding.certainty)
    return " ".join(filter(None, [certainty, finding.severity, size, finding.density, finding.margin,
                                  name_of(finding)]))


def unseen(report: str, engine: str, reading: Reading) -> str:
    """What an engine cannot see in this text, in sentences; empty when it sees all."""
    said = []
    changes = [word for word in ("unchanged", "increased", "decreased", "compared", "prior", "previous", "interval")
               if word in report.lower()]
    if changes:
        said.append(_("Comparisons with earlier studies ({words}) cannot be drawn: one CT shows one time.").format(
            words=", ".join(changes)))
    if engine == "text2ct" and len(report) / _LETTERS_A_TOKEN > _TOKENS_READ:
        said.append(_("This engine reads about {count} words; the end of the report is cut off.").format(count=350))
    lost = _overlaps(report, [mark for mark in reading.marks if mark.kind == UNREAD])
    if lost and engine in ("phantom", "ledger"):
        said.append(_("Not drawn, because not understood: {text}.").format(text="; ".join(lost)))
    return " ".join(said)


def _overlaps(report: str, marks: Sequence[Mark]) -> list[str]:
    return [report[mark.start:mark.end].strip() for mark in marks][:3]
