"""What the text tower is given of a report, and what is left of it for others.

Published weights read the report itself, as they were trained to: "Findings: ... Impression:
..." in one string. Small weights of ours read standard words that our parser makes of it; what
they do not know is left, to be drawn by rule or to be named as not drawn.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...report.finding import Finding
from ...report.parser import understand
from .standard_words import lexicon, standard_words, word_ids
from .tokenizer import tokens

if TYPE_CHECKING:
    from .files import Files

_HEADING = re.compile(r"\b(?P<name>findings?|impressions?|conclusions?)[ \t]*:", re.IGNORECASE)
_MISSING = "nan"  # upstream quirk: a missing section was written as this word in training


@dataclass(frozen=True)
class Prompt:
    """Token numbers, how many of the report's did not fit, and the findings left to rules and to nobody.

    `words` are the standard words, where the weights read these, and `cut` the findings whose words did not fit: the
    order is fixed, whatever the report puts first.
    """

    ids: tuple[int, ...]
    dropped: int = 0
    by_rule: tuple[Finding, ...] = ()
    left: tuple[Finding, ...] = ()
    words: str = ""
    cut: tuple[Finding, ...] = ()


def prompt_of(report: str, files: Files, rules: bool) -> Prompt:
    """The report as these weights want it. Without `rules` nothing is left to them."""
    length = files.sizes.text.length
    if files.words == "report":
        found = tokens(as_trained(report), length)
        return Prompt(found.ids, found.dropped)
    findings = understand(report).findings
    words, left = standard_words(findings, files.kinds)
    ids = word_ids(words, lexicon(files.kinds), length)
    by_rule = tuple(finding for finding in left if rules and finding.kind in files.by_rule)
    rest = tuple(finding for finding in left if finding not in by_rule)
    told = " ".join(words.split()[:length - 2])  # beside the marks of begin and end
    return Prompt(ids, 0, by_rule, rest, told.replace(" .", "."), _cut(findings, files.kinds, told))


def _cut(findings: Sequence[Finding], kinds: Sequence[str], told: str) -> tuple[Finding, ...]:
    """The findings of these kinds whose sentence is not all among the words that were told."""
    def sentences(words: str) -> set[str]:
        return {sentence.strip() for sentence in words.split(".")[:-1]}

    whole = sentences(told)
    return tuple(one for one in findings if one.kind in kinds and one.certainty == "present"
                 and not sentences(standard_words((one,), kinds)[0]) <= whole)


def named(findings: Sequence[Finding]) -> str:
    """Findings by kind and place, for a sentence."""
    said = [" ".join((finding.kind.replace("_", " "), *(finding.lobe or (finding.side or "",)))).strip()
            for finding in findings]
    return "; ".join(dict.fromkeys(said))


def as_trained(report: str) -> str:
    """The sections under their two headings, in the order of training; text without a heading is findings."""
    parts: dict[str, list[str]] = {"Findings": [], "Impression": []}
    marks = list(_HEADING.finditer(report))
    parts["Findings"].append(report[:marks[0].start()] if marks else report)
    ends = [*(mark.start() for mark in marks), len(report)][1:]
    for mark, end in zip(marks, ends, strict=True):
        name = "Findings" if mark["name"].lower().startswith("finding") else "Impression"
        parts[name].append(report[mark.end():end])
    texts = {name: " ".join(" ".join(part.split()) for part in said if part.strip()) for name, said in parts.items()}
    return " ".join(f"{name}: {text or _MISSING}" for name, text in texts.items())
