"""The structured report of the published program (type.json), read into values and written back.

One entry for each organ: [shape, "", {attributes}, [centres, sizes]], under the organ's
number in the order of TotalSegmentator v1. Only the attributes reach the networks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ...errors import BadInput
from ...formats.atomic import replacing
from .organs import V1
from .vocabulary import SHAPE

Attributes: TypeAlias = tuple[tuple[str, str], ...]
Voxels: TypeAlias = tuple[tuple[int, int, int], ...]
_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Entry:
    """What is said of the lesions of one organ. Centres and sizes are in (z, y, x) voxels."""

    organ: int
    attributes: Attributes
    centres: Voxels = ()
    sizes: Voxels = ()
    second: str = ""

    def value(self, field: str, otherwise: str = "") -> str:
        return dict(self.attributes).get(field, otherwise)


@dataclass(frozen=True)
class StructuredReport:
    entries: tuple[Entry, ...]

    def entry(self, organ: int) -> Entry:
        return next(entry for entry in self.entries if entry.organ == organ)

    @property
    def organs(self) -> tuple[int, ...]:
        return tuple(entry.organ for entry in self.entries)


def parsed(plain: Any, name: str = "The report") -> StructuredReport:
    """The report that a JSON value pictures, or a sentence that says what is wrong with it."""
    if not isinstance(plain, Mapping) or not plain:
        raise BadInput(f"{name} must be an object with an entry for each organ number.")
    return StructuredReport(tuple(_entry(str(key), value, name) for key, value in plain.items()))


def read_structured(path: Path) -> StructuredReport:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadInput(f"{path} is too large for a structured report; give the type.json of one CT.")
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"There is no file {path}; check its name.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} is no JSON text ({type(error).__name__}); give a structured report.") from None
    return parsed(plain, str(path))


def to_plain(report: StructuredReport) -> dict[str, Any]:
    """The report in the published layout."""
    return {str(entry.organ): [entry.value(SHAPE), entry.second, dict(entry.attributes),
                               [[list(c) for c in entry.centres], [list(s) for s in entry.sizes]]]
            for entry in report.entries}


def write_structured(report: StructuredReport, path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(to_plain(report), indent=4, ensure_ascii=False) + "\n", encoding="utf-8")


def _entry(key: str, value: Any, name: str) -> Entry:
    if not key.isdecimal() or not 1 <= int(key) <= len(V1):
        raise BadInput(f"{name} names the organ '{key[:40]}'; it must be a number from 1 to {len(V1)}.")
    if not isinstance(value, list) or len(value) < 3 or not isinstance(value[2], Mapping):
        raise BadInput(f"{name} has no attributes for organ {key}; its entry is [shape, text, {{attributes}}, boxes].")
    attributes = tuple((str(field), said) for field, said in value[2].items() if isinstance(said, str))
    if len(attributes) != len(value[2]):
        raise BadInput(f"{name} has an attribute of organ {key} that is no text; write all values as texts.")
    boxes = value[3] if len(value) > 3 and isinstance(value[3], list) else []
    centres, sizes = ([*boxes, [], []])[:2]
    return Entry(int(key), attributes, _voxels(centres, name), _voxels(sizes, name), str(value[1]))


def _voxels(plain: Any, name: str) -> Voxels:
    try:
        return tuple((int(a), int(b), int(c)) for a, b, c in plain)
    except (TypeError, ValueError):
        raise BadInput(f"{name} has a centre or size that is not three whole numbers; correct it.") from None
