"""Finding phrases in a row of words, many at once.

A phrase is written in the small language of `vocabulary`: a|b is a choice, `word?`
may be missing, `~` stands for up to eight words in between, `&` for a second item that
shares a word: "pericardial & effusion" finds "pericardial or pleural effusion". All
phrases are kept in one tree, so that the time to search does not grow with their number.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from .tokens import Token, tokens
from .words import bag

P = TypeVar("P")
GAP = "~"
SHARED = "&"
_LONGEST_GAP = 8
_JOINS = frozenset(("and", "or", "nor", ",", "/"))
_BLOCKS_GAP = bag(", ; . ! ( ) no without with but nor there however although except which none")


class Placed:
    """What was read at certain words of a row, `used`."""

    used: tuple[int, ...]

    @property
    def first(self) -> int:
        return self.used[0]

    @property
    def last(self) -> int:
        return self.used[-1]


@dataclass(frozen=True)
class Match(Placed, Generic[P]):
    """A phrase found: `used` are the places of its words, `skipped` how many words lie in its gap.

    `shared` says that its last word belongs to another item too.
    """

    meaning: P
    used: tuple[int, ...]
    skipped: int
    shared: bool = False


@dataclass
class _Node(Generic[P]):
    next: dict[str, _Node[P]] = field(default_factory=dict)
    meanings: list[P] = field(default_factory=list)


class Phrases(Generic[P]):
    """A set of phrases with their meanings. `closed` words never lie in a gap."""

    def __init__(self, entries: Iterable[tuple[str, P]], closed: Collection[str] = ()) -> None:
        self._root: _Node[P] = _Node()
        self._closed = frozenset(closed) | _BLOCKS_GAP
        for phrase, meaning in entries:
            for spelled in spellings(phrase):
                node = self._root
                for word in spelled:
                    node = node.next.setdefault(word, _Node())
                if meaning not in node.meanings:
                    node.meanings.append(meaning)

    def at(self, row: Sequence[Token], start: int) -> list[Match[P]]:
        """All phrases that begin at row[start]."""
        found: list[Match[P]] = []
        node = self._root.next.get(row[start].word)
        if node is not None:
            self._follow(node, row, Match(None, (start,), 0), found)
        return found

    def longest(self, row: Sequence[Token]) -> list[Match[P]]:
        """The phrases in the row from left to right, the longest at each place, none overlapping."""
        found = []
        start = 0
        while start < len(row):
            here = self.at(row, start)
            if here:
                best = max(here, key=lambda match: (len(match.used), -match.skipped))
                found.append(best)
                start = best.last
            start += 1
        return found

    def _follow(self, node: _Node[P], row: Sequence[Token], so_far: Match[None], found: list[Match[P]]) -> None:
        used, skipped = so_far.used, so_far.skipped
        found.extend(Match(meaning, used, skipped, so_far.shared) for meaning in node.meanings)
        place = used[-1] + 1
        if place < len(row) and row[place].word in node.next:
            self._follow(node.next[row[place].word], row, replace(so_far, used=(*used, place)), found)
        gap = node.next.get(GAP)
        if gap is not None:
            for ahead in range(place, min(place + _LONGEST_GAP + 1, len(row))):
                word = row[ahead].word
                if word in gap.next:
                    so_long = Match(None, (*used, ahead), skipped + ahead - place)
                    self._follow(gap.next[word], row, so_long, found)
                if word in self._closed:
                    break
        other = node.next.get(SHARED)
        if other is not None:
            for ahead in range(place + 1, min(place + 4, len(row))):
                if row[ahead].word in other.next and _is_other_item(row[place:ahead]):
                    self._follow(other.next[row[ahead].word], row, Match(None, (*used, ahead), 0, True), found)


def _is_other_item(row: Sequence[Token]) -> bool:
    """One word, or up to three with a joining word first or last."""
    return (len(row) == 1 and row[0].word not in _JOINS) or (len(row) > 1 and (
        row[0].word in _JOINS or row[-1].word in _JOINS))


def spellings(phrase: str) -> Iterable[tuple[str, ...]]:
    """Every row of words that a phrase stands for."""
    choices: list[list[tuple[str, ...]]] = []
    for part in phrase.split():
        if part in (GAP, SHARED, "?"):
            choices.append([(part,)])
            continue
        options = [_words(option) for option in part.rstrip("?").split("|")]
        choices.append([*options, ()] if part.endswith("?") else options)
    for combination in itertools.product(*choices):
        spelled = tuple(itertools.chain.from_iterable(combination))
        if spelled:
            yield spelled


def words_of(phrases: Iterable[str]) -> frozenset[str]:
    """All words that occur in the phrases."""
    every = {word for phrase in phrases for spelled in spellings(phrase) for word in spelled}
    return frozenset(every - {GAP, SHARED})


def _words(option: str) -> tuple[str, ...]:
    return tuple(token.word for token in tokens(option))
