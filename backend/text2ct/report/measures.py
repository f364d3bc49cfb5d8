"""Sizes and numbers in a sentence: 18 mm, 1,8 cm, 5 x 4 x 3 cm, 3-5 mm, two, several.

A size keeps its largest dimension in mm. Sizes that are not those of a finding now
(what it measured before, distances, slice thickness) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .tokens import Token
from .words import bag

_UNITS = {"mm": 1.0, "millimeter": 1.0, "milimeter": 1.0, "cm": 10.0, "centimeter": 10.0}
_NUMBER = re.compile(r"\d+(?:[.,]\d+)?$")
_TIMES = bag("x × * by")
_RANGE = bag("- – — to and or")
_EARLIER = bag("previously prior previous before formerly earlier")
_BESIDE = bag("distance slice section interval collimation reconstruction away")
_AFTER = bag("from slice section distal proximal above below interval thick reconstruction collimation")
_BARE_ALLOWED = bag("measuring diameter size measure")
_LARGEST_MM = 600.0


@dataclass(frozen=True)
class Size:
    """row[first:last + 1] says a size. `below` means that it is only an upper bound.

    `each` are its numbers where they may be those of several findings: "4 and 7 mm".
    """

    first: int
    last: int
    mm: float
    below: bool = False
    each: tuple[float, ...] = ()


def sizes(row: Sequence[Token]) -> list[Size]:
    """The sizes in a sentence, from left to right."""
    found = []
    at = 0
    while at < len(row):
        size = _size_at(row, at)
        if size is None:
            at += 1
            continue
        if _is_current(row, size):
            found.append(size)
        at = size.last + 1
    return found


def _value(token: Token) -> float | None:
    return float(token.word.replace(",", ".")) if _NUMBER.match(token.word) else None


def _size_at(row: Sequence[Token], start: int) -> Size | None:
    """Numbers joined by x, -, to or and, with a unit after each or after the last."""
    values: list[float] = []
    unit, waiting, crossed, last = None, 0, False, start
    at = start
    while at < len(row):
        value = _value(row[at])
        if value is None:
            break
        values.append(value)
        waiting += 1
        last = at
        at += 1
        if at < len(row) and row[at].word in _UNITS:
            unit = _UNITS[row[at].word]
            values[-waiting:] = [v * unit for v in values[-waiting:]]
            waiting, last = 0, at
            at += 1
        if at + 1 < len(row) and _value(row[at + 1]) is not None and row[at].word in _TIMES | _RANGE:
            if unit and row[at].word not in _TIMES and not _has_unit(row, at + 1):
                break
            crossed |= row[at].word in _TIMES
            at += 1
            continue
        break
    bare = crossed or any(t.word in _BARE_ALLOWED for t in row[max(0, start - 2):start])
    if not values or (unit is None and not bare):
        return None
    before = [t.word for t in row[max(0, start - 4):start]]
    grew = before[-1:] == ["from"] and "to" in [t.word for t in row[start:last]]
    mm = values[-1] if grew else max(values)
    below = "<" in before or "less" in before or "smaller" in before or "under" in before or "below" in before
    listed = not crossed and any(t.word in ("and", "or") for t in row[start:last])
    each = tuple(round(v, 2) for v in values) if listed else (round(mm, 2),)
    return Size(start, last, round(mm, 2), below, each) if 0 < mm <= _LARGEST_MM else None


def _has_unit(row: Sequence[Token], at: int) -> bool:
    return at + 1 < len(row) and (row[at + 1].word in _UNITS or row[at + 1].word in _TIMES)


def _is_current(row: Sequence[Token], size: Size) -> bool:
    before = [t.word for t in row[max(0, size.first - 3):size.first]]
    after = [t.word for t in row[size.last + 1:size.last + 4]]
    spans_change = "to" in [t.word for t in row[size.first:size.last]]
    if (_EARLIER & set(before[-2:]) or before[-1:] == ["from"]) and not spans_change:
        return False
    if (after[:1] and after[0] in ("previously", "before")) or after[:2] in (["on", "previous"], ["on", "prior"]):
        return False
    if "component" in after[:2] or before[-1:] == ["component"] or before[-2:-1] == ["component"]:
        return False
    if _BESIDE & set(before):
        return False
    return not (after[:1] and after[0] in _AFTER and after[:2] not in (["thick", "pleural"], ["thick", "walled"]))
