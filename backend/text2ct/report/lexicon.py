"""The tables of words made ready for searching: built once, on first use.

Here the vocabulary meets the shared words: phrase trees for kinds, cues and
attributes, and the speller that mends typing errors towards all their words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from . import words
from .phrases import Match, Phrases, words_of
from .tokens import Spelling, Token, tokens
from .vocabulary import KINDS


@dataclass(frozen=True)
class Meaning:
    """What a phrase of the vocabulary says: a kind is there, or (normal) is not; `weak` words need support."""

    kind: str
    normal: bool = False
    weak: bool = False


@dataclass(frozen=True)
class Cue:
    """A word for denial, doubt, change or an attribute: its group and its value."""

    group: str
    value: str


_ORDINARY = words.bag("abdominal abnormal abnormality according accumulation active activity addition amount "
                      "anterior appearance area artery aspect attention axial basal benign bilateral body bone "
                      "border branch caliber cardiac cavity central cervical change chamber chronic clavicle column "
                      "compared comparison compatible complete congestion consistent contour contrast coronary "
                      "defect dependent described detected diaphragm diameter difference diffuse dimension direction "
                      "distal distance embolic enhancement esophagus evaluated evaluation evidence examination "
                      "examined existing extending extension external findings fissure focal follow function gastric "
                      "general hemithorax hepatic hilar identified imaging impression included increased infection "
                      "infectious inferior inflammation inflammatory infusion internal intravenous invasion "
                      "involvement irregular ischemic kidney largest lateral lateral level limits located "
                      "localization location longitudinal lumbar malignant malignancy marrow material maximum "
                      "measured medial mediastinal membrane minimum morphology muscle natural negative observed "
                      "organ origin parenchyma partial partially pathology patient pattern pericardial pericardium "
                      "peripheral phase pleura portion position positive posterior postoperative predominantly "
                      "predominance presence previous primary probable process prominent proximal pulmonary reaction "
                      "reactive region remaining residual respiratory secondary section sections segment several "
                      "significant similar spleen stable sternum stomach structure structures studies subclavian "
                      "subpleural superior surface surgery surgical suspicious symmetrical therapy thoracic thorax "
                      "thymus thyroid tissue towards transverse treatment trachea tuberculosis tubular upper "
                      "vascular vein venous ventilation ventricle vertebra vertebral vessel visible volume window "
                      "within without bronchus bronchial bronchiolar infective septic arterial artifact capacity "
                      "centrally diffusion infarct infarction traction motion module empyema fibroid bullet oncology "
                      "effective fractional mediastinitis pericarditis pleuritis pleurisy esophagitis hernioplasty "
                      "nodal cavernous modules lesional calculated calcaneus")


_TOUCHING = words.bag("abutting adjacent invading extending encasing displacing contacting near")


@lru_cache(maxsize=1)
def kind_phrases() -> Phrases[Meaning]:
    """Every way to name a kind, or to say that it is not there."""
    heads = {w for kind in KINDS.values() for name in kind.names + kind.patterns if len(name.split()) == 1
             for w in words_of([name])} | {"node", "valve", "ln", "collapsed", "consolidated"}
    heads |= _TOUCHING | set(words.LOBE_CODES)
    return Phrases(_kind_entries(), closed=heads)


def _kind_entries() -> Iterator[tuple[str, Meaning]]:
    for kind in KINDS.values():
        for phrase in kind.names + kind.patterns:
            yield phrase, Meaning(kind.id)
        for phrase in kind.normal:
            yield phrase, Meaning(kind.id, normal=True)
        for phrase in kind.weak:
            yield phrase, Meaning(kind.id, weak=True)


@lru_cache(maxsize=1)
def cue_phrases() -> Phrases[Cue]:
    """Denial, doubt and their exceptions."""
    groups = {"no before": words.NO_BEFORE, "no after": words.NO_AFTER, "doubt before": words.DOUBT_BEFORE,
              "doubt after": words.DOUBT_AFTER, "sure": words.SURE_THOUGH_DOUBTFUL, "end": words.ENDING_PHRASES,
              "unjudged after": words.UNJUDGED_AFTER,
              "unjudged before": words.UNJUDGED_BEFORE, "unjudged around": words.UNJUDGED_AROUND,
              "history": words.HISTORY, "advice": words.ADVICE}
    return Phrases(((phrase, Cue(group, phrase)) for group, phrases in groups.items() for phrase in phrases), ("not",))


@lru_cache(maxsize=1)
def attribute_phrases() -> Phrases[Cue]:
    """Severity, density, margin and change."""
    tables: Mapping[str, Mapping[str, tuple[str, ...]]] = {
        "severity": {str(level): phrases for level, phrases in words.SEVERITIES.items()},
        "density": words.DENSITIES, "margin": words.MARGINS,
              "change": words.CHANGES}
    return Phrases((phrase, Cue(group, value)) for group, table in tables.items()
                   for value, phrases in table.items() for phrase in phrases)


@lru_cache(maxsize=1)
def spelling() -> Spelling:
    """Mends typing errors towards every word of the tables."""
    shared = [*words.SIDES, *words.LEVELS, *words.LOBE_CODES, *words.SEGMENT_LEVELS, *words.STATIONS, *words.COUNTS,
              *words.ENDS_SCOPE, *words.PREDICATES, *words.RELATED, *words.SEGMENT_WORDS, "lobe", "lung"]
    phrases = [p for table in (words.SEVERITIES, words.DENSITIES, words.MARGINS, words.CHANGES)
               for group in table.values() for p in group]
    cues = [*words.NO_BEFORE, *words.NO_AFTER, *words.DOUBT_BEFORE, *words.DOUBT_AFTER, *words.HISTORY, *words.ADVICE]
    kinds = [p for kind in KINDS.values() for p in kind.names + kind.patterns + kind.normal + kind.weak]
    return Spelling(words_of(kinds + phrases + cues) | frozenset(shared), [*_ORDINARY, *words.NORMAL_WORDS],
                    ("right", "lower", "upper", "hernia"))


def read(text: str, start: int, end: int) -> list[Token]:
    """The words of a sentence with typing errors mended."""
    speller = spelling()
    return [Token(speller.mended(t.word), t.start, t.end) for t in tokens(text, start, end)]


def cues(row: Sequence[Token]) -> list[Match[Cue]]:
    return cue_phrases().longest(row)


def attributes(row: Sequence[Token]) -> list[Match[Cue]]:
    return attribute_phrases().longest(row)
