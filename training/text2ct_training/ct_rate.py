"""CT-RATE, or any folder of CTs with a table of reports, made ready for training.

    python -m text2ct_training.ct_rate CTS REPORTS.csv TARGET --how geometry-true

Two ways to bring a CT onto the grid. "published" is what the released weights saw: two
trilinear resizes that ignore the size of the patient. "geometry-true" keeps millimetres:
the CT is resampled to the spacing and cropped or padded about its middle. Sources are only
read. TARGET receives one NIfTI file for each CT and `list.jsonl`, which a recipe names as
the place of its data. A CT that cannot be used is named in `refused.jsonl`, and the others
go on; what is already there is not made again.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from text2ct.engines.text2ct import preparation
from text2ct.engines.text2ct.intensity import HIGH_HU, LOW_HU
from text2ct.errors import BadInput, Text2CTError
from text2ct.formats import nifti
from text2ct.formats.atomic import replacing
from text2ct.formats.files import read_ct
from text2ct.geometry import Grid
from text2ct.resample import resample_ct
from text2ct.volume import CTVolume

from .data import AXES

How = Literal["published", "geometry-true"]
_NAME, _FINDINGS, _IMPRESSION = "VolumeName", "Findings_EN", "Impressions_EN"


def prepared(ct: CTVolume, how: How, shape: tuple[int, int, int] = preparation.SHAPE,
             spacing: Sequence[float] = preparation.SPACING) -> CTVolume:
    """The CT on the grid of training, axes to the right, front and top, HU within those that are learnt."""
    if how == "published":
        if tuple(shape) != preparation.SHAPE or tuple(spacing) != preparation.SPACING:
            raise BadInput("The published preparation knows only 512 x 512 x 128 voxels of 0.75 x 0.75 x 3 mm; "
                           "choose geometry-true for other grids.")
        return CTVolume(preparation.as_published(ct), preparation.published_affine())
    placed = resample_ct(ct, about_the_middle(ct.grid, shape, spacing))
    return CTVolume(np.clip(placed.voxels, LOW_HU, HIGH_HU).astype(np.int16), placed.affine)


def about_the_middle(grid: Grid, shape: Sequence[int], spacing: Sequence[float]) -> Grid:
    """A grid of this shape and spacing, along the axes of the CT nearest to the patient's, with the CT's middle."""
    ras = grid.reoriented(AXES)
    affine = np.eye(4)
    affine[:3, :3] = ras.directions * np.asarray(spacing, float)
    middle = ras.to_ras((np.asarray(ras.shape) - 1) / 2)
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.asarray(shape) - 1) / 2)
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine)


def reports(table: Path) -> dict[str, str]:
    """The report of each volume, its two sections under their headings; a missing one is "nan" as in training."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            table_rows = csv.DictReader(file)
            for column in (_NAME, _FINDINGS, _IMPRESSION):
                if column not in (table_rows.fieldnames or ()):
                    raise KeyError(column)
            rows = list(table_rows)
        return {_stem(row[_NAME]): f"Findings: {row[_FINDINGS] or 'nan'} Impression: {row[_IMPRESSION] or 'nan'}"
                for row in rows}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{table} is no table of reports ({type(error).__name__}: {error}); it needs the columns "
                       f"{_NAME}, {_FINDINGS} and {_IMPRESSION}.") from None


def prepare(source: Path, said: Mapping[str, str], target: Path, how: How,
            shape: tuple[int, int, int] = preparation.SHAPE,
            spacing: Sequence[float] = preparation.SPACING) -> tuple[int, int]:
    """Every CT below `source` that has a report into `target`; how many are there now, and how many were refused."""
    target.mkdir(parents=True, exist_ok=True)
    good: list[dict[str, str]] = []
    refused: list[dict[str, str]] = []
    for path in _cts(source):
        name = f"{_stem(path.name)}.nii.gz"
        try:
            if _stem(name) not in said:
                raise BadInput(f"{path.name} has no report in the table; it is left out.")
            if not (target / name).exists():
                nifti.write(prepared(read_ct(path), how, shape, spacing), target / name)
            good.append({"image": name, "report": said[_stem(name)]})
        except Text2CTError as error:
            refused.append({"image": str(path), "why": str(error)})
    _write_lines(target / "list.jsonl", good)
    _write_lines(target / "refused.jsonl", refused)
    return len(good), len(refused)


def _cts(source: Path) -> Iterator[Path]:
    yield from sorted(path for path in source.rglob("*") if path.name.endswith((".nii.gz", ".nii", ".nrrd")))


def _stem(name: str) -> str:
    for ending in (".nii.gz", ".nii", ".nrrd"):
        name = name.removesuffix(ending)
    return name


def _write_lines(path: Path, lines: Sequence[Mapping[str, str]]) -> None:
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m text2ct_training.ct_rate", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cts", type=Path, help="folder with CTs (in Hounsfield units, with true headers)")
    parser.add_argument("reports", type=Path, help=f"CSV table with {_NAME}, {_FINDINGS}, {_IMPRESSION}")
    parser.add_argument("target", type=Path, help="folder for the prepared CTs and their list")
    parser.add_argument("--how", choices=("published", "geometry-true"), default="geometry-true")
    parser.add_argument("--shape", type=int, nargs=3, default=preparation.SHAPE, metavar="VOXELS")
    parser.add_argument("--spacing", type=float, nargs=3, default=preparation.SPACING, metavar="MM")
    args = parser.parse_args()
    try:
        good, refused = prepare(args.cts, reports(args.reports), args.target, args.how, tuple(args.shape),
                                tuple(args.spacing))
    except Text2CTError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{good} CTs are ready in {args.target}; {refused} were refused (see refused.jsonl).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
