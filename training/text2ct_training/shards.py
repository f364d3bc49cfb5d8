"""Finished examples on the disk, read in place: files of a few dozen, each example a row of each array.

The encoders run once over a data set; the UNet then reads their results thousands of
times. A shard is a safetensors file whose arrays have the examples as first axis; it is
mapped into memory, so that opening a set of any size costs nothing and only rows that are
asked for are read. Shards appear whole, so an encoding that was stopped goes on with the
first example that is in none. Beside them stands what they were made from.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import numpy as np

from text2ct.errors import BadInput
from text2ct.formats.atomic import replacing
from text2ct.weights.safetensors_file import read_header, write

from .checkpoint import packed

_STATED = "made-from.json"
Array = np.ndarray[Any, Any]
Row = Mapping[str, Array]


def write_shards(folder: Path, rows: Iterable[Row], per_shard: int) -> int:
    """Add rows to a folder of shards; returns how many it then holds."""
    folder.mkdir(parents=True, exist_ok=True)
    waiting = iter(rows)
    number = len(_files(folder))
    while batch := list(islice(waiting, per_shard)):
        arrays = {name: np.stack([row[name] for row in batch]) for name in batch[0]}
        with replacing(folder / f"shard-{number:06d}.safetensors") as temporary:
            write(temporary, {name: packed(array) for name, array in arrays.items()}, {"rows": str(len(batch))})
        number += 1
    return len(Shards(folder))


def made_from(folder: Path, stated: Mapping[str, object]) -> None:
    """Remember what a folder's shards are made from, and refuse to take those of something else for them."""
    place, told = folder / _STATED, json.loads(json.dumps(stated))
    if place.is_file():
        before = json.loads(place.read_text(encoding="utf-8"))
        other = [name for name in {**before, **told} if before.get(name) != told.get(name)]
        if other:
            raise BadInput(f"The shards in {folder} were made with another {other[0]}; delete that folder to make them "
                           "again, or name another.")
    elif _files(folder):
        raise BadInput(f"Nothing says what the shards in {folder} were made from; delete that folder to make them "
                       "again, or name another.")
    else:
        folder.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*.safetensors"))


class Shards:
    """All rows of a folder, by number."""

    def __init__(self, folder: Path) -> None:
        self._parts = [_mapped(path) for path in _files(folder)]
        self._ends = list(accumulate(len(next(iter(part.values()))) for part in self._parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> dict[str, Array]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = bisect_right(self._ends, index)
        row = index - (self._ends[number - 1] if number else 0)
        return {name: np.array(array[row]) for name, array in self._parts[number].items()}


def _mapped(path: Path) -> dict[str, Array]:
    size = path.stat().st_size
    with path.open("rb") as file:
        refs, _ = read_header(file, size)
    arrays: dict[str, Array] = {name: np.memmap(path, ref.kind.name, "r", ref.start, ref.shape)
                                for name, ref in refs.items()}
    if not arrays or len({len(array) for array in arrays.values()}) != 1:
        raise BadInput(f"{path} is no shard of examples: its arrays differ in length; write the shards again.")
    return arrays
