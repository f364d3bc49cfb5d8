"""The published list files: what they name is checked before a run starts, and read when it is asked for.

Each list is a text with one path a line; row n of each belongs to the same case. Labels
are 0, 1 in the organ and 2 in the lesion; types are the published reports (JSON). A path
that is not there as it is written is looked for beside its list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from text2ct.engines.lesiondiffusion.crops import Index, bounds, largest_component, training_crop
from text2ct.engines.lesiondiffusion.hounsfield import to_unit
from text2ct.engines.lesiondiffusion.losses import linet_prompt, lmnet_prompt
from text2ct.engines.lesiondiffusion.published import Case
from text2ct.engines.lesiondiffusion.report_file import Attributes, StructuredReport, read_structured
from text2ct.engines.lesiondiffusion.tokens import folders_of
from text2ct.engines.lesiondiffusion.working import AXES
from text2ct.errors import BadInput
from text2ct.formats.files import read_ct, read_labels

from .lesion_settings import LesionCrops, LesionLists
from .lesion_shards import MaskCase, PaintCase

_NEARLY = 3  # voxels by which a label may miss the size of its CT
_ORGANS = 104


@dataclass(frozen=True)
class ListedLesions:
    """Cases by number, from rows of files."""

    rows: tuple[Mapping[str, Path], ...]
    crops: LesionCrops

    def __len__(self) -> int:
        return len(self.rows)

    def mask_case(self, number: int) -> MaskCase:
        row = self.rows[number]
        _, label, case = self._cut(row, self.crops.mask)
        tokens, target = lmnet_prompt(case)
        lesion = largest_component(label == 2)
        box = np.zeros(label.shape, bool)
        box[bounds(lesion).cut] = True
        channels = np.stack([case.organs / np.float32(_ORGANS), target, box]).astype(np.float32)
        return MaskCase(torch.from_numpy(lesion)[None], torch.from_numpy(channels), _values(tokens))

    def paint_case(self, number: int) -> PaintCase:
        row = self.rows[number]
        image, label, case = self._cut(row, self.crops.paint)
        told = _values(linet_prompt(case)) if "types" in row else []
        return PaintCase(torch.from_numpy(to_unit(image))[None], torch.from_numpy(label == 2)[None], told)

    def _cut(self, row: Mapping[str, Path], crop: Index) -> tuple[NDArray[Any], NDArray[np.uint8], Case]:
        """The training crop of a row: CT, label, and the case that its texts are told from."""
        whole = read_ct(row["images"], round_values=True).reoriented(AXES).voxels
        label = _label(row["labels"], whole.shape)
        image, cut, _ = training_crop(whole, label, crop)
        organs = _cropped(row.get("organs"), whole, label, crop)
        coarse = _cropped(row.get("coarse"), whole, label, crop)
        report = read_structured(row["types"]) if "types" in row else StructuredReport(())
        case = Case(cut, cut if organs is None else organs, report, folders_of(str(row["images"])), coarse)
        return image, cut, case


def listed_lesions(lists: LesionLists, crops: LesionCrops, wanted: tuple[str, ...]) -> ListedLesions:
    """The cases of list files; a file that is missing, or rows that do not match, are refused here."""
    named = {name: Path(value) for name, value in vars(lists).items() if value}
    lacking = [name for name in wanted if name not in named]
    if lacking:
        raise BadInput(f"[data.lists] lacks {' and '.join(lacking)}; name a list file for each of {', '.join(wanted)}.")
    columns = {name: _column(path) for name, path in named.items()}
    counts = {name: len(paths) for name, paths in columns.items()}
    if len(set(counts.values())) != 1:
        said = ", ".join(f"{named[name].name} {count}" for name, count in counts.items())
        raise BadInput(f"The lists are not aligned, for they have different numbers of rows: {said}; "
                       "row n of each list must belong to the same case.")
    rows = tuple(dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    missing = [path for row in rows for path in row.values() if not path.exists()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BadInput(f"{missing[0]}{more} of the lists cannot be found; correct the paths before the run starts.")
    return ListedLesions(rows, crops)


def _column(place: Path) -> list[Path]:
    """The paths of a list, blank lines left out."""
    try:
        lines = [line.strip() for line in place.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        raise BadInput(f"The list {place} cannot be read; give a text with one path a line.") from None
    if not lines:
        raise BadInput(f"The list {place} is empty; give a text with one path a line.")
    written = [Path(line) for line in lines]
    return [path if path.exists() else place.parent / path for path in written]


def _label(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A label on the voxels of its CT; one that misses it by a few voxels is stretched, as published."""
    found = read_labels(path).reoriented(AXES).voxels.astype(np.uint8)
    if found.shape == shape:
        return found
    if any(abs(a - b) > _NEARLY for a, b in zip(found.shape, shape, strict=True)):
        raise BadInput(f"{path} has {found.shape} voxels, its CT {shape}; resample it to the CT.")
    places = [np.minimum((np.arange(n) * m) // n, m - 1) for n, m in zip(shape, found.shape, strict=True)]
    return np.ascontiguousarray(found[np.ix_(*places)])


def _cropped(path: Path | None, whole: NDArray[Any], label: NDArray[np.uint8], crop: Index,
             ) -> NDArray[np.uint8] | None:
    if path is None:
        return None
    return training_crop(_label(path, whole.shape), label, crop)[0].astype(np.uint8)


def _values(tokens: Attributes) -> list[str]:
    return [value for _, value in tokens]
