"""From text to words that can be compared: lower case, singular, one spelling, small typing errors mended.

A token keeps where it stands in the text, so that everything found later can be
shown in the original. An unknown long word that differs from a word of the
vocabulary by one letter (two from nine letters on) is taken for it; of short words
only the `key` ones are mended.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(r"\([+\-–−]\)|\b[bBwWcC]/[lLwWoO]\b|\b[wW]/(?=\W)|\d+(?:[.,]\d+)?|[^\W\d_]+|"
                    r"[,;:/?&()<>=×*.!+]|-(?=\d)|(?<=\s)[-–—•](?=\s)|–|—")
_PLURALS = {
    "bullae": "bulla", "metastases": "metastasis", "bronchi": "bronchus", "septa": "septum", "hila": "hilum",
    "vertebrae": "vertebra", "pleurae": "pleura", "apices": "apex", "bases": "base", "sequelae": "sequela",
    "foci": "focus", "calculi": "calculus", "atelectases": "atelectasis", "pneumothoraces": "pneumothorax",
    "hemithoraces": "hemithorax", "bronchiectases": "bronchiectasis", "emboli": "embolus", "hili": "hilum",
    "hilus": "hilum", "lingulae": "lingula", "sequels": "sequela", "sequel": "sequela", "sequelas": "sequela",
    "granulomata": "granuloma", "thrombi": "thrombus", "atria": "atrium", "diagnoses": "diagnosis", "axillae": "axilla",
    "centimetre": "centimeter", "centimetres": "centimeter", "millimetre": "millimeter", "millimetres": "millimeter",
    "calibre": "caliber", "calibers": "caliber", "tumour": "tumor", "tumours": "tumor", "fibres": "fiber",
    "mets": "mets", "aneurysmatic": "aneurysmal", "encased": "encasing",
    "centre": "center", "colour": "color", "has": "has", "was": "was", "pus": "pus", "thorax": "thorax", "vs": "vs",
    "uper": "upper", "viewed": "seen", "visualised": "visualized", "recognised": "recognized", "favour": "favor",
    "favouring": "favoring"}
_SHORT = {
    "eff": "effusion", "effn": "effusion", "effs": "effusion", "effus": "effusion", "consol": "consolidation",
    "consols": "consolidation", "cons": "consolidation", "atel": "atelectasis", "atelect": "atelectasis",
    "emph": "emphysema", "calc": "calcification", "calcs": "calcification", "calcn": "calcification",
    "calcif": "calcification", "pneumo": "pneumothorax", "poss": "possible", "prob": "probable",
    "susp": "suspicious", "mod": "moderate", "adj": "adjacent", "assoc": "associated", "unch": "unchanged",
    "bil": "bilateral", "incr": "increased", "decr": "decreased", "seg": "segment", "neg": "negative",
    "mediast": "mediastinal", "pericard": "pericardial", "lns": "ln", "lnn": "ln", "lnd": "ln", "abn": "abnormal",
    "bronch": "bronchus", "peribronch": "peribronchial", "cardiomeg": "cardiomegaly", "thk": "thickening",
    "thickng": "thickening", "subseg": "subsegmental", "b/l": "bilateral", "w/": "with",
    "w/o": "without", "c/w": "consistent", "(+)": "present", "(-)": "absent", "(–)": "absent", "(−)": "absent"}
_NO_PLURAL = frozenset(("pancreas", "whereas", "atlas", "perhaps"))
_KEEP = ("ss", "us", "is", "as")


@dataclass(frozen=True)
class Token:
    """One word or sign: `word` for comparing, and where it stands in the text."""

    word: str
    start: int
    end: int


def tokens(text: str, start: int = 0, end: int | None = None) -> Iterator[Token]:
    """The words and signs of text[start:end]; articles that carry nothing are left out."""
    for match in _TOKEN.finditer(text, start, len(text) if end is None else end):
        word = lemma(match.group().lower())
        if word != "the":
            yield Token(word, match.start(), match.end())


@lru_cache(maxsize=8192)
def lemma(word: str) -> str:
    """Singular, American and without accents."""
    if word in _SHORT:
        return _SHORT[word]
    if not word.isascii():
        word = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    found = _PLURALS.get(word)
    if found:
        return found
    if word.startswith("oe") and len(word) > 4:
        word = word[1:]
    if "aem" in word:
        word = word.replace("haem", "hem")
    word = word.replace("oesoph", "esoph") if "oesoph" in word else word
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "shes", "ches")):
        return word[:-2]
    if len(word) > 4 and word.endswith("as") and word not in _NO_PLURAL:
        return word[:-1]
    if len(word) > 3 and word.endswith("s") and not word.endswith(_KEEP):
        return word[:-1]
    return word


class Spelling:
    """Mends small typing errors in long words, towards `vocabulary` and never away from `ordinary` words."""

    def __init__(self, vocabulary: Collection[str], ordinary: Collection[str], key: Collection[str]) -> None:
        self._known = frozenset(vocabulary) | frozenset(map(lemma, ordinary))
        self._near: Mapping[str, frozenset[str]] = _index({w for w in vocabulary if len(w) >= 6} | set(key))
        self.mended = lru_cache(maxsize=8192)(self._mended)

    def knows(self, word: str) -> bool:
        return word in self._known

    def _mended(self, word: str) -> str:
        """The word of the vocabulary that was meant, or the word itself."""
        if len(word) < 5 or word in self._known or not word.isascii() or not word.isalpha():
            return word
        candidates = {known for cut in _cuts(word, _allowed(word)) for known in self._near.get(cut, ())}
        scored = sorted((distance(word, known), known) for known in candidates
                        if known[0] == word[0] and abs(len(known) - len(word)) <= 2
                        and (len(word) > 5 or len(known) == 6 or sorted(known) == sorted(word)))
        return scored[0][1] if scored and scored[0][0] <= min(_allowed(word), _allowed(scored[0][1])) else word


def distance(a: str, b: str) -> int:
    """Insertions, deletions, changes and swaps of neighbours between two words."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        above, row = row, [i] + [0] * len(b)
        for j, right in enumerate(b, 1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                row[j] = min(row[j], before[j - 2] + 1)
        before = above
    return row[-1]


def _allowed(word: str) -> int:
    return 1 if len(word) < 9 else 2


def _cuts(word: str, deletions: int) -> frozenset[str]:
    """The word, and what is left of it when up to `deletions` letters are taken out."""
    found = {word}
    for _ in range(deletions):
        found |= {w[:i] + w[i + 1:] for w in found for i in range(len(w))}
    return frozenset(found)


def _index(words: Iterable[str]) -> Mapping[str, frozenset[str]]:
    near: dict[str, set[str]] = {}
    for word in words:
        for cut in _cuts(word, _allowed(word)):
            near.setdefault(cut, set()).add(word)
    return {cut: frozenset(found) for cut, found in near.items()}
