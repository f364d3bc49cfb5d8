"""Which words state something that we have no kind for.

A sentence without a finding is either about normal anatomy, or says something that
must be given back as not understood, so that nothing is dropped in silence. In a
sentence with findings, other words that sound like a disease are given back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from . import words
from .lexicon import Cue, cues
from .phrases import Match
from .tokens import Token

_EMPTY = words.bag("ct chest thorax examination study finding impression seen contrast scan image series thin "
                   "section axial window mediastinal parenchymal follow prior comparison available limited artifact")
_DISEASE = re.compile(r".{3,}(?:oma|itis|osis|ectomy|megaly|pathy|iasis|rrhage|cele|plasia|trophy|tasis|plasm|lith)$")
_DISEASES = words.bag("laceration rupture hematoma stricture dissection invasion tumor cancer malignancy infarct "
                      "infarction perforation hemorrhage injury abscess polyp varix collection gas calculus fistula "
                      "amputation malformation anomaly agenesis torsion obstruction foreign compression destruction")
_NO_ADJECTIVES = (words.PREDICATES | words.JOINERS | words.NEAR_PREPOSITIONS | words.OPENERS | words.EXPLAINS
                  | frozenset(words.SIDES) | words.ENDS_SCOPE | words.bag("without from this that which known"))
_OPINION = frozenset(("history", "advice"))


def says_something(row: Sequence[Token]) -> list[tuple[int, int]]:
    """The stretches of a sentence without a finding that say something, as first and last word."""
    letters = [i for i, t in enumerate(row) if t.word.isalpha() and len(t.word) > 2]
    if not letters or any(row[i].word in words.NORMAL_WORDS for i in letters):
        return []
    if any(c.meaning.group in _OPINION or c.meaning.group.startswith("no") for c in cues(row)):
        return []
    if all(row[i].word in _EMPTY for i in letters):
        return []
    return [(letters[0], letters[-1])]


def diseases(row: Sequence[Token], used: Collection[int]) -> list[tuple[int, int]]:
    """Words that sound like a disease beside the findings of a sentence, unless they are denied there."""
    found = [i for i, t in enumerate(row) if i not in used and (t.word in _DISEASES or _DISEASE.match(t.word))]
    if not found:
        return []
    said = cues(row)
    silent = any(c.meaning.group in _OPINION for c in said)
    return [] if silent else [(_phrase_begins(row, i, used), i) for i in found if not _denied(row, i, said)]


def _phrase_begins(row: Sequence[Token], at: int, used: Collection[int]) -> int:
    """The first word of the noun phrase that ends here: "splenic", of a splenic laceration."""
    begin = at
    while begin > 0 and at - begin < 2 and begin - 1 not in used and row[begin - 1].word.isalpha() and len(
            row[begin - 1].word) > 3 and row[begin - 1].word not in _NO_ADJECTIVES:
        begin -= 1
    return begin


def _denied(row: Sequence[Token], at: int, said: Sequence[Match[Cue]]) -> bool:
    """Whether a denial stands before or after the word with no full break between."""
    def breaks(a: int, b: int) -> bool:
        return any(t.word in words.ENDS_SCOPE for t in row[a:b])

    return any((c.meaning.group == "no before" and c.last < at and not breaks(c.last, at)) or (
        c.meaning.group == "no after" and c.first > at and not breaks(at, c.first)) for c in said)
