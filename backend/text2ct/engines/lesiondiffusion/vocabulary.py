"""The attributes that the networks were trained on: their fields, the values of each, and plain words for them.

Menus show the plain word, the networks read the trained text, which ends with a comma.
Several values of one field stand one after the other ("irregular,wall thickening,").
A value that no menu has goes to the networks as it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ENHANCEMENT, LOCATION, SHAPE, SIZE = "enhancement status", "lesion location", "shape", "size"
DENSITY, VARIATIONS, CT_VALUE = "density", "density variations", "CT value"
SURFACE, NEIGHBOURS = "surface characteristics", "relationship with adjacent organs"
FEATURES, CAVITY = "specific features", "cavity"
FIELDS = (ENHANCEMENT, LOCATION, SHAPE, SIZE, DENSITY, VARIATIONS, CT_VALUE, SURFACE, NEIGHBOURS, FEATURES, CAVITY)


@dataclass(frozen=True)
class Choice:
    """One value: the word of the menu, the text as trained, and other words that mean the same class."""

    word: str
    text: str = ""
    also: tuple[str, ...] = ()

    @property
    def trained(self) -> str:
        return f"{self.text or self.word},"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name.lower() for name in (self.word, self.text, *self.also) if name)


_MENUS: Mapping[str, tuple[Choice, ...]] = {
    ENHANCEMENT: (
        Choice("enhanced", "enhanced CT", ("contrast", "with contrast")),
        Choice("non-contrast", "non-contrast CT", ("native", "without contrast", "unenhanced"))),
    SHAPE: (
        Choice("round", "round-like", ("oval",)), Choice("irregular"),
        Choice("wall thickening", "irregular,wall thickening", ("irregular wall thickening",)),
        Choice("nodular", "punctate", ("nodule",)), Choice("cystic"), Choice("luminal narrowing"),
        Choice("protrusion into the lumen")),
    DENSITY: (
        Choice("hypodense", "low density lesion", (
            "hypodense lesion", "low density", "low-density", "hypoattenuating", "hypoattenuating lesion",
            "low attenuation lesion")),
        Choice("isodense", "isodense lesion", ("isoattenuating", "isoattenuating lesion")),
        Choice("hyperdense", "high density lesion", (
            "hyperdense lesion", "high density", "high-density", "hyperattenuating", "hyperattenuating lesion",
            "high attenuation lesion", "calcified")),
        Choice("mixed", "mixed-density lesion", ("mixed-density", "mixed attenuation lesion", "part-solid")),
        Choice("fluid-like", "hypodense fluid-like lesion", (
            "hypoattenuating fluid-like lesion", "hypoattenuating/hypodense fluid-like lesion", "cystic")),
        Choice("soft tissue mass", "isodense soft tissue mass", ("solid",)),
        Choice("soft tissue mass with ground-glass rim",
               "isodense soft tissue mass with peripheral low-density ground-glass opacity", ("halo",)),
        Choice("ground glass", "low-density ground-glass opacity", ("ground-glass", "ground glass opacity")),
        Choice("ring enhancement")),
    VARIATIONS: (Choice("homogeneous"), Choice("heterogeneous")),
    SURFACE: (
        Choice("well-defined", "well-defined margin", ("smooth", "sharp")),
        Choice("ill-defined", "ill-defined margin", ("blurred",)),
        Choice("clear serosal surface"), Choice("serosal surface irregularity"),
        Choice("clear boundary with the renal parenchyma"), Choice("unclear boundary with the renal parenchyma"),
        Choice("poorly defined boundary with normal esophageal tissue")),
    NEIGHBOURS: (
        Choice("none close", "no close relationship with surrounding organs", ("none",)),
        Choice("close", "close relationship with adjacent organs")),
    FEATURES: (
        Choice("none"), Choice("darker areas", "presence of decreased density areas", (
            "presence of decreased attenuation areas", "necrosis")),
        Choice("brighter areas", "presence of increased density areas", ("presence of increased attenuation areas",)),
        Choice("darker and brighter areas", "presence of increased density areas,presence of decreased density areas"),
        Choice("spiculated", "spiculated margins", ("spiculated margin",)),
        Choice("retained pancreatic fluid", "retention of pancreatic fluid"), Choice("stone", "", ("calculus",))),
    CAVITY: (
        Choice("in the lumen", "within the lumen of a hollow organ"), Choice("in the wall", "wall thickening"),
        Choice("inside the organ", "within the parenchymal organ"),
        Choice("out of the organ", "protruding from the parenchymal organ")),
}
SIZES = {"full": 1.0, "medium": 0.75, "small": 0.5}
TRAINED_ORGANS = (
    "lung upper lobe left", "lung lower lobe left", "lung upper lobe right", "lung middle lobe right",
    "lung lower lobe right", "liver", "gallbladder", "colon", "urinary bladder", "esophagus", "stomach", "kidney left",
    "kidney right", "pancreas")
_WORDS = {field: tuple(choice.word for choice in choices) for field, choices in _MENUS.items()}
MENUS: Mapping[str, tuple[str, ...]] = {
    field: {LOCATION: TRAINED_ORGANS, SIZE: tuple(SIZES), **_WORDS}[field] for field in FIELDS if field != CT_VALUE}


def choices(field: str) -> tuple[Choice, ...]:
    """The values that a field was trained with."""
    return _MENUS.get(field, ())


def trained(field: str, value: str) -> str:
    """The text that the networks read for a value: from the menu, as trained, or free; '' for none."""
    plain = " ".join(value.split()).strip(" ,")
    if not plain or (field == FEATURES and plain.lower() == "none"):
        return ""
    whole = _choice(field, plain)
    if whole is not None:
        return whole.trained
    parts = [part.strip() for part in plain.split(",") if part.strip()]
    found = [_choice(field, part) for part in parts]
    return "".join(choice.trained if choice else f"{part}," for choice, part in zip(found, parts, strict=True))


def known(field: str, value: str) -> bool:
    """Whether every part of a value is one of the trained ones."""
    plain = value.strip(" ,")
    return not plain or _choice(field, plain) is not None or all(
        _choice(field, part.strip()) for part in plain.split(","))


def _choice(field: str, value: str) -> Choice | None:
    lower = value.lower()
    return next((choice for choice in _MENUS.get(field, ()) if lower in choice.names), None)
