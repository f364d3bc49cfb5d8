"""Where a sentence names kinds of finding: the mentions, in the order of its words.

Mentions whose words overlap ("pleural or pericardial effusion", "calcified plaques
in the aorta and the coronary arteries") stand in one cluster: what is said of one
is said of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import words
from .lexicon import Meaning, kind_phrases
from .phrases import Match, Placed
from .tokens import Token

_LESIONS = frozenset(("lung_nodule", "lung_mass", "metastases", "cavity"))
_MAY_BE_FOREIGN = _LESIONS | {"lung_cyst", "lung_opacity", "granuloma"}
_FILLED = frozenset(("consolidation", "lung_opacity"))
INTERPRETATIONS = words.bag("pneumonia bronchopneumonia pneumonitis tumor carcinoma tumoral")
_GENERIC = words.bag("nodule mass lesion nodular opacity density cyst abscess collapse granuloma")
_SPREAD_TO = words.bag("liver hepatic bone osseous skeletal brain adrenal spleen kidney renal vertebra vertebral "
                       "peritoneal")

_NOT_PULMONARY = words.bag("mural intramural atrial ventricular appendage venous vein cardiac jugular subclavian caval")
_CANCERS = words.bag("carcinoma cancer adenocarcinoma melanoma sarcoma lymphoma")

_AORTIC = words.bag("aorta aortic supraaortic carotid subclavian")
_CORONARY = words.bag("coronary lad rca lcx circumflex")
_VESSELS = {"arterial_wall_calcification": ("coronary_artery_wall_calcification", _CORONARY),
            "coronary_artery_wall_calcification": ("arterial_wall_calcification", _AORTIC)}
_VESSEL_WORDS = _AORTIC | _CORONARY | words.bag(
    ", and / artery wall of in at arch descending ascending thoracic abdominal branch left right main level also "
    "origin its vessel proximal")


@dataclass(frozen=True)
class Mention(Placed):
    """A kind named at row[first:last + 1]; `used` are the words that name it."""

    kind: str
    used: tuple[int, ...]
    normal: bool = False
    weak: bool = False
    lesion: bool = False


@dataclass(frozen=True)
class Cluster:
    """Mentions that share words."""

    mentions: tuple[Mention, ...]

    @property
    def first(self) -> int:
        return min(m.first for m in self.mentions)

    @property
    def last(self) -> int:
        return max(m.last for m in self.mentions)

    @property
    def used(self) -> frozenset[int]:
        return frozenset(i for m in self.mentions for i in m.used)


def clusters(row: Sequence[Token]) -> tuple[list[Cluster], list[int]]:
    """The clusters of a sentence, and where it names lesions of organs that we do not describe."""
    mentions = _mentions(row)
    foreign = [m.first for m in mentions if _is_foreign(row, m)]
    kept = [m for m in mentions if m.first not in foreign]
    found: list[Cluster] = []
    for mention in _without_interpretations(row, kept):
        if found and mention.first <= found[-1].last:
            found[-1] = Cluster((*found[-1].mentions, mention))
        else:
            found.append(Cluster((mention,)))
    return found, foreign


def _mentions(row: Sequence[Token]) -> list[Mention]:
    phrases = kind_phrases()
    taken: set[int] = set()
    ends: set[int] = set()
    found: list[Mention] = []
    for start in range(len(row)):
        free = [m for m in phrases.at(row, start) if m.shared or not (
            taken & set(m.used)) - (ends & {m.last} - {m.first})]
        if row[start].word == "lesion" and not free and start not in taken:
            found.append(Mention("lung_nodule", (start,), lesion=True))
        for match in _best(free):
            if match.meaning.kind == "hepatic_steatosis" and _goes_on_to(row, match.last, _GENERIC | {"metastasis"}):
                continue
            found.append(Mention(match.meaning.kind, match.used, match.meaning.normal, match.meaning.weak))
            taken |= set(match.used[:-1] if match.shared else match.used)
            ends |= {match.last} if match.skipped else set()
    return sorted([*found, *_other_vessels(row, found)], key=lambda m: m.first)


def _other_vessels(row: Sequence[Token], found: Sequence[Mention]) -> list[Mention]:
    """"Plaques in the aortic arch, descending aorta and LAD" calcify the coronary arteries too."""
    named = {m.kind for m in found}
    more = []
    for mention in found:
        kind, vessels = _VESSELS.get(mention.kind, ("", frozenset()))
        if not kind or kind in named or mention.normal:
            continue
        for at in range(mention.last + 1, len(row)):
            if row[at].word in vessels and [t.word for t in row[at + 1:at + 2]] != ["valve"]:
                more.append(Mention(kind, (mention.first, at)))
                break
            if row[at].word not in _VESSEL_WORDS:
                break
    return more


def _goes_on_to(row: Sequence[Token], last: int, nouns: frozenset[str]) -> bool:
    """Whether the next word is one that the words so far only describe."""
    return last + 1 < len(row) and row[last + 1].word in nouns


def _best(matches: list[Match[Meaning]]) -> list[Match[Meaning]]:
    """Of all phrases that begin at one word: the longest, those across a gap, those that share a word."""
    direct = [m for m in matches if m.skipped == 0 and not m.shared]
    longest = max((len(m.used) for m in direct), default=0)
    chosen = {m.meaning.kind: m for m in direct if len(m.used) == longest}
    if any(not m.meaning.weak for m in chosen.values()):
        chosen = {kind: m for kind, m in chosen.items() if not m.meaning.weak}
    firm = {kind for kind, m in chosen.items() if not m.meaning.weak}
    gaps: dict[str, Match[Meaning]] = {}
    for match in sorted((m for m in matches if m.skipped), key=lambda m: (m.skipped, -len(m.used))):
        gaps.setdefault(match.meaning.kind, match)
    wide = {kind: m for kind, m in gaps.items() if len(m.used) >= longest and kind not in firm}
    if any(len(m.used) > longest for m in wide.values()):
        chosen = {kind: m for kind, m in chosen.items() if kind in gaps and kind not in wide}
    shared = {m.meaning.kind: m for m in matches if m.shared}
    return list({**shared, **wide, **chosen}.values())


def _is_foreign(row: Sequence[Token], mention: Mention) -> bool:
    """Whether a nodule, mass, lesion or cyst is one of an organ outside our vocabulary."""
    if mention.kind == "metastases":
        if {row[i].word for i in mention.used} & {"lung", "pulmonary"}:
            return False
        link = [t.word for t in row[mention.last + 1:mention.last + 3]]
        if len(mention.used) == 1 and row[mention.last].word == "metastatic" and set(link) & _CANCERS:
            return True
        if _also_of_lung(row, mention.first):
            return False
        before = {t.word for t in row[max(0, mention.first - 2):mention.first]}
        return bool(before & _SPREAD_TO) or _lies_in(row, mention.last, _SPREAD_TO)
    if mention.used == (mention.first,) and row[mention.first].word == "thrombus":
        return mention.first > 0 and row[mention.first - 1].word in _NOT_PULMONARY
    if row[mention.last].word not in _GENERIC or mention.kind not in _MAY_BE_FOREIGN:
        return False
    near = [t.word for t in row[max(0, mention.first - 3):mention.first]]
    after: list[str] = []
    for token in row[mention.last + 1:mention.last + 9]:
        if token.word in (",", ";", ".", "and", "or") and after[-1:] != [","]:
            break
        after.append(token.word)
    said = set(near) | set(after)
    if said & (set(words.LOBE_CODES) | {"lung", "pulmonary",
          "hemithorax"}) or ("lobe" in said and "breast" not in said):
        return False
    return bool(said & words.FOREIGN_ORGANS)


def _lies_in(row: Sequence[Token], last: int, organs: frozenset[str]) -> bool:
    """"Metastasis is suspected in the left adrenal gland"."""
    for at in range(last + 1, min(last + 5, len(row) - 1)):
        if row[at].word in (",", ";", ".", "and", "but", "with"):
            return False
        if row[at].word in ("in", "of", "to"):
            return any(t.word in organs for t in row[at + 1:at + 4])
    return False


def _also_of_lung(row: Sequence[Token], first: int) -> bool:
    """"Lung and liver metastases": the list of organs before the word has the lung in it."""
    at = first - 1
    while at >= 0 and row[at].word in _SPREAD_TO | {",", "and", "or", "/"}:
        at -= 1
    return at >= 0 and row[at].word in ("lung", "pulmonary")


def _without_interpretations(row: Sequence[Token], mentions: list[Mention]) -> list[Mention]:
    """"Consolidation consistent with pneumonia" names one thing, and so does "mass, carcinoma"."""
    kept: list[Mention] = []
    for number, mention in enumerate(mentions):
        said = {row[i].word for i in mention.used}
        group = _FILLED if mention.kind in _FILLED else _LESIONS
        before = [m for m in kept if m.kind in group and not m.normal]
        link = [t.word for t in row[before[-1].last + 1:mention.first]] if before else []
        explains = said & INTERPRETATIONS and before and not {"and", "no", ";", "or"} & set(link) and (
            mention.kind == before[-1].kind or words.CAUSES & set(link) or group is _LESIONS)
        lesions = [m for m in kept if m.kind in _LESIONS | {"consolidation"} and not m.normal]
        to_lesion = [t.word for t in row[lesions[-1].last + 1:mention.first]] if lesions else []
        detail = lesions and _is_detail(row, mention, said, to_lesion[-3:])
        origin = kept and said == {"sequela"} and row[mention.last + 1:] and row[mention.last + 1].word == "of"
        if not explains and not detail and not origin and not _is_adjective(row, mention, said, mentions[number + 1:]):
            kept.append(mention)
    return kept


def _is_adjective(row: Sequence[Token], mention: Mention, said: set[str], later: list[Mention]) -> bool:
    """"Ground-glass nodule": the opacity is only what the lesion looks like."""
    if later and said == {"nodular"} and later[0].kind in _FILLED and later[0].first == mention.last + 1:
        return True
    if not later or later[0].kind not in _LESIONS or said - {"ground", "glass", "groundglass", "density",
          "attenuation"}:
        return False
    link = {t.word for t in row[mention.last + 1:later[0].first]}
    return later[0].first - mention.last <= 4 and not link & words.JOINERS


def _is_detail(row: Sequence[Token], mention: Mention, said: set[str], link: list[str]) -> bool:
    """A cavitation or a ground-glass part of a lesion just named: a density, not a finding of its own."""
    if not {"with", "containing", "show", "central", "of"} & set(link):
        return False
    follows = {t.word for t in row[mention.last:mention.last + 2]}
    part = mention.kind == "lung_opacity" and "glass" in said and bool(
        follows & {"halo", "component", "rim", "density", "attenuation", "appearance"})
    return part or (mention.kind == "cavity" and bool(said & {"cavitation", "cavity"}))
