"""Several lesions in one CT, one after the other, from a list or from a table.

Each lesion sees those before it. A whole table is judged before its first lesion is
drawn: a bad seventh row must not cost the six before it. Boxes that overlap are
refused, or made into one box around both when the caller says so. Works with every
engine that inserts lesions.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ...errors import BadInput, BadRequest, Text2CTError
from ...geometry import Box
from ...requests import InsertLesion, Result
from ...volume import CTVolume, LabelVolume, Segment
from .. import catalog
from .attributes import check_asked
from .organs import number_in
from .vocabulary import FIELDS
from .working import inside_box

PLACE = ("r", "a", "s", "x", "y", "z")
_OWN = ("organ", "text", "seed")
_MAX_BYTES, _MAX_ROWS = 1_000_000, 200
_COLOR = (0.95, 0.35, 0.15)
Overlapping = Literal["refuse", "merge"]


@dataclass(frozen=True)
class _Row:
    """One lesion of a table as it is written: its values by column, and where it stands."""

    values: Mapping[str, str]
    number: int
    line: int
    path: Path
    comma: bool

    def refused(self, said: str) -> BadInput:
        return BadInput(f"Row {self.number} (line {self.line}) of {self.path}: {said} Nothing was painted.")

    def number_in(self, column: str) -> float:
        text = self.values.get(column, "")
        try:
            return float(text.replace(",", ".") if self.comma else text)
        except ValueError:
            what = f"'{text}' is no number" if text else "there is no number"
            raise self.refused(f"In column '{column}' {what}; write for example 12.5.") from None


def columns(engine: str) -> tuple[str, ...]:
    """The columns that a table for this engine may have: the place, then what is each lesion's own."""
    fields = FIELDS if engine == "lesiondiffusion" else tuple(catalog.engine(engine).lesion_vocabulary)
    return (*PLACE, *_OWN, *fields)


def read_lesions(path: Path, like: InsertLesion) -> list[InsertLesion]:
    """A request for each row of a CSV: r,a,s (centre) and x,y,z (lengths) in mm, then organ, text, seed, attributes.

    What a row leaves open is as in `like`; seeds count up from its seed.
    """
    rows = _read(path, columns(like.engine))
    if not 1 <= len(rows) <= _MAX_ROWS:
        raise BadInput(f"{path} has {len(rows)} lesions; give between 1 and {_MAX_ROWS}.")
    return [_request(row, like) for row in rows]


def apart(requests: Sequence[InsertLesion], overlapping: Overlapping = "refuse") -> list[InsertLesion]:
    """The requests with boxes that do not overlap; merging keeps what the first of them asks for."""
    kept: list[tuple[int, InsertLesion]] = []  # with the number of the first row of each
    for number, request in enumerate(requests, 1):
        first = number
        hit = next((n for n, (_, one) in enumerate(kept) if _overlap(one, request)), None)
        while hit is not None:
            first, other = kept.pop(hit)
            if overlapping == "refuse":
                raise BadRequest(f"The boxes of lesions {first} and {number} overlap; move one, or merge them.")
            corners = np.concatenate([other.box.corners(), request.box.corners()])
            request = replace(other, box=Box.between(corners.min(0), corners.max(0)))
            hit = next((n for n, (_, one) in enumerate(kept) if _overlap(one, request)), None)
        kept.append((first, request))
    return [request for _, request in sorted(kept, key=lambda one: one[0])]


def insert_all(requests: Sequence[InsertLesion], run: Callable[[InsertLesion], Result],
               overlapping: Overlapping = "refuse") -> tuple[list[Result], CTVolume | None, LabelVolume]:
    """Each lesion into the CT that the one before it left; the last CT, and all lesions numbered in one layer."""
    separate = apart(requests, overlapping)
    if not separate:
        raise BadRequest("There is no lesion to insert.")
    if any(request.mode == "published" for request in separate):
        raise BadRequest("The published mode makes the whole CT anew on another grid; insert one lesion at a time, "
                         "or use the patch mode.")
    ct, made = separate[0].ct, np.zeros(separate[0].ct.shape, np.uint8)
    results = []
    for number, request in enumerate(separate, 1):
        try:
            result = run(replace(request, ct=ct))
        except Text2CTError as error:
            raise type(error)(f"Lesion {number} of {len(separate)}: {error}") from error
        ct = result.ct or ct
        made[result.labels[0].voxels != 0] = number
        results.append(result)
    segments = tuple(Segment(n, f"lesion {n}", _COLOR, f"lesion_{n}") for n in range(1, len(results) + 1))
    return results, results[-1].ct, LabelVolume(made, ct.affine, segments, "lesions")


def problem_of(request: InsertLesion) -> str:
    """What would stop this request once it ran, as far as it can be told beforehand; '' for nothing."""
    for said in request.validate():
        return said
    try:
        _check_words(request)
    except BadRequest as error:
        return str(error)
    low, high = request.box.voxels_in(request.ct.grid)
    inside = inside_box(request.box, request.ct.grid.window(low, high))
    if not inside.any():
        return "The box lies between the voxels of the CT; move or enlarge it."
    if request.organ and request.organs is not None:
        organ = request.organs.mask(request.organ)[tuple(map(slice, low, high))]
        if not (organ & inside).any():
            return f"The box does not touch the organ '{request.organ}'; move it there or name another organ."
    return ""


def _check_words(request: InsertLesion) -> None:
    if request.engine == "phantom":
        from ..phantom.lesion import look_of

        look_of(request)
        return
    check_asked(request.attributes, request.text)
    if request.organ:
        number_in(request.organs, request.organ)


def _read(path: Path, known: Sequence[str]) -> list[_Row]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadInput(f"{path} is too large for a table of lesions.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            mark = next((mark for mark in ";\t" if mark in head), ",")
            reader = csv.DictReader(file, delimiter=mark, restkey="")
            names = _names(reader.fieldnames or (), known, path)
            return [_row(row, names, number, reader.line_num, path, mark) for number, row in enumerate(reader, 1)]
    except FileNotFoundError:
        raise BadInput(f"There is no file {path}; check its name.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read as a table ({type(error).__name__}); give a CSV file.") from None


def _names(written: Sequence[str], known: Sequence[str], path: Path) -> dict[str, str]:
    """The column that each heading means."""
    plain = {name.lower(): name for name in known}
    found = {heading: plain.get(heading.strip().lower(), "") for heading in written}
    unknown = [heading for heading, name in found.items() if not name]
    missing = [name for name in PLACE if name not in found.values()]
    if unknown:
        raise BadInput(f"{path} has a column '{unknown[0]}'; there are {', '.join(known)}.")
    if missing and written:
        raise BadInput(f"{path} has no column '{missing[0]}'; the place of a lesion stands in {', '.join(PLACE)} (mm).")
    return found


def _row(row: Mapping[str, str | None], names: Mapping[str, str], number: int, line: int, path: Path, mark: str,
         ) -> _Row:
    values = {names[heading]: (text or "").strip() for heading, text in row.items() if heading}
    made = _Row(values, number, line, path, mark != ",")
    if "" in row:
        raise made.refused(f"It has more values than there are columns; put values with a '{mark}' into quotes.")
    return made


def _request(row: _Row, like: InsertLesion) -> InsertLesion:
    r, a, s, x, y, z = (row.number_in(name) for name in PLACE)
    seed = row.values.get("seed", "")
    if seed and not seed.isdecimal():
        raise row.refused(f"In column 'seed' '{seed}' is no whole number; write for example 7.")
    own = tuple((name, value) for name, value in row.values.items() if value and name not in (*PLACE, *_OWN))
    said = {name for name, _ in own}
    attributes = (*(pair for pair in like.attributes if pair[0] not in said), *own)
    request = replace(
        like, box=Box((r, a, s), (x, y, z)), seed=int(seed) if seed else like.seed + row.number - 1,
        attributes=attributes, text=row.values.get("text") or like.text, organ=row.values.get("organ") or like.organ)
    problem = problem_of(request)
    if problem:
        raise row.refused(problem)
    return request


def _overlap(one: InsertLesion, other: InsertLesion) -> bool:
    (a, b), (c, d) = (request.box.voxels_in(request.ct.grid) for request in (one, other))
    return all(low < high2 and low2 < high for low, high, low2, high2 in zip(a, b, c, d, strict=True))
