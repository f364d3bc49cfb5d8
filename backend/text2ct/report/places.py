"""Where a finding lies, from words: side, lobes, lymph node stations.

A place is a run of words such as "the right upper and left lower lobes" or "lower
lobe of the left lung". Its levels (upper, middle, lower) may lack a side; it comes
then from the rest of the sentence: "Right lung: consolidation in the lower lobe".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from . import words
from .finding import Lobe, Side
from .tokens import Token

_LOBE_NOUNS = frozenset(("lobe", "lobar"))
_LUNG_NOUNS = words.bag("lung hemithorax side apex base hilum hilar zone field chest hemidiaphragm parenchyma")
_INSIDE = words.bag(", and or of in at on & / level part portion section a its") | words.SEGMENT_WORDS
_CORE = frozenset(words.LEVELS) | _LOBE_NOUNS | _LUNG_NOUNS | frozenset(words.LOBE_CODES)


@dataclass(frozen=True)
class Place:
    """A run of words row[first:last + 1] that says where. `open_levels` are levels that lack a side.

    `parts` are the places that an "and" joins in it: the right, and the left.
    """

    first: int
    last: int
    sides: frozenset[Side] = frozenset()
    lobes: frozenset[Lobe] = frozenset()
    open_levels: frozenset[str] = frozenset()
    plural: bool = False
    lung: bool = True
    parts: tuple[Place, ...] = ()


def places(row: Sequence[Token], taken: frozenset[int], text: str) -> list[Place]:
    """The places named in a sentence; words that belong to a finding's own name are `taken`."""
    found = []
    start = 0
    while start < len(row):
        end = _run(row, start, taken)
        if end > start and not _is_touched(row, start) and not _is_well(row, end):
            found.append(_with_parts(row, _read(row, start, end, text), text))
        start = max(end, start + 1)
    return found


def _with_parts(row: Sequence[Token], place: Place, text: str) -> Place:
    edges = [i for i in range(place.first, place.last + 1) if row[i].word in ("and", ",", "&")]
    starts, ends = [place.first, *(i + 1 for i in edges)], [*edges, place.last + 1]
    pieces = [_read(row, a, b, text) for a, b in zip(starts, ends, strict=True) if a < b]
    whole = len(pieces) > 1 and all((p.lobes or p.sides) and not p.open_levels for p in pieces)
    return replace(place, parts=tuple(pieces)) if whole else place


def _is_touched(row: Sequence[Token], start: int) -> bool:
    """"Encasing the left upper lobe bronchus" says what a lesion reaches, not where it is."""
    return start > 0 and row[start - 1].word in words.TOUCHING


def _is_well(row: Sequence[Token], end: int) -> bool:
    """"Left lung clear" is no place of a finding."""
    follows = [t.word for t in row[end:end + 3] if t.word not in ("is", "are")]
    return follows[:1] != [] and follows[0] in words.HEALTHY and row[end - 1].word == "lung" and (
        follows[1:2] == [] or follows[1] in (",", ".", ";", "and"))


def side_of(sides: frozenset[Side], lobes: frozenset[Lobe]) -> Side | None:
    """One side for all that is said."""
    every = sides | sides_of(lobes)
    if not every:
        return None
    return next(iter(every)) if len(every) == 1 else "bilateral"


def sides_of(lobes: frozenset[Lobe]) -> frozenset[Side]:
    return frozenset(words.SIDE_OF[lobe] for lobe in lobes)


def in_order(lobes: frozenset[Lobe]) -> tuple[Lobe, ...]:
    return tuple(lobe for lobe in words.LOBE_ORDER if lobe in lobes)


def _is_side(row: Sequence[Token], at: int) -> bool:
    word = row[at].word
    if word not in words.SIDES:
        return False
    if any(token.word in words.CHAMBERS for token in row[at + 1:at + 2]):
        return False
    if word in ("r", "l"):
        before = at and row[at - 1]
        after = row[at + 1] if at + 1 < len(row) else None
        digit = (before and before.end == row[at].start and before.word.isdigit()) or (
            after is not None and after.start == row[at].end and after.word.isalnum())
        return not digit
    if word == "both":
        return any(token.word in words.SIDE_NOUNS for token in row[at + 1:at + 4])
    if word == "all":
        return any(token.word in ("lobe", "lung") for token in row[at + 1:at + 3])
    return True


def _starts(row: Sequence[Token], at: int, taken: frozenset[int]) -> bool:
    if at in taken:
        return False
    word = row[at].word
    if _is_side(row, at) or word in words.LOBE_CODES or _segment_level(row, at):
        return True
    if word in words.LEVELS:
        return any(token.word in _LOBE_NOUNS for token in row[at + 1:at + 6])
    return False


def _segment_level(row: Sequence[Token], at: int) -> str:
    """The level of a segment's name; an apex alone is no segment."""
    if row[at].word == "apical":
        return "upper" if any(t.word == "segment" for t in row[at + 1:at + 4]) else ""
    return words.SEGMENT_LEVELS.get(row[at].word, "") or _segment_number(row, at)


def _segment_number(row: Sequence[Token], at: int) -> str:
    """The level of a segment given by its number: "S6", "segment 4", "segments 4 and 5"."""
    if not row[at].word.isdigit() or not at:
        return ""
    before = row[at - 1]
    if (before.word == "s" and before.end == row[at].start) or before.word == "segment":
        return words.NUMBERED_SEGMENTS.get(row[at].word, "")
    joined = before.word in ("and", ",", "/", "&", "-", "–") and at > 2
    return words.NUMBERED_SEGMENTS.get(row[at].word, "") if joined and _segment_number(row, at - 2) else ""


def _run(row: Sequence[Token], start: int, taken: frozenset[int]) -> int:
    """The end of the run of place words that starts here; `start` itself when there is none."""
    if not _starts(row, start, taken):
        return start
    end = at = start + 1
    while at < len(row) and at not in taken:
        word = row[at].word
        if _is_side(row, at):
            joined = row[at - 1].word not in words.COMPARED_SIDES and row[at - 1].word in (",", "and", "or", "&", "/")
            if joined and not _has_noun(row, at + 1, taken) and not _closes(row, at + 1, taken):
                break
            end = at + 1
        elif word in _LUNG_NOUNS and row[at - 1].word == ",":
            break
        elif word in _CORE or word in words.SEGMENT_LEVELS or word.rstrip("s") in _LOBE_NOUNS or (
                _segment_number(row, at) or (word in words.COMPARED_SIDES and _is_compared(row, at))):
            end = at + 1
        elif word not in _INSIDE and not (word == "s" and _segment_number(row, min(at + 1, len(row) - 1))):
            break
        elif word in words.SEGMENT_WORDS:
            end = at + 1
        at += 1
    return end


def _is_compared(row: Sequence[Token], at: int) -> bool:
    """"Left greater than right" names both sides."""
    ahead = at
    while ahead < len(row) and row[ahead].word in words.COMPARED_SIDES:
        ahead += 1
    return ahead < len(row) and ahead > at and _is_side(row, ahead) and (
        _is_side(row, at - 1) or row[at - 1].word in words.COMPARED_SIDES)


def _has_noun(row: Sequence[Token], at: int, taken: frozenset[int]) -> bool:
    """Whether a side is followed by what it is the side of."""
    for ahead in range(at, min(at + 3, len(row))):
        if ahead in taken:
            return False
        if row[ahead].word in _CORE or row[ahead].word in words.SEGMENT_LEVELS:
            return True
        if row[ahead].word not in words.SEGMENT_WORDS:
            return False
    return False


def _closes(row: Sequence[Token], at: int, taken: frozenset[int]) -> bool:
    """Whether nothing that the side could describe follows: "on the right and left."."""
    return at >= len(row) or (at not in taken and row[at].word in {",", ".", ";", "and", "but", ")", "is", "are",
          "side"})


def _read(row: Sequence[Token], start: int, end: int, text: str) -> Place:
    sides: set[Side] = set()
    lobes: set[Lobe] = set()
    pending: set[str] = set()
    current: Side | None = None
    plural = False
    at = start
    while at < end:
        word = row[at].word
        if _is_side(row, at):
            current = words.SIDES[word]
            sides.add(current)
            if pending:
                lobes |= _with_side(pending, current)
                pending = set()
        elif word in words.LOBE_CODES:
            lobes.add(words.LOBE_CODES[word])
        elif word in words.LEVELS and _is_level(row, at, end):
            if current and not _side_follows(row, at, end):
                lobes |= _with_side({words.LEVELS[word]}, current)
            else:
                pending.add(words.LEVELS[word])
        elif (level := _segment_level(row, at)) and not any(t.word in _LOBE_NOUNS for t in row[start:end]):
            if level == "left upper":
                lobes.add("LUL")
            elif current and not _side_follows(row, at, end):
                lobes |= _with_side({level}, current)
            else:
                pending.add(level)
        plural |= end < len(row) and row[end].word.startswith("predomina")
        plural |= text[row[at].start:row[at].end].lower() == "lobes"
        at += 1
    if {"LUL", "lingula"} <= lobes and not _lingula_is_apart(row, start, end):
        lobes.discard("LUL")
    foreign = end < len(row) and row[end].word in words.NOT_LUNG_SIDED
    return Place(start, end - 1, frozenset(sides), frozenset(lobes), frozenset(pending), plural, not foreign)


def _lingula_is_apart(row: Sequence[Token], start: int, end: int) -> bool:
    """Whether the lingula is named beside the upper lobe, not as a part of it."""
    lingula = next(i for i in range(start, end) if words.LOBE_CODES.get(row[i].word) == "lingula")
    upper = [i for i in range(start, end) if row[i].word in ("upper", "lul")]
    nearest = min(upper, key=lambda i: abs(i - lingula), default=start)
    return any(t.word in (",", "and", "or", "/", "&") for t in row[min(lingula, nearest):max(lingula, nearest)])


def _is_level(row: Sequence[Token], at: int, end: int) -> bool:
    """Whether upper, middle or lower is said of a lobe."""
    for token in row[at + 1:end]:
        if token.word in _LOBE_NOUNS:
            return True
        if token.word in _LUNG_NOUNS or token.word in words.LOBE_CODES:
            return False
    return False


def _side_follows(row: Sequence[Token], at: int, end: int) -> bool:
    """"lower lobe of the left lung": the side comes after its level."""
    seen_lobe = False
    for ahead in range(at + 1, end):
        word = row[ahead].word
        if word in _LOBE_NOUNS:
            seen_lobe = True
        elif seen_lobe and word in ("of", "in", "on") and ahead + 1 < end:
            return _is_side(row, ahead + 1)
        elif word in (",", "and") or _is_side(row, ahead):
            return False
    return False


def _with_side(levels: set[str], side: Side) -> set[Lobe]:
    if side == "bilateral":
        sides: tuple[Side, ...] = ("right",) if levels == {"middle"} else ("right", "left")
        return {words.LOBE_OF[s, level] for s in sides for level in levels if (s, level) != ("left", "middle")}
    return {words.LOBE_OF[side, level] for level in levels}


def closed(place: Place, side: Side | None) -> Place:
    """The place with its open levels given a side, or both where the plural says so; else they stay open."""
    if not place.open_levels:
        return place
    use: Side | None = side or ("bilateral" if place.plural else None)
    if use is None:
        lobes = place.lobes | _with_side(set(place.open_levels) & {"middle"}, "right")
    else:
        lobes = place.lobes | _with_side(set(place.open_levels), use)
    still_open = frozenset() if use else place.open_levels - {"middle"}
    return replace(place, lobes=frozenset(lobes), open_levels=still_open)
