"""A request's attributes made whole: what was not said is read from the CT and the organ labels.

The networks were trained with every field filled, so an empty one is filled with what
the image shows (contrast agent, density of the tissue, whether the lesion stays in
its organ) or with the plainest value. What was said always stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...errors import BadRequest
from .crops import Mask
from .organs import HOLLOW, is_lung, name_of, number_of
from .quantities import size_ml, stated_hu
from .report_file import Attributes
from .tokens import IN_LUMEN, IN_WALL, INSIDE, PROTRUDING
from .vocabulary import (
    CAVITY,
    CT_VALUE,
    DENSITY,
    ENHANCEMENT,
    FEATURES,
    FIELDS,
    LOCATION,
    NEIGHBOURS,
    SHAPE,
    SIZE,
    SURFACE,
    VARIATIONS,
    choices,
    known,
    trained,
)

_AORTA = 7
_CONTRAST_HU = 130.0
_WITHIN = 0.95  # of the lesion in its organ
_CLOSE = 0.03  # of the lesion's surroundings in other organs
_OFFSETS = {"low density lesion,": -35.0, "high density lesion,": 50.0, "mixed-density lesion,": -20.0}
_LUNG_TISSUE = 35.0  # a lesion of the lung is told from soft tissue, not from air
_CALCIFIED, _CALCIFIED_HU = "calcif", "500 HU"
_NOT_DENIED = r"(?<!\bno )(?<!\bnot )(?<!\bnon )(?<!\bwithout )(?<![\w-])"
_FIXED = {"hypodense fluid-like lesion,": 10.0, "isodense soft tissue mass,": 35.0,
          "isodense soft tissue mass with peripheral low-density ground-glass opacity,": 10.0,
          "low-density ground-glass opacity,": -550.0}


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What the image shows where the lesion shall be. Arrays are on one grid; `organs` may be missing."""

    hu: NDArray[np.float32]
    lesion: Mask
    near: Mask
    organs: NDArray[np.uint8] | None
    aorta_hu: float | None = None


def asked(attributes: Attributes, text: str) -> tuple[dict[str, str], list[str]]:
    """The fields that were spoken of, as the networks read them; and sentences about values they never saw."""
    fields = {field.lower(): field for field in FIELDS}
    found, said = {}, []
    for name, value in attributes:
        field = fields.get(name.lower().strip())
        if field is None:
            raise BadRequest(f"The attribute '{name}' is not known; there are {', '.join(FIELDS)}.")
        free = field in (LOCATION, SIZE, CT_VALUE)
        found[field] = value if free else trained(field, value)
        if not free and not known(field, value):
            said.append(f"The networks were not trained on '{value}' as {field}; they read it as it is written.")
    heard = {**_spoken(text, found), **found}
    stated = [value for name, value in attributes if fields.get(name.lower().strip()) == DENSITY]
    if any(_calcified(words, heard) for words in (*stated, text)):
        heard.setdefault(CT_VALUE, _CALCIFIED_HU)
    return heard, said


def check_asked(attributes: Attributes, text: str) -> None:
    """Refuse words that could not be used, before anything is loaded or painted."""
    said, _ = asked(attributes, text)
    organ_asked(said)
    size_ml(said.get(SIZE, ""))
    stated_hu(said.get(CT_VALUE, ""))


def completed(said: Mapping[str, str], organ: int, seen: Surroundings) -> Attributes:
    """All fields in the order of the published reports."""
    lung = is_lung(organ)
    density = said.get(DENSITY) or ("isodense soft tissue mass," if lung else "low density lesion,")
    features = said.get(FEATURES, "")
    filled = {
        ENHANCEMENT: _enhancement(seen), LOCATION: name_of(organ), SHAPE: "round-like,", DENSITY: density,
        VARIATIONS: "homogeneous,", CT_VALUE: _ct_value(density, lung, seen), SURFACE: "well-defined margin,",
        NEIGHBOURS: _neighbours(organ, seen), FEATURES: "", CAVITY: _cavity(organ, features, seen)}
    given = {field: value for field, value in said.items() if value and field not in (SIZE, LOCATION)}
    if CT_VALUE in given:
        given[CT_VALUE] = f"{stated_hu(given[CT_VALUE])} HU,"
    return tuple({**filled, **given}.items())


def organ_asked(said: Mapping[str, str]) -> int | None:
    """The organ that the attributes name, if they do."""
    name = said.get(LOCATION, "").strip(" ,")
    if not name:
        return None
    number = int(name) if name.isdecimal() and 1 <= int(name) <= 104 else number_of(name)
    if number is None:
        raise BadRequest(f"'{name}' is no organ that the networks know; they know for example liver, kidney left, "
                         "lung upper lobe right, pancreas, urinary bladder.")
    return number


def _spoken(text: str, found: Mapping[str, str]) -> dict[str, str]:
    """Values that free words name, for fields that no attribute names."""
    plain = " ".join(text.lower().split())
    heard = {}
    for field in FIELDS:
        names = sorted(((name, choice) for choice in choices(field) for name in choice.names),
                       key=lambda one: -len(one[0]))
        for name, choice in names:
            if field not in found and name.strip() not in ("", "none") and re.search(
                    rf"{_NOT_DENIED}{re.escape(name)}(?![\w-])", plain):
                heard[field] = choice.trained
                break
    return heard


def _calcified(words: str, heard: Mapping[str, str]) -> bool:
    """Whether words name a calcification that the density does not speak against."""
    dense = heard.get(DENSITY) in (None, "", trained(DENSITY, _CALCIFIED + "ied"))
    return dense and re.search(_NOT_DENIED + _CALCIFIED, " ".join(words.lower().split())) is not None


def _enhancement(seen: Surroundings) -> str:
    return "non-contrast CT," if seen.aorta_hu is not None and seen.aorta_hu < _CONTRAST_HU else "enhanced CT,"


def _ct_value(density: str, lung: bool, seen: Surroundings) -> str:
    """The mean HU that fits the density, told from the tissue around."""
    around = seen.hu[seen.near] if seen.near.any() else seen.hu.ravel()
    tissue = _LUNG_TISSUE if lung else float(np.median(around))
    fixed = _FIXED.get(density)
    return f"{float(round(fixed if fixed is not None else tissue + _OFFSETS.get(density, 0.0)))} HU,"


def _neighbours(organ: int, seen: Surroundings) -> str:
    far = "no close relationship with surrounding organs,"
    if seen.organs is None or not seen.near.any():
        return far
    others = (seen.organs > 0) & (seen.organs != organ) & seen.near
    return "close relationship with adjacent organs," if others.sum() > _CLOSE * seen.near.sum() else far


def _cavity(organ: int, features: str, seen: Surroundings) -> str:
    if name_of(organ) in HOLLOW:
        return IN_LUMEN if "stone" in features or "calculus" in features else IN_WALL
    if seen.organs is None or not seen.lesion.any():
        return INSIDE
    return INSIDE if (seen.organs[seen.lesion] == organ).mean() >= _WITHIN else PROTRUDING
