"""A writer of reports: the other direction of the parser, for training and for tests.

`random_findings` draws plausible sets of findings that a phantom can show,
`write_report` states them as radiologists do: whole sentences or bare keywords, in
any order, among normal statements and denials of other things. All words come from
the tables of the parser. Of every list of words and of templates the last is never
used in the "train" split, so that a model can be asked whether it learnt to read
or learnt the phrases by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeVar

import numpy as np

from . import words
from .finding import Finding, Lobe, Severity, Side
from .kind import Kind
from .vocabulary import KINDS

Split = Literal["train", "held-out"]
T = TypeVar("T")

_SENTENCES = ("{np}{where}{size}.", "There {is} {np}{where}{size}.", "{np}{size} {is} seen{where}.",
              "{np}{where}{size} {is} observed.", "{np}{size} {is} noted{where}.", "{front}{np}{size} {is} present.",
              "{front}there {is} {np}{size}.", "{np}{size} can be identified{where}.")
_KEYWORDS = ("{np}{place}{bare}", "{np}{where}{bare}", "{bare_first}{np}{place}", "{np},{place}{bare}")
_DOUBTS = ("Possible {np}{where}{size}.", "{np}{where}{size} cannot be excluded.", "Suspicious for {np}{where}{size}.",
           "Questionable {np}{where}{size}.")
_DENIALS = ("No {n}.", "There {is} no {n}.", "No evidence of {n}.", "{n} {is} not seen.", "No {n} {is} identified.",
            "Negative for {n}.", "{n} {was} not detected.", "No sign of {n}.", "{n} {is} absent.")
_LISTED = ("No {l}.", "There is no {l}.", "No evidence of {l}.", "{c} are not seen.", "Negative for {l}.",
           "{c} were not detected.")
_NORMAL = ("Normal chest CT.", "Unremarkable examination of the chest.", "No acute cardiopulmonary abnormality.",
           "The lungs are clear.", "No abnormality.", "Everything is within normal limits.")
_FILLERS = ("Trachea and both main bronchi are open.", "The mediastinal structures are unremarkable.",
            "The thyroid gland is unremarkable.", "Bone structures are natural.", "Esophageal calibration is normal.",
            "Comparison: none.", "Upper abdominal organs are normal.", "Technique: chest CT without contrast.",
            "The airways are patent.")
_SIDE_WORDS = {"right": ("right", "right-sided"), "left": ("left", "left-sided"), "bilateral": ("bilateral",)}
_IN_CHEST = {"right": (" on the right", " in the right hemithorax", " on the right side"),
             "left": (" on the left", " in the left hemithorax", " on the left side"),
             "bilateral": (" in both hemithoraces", " bilaterally", " on both sides")}
_IN_LUNG = {"right": (" in the right lung", " on the right", " within the right lung"),
            "left": (" in the left lung", " on the left", " within the left lung"),
            "bilateral": (" in both lungs", " bilaterally", " throughout both lungs")}
_STATIONS = ("subcarinal", "hilar", "prevascular", "paratracheal")
_LOBES: tuple[Lobe, ...] = ("RUL", "RML", "RLL", "LUL", "LLL", "lingula")
_PAIRS = tuple(lobes for lobes in words.LOBE_NAMES if len(lobes) == 2)

_COMMON = {"pleural_effusion": 2.4, "pneumothorax": 1.8, "consolidation": 2.0, "lung_opacity": 1.6, "lung_nodule": 2.8,
           "lung_mass": 1.8, "emphysema": 1.5, "cardiomegaly": 1.8, "atelectasis": 1.4, "lymphadenopathy": 1.0,
           "pulmonary_fibrotic_sequela": 1.0, "pericardial_effusion": 1.2, "hiatal_hernia": 1.0}
DRAWABLE = tuple(kind.id for kind in KINDS.values() if kind.standard) + (
    "pneumothorax", "lung_mass", "metastases", "granuloma", "bulla", "fracture", "mediastinal_shift", "aneurysm",
    "hepatic_steatosis")
_SIZES_MM = {"lung_nodule": (5, 30), "lung_mass": (32, 70), "metastases": (8, 30), "granuloma": (4, 9),
             "bulla": (15, 60), "aneurysm": (46, 66), "lymphadenopathy": (12, 30)}


def random_findings(rng: np.random.Generator, kinds: Sequence[str] = DRAWABLE) -> tuple[Finding, ...]:
    """None to four findings of these kinds that can stand together in one chest."""
    number = int(rng.choice(5, p=(0.10, 0.38, 0.28, 0.16, 0.08)))
    weights = np.array([_COMMON.get(kind, 0.6) for kind in kinds])
    chosen = rng.choice(len(kinds), min(number, len(kinds)), replace=False, p=weights / weights.sum())
    return tuple(_random_finding(KINDS[kinds[k]], rng) for k in chosen)


def write_report(findings: Sequence[Finding], rng: np.random.Generator, split: Split = "train") -> str:
    """A report that states these findings, and denies or does not name what is not among them."""
    return _Writer(rng, split).report(tuple(findings))


def _random_finding(kind: Kind, rng: np.random.Generator) -> Finding:
    side, lobe = _random_place(kind, rng)
    size = None
    if kind.id in _SIZES_MM:
        low, high = _SIZES_MM[kind.id]
        size = float(np.round(np.exp(rng.uniform(np.log(low), np.log(high)))))
    severity: Severity | None = None
    if kind.scale and size is None and rng.random() < 0.7:
        severity = ("small", "moderate", "large")[rng.integers(3)]
    density = kind.densities[rng.integers(len(kind.densities))] if kind.densities and not kind.stations else None
    margin = kind.margins[rng.integers(len(kind.margins))] if kind.margins and rng.random() < 0.6 else None
    station = _STATIONS[rng.integers(len(_STATIONS))] if kind.stations else None
    return Finding(kind.id, side=side, lobe=lobe, size_mm=size, severity=severity, density=density, margin=margin,
                   station=station)


def _random_place(kind: Kind, rng: np.random.Generator) -> tuple[Side | None, tuple[Lobe, ...]]:
    """A side and lobes that fit the kind: one lobe for a lesion, one or two or a side for what spreads."""
    if not kind.sided or kind.stations or kind.id == "medical_material":
        return None, ()
    if kind.id == "metastases" or (kind.id in ("emphysema", "mosaic_attenuation_pattern") and rng.random() < 0.7):
        return "bilateral", ()
    single: Side = "right" if rng.random() < 0.5 else "left"
    if not kind.lobar:
        both = kind.id == "pleural_effusion" and rng.random() < 0.2
        return ("bilateral" if both else single), ()
    draw = rng.random()
    if (kind.sized and kind.margins) or kind.id in ("granuloma", "bulla") or draw < 0.65:
        lobe = _LOBES[rng.integers(5 if kind.sized else 6)]
        return words.SIDE_OF[lobe], (lobe,)
    if draw < 0.8:
        lobes = _PAIRS[rng.integers(len(_PAIRS))]
        sides = {words.SIDE_OF[lobe] for lobe in lobes}
        return ("bilateral" if len(sides) > 1 else sides.pop()), lobes
    return ("bilateral" if draw < 0.9 else single), ()


class _Writer:
    """Writes with one source of chance and one split."""

    def __init__(self, rng: np.random.Generator, split: Split) -> None:
        self._rng = rng
        self._held_out = split == "held-out"

    def report(self, findings: tuple[Finding, ...]) -> str:
        text = self._keywords(findings) if findings and self._chance(0.22) else self._prose(findings)
        return text.lower() if self._chance(0.2) else text

    def _pick(self, options: Sequence[T]) -> T:
        """One of the options; the last one is kept for the held-out split, and favoured there."""
        if len(options) > 1 and self._held_out and self._chance(0.5):
            return options[-1]
        return options[int(self._rng.integers(max(1, len(options) - 1)))]

    def _chance(self, share: float) -> bool:
        return bool(self._rng.random() < share)

    def _prose(self, findings: tuple[Finding, ...]) -> str:
        sentences = [self._sentence(f) for f in findings] + self._denials(findings)
        if not findings and (not sentences or self._chance(0.6)):
            sentences.append(self._pick(_NORMAL))
        sentences += [str(s) for s in self._rng.choice(_FILLERS[:-1], int(self._rng.integers(0, 3)), replace=False)]
        if self._held_out and self._chance(0.2):
            sentences.append(_FILLERS[-1])
        order = self._rng.permutation(len(sentences))
        text = " ".join(sentences[n] for n in order)
        return "Findings: " + text if self._chance(0.15) else text

    def _keywords(self, findings: tuple[Finding, ...]) -> str:
        """A prompt without verbs."""
        stated = [f for f in findings if f.certainty == "present"]
        parts = [self._fill(self._pick(_KEYWORDS), f) for f in stated]
        if self._chance(0.3):
            parts += ["no " + self._pick(KINDS[k].names) for k in self._others(findings, 1)]
        text = self._pick((", ", ". ", "; ", "\n")).join(parts)
        others = [self._sentence(f) for f in findings if f.certainty != "present"]
        return ". ".join([text, *others]) if others else text

    def _sentence(self, finding: Finding) -> str:
        if finding.certainty == "absent":
            return self._denial(finding.kind, self._where(finding))
        templates = _DOUBTS if finding.certainty == "uncertain" else _SENTENCES
        text = self._fill(self._pick(templates), finding)
        return text[:1].upper() + text[1:]

    def _fill(self, template: str, finding: Finding) -> str:
        """A template with the words of a finding; the side stands before the name or behind it, not both."""
        adjective, where = self._place(finding, "{place}" in template)
        name, front = self._named(finding, adjective), ""
        if "{front}" in template and where.startswith((" in ", " on ")):
            front, where = where.strip().capitalize() + ", ", ""
        size = self._size(finding)
        sized = {"size": self._pick((" measuring {}", " of {}", " with a diameter of {}")).format(size) if size else "",
                 "bare": f" {size}" if size else "", "bare_first": f"{size} " if size else ""}
        text = template.format(np=name, where=where, place=where, front=front, **{"is": _verb(name), **sized})
        if "{where}" not in template and "{place}" not in template and not front:
            text = text.rstrip(".") + where + "."
        return text.rstrip(",")

    def _named(self, finding: Finding, side: str) -> str:
        """Severity, side, margin, density and name."""
        kind = KINDS[finding.kind]
        parts = [side]
        if finding.severity and kind.scale:
            table = words.SIZE_WORDS if kind.scale == "size" else words.DEGREE_WORDS
            parts.insert(0, self._pick(table[finding.severity]))
        name = self._pick(kind.names)
        if finding.margin:
            parts.append(self._pick(words.MARGINS[finding.margin][:2]))
        if finding.density and kind.margins and not _is_said(finding.density, name):
            parts.append(words.DENSITIES[finding.density][0])
        return " ".join(p for p in (*parts, name) if p)

    def _place(self, finding: Finding, bare: bool) -> tuple[str, str]:
        """The side as an adjective, and the place as words behind the name."""
        if finding.station:
            phrase = self._pick((" in the {} region", " in the {} station", " at the {} level"))
            return "", phrase.format(finding.station)
        if finding.kind == "mediastinal_shift" and finding.side:
            return "", f" to the {finding.side}"
        if finding.lobe or not finding.side:
            return "", self._where(finding, bare)
        if self._chance(0.5):
            return self._pick(_SIDE_WORDS[finding.side]), ""
        return "", self._where(finding, bare)

    def _where(self, finding: Finding, bare: bool = False) -> str:
        if finding.lobe:
            name = self._pick(words.LOBE_NAMES.get(finding.lobe) or (self._each(finding.lobe),))
            if bare:
                return " " + name
            return f" in {name}" if name.startswith("both") else f" in the {name}"
        if not finding.side:
            return ""
        lung = KINDS[finding.kind].region in ("lungs", "airways")
        return self._pick((_IN_LUNG if lung else _IN_CHEST)[finding.side])

    def _each(self, lobes: Sequence[Lobe]) -> str:
        return " and the ".join(self._pick(words.LOBE_NAMES[lobe,]) for lobe in lobes)

    def _size(self, finding: Finding) -> str:
        mm = finding.size_mm
        if mm is None:
            return ""
        draw = self._rng.random()
        if draw < 0.55:
            return f"{mm:g} mm"
        if draw < 0.8:
            return f"{mm / 10:g} cm"
        return f"{mm:g} x {max(1, round(mm * 0.8)):g} mm"

    def _denials(self, findings: tuple[Finding, ...]) -> list[str]:
        """Denials of kinds that are not among the findings, one by one and as a list."""
        said = [self._denial(kind) for kind in self._others(findings, int(self._rng.integers(0, 4)))]
        if self._chance(0.35):
            names = [self._pick(KINDS[k].names) for k in self._others(findings, int(self._rng.integers(2, 4)))]
            head, last = ", ".join(names[:-1]), names[-1]
            text = self._pick(_LISTED).format(l=f"{head} or {last}", c=f"{head} and {last}")
            said.append(text[:1].upper() + text[1:])
        return said

    def _denial(self, kind: str, where: str = "") -> str:
        name = self._pick(KINDS[kind].names)
        verb = _verb(name)
        text = self._pick(_DENIALS).format(n=name + where, **{"is": verb, "was": "were" if verb == "are" else "was"})
        return text[:1].upper() + text[1:]

    def _others(self, findings: tuple[Finding, ...], number: int) -> list[str]:
        """Kinds that may be denied beside these findings."""
        named = {f.kind for f in findings}
        lesions = {"lung_nodule", "lung_mass", "metastases", "granuloma"}
        free = [k for k in DRAWABLE if k not in named and not (named & lesions and k in lesions)]
        return [free[int(n)] for n in self._rng.choice(len(free), number, replace=False)]


def _verb(name: str) -> str:
    last = name.split()[-1]
    return "are" if last.endswith(("s", "septa", "bronchi")) and not last.endswith(("is", "us", "ss")) else "is"


def _is_said(density: str, name: str) -> bool:
    """Whether a name already holds the word for its density."""
    return words.DENSITIES[density][0].split()[0] in name.replace("-", " ")
