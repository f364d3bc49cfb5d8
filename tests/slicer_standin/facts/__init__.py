"""What is known about the real classes: read from a running Slicer, and from three bindings of Qt.

`widgets.json` has for each class the properties, signals and slots that Slicer 5.12
reported. `qt6_only.json` has the names that Qt 6 added; official Slicers run Qt 5.15.
Nothing here is from reading documentation.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Property:
    """A property as the real class has it."""

    name: str
    type: str
    writable: bool


@dataclass(frozen=True)
class ClassFacts:
    """What the real class offers; signals and slots are normalised signatures."""

    name: str
    module: str
    properties: dict[str, Property]
    signals: frozenset[str]
    slots: frozenset[str]

    def overloads(self, signal: str) -> list[str]:
        """The signatures of the signal with this name."""
        return sorted(s for s in self.signals if s.split("(")[0] == signal)


@cache
def _read(name: str) -> dict[str, Any]:
    return dict(json.loads((_FOLDER / name).read_text(encoding="utf-8")))


def class_names() -> list[str]:
    """The classes that were measured."""
    return [name for name in _read("widgets.json") if not name.startswith("_")]


@cache
def of_class(name: str) -> ClassFacts | None:
    """The facts about a class with what it inherits, or None when it was not measured."""
    found = _read("widgets.json").get(name)
    if found is None:
        return None
    base = of_class(found["base"]) if "base" in found else None
    properties = dict(base.properties) if base else {}
    properties.update({n: Property(n, kind, writable) for n, (kind, writable) in found["properties"].items()})
    return ClassFacts(name, found["module"], properties,
                      frozenset(found["signals"]) | (base.signals if base else frozenset()),
                      frozenset(found["slots"]) | (base.slots if base else frozenset()))


@cache
def qt6_names(class_name: str) -> frozenset[str]:
    """The names that Qt 6 added to this one class."""
    return frozenset(_read("qt6_only.json")["names"].get(class_name, ()))


@cache
def qt6_properties(class_name: str) -> frozenset[str]:
    """The properties of this one class that are plain methods in Qt 5.15."""
    return frozenset(_read("qt6_only.json")["properties"].get(class_name, ()))


def is_qt6_class(name: str) -> bool:
    """Whether a class or name exists in Qt 6 and not in Qt 5.15."""
    return name in _read("qt6_only.json")["classes"]
