"""A report cut into sentences, each with the section it stands in.

Sections that do not describe this CT (history, indication, technique, comparison,
recommendation) are `silent`: no finding is taken from them. Where there are no
headings, everything describes the CT. Case plays no part: a dictated report may
have none, or nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from .words import bag

_SPEAKING = r"findings?|impressions?|conclusions?|opinion|results?|report|summary|ct findings|diagnosis|thorax|chest"
_PREAMBLE = (r"clinical (?:information|history|indication|data|details|question|background)|history|indications?|"
             r"reason for (?:exam(?:ination)?|study|request)|background|clinical|exam(?:ination)?|study|procedure|"
             r"patient|medical history|anamnesis|request")
_ONE_SENTENCE = r"techniques?|protocol|comparisons?|compared with|prior studies|recommendations?|advice|contrast|method"
_NAMES = rf"(?:(?P<speaks>{_SPEAKING})|{_PREAMBLE}|{_ONE_SENTENCE})"
_HEADING = re.compile(rf"(?<![^\s.;,!?*#>-]){_NAMES}[ \t*]*(?::|(?<=\w)[ \t]*\n(?=[ \t]*\S))", re.IGNORECASE)
_ABBREVIATIONS = bag("dr approx ca vs e.g i.e resp fig max diam bilat rt lt incl")
_END = re.compile(r"[.!?]+(?=\s|$|[A-Za-z])|[\n\r]+|•|(?<=\s)\*(?=\s)")
_BULLET = re.compile(r"[\s\-–—•*#>]*(?:\(?\d{1,2}[.)](?!\d)\s*)?[\s\-–—•*#>]*")
_HANGING = bag("the a an of in on at and or with without no is are was were to from for by not measuring")
_PROSE = re.compile(r"[a-z)%][.!?](?:\s|$)", re.IGNORECASE)
_LINE_IS_WRAPPED = 62


@dataclass(frozen=True)
class Sentence:
    """text[start:end]; `part` counts the sections, `silent` ones do not describe this CT."""

    start: int
    end: int
    part: int = 0
    silent: bool = False


def sentences(text: str) -> tuple[Sentence, ...]:
    """The sentences of a report in order; headings are left out."""
    found: list[Sentence] = []
    headings = [h for h in _HEADING.finditer(text) if h.group().endswith(":") or _begins_line(text, h.start())]
    edges = [0, *[h.start() for h in headings], len(text)]
    found += _spoken(text, 0, edges[1], 0)
    for number, heading in enumerate(headings):
        start, end = heading.end(), edges[number + 2]
        if heading["speaks"]:
            found += _spoken(text, start, end, number + 1)
            continue
        until = end if _runs_on(text, headings, number) else _first_stop(text, start, end)
        found.append(Sentence(start, until, number + 1, silent=True))
        found += _spoken(text, until, end, number + 1)
    return tuple(sentence for sentence in found if text[sentence.start:sentence.end].strip())


def _begins_line(text: str, at: int) -> bool:
    return not text[:at].rpartition("\n")[2].strip(" \t*#")


def _runs_on(text: str, headings: list[re.Match[str]], number: int) -> bool:
    """Whether a silent section reaches up to the next heading: only before the findings have begun."""
    begun = any(h["speaks"] for h in headings[:number])
    to_come = any(h["speaks"] for h in headings[number + 1:])
    described = text[:headings[0].start()].strip() if not begun else ""
    return to_come and not begun and not described


def _first_stop(text: str, start: int, end: int) -> int:
    """Where the first sentence, or the line that holds it, is over."""
    return next((stop for _, stop in _pieces(text, start, end)), end)


def _spoken(text: str, start: int, end: int, part: int) -> list[Sentence]:
    return [Sentence(a, b, part) for a, b in _pieces(text, start, end)]


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Stretches between sentence ends; bullets and numbers in front are left out."""
    begin = start
    for stop in _END.finditer(text, start, end):
        if _goes_on(text, begin, stop):
            continue
        bullet = _BULLET.match(text, begin, stop.start())
        first = bullet.end() if bullet else begin
        if text[first:stop.start()].strip():
            yield first, stop.end()
        begin = stop.end()
    bullet = _BULLET.match(text, begin, end)
    first = bullet.end() if bullet else begin
    if text[first:end].strip():
        yield first, end


def _goes_on(text: str, begin: int, stop: re.Match[str]) -> bool:
    """Whether a stop sign does not end the sentence: an abbreviation, a bullet's number, a wrapped line."""
    before = text[begin:stop.start()]
    words = before.split()
    last = words[-1].lower() if words else ""
    if stop.group()[0] == "?" and (not words or (before[-1:].isspace() and text[stop.end():stop.end() + 1].isalnum())):
        return True
    if stop.group()[0] == ".":
        following = text[stop.end():stop.end() + 1]
        if following.isalnum() and (last[-1:].isdigit() or len(last) < 3):
            return True
        numbered = len(words) == 1 and last.isdigit()
        return stop.group() == "." and (numbered or last.strip("(") in _ABBREVIATIONS)
    if stop.group()[0] in "\n\r" and len(stop.group().strip("\r")) < 2 + stop.group().count("\r"):
        return bool(words) and bool(_PROSE.search(text)) and (last in _HANGING or (
            len(before) >= _LINE_IS_WRAPPED and last[-1:] not in ".:;!?" and not _BULLET_LINE.match(text, stop.end())))
    return False


_BULLET_LINE = re.compile(r"\s*(?:[-–—•*#>]|\(?\d{1,2}[.)]\s|no\s)", re.IGNORECASE)
