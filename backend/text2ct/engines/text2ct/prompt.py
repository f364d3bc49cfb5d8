"""A report as the text tower was trained to read it: "Findings: ... Impression: ..." in one string."""

from __future__ import annotations

import re

_HEADING = re.compile(r"\b(?P<name>findings?|impressions?|conclusions?)[ \t]*:", re.IGNORECASE)
_MISSING = "nan"  # upstream quirk: a missing section was written as this word in training


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
