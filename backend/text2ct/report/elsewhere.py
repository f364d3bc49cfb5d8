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

_NONE = words.bag("none not nil absent negative")
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


def _is_denied_alone(row: Sequence[Token], place: Place) -> bool:
    """"Left nil", and nothing more."""
    follows = [t.word for t in row[place.last + 1:place.last + 4]]
    if follows[:1] == [","]:
        follows = follows[1:]
    return follows[:1] != [] and follows[0] in _NONE - {"not"} and (len(follows) == 1 or follows[1] in _STOPS)


def elsewhere(row: Sequence[Token], clusters: Sequence[Cluster], places: Sequence[Place],
              cues: Sequence[Match[Cue]]) -> list[Elsewhere]:
    """The clauses of that kind in a sentence."""
    found = []
    for place in places:
        begin = place.first - 1
        if begin >= 0 and row[begin].word in words.NEAR_PREPOSITIONS:
            begin -= 1
        lone = _is_denied_alone(row, place)
        before = [n for n, c in enumerate(clusters) if c.last < place.first]
        joint = place.first - (2 if row[place.first - 1].word in words.NEAR_PREPOSITIONS else 1)
        if lone and before and joint > 0 and row[joint].word in _JOINTS:
            end = place.last + (2 if row[place.last + 1].word == "," else 1)
            found.append(Elsewhere(joint + 1, end, before[-1], place, True))
            continue
        if before and place.first and row[place.first - 1].word in _JOINTS and [
                t.word for t in row[place.last + 1:place.last + 2]] == ["one"]:
            end = next((i - 1 for i in range(place.last + 1, len(row)) if _stops(row, i)), len(row) - 1)
            gone = any(c.meaning.group == "no after" and place.first < c.first <= end for c in cues)
            found.append(Elsewhere(place.first, end, before[-1], place, gone))
            continue
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
