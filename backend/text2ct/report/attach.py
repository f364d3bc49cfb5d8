"""Which place, size and other words of a sentence belong to which finding.

Between two findings there is a border, usually a comma or an "and"; words before it
belong to the first, words after it to the second. A place named at the head of a
sentence, or behind a list, holds for all findings that have none of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from . import words
from .finding import Side
from .lexicon import Cue
from .measures import Size
from .mentions import Cluster
from .phrases import Match
from .places import Place, closed, sides_of
from .tokens import Token
from .vocabulary import KINDS

_COUNTABLE = words.bag("lung_nodule lung_mass metastases granuloma bulla fracture lymphadenopathy cavity lung_cyst "
                       "consolidation")
_SEVERITY_WORDS = frozenset(p for phrases in words.SEVERITIES.values() for p in phrases) | {"a", "an", "residual"}
_NEW_THOUGHT = words.bag("; but however except apart than although normal natural clear open patent unremarkable")
_MEASURES = words.bag("depth diameter size thickness short long axis maximum length wall margin contour dimension")
_AMOUNTS = words.bag("amount volume area focus degree number patch kind type")
_WITH_IS_PART = {w: frozenset(("with",)) for w in ("compatible", "consistent")}
_CAUSED = {("due", "to"), ("secondary", "to"), ("because", "of"), ("caused", "by"), ("owing", "to")}
_GOES_ON = words.bag("persist persists persisting persistent remain remains still is are now continue continues again")
_NOUN_TAILS = words.bag("linear density change area band appearance focus pattern")
_PLAIN_ADJECTIVES = words.bag("patchy scattered focal diffuse widespread subsegmental linear")
_ADJECTIVES_END = frozenset((":", ";", "show", "contain", "in", "of", "at", "on"))


@dataclass(frozen=True)
class Region:
    """The words around a cluster that are said of it: row[first:last + 1], without its own."""

    first: int
    last: int


@dataclass(frozen=True)
class Attributes:
    """What is said of a cluster besides its kinds."""

    places: tuple[Place, ...] = ()
    sizes: tuple[Size, ...] = ()
    said: tuple[Match[Cue], ...] = ()
    count: int | None = None

    def value(self, group: str, cluster: Cluster) -> str | None:
        """The value of an attribute: from the name itself, then the nearest before it, then the first after."""
        mine = [m for m in self.said if m.meaning.group == group]
        inside = [m for m in mine if m.first >= cluster.first and m.last <= cluster.last]
        before = [m for m in mine if m.last < cluster.first]
        after = [m for m in mine if m.first > cluster.last]
        chosen = inside[-1:] or before[-1:] or after[:1]
        return (chosen[0].meaning.value or None) if chosen else None


def regions(row: Sequence[Token], clusters: Sequence[Cluster], places: Sequence[Place], sizes: Sequence[Size],
            starts: frozenset[int]) -> list[Region]:
    """The stretch of words of each cluster; `starts` are words that begin something new (severity, denial)."""
    borders = [-1]
    for here, there in itertools.pairwise(clusters):
        borders.append(_border(row, here, there, places, sizes, starts))
    borders.append(len(row) - 1)
    found = []
    for number, cluster in enumerate(clusters):
        first = _head(row, borders[number] + 1, cluster.first)
        found.append(Region(first, _tail(row, cluster.last, borders[number + 1])))
    return found


def _border(row: Sequence[Token], here: Cluster, there: Cluster, places: Sequence[Place], sizes: Sequence[Size],
            starts: frozenset[int]) -> int:
    """The last word that belongs to the first of two clusters."""
    a, b = here.last + 1, there.first
    blocks: list[Place | Size] = [p for p in places if a <= p.first < b]
    blocks += [s for s in sizes if a <= s.first < b]
    inside = {i for x in blocks for i in range(x.first, x.last + 1)}
    for cause in range(a, b - 1):
        if (row[cause].word, row[cause + 1].word) in _CAUSED:
            return cause - 1
    joints = [i for i in range(a, b) if i not in inside and (
        row[i].word in words.JOINERS or row[i].word in words.ENDS_SCOPE)]
    for joint in joints:
        if joint == a and row[joint].word == ":" and joints[1:]:
            continue
        after = row[joint + 1].word if joint + 1 < len(row) else ""
        if row[joint].word == "with" and any(t.word in _MEASURES for t in row[joint + 1:joint + 4]):
            continue
        if row[joint].word in words.ENDS_SCOPE or after in words.OPENERS or joint + 1 in starts:
            return joint - 1
    if joints:
        return joints[-1] - 1
    border = a - 1
    for block in sorted(blocks, key=lambda x: x.first):
        before = row[block.first - 1].word
        code = isinstance(block, Place) and row[block.first].word in words.LOBE_CODES
        own = block.first == a and not _leads(row, block, there)
        if before in words.NEAR_PREPOSITIONS or code or own or (isinstance(block, Size) and _sized(here)):
            border = block.last
    return border


def _leads(row: Sequence[Token], block: Place | Size, there: Cluster) -> bool:
    """Whether a side stands right before the next finding: "effusion left atelectasis" leaves it to the second."""
    return isinstance(block, Place) and block.last + 1 == there.first


def _sized(cluster: Cluster) -> bool:
    return any(KINDS[m.kind].sized for m in cluster.mentions)


def _head(row: Sequence[Token], first: int, until: int) -> int:
    """Where the words before a cluster begin: after the last full break."""
    for at in range(until - 1, first - 1, -1):
        if row[at].word in _NEW_THOUGHT and not (row[at].word == "than" and row[at - 1].word in words.COMPARED_SIDES):
            return at + 1
    return first


def _tail(row: Sequence[Token], last: int, until: int) -> int:
    for at in range(last + 1, until + 1):
        if row[at].word in (";", "but", "however", "although", "while", "whereas", "except", "without"):
            if row[at].word == "but" and at < until and row[at + 1].word in _GOES_ON:
                continue
            return at - 1
    return until


def attributes(row: Sequence[Token], cluster: Cluster, region: Region, places: Sequence[Place],
               sizes: Sequence[Size], said: Sequence[Match[Cue]]) -> Attributes:
    """What stands in the region of a cluster."""
    def within(x: Place | Size) -> bool:
        return region.first <= x.first and x.last <= region.last

    adjectives = _adjectives_from(row, cluster, region)
    mine = [m for m in said if region.first <= m.first <= region.last and (
        m.meaning.group in ("change", "density", "margin") or m.first >= adjectives) and _fits(row, m, cluster)]
    after = [s for s in sizes if within(s) and s.first > cluster.last]
    before = [s for s in sizes if within(s) and s.first <= cluster.last]
    if any(t.word in ("another", "second") for t in row[cluster.last + 1:region.last + 1]):
        after = before + after
    return Attributes(tuple(p for p in places if within(p)), tuple(after or before), tuple(mine),
                      _count(row, cluster, adjectives))


def _adjectives_from(row: Sequence[Token], cluster: Cluster, region: Region) -> int:
    """Where the adjectives before a cluster begin."""
    for at in range(cluster.first - 1, region.first - 1, -1):
        if row[at].word in _ADJECTIVES_END and row[at - 1].word not in _AMOUNTS:
            return at + 1
    return region.first


def _fits(row: Sequence[Token], match: Match[Cue], cluster: Cluster) -> bool:
    """Whether an attribute is not that of some other word: small airways, increased density."""
    follows = row[match.last + 1].word if match.last + 1 < len(row) else ""
    if match.meaning.group == "severity":
        return follows not in words.NOT_A_SEVERITY_OF
    if match.meaning.group == "change":
        return not set(match.used) & cluster.used and not (
            len(match.used) == 1 and follows in ("density", "attenuation", "heart", "size", "diameter"))
    return True


def _count(row: Sequence[Token], cluster: Cluster, first: int) -> int | None:
    if not any(m.kind in _COUNTABLE for m in cluster.mentions):
        return None
    for at in range(cluster.first - 1, max(first, cluster.first - 5) - 1, -1):
        word = row[at].word
        if word in (",", "and", "or", ".", "no"):
            return None
        if word in words.COUNTS:
            return words.COUNTS[word]
        if word.isdigit() and 0 < int(word) < 100 and at + 1 < len(row) and row[at + 1].word not in ("mm", "cm", "x"):
            return int(word)
    return None


def with_inherited(row: Sequence[Token], clusters: Sequence[Cluster], own: Sequence[Attributes],
                   places: Sequence[Place], absent: Collection[int]) -> list[Attributes]:
    """Places that hold for several findings, given to those that have none of their own."""
    leading = _leading(row, clusters[0], places) if clusters else None
    side: Side | None = next(iter(leading.sides)) if leading and len(leading.sides) == 1 else None
    found = [replace(a, places=tuple(closed(p, _own_side(a.places) or side) for p in a.places)) for a in own]
    for number in range(len(found) - 2, -1, -1):
        here, there = clusters[number], clusters[number + 1]
        listed = (number in absent) == (number + 1 in absent) and _one_list(row, here, there)
        if not found[number].places and (listed or _holds_with(row, here, there)):
            behind = [p for p in found[number + 1].places if p.first > clusters[number + 1].last]
            found[number] = replace(found[number], places=tuple(behind))
        elif not found[number].places and [t.word for t in row[here.last + 1:there.first]] == ["rather", "than"]:
            found[number] = replace(found[number], places=found[number + 1].places)
        elif _is_one_thing(row, here, there):
            found[number] = _completed(found[number], found[number + 1], there)
    found = [replace(a, places=tuple(closed(p, _near_side(row, clusters, found[:n], p)) for p in a.places))
             for n, a in enumerate(found)]
    explained: set[int] = set()
    for number in range(1, len(found)):
        if found[number].places:
            continue
        between = [t.word for t in row[clusters[number - 1].last + 1:clusters[number].first]]
        if between in (["/"], ["or"]) or (set(between) | {row[clusters[number].first].word}) & words.RIGHT_THERE:
            found[number] = replace(found[number], places=found[number - 1].places)
            continue
        if _names_segment(row, clusters[number - 1], clusters[number], clusters[number + 1:]):
            found[number] = replace(found[number], places=found[number - 1].places)
            continue
        if leading is not None and leading.last < clusters[0].first and not _breaks(row, clusters[0], clusters[number]):
            found[number] = replace(found[number], places=(closed(leading, None),))
        elif _explains(row, clusters[number - 1], clusters[number]) or _is_read_as(row, clusters, number) or (
                number - 1 in explained and _one_list(row, clusters[number - 1], clusters[number])):
            explained.add(number)
            found[number] = replace(found[number], places=found[number - 1].places)
        elif _takes_sides(clusters[number]) and _is_related(row, clusters[number - 1], clusters[number]):
            sides = frozenset(s for p in found[number - 1].places for s in p.sides | sides_of(p.lobes))
            if sides:
                found[number] = replace(found[number], places=(Place(-1, -1, sides),))
    return found


def _completed(here: Attributes, there: Attributes, cluster: Cluster) -> Attributes:
    """What is said behind the second finding holds for the first too, where that has nothing of its own."""
    places = here.places or tuple(p for p in there.places if p.first > cluster.last)
    return replace(here, places=places, sizes=here.sizes or tuple(s for s in there.sizes if s.first > cluster.last))


def _takes_sides(cluster: Cluster) -> bool:
    """Whether a finding lies on the side of the one it goes with: effusion and atelectasis, but no lymph nodes."""
    return any(KINDS[m.kind].region in ("lungs", "airways", "pleura", "material") for m in cluster.mentions)


def _is_one_thing(row: Sequence[Token], here: Cluster, there: Cluster) -> bool:
    link = {t.word for t in row[here.last + 1:there.first]}
    return _explains(row, here, there) or _is_beside(row, here, there) or bool(
        link & words.RELATED and link & {"and", "with"})


def _is_beside(row: Sequence[Token], here: Cluster, there: Cluster) -> bool:
    """"Atelectasis adjacent to the effusion in the left lower lobe"."""
    link = [t.word for t in row[here.last + 1:there.first]]
    return link[-2:-1] == ["adjacent"] and link[-1:] == ["to"]


def _names_segment(row: Sequence[Token], before: Cluster, here: Cluster, later: Sequence[Cluster]) -> bool:
    """Whether a second nodule lies in another segment of the lobe just named."""
    end = later[0].first if later else len(row)
    same = {m.kind for m in before.mentions} & {m.kind for m in here.mentions}
    return bool(same) and any(t.word == "segment" for t in row[here.last + 1:end])


def _near_side(row: Sequence[Token], clusters: Sequence[Cluster], before: Sequence[Attributes],
               place: Place) -> Side | None:
    """The side of "the adjacent lower lobe", of "passive atelectasis of the lower lobe": that of the finding before."""
    if not before:
        return None
    link = {t.word for t in row[clusters[len(before) - 1].last + 1:place.first]}
    if not link & (words.RELATED | {"with"}) or link & {";", "."}:
        return None
    return _own_side(before[-1].places)


def _own_side(places: Sequence[Place]) -> Side | None:
    sides = {s for p in places for s in p.sides}
    return next(iter(sides)) if len(sides) == 1 else None


def _leading(row: Sequence[Token], first: Cluster, places: Sequence[Place]) -> Place | None:
    """The place at the head of a sentence, if it is no mere adjective of the first finding."""
    for place in places:
        if place.last >= first.first:
            return None
        if place.first < _head(row, 0, first.first):
            continue
        before = row[place.first - 1].word if place.first else ""
        link = {t.word for t in row[place.last + 1:first.first]}
        if before in ("in", "at", "on", "within") or link & {":", ",", "show", "contain", "demonstrate", "there", "is",
                                                              "are", "reveal", "has", "have", "with"}:
            return place
    return None


def _breaks(row: Sequence[Token], first: Cluster, there: Cluster) -> bool:
    return any(t.word in (";", "but", "however", ".") for t in row[first.last + 1:there.first])


def _one_list(row: Sequence[Token], here: Cluster, there: Cluster) -> bool:
    """Whether two findings are items of one list, with nothing but joining words between."""
    link = [t.word for t in row[here.last + 1:there.first]]
    while link and link[0] in _NOUN_TAILS:
        link = link[1:]
    return all(w in ("and", "or", "nor", ",", "/", "&", "vs", "versus") for w in link)


def _explains(row: Sequence[Token], here: Cluster, there: Cluster) -> bool:
    """Whether the second finding is said to be what the first one means."""
    link = {t.word for t in row[here.last + 1:there.first]}
    return bool(words.EXPLAINS & link) and not {"and", ";", "no", "with", "without"} & (link - _WITH_IS_PART.get(
        next(iter(words.EXPLAINS & link)), frozenset()))


def _holds_with(row: Sequence[Token], here: Cluster, there: Cluster) -> bool:
    """"Bronchiectasis with mucus plugging in the middle lobe" puts both there."""
    link = [t.word for t in row[here.last + 1:there.first]]
    regions = [{KINDS[m.kind].region for m in cluster.mentions} for cluster in (here, there)]
    while link and link[0] in _NOUN_TAILS:
        link = link[1:]
    plainly = link[:1] == ["and"] and set(link[1:]) <= (_SEVERITY_WORDS | _PLAIN_ADJECTIVES) - {"a", "an"}
    return (plainly or link == ["with"]) and bool(regions[0] & regions[1] & {"lungs", "airways"})


def _is_read_as(row: Sequence[Token], clusters: Sequence[Cluster], number: int) -> bool:
    """"Lower lobe opacity, atelectasis versus pneumonia": what comes after the comma is its reading."""
    if [t.word for t in row[clusters[number - 1].last + 1:clusters[number].first]] == [":"]:
        return True
    if number + 1 >= len(clusters):
        return False
    before, here, after = clusters[number - 1:number + 2]
    link = [t.word for t in row[before.last + 1:here.first]]
    return link == [","] and any(t.word in ("versus", "vs") for t in row[here.last + 1:after.first])


def _is_related(row: Sequence[Token], here: Cluster, there: Cluster) -> bool:
    link = [t.word for t in row[here.last + 1:there.first]]
    joint = len(link) - 1 - link[::-1].index("with") if "with" in link else None
    plainly = joint is not None and not {"and", ";"} & set(link) and all(w in _SEVERITY_WORDS for w in link[joint + 1:])
    behind = [t.word for t in row[there.last + 1:there.last + 4]]
    nearby = behind[:1] == ["in"] and any(word in words.RELATED for word in behind)
    return plainly or nearby or any(word in words.RELATED for word in link)
