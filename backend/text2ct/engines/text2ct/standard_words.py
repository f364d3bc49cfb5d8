"""A report said again in a few fixed words, for weights that have seen too little to know how people write.

The rules of `text2ct.report` understand many phrasings, negations and typing errors; a small
text tower would have to learn them all. So small weights read this instead: the findings that
are present, one short sentence each, always in the same order and in the same words. What the
weights cannot draw is left out here and handed back, so that it can be said. What a report
leaves open and every example of the training said (a side, the density of an opacity) is
said here as the phantom draws it: the weights have never heard a sentence without it.

These words are few enough to be tokens themselves: the lexicon of some kinds of finding numbers
them, and its last two numbers mark begin and end, as in the published vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from ...errors import BadRequest
from ...report.finding import Finding, Lobe, Severity, Side
from ...report.vocabulary import KINDS
from ...report.words import LOBE_NAMES

_NORMAL = "normal chest ."
_ONE_SIDED = ("pneumothorax",)  # and right, where no side is stated


def standard_words(findings: Sequence[Finding], kinds: Sequence[str]) -> tuple[str, tuple[Finding, ...]]:
    """What is present of these kinds, in standard words, and the other findings that are present."""
    present = [finding for finding in findings if finding.certainty == "present"]
    sentences = [sentence for kind in kinds
                 for sentence in sorted(_sentence(finding) for finding in present if finding.kind == kind)]
    left = tuple(finding for finding in present if finding.kind not in kinds)
    return " ".join(dict.fromkeys(sentences)) or _NORMAL, left


def _sentence(finding: Finding) -> str:
    kind = KINDS[finding.kind]
    lobes = [LOBE_NAMES[(lobe,)][0] for lobe in finding.lobe]
    usual = kind.densities[0] if len(kind.densities) == 1 else None
    density = finding.density if finding.density in kind.densities else usual
    parts = (finding.severity, density, _side(finding) if kind.sided else finding.side, kind.title.lower(),
             " and ".join(lobes) and f"in {' and '.join(lobes)}")
    return " ".join(part for part in parts if part) + " ."


def _side(finding: Finding) -> Side:
    """The side that a finding states, by itself or by its lobes; else the one that the phantom would take."""
    if finding.side is not None:
        return finding.side
    sides: set[Side] = {"right" if lobe.startswith("R") else "left" for lobe in finding.lobe}
    if len(sides) == 1:
        return sides.pop()
    return "right" if not sides and finding.kind in _ONE_SIDED else "bilateral"


def lexicon(kinds: Sequence[str]) -> tuple[str, ...]:
    """All words that the sentences about these kinds are made of; the first number is kept for padding."""
    rows = [KINDS[kind] for kind in kinds]
    texts = [_NORMAL, "in and", *get_args(Severity), *get_args(Side), *(row.title.lower() for row in rows),
             *(LOBE_NAMES[(lobe,)][0] for lobe in get_args(Lobe)), *(word for row in rows for word in row.densities)]
    return tuple(sorted({word for text in texts for word in text.split()}))


def word_ids(text: str, words: Sequence[str], length: int) -> tuple[int, ...]:
    """Standard words as numbers: begin, the words, end, padded with zeros."""
    numbers = {word: number for number, word in enumerate(words, 1)}
    said = text.split()[:length - 2]
    unknown = next((word for word in said if word not in numbers), None)
    if unknown is not None:
        raise BadRequest(f"The weights do not know the word '{unknown}'; use weights that were trained with it.")
    begin, end = len(words) + 1, len(words) + 2
    ids = (begin, *(numbers[word] for word in said), end)
    return ids + (0,) * (length - len(ids))
