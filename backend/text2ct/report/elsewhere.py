"""Clauses that speak again of a finding just named, at another place, without naming it.

"Effusion on the right, none on the left"; "consolidation in the left lower lobe, while
that in the right upper lobe has cleared". What such a clause says must neither be lost
nor taken for the first place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import words
from .lexicon import Cue
from .mentions import Cluster
from .phrases import Match
from .places import Place
from .tokens import Token

_NONE = words.bag("none not nil")
_SUCH = words.bag("one that those")
_JOINTS = words.bag(", ; and but while whereas although however")
_STOPS = words.bag(", ; . but while whereas")


@dataclass(frozen=True)
class Elsewhere:
    """row[first:last + 1] says of cluster `number` that it is, or is not, at `place` too."""

    first: int
    last: int
    number: int
    place: Place
    absent: bool

    def holds(self, at: int) -> bool:
        return self.first <= at <= self.last


def _stops(row: Sequence[Token], at: int) -> bool:
    """Whether the clause is over here; a size may follow its comma."""
    return row[at].word in _STOPS and not (at + 1 < len(row) and row[at + 1].word[0].isdigit())


def elsewhere(row: Sequence[Token], clusters: Sequence[Cluster], places: Sequence[Place],
              cues: Sequence[Match[Cue]]) -> list[Elsewhere]:
    """The clauses of that kind in a sentence."""
    found = []
    for place in places:
        begin = place.first - 1
        if begin >= 0 and row[begin].word in words.NEAR_PREPOSITIONS:
            begin -= 1
        named = [n for n, c in enumerate(clusters) if c.last < begin]
        if begin < 1 or row[begin - 1].word not in _JOINTS or not named:
            continue
        last = next((i - 1 for i in range(place.last + 1, len(row)) if _stops(row, i)), len(row) - 1)
        if any(begin < c.first <= last for c in clusters):
            continue
        if row[begin].word in _NONE and last == place.last:
            found.append(Elsewhere(begin, last, named[-1], place, True))
        elif row[begin].word in _SUCH and any(p.last < begin for p in places):
            gone = any(c.meaning.group == "no after" and begin < c.first <= last for c in cues)
            found.append(Elsewhere(begin, last, named[-1], place, gone))
    return found
