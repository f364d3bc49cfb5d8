"""One mention that states several findings: "nodules in the RUL (5 mm) and LLL (8 mm)".

A size, or a severity, of its own for each place makes a finding of each place.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from . import words
from .attach import Attributes
from .measures import Size
from .mentions import Cluster
from .places import Place
from .tokens import Token

_FAR = 8
_BETWEEN = words.bag(", ; and but while")


def one_by_one(row: Sequence[Token], cluster: Cluster, details: Attributes) -> list[Attributes]:
    """Several findings in one: "nodules in the RUL (5 mm) and LLL (8 mm)"; otherwise what is said, as it is."""
    told = (_respectively(row, cluster, details) or _another(row, cluster, details)
            or _beside(row, cluster, details))
    if told:
        return [replace(details, places=(p,), sizes=(s,), count=None) for p, s in told]
    places = [p for p in details.places if p.first > cluster.last and (p.lobes or len(p.sides) == 1)]
    if len(places) < 2 or len(places) != len(details.sizes) or len(places) != len(details.places):
        return _by_side(cluster, details)
    order = sorted([(p.first, "place") for p in places] + [(s.first, "size") for s in details.sizes])
    if any(here[1] == there[1] for here, there in itertools.pairwise(order)):
        return [details]
    return [replace(details, places=(p,), sizes=(s,), count=None) for p, s in zip(places, details.sizes, strict=True)]


def _by_side(cluster: Cluster, details: Attributes) -> list[Attributes]:
    """Two findings in one: "large right and small left pleural effusion"."""
    behind = _by_side_behind(cluster, details)
    if behind:
        return behind
    sides = [p for p in details.places if p.last < cluster.first and p.sides and not p.lobes]
    severities = [m for m in details.said if m.meaning.group == "severity" and m.last < cluster.first]
    if len(sides) != 2 or sides[0].sides == sides[1].sides or not any(
            sides[0].last < m.first < sides[1].first for m in severities):
        return [details]
    others = tuple(m for m in details.said if m not in severities)
    return [replace(details, places=(place,), said=others + tuple(
        m for m in severities if (m.first < sides[0].first) == (place is sides[0]))) for place in sides]


def _by_side_behind(cluster: Cluster, details: Attributes) -> list[Attributes]:
    """"Bilateral effusions, right large, left small"; nothing when the sentence is not of that form."""
    sides = [p for p in details.places if p.first > cluster.last and len(p.sides) == 1 and not p.lobes]
    degrees = [m for m in details.said if m.meaning.group == "severity" and m.first > cluster.last]
    if len(sides) != 2 or len(degrees) != 2 or sides[0].sides == sides[1].sides:
        return []
    if not all(-2 <= m.first - p.last <= 2 for p, m in zip(sides, degrees, strict=True)):
        return []
    rest = tuple(m for m in details.said if m.meaning.group != "severity")
    return [replace(details, places=(p,), said=(*rest, m)) for p, m in zip(sides, degrees, strict=True)]


def _respectively(row: Sequence[Token], cluster: Cluster, details: Attributes) -> list[tuple[Place, Size]]:
    """"35 and 20 mm on the right and left, respectively"."""
    if not any(t.word in ("respectively", "resp") for t in row[cluster.first:]):
        return []
    every = [part for p in details.places for part in (p.parts or (p,))]
    own = [p for p in every if p.lobes or (p.sides and "bilateral" not in p.sides)]
    measured = [replace(s, mm=mm) for s in details.sizes for mm in s.each]
    if len(own) != len(measured) or len(own) < 2:
        return []
    return list(zip(own, measured, strict=True))


def _another(row: Sequence[Token], cluster: Cluster, details: Attributes) -> list[tuple[Place, Size]]:
    """"A 6 mm nodule in the RLL and another of 4 mm in the LUL"."""
    places = [p for p in details.places if p.first > cluster.last]
    if len(places) != len(details.sizes) or not any(
            t.word in ("another", "second") for p in places[:1] for t in row[p.last + 1:]):
        return []
    return list(zip(places, details.sizes, strict=True)) if len(places) > 1 else []


def _beside(row: Sequence[Token], cluster: Cluster, details: Attributes) -> list[tuple[Place, Size]]:
    """Each size with the place right after it, or each with the one right before it: "35 mm on the right"."""
    measured = [s for s in details.sizes if s.first > cluster.last]
    places = [p for p in details.places if p.lobes or (len(p.sides) == 1 and "bilateral" not in p.sides)]
    for behind in (True, False):
        pairs = [(p, s) for s in measured if (p := _next_to(row, s, places, behind)) is not None]
        different = {(p.sides, p.lobes) for p, _ in pairs}
        if len(pairs) == len(measured) == len(different) > 1:
            return pairs
    return []


def _next_to(row: Sequence[Token], size: Size, places: Sequence[Place], behind: bool) -> Place | None:
    for place in places:
        a, b = (size.last, place.first) if behind else (place.last, size.first)
        if 0 < b - a <= _FAR and not any(t.word in _BETWEEN or t.word.isdigit() for t in row[a + 1:b]):
            return place
    return None
