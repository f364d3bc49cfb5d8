"""Understanding a report: from its text to the findings it states, by rules.

`understand` reads sentence by sentence: which kinds are named, what denies or doubts
them, where they lie and how large they are; then joins what is said twice. Rules
rather than a model: the same answer everywhere, in milliseconds, with the place of
every finding in the text, and nothing dropped in silence: a sentence that states
something we have no words for is given back as not understood.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from . import words
from .attach import Attributes, attributes, regions, with_inherited
from .dividing import one_by_one
from .elsewhere import Elsewhere, elsewhere
from .finding import Certainty, Finding, Lobe, Side, Understanding
from .lexicon import Cue, cues, read
from .lexicon import attributes as attribute_matches
from .measures import Size, sizes
from .mentions import INTERPRETATIONS, Cluster, Mention, clusters
from .merging import Statement, merged
from .phrases import Match
from .places import Place, closed, in_order, places, side_of
from .scope import Parts, Scope, scope
from .sections import Sentence, sentences
from .tokens import Token
from .unread import diseases, says_something
from .vocabulary import KINDS

_MASS_FROM_MM = 30.0
_NODE_FROM_MM = 10.0
_REFERS_BACK = words.bag("largest it this these they its biggest lesion their dominant larger")
_HEADED = {"bone": "bone_lesion", "osseous": "bone_lesion", "skeleton": "bone_lesion", "liver": "liver_lesion"}
_ABOUT = words.bag("around surrounding adjacent beside near accompanying behind within inside")
_PRONOUNS = words.bag("it this these them")
_STATION_NUMBER = re.compile(r"(?:1[0-4]|[1-9])$")


def understand(report: str) -> Understanding:
    """What a report states: findings with their spans, and the spans that we could not read."""
    statements: list[Statement] = []
    unread: list[tuple[int, int]] = []
    for number, sentence in enumerate(sentences(report)):
        if sentence.silent:
            continue
        row = read(report, sentence.start, sentence.end)
        if not row:
            continue
        reading = _read(report, row, sentence, number)
        if reading.statements and statements and _is_around(row):
            reading = replace(reading, statements=tuple(_placed_as(s, statements[-1]) for s in reading.statements))
        elif reading.statements and statements and (_is_in_lung_beside(row) or _other_side(row)):
            side = statements[-1].finding.side
            opposite: dict[Side | None, Side] = {"left": "right", "right": "left"}
            side = opposite.get(side) if _other_side(row) == "contralateral" else side
            beside = replace(statements[-1], finding=replace(statements[-1].finding, side=side, lobe=()))
            reading = replace(reading, statements=tuple(_placed_as(s, beside) for s in reading.statements))
        if reading.statements or reading.silent:
            statements += reading.statements
        elif not (statements and _continues(row) and _complete_last(report, row, statements)):
            unread += [(row[a].start, row[b].end) for a, b in says_something(row)]
        unread += [(row[a].start, row[b].end) for a, b in reading.unread]
    return Understanding(merged(statements), tuple(sorted(set(unread))))


@dataclass(frozen=True)
class _Reading:
    statements: tuple[Statement, ...] = ()
    silent: bool = False
    unread: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class _Said:
    """What a sentence says beside naming findings: where, how large, what like, and with what certainty."""

    places: tuple[Place, ...]
    sizes: tuple[Size, ...]
    attributes: tuple[Match[Cue], ...]
    cues: tuple[Match[Cue], ...]

    def where(self, wanted: Callable[[int], bool]) -> _Said:
        """The part of it that begins at words that are wanted."""
        return _Said(tuple(p for p in self.places if wanted(p.first)), tuple(s for s in self.sizes if wanted(s.first)),
                     tuple(m for m in self.attributes if wanted(m.first)),
                     tuple(c for c in self.cues if wanted(c.first)))


def _read(report: str, row: Sequence[Token], sentence: Sentence, number: int) -> _Reading:
    """The statements of one sentence."""
    found, foreign = clusters(row)
    if not found:
        return _Reading()
    taken = frozenset(i for c in found for i in c.used if not _is_place_word(row[i].word))
    every = _Said(tuple(places(row, taken, report)), tuple(sizes(row)), tuple(attribute_matches(row)), tuple(cues(row)))
    again = elsewhere(row, found, every.places, every.cues)
    said = every.where(lambda at: not any(clause.holds(at) for clause in again))
    complete, judged = _attached(row, found, said)
    statements = []
    for n, (cluster, details) in enumerate(zip(found, complete, strict=True)):
        if n in judged.silent or (n in judged.others and n in judged.absent):
            continue
        another = "another" in [t.word for t in row[max(0, cluster.first - 4):cluster.first]]
        for one_side in one_by_one(row, cluster, details):
            for mention in cluster.mentions:
                finding = _finding(row, cluster, mention, one_side, _certainty(row, mention, n, judged))
                if finding is not None:
                    reading = all(row[i].word in INTERPRETATIONS for i in mention.used)
                    statements.append(Statement(finding, sentence.part, number, another, reading))
        for clause in again:
            if clause.number == n:
                statements += [Statement(f, sentence.part, number) for f in _again(row, cluster, clause, every)]
    denied = any(c.meaning.group.startswith("no") for c in said.cues)
    used = {i for c in found for i in c.used}
    strange = diseases(row, used) + [(i, i) for i in foreign if not denied]
    return _Reading(tuple(statements), True, tuple(strange))


def _attached(row: Sequence[Token], found: Sequence[Cluster], said: _Said) -> tuple[list[Attributes], Scope]:
    """What is said of each cluster, and how certain each is."""
    blocks = frozenset(i for p in said.places for i in range(p.first, p.last + 1)) | frozenset(
        i for s in said.sizes for i in range(s.first, s.last + 1))
    starts = frozenset(m.first for m in said.attributes if m.meaning.group == "severity") | frozenset(
        c.first for c in said.cues if c.meaning.group in ("no before", "doubt before"))
    around = regions(row, found, said.places, said.sizes, starts)
    own = [attributes(row, c, r, said.places, said.sizes, said.attributes)
           for c, r in zip(found, around, strict=True)]
    named = frozenset(i for c in found for i in c.used)
    change_words = frozenset(
        i for m in said.attributes if m.meaning.group == "change" and not named & set(m.used) for i in m.used)
    judged = scope(Parts(
        row, found, said.cues, [_has_own_place(row, c, a) for c, a in zip(found, own, strict=True)],
        [_is_qualified(c, a) for c, a in zip(found, own, strict=True)],
        [_is_affirmed(row, c, a) for c, a in zip(found, own, strict=True)], blocks, change_words))
    return with_inherited(row, found, own, said.places, judged.absent), judged


def _again(row: Sequence[Token], cluster: Cluster, clause: Elsewhere, every: _Said) -> list[Finding]:
    """What a later clause says of a cluster at another place."""
    inside = every.where(clause.holds)
    details = Attributes((closed(clause.place, None),), inside.sizes, inside.attributes)
    found = [_finding(row, cluster, mention, details, "absent" if clause.absent else "present")
             for mention in cluster.mentions]
    return [finding for finding in found if finding is not None]


def _is_place_word(word: str) -> bool:
    return word in words.SIDES or word in words.LEVELS or word in ("lobe", "lobar", "lung", "hemithorax", "lingula")


def _has_own_place(row: Sequence[Token], cluster: Cluster, own: Attributes) -> bool:
    """A lobe, or a side right before the finding."""
    return any(p.lobes or p.open_levels or p.last < cluster.first for p in own.places)


def _is_qualified(cluster: Cluster, own: Attributes) -> bool:
    """A severity in front, or a size."""
    severe = [m for m in own.said if m.meaning.group == "severity" and m.last < cluster.first]
    return bool(severe or own.sizes)


def _is_affirmed(row: Sequence[Token], cluster: Cluster, own: Attributes) -> bool:
    """Followed by "is present", or by "is seen" and a place."""
    follows = [t.word for t in row[cluster.last + 1:cluster.last + 4]]
    verb = follows[:1] and follows[0] in ("is", "are")
    return bool(verb) and (follows[1:2] == ["present"] or (bool(own.places) and follows[1:2] != ["not"]))


def _certainty(row: Sequence[Token], mention: Mention, number: int, judged: Scope) -> Certainty:
    gap = {row[i].word for i in range(mention.first, mention.last)} - {row[i].word for i in mention.used}
    denied = bool({"not", "free", "none"} & gap)
    if mention.normal:
        return "present" if denied else "absent"
    if number in judged.doubtful:
        return "uncertain"
    return "absent" if denied or number in judged.absent else "present"


def _finding(row: Sequence[Token], cluster: Cluster, mention: Mention, details: Attributes,
             certainty: Certainty) -> Finding | None:
    """The finding that a mention states; none when its words are too weak to state one."""
    size = max((s.mm for s in details.sizes), default=None)
    severity = details.value("severity", cluster)
    name = mention.kind
    if mention.lesion:
        lung = any(p.lung and (p.lobes or p.sides) for p in details.places) or size is not None or (
            row[mention.first - 1].word in ("lung", "pulmonary", "parenchymal") and mention.first > 0)
        if not lung:
            name = _HEADED.get(row[0].word, "") if len(row) > 1 and row[1].word == ":" else ""
            if not name:
                return None
        else:
            name = "lung_mass" if size is not None and size > _MASS_FROM_MM else "lung_nodule"
    if mention.weak and certainty != "absent" and _none_is_enlarged(row, mention):
        certainty = "absent"
    if mention.weak and certainty != "absent":
        if size is None and details.value("density", cluster) == "calcified":
            return None
        small = severity == "small" or any(s.below or s.mm < _NODE_FROM_MM for s in details.sizes)
        if small or (size is None and _is_plain(row)):
            return None
    kind = KINDS[name]
    side, lobe = _where(row, cluster, mention, details, kind.lobar) if kind.sided else (None, ())
    used = (min(mention.used), max(mention.used))
    return Finding(
        name, certainty, side, lobe, _station(row, cluster, details) if kind.stations else None,
        size if kind.sized and certainty != "absent" else None,
        severity if kind.scale and certainty != "absent" else None,  # type: ignore[arg-type]
        details.count if certainty != "absent" else None, _density(cluster, details, kind.densities, name),
        details.value("margin", cluster) if kind.margins else None,
        details.value("change", cluster), (row[used[0]].start, row[used[1]].end))


def _none_is_enlarged(row: Sequence[Token], mention: Mention) -> bool:
    """"Nodes of up to 8 mm, none pathologically enlarged"."""
    rest = [t.word for t in row[mention.last + 1:]]
    denied = [i for i, word in enumerate(rest) if word in ("not", "none")]
    return any({"enlarged", "pathological", "pathologically"} & set(rest[i + 1:i + 4]) for i in denied)


def _is_plain(row: Sequence[Token]) -> bool:
    """Whether lymph nodes are named only to say that they are none of note."""
    return bool({"normal", "natural", "benign", "reactive", "millimetric", "nonspecific"} & {t.word for t in row})


def _where(row: Sequence[Token], cluster: Cluster, mention: Mention, details: Attributes,
           lobar: bool) -> tuple[Side | None, tuple[Lobe, ...]]:
    lung = KINDS[mention.kind].region in ("lungs", "airways", "pleura")
    both: Side | None = "bilateral" if KINDS[mention.kind].scale == "degree" and lung else None
    valid = [closed(p, both) for p in details.places if p.lung or not lung]
    sides = frozenset(s for p in valid for s in p.sides)
    lobes = frozenset(lobe for p in valid for lobe in p.lobes)
    if mention.kind == "mediastinal_shift":
        lobes = frozenset()
    if mention.kind == "lymphadenopathy":
        numbered = _numbered_stations(row)
        sides = sides or frozenset("right" if n[-1] == "R" else "left" for n in numbered)
        if "bilateral" in sides and len({words.STATIONS[t.word] for t in row if t.word in words.STATIONS}) > 1:
            sides = frozenset()
    return side_of(sides, lobes), in_order(lobes) if lobar else ()


def _station(row: Sequence[Token], cluster: Cluster, details: Attributes) -> str | None:
    """The lymph node stations named in the sentence, in one text."""
    named = [words.STATIONS[t.word] for t in row if t.word in words.STATIONS]
    return ", ".join(dict.fromkeys(named + _numbered_stations(row))) or None


def _numbered_stations(row: Sequence[Token]) -> list[str]:
    """Stations by number and side, such as 4R."""
    return [here.word + there.word.upper() for here, there in itertools.pairwise(row)
            if _STATION_NUMBER.match(here.word) and there.word in ("r", "l") and here.end == there.start]


def _density(cluster: Cluster, details: Attributes, allowed: tuple[str, ...], name: str) -> str | None:
    if not allowed:
        return None
    value = details.value("density", cluster)
    if name == "lung_opacity":
        return value if value == "ground glass" else None
    return value


def _continues(row: Sequence[Token]) -> bool:
    """Whether a sentence goes on about the finding before it: "The largest measures 8 mm."."""
    return row[0].word in _REFERS_BACK


def _is_around(row: Sequence[Token]) -> bool:
    """Whether a sentence speaks of what lies about the finding before it: "a halo around it"."""
    said = [t.word for t in row]
    if said[0] in words.RIGHT_THERE - {"traction"}:
        return True
    return any(here in _ABOUT and (there in _PRONOUNS or last in _PRONOUNS)
               for here, there, last in zip(said, said[1:] + [""], [*said[2:], "", ""], strict=False))


def _is_in_lung_beside(row: Sequence[Token]) -> bool:
    """"Atelectasis in the neighbouring lung": on the side of the finding before it."""
    return any(here.word in words.RELATED and there.word in ("lung", "parenchyma", "lobe", "segment")
               for here, there in itertools.pairwise(row))


def _other_side(row: Sequence[Token]) -> str:
    """Whether a sentence speaks of the side of the finding before it, or of the opposite one."""
    return next((t.word for t in row if t.word in ("ipsilateral", "contralateral")), "")


def _placed_as(statement: Statement, before: Statement) -> Statement:
    """A statement without a place, given that of the finding before it."""
    finding, place = statement.finding, before.finding
    kind = KINDS[finding.kind]
    if finding.side or finding.lobe or finding.certainty == "absent" or not kind.sided:
        return statement
    return replace(statement, finding=replace(finding, side=place.side, lobe=place.lobe if kind.lobar else ()))


def _complete_last(report: str, row: Sequence[Token], statements: list[Statement]) -> bool:
    """Give the size and the place of such a sentence to the finding before it."""
    measured, where = sizes(row), [closed(p, None) for p in places(row, frozenset(), report)]
    last = statements[-1]
    kind = KINDS[last.finding.kind]
    if not measured and not where:
        return False
    lobes = frozenset(lobe for p in where for lobe in p.lobes)
    sides = frozenset(s for p in where for s in p.sides)
    finding = last.finding
    if measured and kind.sized:
        finding = replace(finding, size_mm=max(finding.size_mm or 0.0, *(s.mm for s in measured)))
    if lobes and kind.lobar and not finding.lobe:
        finding = replace(finding, lobe=in_order(lobes), side=finding.side or side_of(sides, lobes))
    elif sides and kind.sided and not finding.side:
        finding = replace(finding, side=side_of(sides, lobes))
    statements[-1] = replace(last, finding=finding)
    return True
