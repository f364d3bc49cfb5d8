"""Several lesions in one CT, one after the other, from a list or from a table.

Each lesion sees those before it. Boxes that overlap are refused, or made into one box
around both when the caller says so.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from ...errors import BadInput, BadRequest
from ...geometry import Box
from ...requests import InsertLesion, Result
from ...volume import CTVolume, LabelVolume, Segment
from .vocabulary import FIELDS

PLACE = ("r", "a", "s", "x", "y", "z")
_OWN = ("organ", "text", "seed")
_MAX_BYTES, _MAX_ROWS = 1_000_000, 200
_COLOR = (0.95, 0.35, 0.15)


def read_lesions(path: Path, ct: CTVolume, organs: LabelVolume | None = None, engine: str = "lesiondiffusion",
                 ) -> list[InsertLesion]:
    """A request for each row of a CSV: r,a,s (centre) and x,y,z (lengths) in mm, then organ, text, seed, attributes."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadInput(f"{path} is too large for a table of lesions.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read as a table ({type(error).__name__}); give a CSV file.") from None
    if not 1 <= len(rows) <= _MAX_ROWS:
        raise BadInput(f"{path} has {len(rows)} lesions; give between 1 and {_MAX_ROWS}.")
    unknown = [name for name in rows[0] if name not in (*PLACE, *_OWN, *FIELDS)]
    if unknown:
        raise BadInput(f"{path} has a column '{unknown[0]}'; there are {', '.join((*PLACE, *_OWN, *FIELDS))}.")
    return [_request(row, number, path, ct, organs, engine) for number, row in enumerate(rows, 1)]


def apart(requests: Sequence[InsertLesion], overlapping: Literal["refuse", "merge"] = "refuse") -> list[InsertLesion]:
    """The requests with boxes that do not overlap; merging keeps what the first of them asks for."""
    kept: list[InsertLesion] = []
    for request in requests:
        hit = next((n for n, one in enumerate(kept) if _overlap(one, request)), None)
        while hit is not None:
            if overlapping == "refuse":
                raise BadRequest(f"The boxes of lesion {hit + 1} and of a later one overlap; move one, or merge them.")
            other = kept.pop(hit)
            corners = np.concatenate([other.box.corners(), request.box.corners()])
            request = replace(other, box=Box.between(corners.min(0), corners.max(0)))
            hit = next((n for n, one in enumerate(kept) if _overlap(one, request)), None)
        kept.append(request)
    return kept


def insert_all(requests: Sequence[InsertLesion], run: Callable[[InsertLesion], Result],
               overlapping: Literal["refuse", "merge"] = "refuse") -> tuple[list[Result], CTVolume | None, LabelVolume]:
    """Each lesion into the CT that the one before it left; the last CT, and all lesions numbered in one layer."""
    separate = apart(requests, overlapping)
    if not separate:
        raise BadRequest("There is no lesion to insert.")
    ct, made = separate[0].ct, np.zeros(separate[0].ct.shape, np.uint8)
    results = []
    for number, request in enumerate(separate, 1):
        result = run(replace(request, ct=ct))
        ct = result.ct or ct
        made[result.labels[0].voxels != 0] = number
        results.append(result)
    segments = tuple(Segment(n, f"lesion {n}", _COLOR, f"lesion_{n}") for n in range(1, len(results) + 1))
    return results, results[-1].ct, LabelVolume(made, ct.affine, segments, "lesions")


def _request(row: dict[str, str], number: int, path: Path, ct: CTVolume, organs: LabelVolume | None, engine: str,
             ) -> InsertLesion:
    try:
        r, a, s, x, y, z = (float(row[name]) for name in PLACE)
        seed = int(row.get("seed") or 0)
    except (KeyError, TypeError, ValueError):
        raise BadInput(f"Row {number} of {path} has no numbers in {', '.join(PLACE)} (or seed); correct it.") from None
    attributes = tuple((field, row[field]) for field in FIELDS if row.get(field))
    organ = row.get("organ") or ""
    request = InsertLesion(ct, Box((r, a, s), (x, y, z)), engine=engine, seed=seed, attributes=attributes,
                           text=row.get("text") or "", organs=organs, organ=organ)
    problems = request.validate()
    if problems:
        raise BadInput(f"Row {number} of {path}: {problems[0]}")
    return request


def _overlap(one: InsertLesion, other: InsertLesion) -> bool:
    (a, b), (c, d) = (request.box.voxels_in(request.ct.grid) for request in (one, other))
    return all(low < high2 and low2 < high for low, high, low2, high2 in zip(a, b, c, d, strict=True))
