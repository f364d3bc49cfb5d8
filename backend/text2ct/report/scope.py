"""What is denied, doubted, history or advice: how far the small words of a sentence reach.

A denial in front ("no", "without") holds for a whole list; one behind ("was not
seen") holds for the list before it. A list goes on over commas, "and" and "or" until
something shows that a new statement has begun: "but", a verb, an article, a severity
or a place of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from . import words
from .lexicon import Cue
from .mentions import Cluster
from .phrases import Match
from .tokens import Token

_PARTICIPLES = words.PREDICATES - {"is", "are", "was", "were", "has", "have"}
_LONGEST_LIST = 24
_EARLIER = words.bag("previously previous prior earlier formerly")
_EARLIER_STUDY = words.bag("previous prior earlier last preceding old")
_REST = words.bag("lung parenchyma remainder rest chest field thorax examination study")
_COMPLETELY = words.bag("completely fully totally entirely now almost been also")
_AUXILIARIES = words.bag("is are was were has have cannot could did do does")


@dataclass
class Scope:
    """What the cues of a sentence say of each cluster, by its number."""

    absent: set[int] = field(default_factory=set)
    doubtful: set[int] = field(default_factory=set)
    silent: set[int] = field(default_factory=set)
    others: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Parts:
    """A sentence taken apart: words, clusters, cues, and per cluster whether it has words of its own.

    `affirmed` clusters are followed by "is present" and the like.
    """

    row: Sequence[Token]
    clusters: Sequence[Cluster]
    cues: Sequence[Match[Cue]]
    placed: Sequence[bool]
    qualified: Sequence[bool]
    affirmed: Sequence[bool]
    blocks: frozenset[int]
    not_denials: frozenset[int] = frozenset()

    def between(self, a: int, b: int) -> list[str]:
        """The words of row[a:b] that are not part of a place or a size; "previously noted" says nothing new."""
        return [self.row[i].word for i in range(a, b) if i not in self.blocks and not (
            self.row[i].word in _PARTICIPLES and self._was_earlier(i))]

    def _was_earlier(self, at: int) -> bool:
        """"Previously noted", "seen on the prior study"."""
        after = [t.word for t in self.row[at + 1:at + 4]]
        return (at > 0 and self.row[at - 1].word in _EARLIER) or (
            after[:1] != [] and after[0] in ("on", "in", "at") and bool(_EARLIER_STUDY & set(after[1:])))

    def ends_between(self, a: int, b: int) -> bool:
        """Whether a statement ends somewhere in row[a:b]."""
        return any(w in words.ENDS_SCOPE for w in self.between(a, b)) or any(
            c.meaning.group == "end" and a <= c.first < b for c in self.cues)


def scope(parts: Parts) -> Scope:
    """The certainty of every cluster."""
    said = Scope()
    for cue in parts.cues:
        group = _direction(parts, cue)
        if cue.used[0] in parts.not_denials and group.startswith("no"):
            continue
        if group == "no before":
            reached = _forward(parts, cue)
            said.absent.update(reached)
            if any(t.word in words.OTHERS for t in parts.row[cue.last + 1:cue.last + 2]):
                said.others.update(reached)
        elif group == "no after":
            said.absent.update(_backward(parts, cue, lists=True))
        elif group == "doubt before":
            said.doubtful.update(_doubt_forward(parts, cue))
        elif group == "doubt after":
            said.doubtful.update(_backward(parts, cue, lists=False))
        if cue.meaning.value in _OF_TWO:
            said.doubtful.update(_doubt_forward(parts, cue), _backward(parts, cue, lists=False))
        if group in ("history", "advice"):
            said.silent.update(_silent(parts, cue, group))
        elif group.startswith("unjudged"):
            said.silent.update(_unjudged(parts, cue, group))
    for cue in parts.cues:
        if cue.meaning.group == "doubt before":
            before = _previous(parts, cue.first)
            to = cue.first > 0 and parts.row[cue.first - 1].word == "to" and before in said.absent
            if to or _is_denied_doubt(parts, cue):
                said.absent.update(_doubt_forward(parts, cue))
                said.doubtful.difference_update(_doubt_forward(parts, cue))
    said.doubtful.update(_alternatives(parts, said))
    return said


def _is_denied_doubt(parts: Parts, doubt: Match[Cue]) -> bool:
    """"No findings in favor of pneumonia": the doubt is denied."""
    for cue in parts.cues:
        if cue.meaning.group == "no before" and cue.last < doubt.first <= cue.last + 5:
            link = {t.word for t in parts.row[cue.last + 1:doubt.first]}
            named = any(cue.last < c.first < doubt.first for c in parts.clusters)
            if not named and not link & {",", "but", "and", "."} and not parts.ends_between(cue.last + 1, doubt.first):
                return not doubt.meaning.value.startswith(("not", "cannot"))
    return False


def _alternatives(parts: Parts, said: Scope) -> list[int]:
    """"Mass or consolidation": one of the two, so neither is certain."""
    found = []
    for number in range(len(parts.clusters) - 1):
        here, there = parts.clusters[number:number + 2]
        link = [t.word for t in parts.row[here.last + 1:there.first]]
        same = {m.kind for m in here.mentions} & {m.kind for m in there.mentions}
        if link == ["or"] and not same and not {number, number + 1} & (said.absent | said.silent):
            found += [number, number + 1]
    return found


def _unjudged(parts: Parts, cue: Match[Cue], group: str) -> list[int]:
    """The clusters that could not be judged on this CT; "its size cannot be assessed" leaves the finding itself."""
    if group == "unjudged around":
        return [n for n, c in enumerate(parts.clusters) if cue.first < c.first < cue.last]
    spanned = [n for n, c in enumerate(parts.clusters) if c.first < cue.first and c.last > cue.last]
    if spanned:
        return spanned
    ahead = [t.word for t in parts.row[cue.last + 1:cue.last + 2]] in (["for"], ["of"])
    if group == "unjudged before" or ahead:
        first = _next(parts, cue.last)
        if first is None or parts.ends_between(cue.last + 1, parts.clusters[first].first):
            return []
        reached = [first]
        while reached[-1] + 1 < len(parts.clusters) and words.ALTERNATIVES | {"and", ","} >= set(parts.between(
                parts.clusters[reached[-1]].last + 1, parts.clusters[reached[-1] + 1].first)):
            reached.append(reached[-1] + 1)
        return reached
    if words.KNOWN_THOUGH_UNJUDGED & {t.word for t in parts.row[:cue.first]}:
        return []
    return _backward(parts, cue, lists=True)


def _next(parts: Parts, at: int) -> int | None:
    return next((n for n, c in enumerate(parts.clusters) if c.first > at), None)


def _previous(parts: Parts, at: int) -> int | None:
    return next((n for n in range(len(parts.clusters) - 1, -1, -1) if parts.clusters[n].last < at), None)


_DENIALS_EITHER_WAY = ("resolved", "negative", "nil", "ruled out")
_DOUBTS_EITHER_WAY = ("possible", "probable", "likely", "suspected", "questionable", "unlikely", "less likely", "?",
                      "suspicious", "equivocal", "doubtful", "favored")
_NATURES = words.bag("malignant benign malignancy infective infectious inflammatory neoplastic significance nature "
                     "etiology cause aspiration viral bacterial tb tuberculous old chronic acute reactive primary")
_OF_TWO = ("versus", "vs", "favored over", "more likely than")
_EITHER_WAY = {**dict.fromkeys(_DENIALS_EITHER_WAY, ("no before", "no after")),
               **dict.fromkeys(_DOUBTS_EITHER_WAY, ("doubt before", "doubt after"))}


def _direction(parts: Parts, cue: Match[Cue]) -> str:
    """Words that may stand before or after: before, when a finding follows them directly."""
    group = cue.meaning.group
    words_said = " ".join(parts.row[i].word for i in cue.used)
    if group == "no before" and _ends_after_colon(parts, cue):
        return "no after"
    if words_said not in _EITHER_WAY:
        return group
    before, after = _EITHER_WAY[words_said]
    back, ahead = _previous(parts, cue.first), _next(parts, cue.last)
    if words_said == "favored" and parts.row[cue.last + 1:] and parts.row[cue.last + 1].word in ("to", "as"):
        return before
    if back is not None and parts.row[cue.first - 1].word in _AUXILIARIES | _COMPLETELY:
        return after
    if words_said == "?" and _asks_of_another(parts, cue):
        return ""
    if words_said == "?" and back is not None and parts.clusters[back].last + 1 == cue.first:
        return after
    if ahead is not None:
        link = [t.word for t in parts.row[cue.last + 1:parts.clusters[ahead].first]]
        if not {",", ";", ".", "and", "no", "but", "there"} & set(link):
            return before
    return "" if _is_aside(parts, cue) else after


def _asks_of_another(parts: Parts, cue: Match[Cue]) -> bool:
    """"8 mm nodule ?malignant" asks what it is, not whether it is there."""
    after = parts.row[cue.last + 1:cue.last + 2]
    return bool(after) and after[0].start == parts.row[cue.last].end and after[0].word in _NATURES


def _is_aside(parts: Parts, cue: Match[Cue]) -> bool:
    """"28 mm nodule, likely primary malignancy" doubts what it may be, not that it is there."""
    follows = [t.word for t in parts.row[cue.last + 1:cue.last + 2]]
    return cue.meaning.group.startswith("doubt") and cue.first > 0 and parts.row[cue.first - 1].word == "," and bool(
        follows) and follows[0].isalpha()


def _ends_after_colon(parts: Parts, cue: Match[Cue]) -> bool:
    """"Pneumothorax: no."."""
    follows = [t.word for t in parts.row[cue.last + 1:cue.last + 2]]
    return cue.first > 0 and parts.row[cue.first - 1].word in (":", "=") and (not follows or follows[0] in ",;.")


def _forward(parts: Parts, cue: Match[Cue]) -> list[int]:
    """The clusters that a denial in front of them reaches."""
    first = _next(parts, cue.last)
    if first is None or parts.ends_between(cue.last + 1, parts.clusters[first].first):
        return []
    link = parts.between(cue.last + 1, parts.clusters[first].first)
    if any(w in _PARTICIPLES for w in link) or ("," in link and any(w in ("a", "with") for w in link)):
        return []
    if cue.meaning.value == "resolved" and len(link) > 3:
        return []
    reached = [first]
    while len(reached) < _LONGEST_LIST and _list_goes_on(parts, reached[-1], cue.last):
        reached.append(reached[-1] + 1)
    return reached


def _list_goes_on(parts: Parts, number: int, begin: int) -> bool:
    """Whether a denied list goes on from this cluster to the next one."""
    if number + 1 >= len(parts.clusters):
        return False
    here, there = parts.clusters[number], parts.clusters[number + 1]
    link = parts.between(here.last + 1, there.first)
    if parts.ends_between(here.last + 1, there.first) or any(w in _PARTICIPLES | {"with"} for w in link):
        return False
    if any(w in ("no", "without") for w in link):
        return False
    alternatives_later = any(w in words.ALTERNATIVES for w in _rest_of_list(parts, number))
    if words.ALTERNATIVES & set(link):
        return True
    if words.OPENERS & set(link):
        return False
    if _list_was_closed(parts, number, begin) and "," in link and not alternatives_later:
        return False
    own = parts.qualified[number + 1] or parts.placed[number + 1] or (
        "," in link and parts.affirmed[number + 1])
    return not own or alternatives_later


def _rest_of_list(parts: Parts, number: int) -> list[str]:
    """Joining words further on in the same list."""
    found: list[str] = []
    for n in range(number + 1, len(parts.clusters) - 1):
        a, b = parts.clusters[n].last + 1, parts.clusters[n + 1].first
        if parts.ends_between(a, b) or any(w in _PARTICIPLES | {"with", "no"} for w in parts.between(a, b)):
            break
        found += parts.between(a, b)
    return found


def _list_was_closed(parts: Parts, number: int, begin: int) -> bool:
    """Whether an "or" before this cluster has already ended the list."""
    if number == 0 or parts.clusters[number - 1].first < begin:
        return False
    link = parts.between(parts.clusters[number - 1].last + 1, parts.clusters[number].first)
    return bool(words.ALTERNATIVES & set(link))


def _backward(parts: Parts, cue: Match[Cue], lists: bool) -> list[int]:
    """The clusters before a denial or a doubt that it reaches."""
    nearest = _previous(parts, cue.first)
    if nearest is None:
        return []
    a, b = parts.clusters[nearest].last + 1, cue.first
    link = parts.between(a, b)
    if any(w in (";", "but", "however", "although", "while") for w in link) or any(w in _PARTICIPLES for w in link):
        return []
    if "," in link and not any(w in _AUXILIARIES for w in link + [parts.row[cue.first].word]) and b - a > 1:
        return []
    if "," in link and _REST & set(link[len(link) - link[::-1].index(","):]):
        return []
    reached = [nearest]
    while len(reached) < _LONGEST_LIST and reached[-1] > 0 and _list_comes_from(parts, reached[-1], lists):
        reached.append(reached[-1] - 1)
    return reached


def _list_comes_from(parts: Parts, number: int, lists: bool) -> bool:
    """Whether the cluster before this one stands in the same list."""
    before, here = parts.clusters[number - 1], parts.clusters[number]
    link = parts.between(before.last + 1, here.first)
    if parts.ends_between(before.last + 1, here.first) or any(w in _PARTICIPLES | _AUXILIARIES for w in link):
        return False
    if {"no", "with", "without"} & set(link):
        return False
    if words.ALTERNATIVES & set(link) or "vs" in link or "versus" in link:
        return True
    return lists and not parts.qualified[number - 1] and not words.OPENERS & set(link)


def _doubt_forward(parts: Parts, cue: Match[Cue]) -> list[int]:
    """The clusters that a doubt in front of them reaches."""
    first = _next(parts, cue.last)
    if first is None:
        return []
    link = parts.between(cue.last + 1, parts.clusters[first].first)
    if parts.ends_between(cue.last + 1, parts.clusters[first].first) or {",", "no"} & set(link) or len(link) > 7:
        return []
    reached = [first]
    while len(reached) < _LONGEST_LIST and reached[-1] + 1 < len(parts.clusters):
        a, b = parts.clusters[reached[-1]].last + 1, parts.clusters[reached[-1] + 1].first
        link = parts.between(a, b)
        joints = {"or", "/", "vs", "versus"} | ({"and", ","} if "differential" in cue.meaning.value else set())
        if not joints & set(link) or parts.ends_between(a, b):
            break
        reached.append(reached[-1] + 1)
    return reached


def _silent(parts: Parts, cue: Match[Cue], group: str) -> list[int]:
    """The clusters that belong to the history, or to a recommendation."""
    begin = cue.first
    if group == "advice":
        for at in range(cue.first, -1, -1):
            if parts.row[at].word in (",", ";", "but", "."):
                break
            if parts.row[at].word in words.ADVICE_STARTS:
                begin = at
    reached = []
    for number, cluster in enumerate(parts.clusters):
        if cluster.first >= begin and not _now_follows(parts, cue.last, cluster.first):
            reached.append(number)
    return reached


def _now_follows(parts: Parts, a: int, b: int) -> bool:
    """Whether the sentence has come back to this CT."""
    said = [t.word for t in parts.row[a:b]]
    return bool({";", "but", "now", "currently", "however", "showing", "show", "today"} & set(said)) or (
        "there" in said and "," in said)
