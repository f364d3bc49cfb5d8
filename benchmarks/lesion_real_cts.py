"""Lesions in real CTs: what LesionDiffusion must keep, whatever its networks paint, box by box.

    python benchmarks/lesion_real_cts.py FOLDER [--weights random|mini|published] [--boxes 20] [--workers 1]

Every CT of FOLDER (NIfTI; label files beside it begin with its name) is taken as it is, flipped, with its axes in
another order, oblique, and cropped. Boxes lie anywhere, every second one in an organ where labels are given. Judged:
no exception; every voxel beyond the lesion's reach bit-identical; the geometry identical; the lesion inside its box
and, where one is named, inside its organ; and no seam. The seam is where the voxels that were written meet those that
were not: the mean step between neighbours across that surface may be at most 1.5 times what it is in the untouched CT
(steps below 5 HU, under the noise of a CT, count as 5). One row for each CT and kind of copy; exit code 1 on a
violation. `random` are tiny networks with random numbers: what they paint looks like nothing, so they try the worst.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "backend"), str(ROOT / "tests" / "lesiondiffusion")]

from text2ct.engines.lesiondiffusion.blending import FEATHER_MM, mean_step, within_reach  # noqa: E402
from text2ct.engines.lesiondiffusion.organs import V2, number_of  # noqa: E402
from text2ct.engines.lesiondiffusion.working import reach  # noqa: E402
from text2ct.engines.run import run  # noqa: E402
from text2ct.formats.files import read_ct, read_labels  # noqa: E402
from text2ct.geometry import Box, Grid  # noqa: E402
from text2ct.requests import InsertLesion  # noqa: E402
from text2ct.resample import resample_labels  # noqa: E402
from text2ct.volume import CTVolume, LabelVolume, Segment, Volume  # noqa: E402

SEAM, QUIET_HU = 1.5, 5.0
_LUNGS = {1: "right lung", 2: "left lung"}
_LABELS: Mapping[str, Mapping[int, str]] = {
    "wholelung": {1: "right lung"}, "lungs": _LUNGS, "aorta": {1: "aorta"},
    "labels117": {n: name for n, name in enumerate(V2, 1) if number_of(name)}}
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Patient:
    """A CT and, where there are any, its organs."""

    name: str
    ct: CTVolume
    organs: LabelVolume | None


@dataclass
class Row:
    """What was found in one CT."""

    name: str
    boxes: int = 0
    exceptions: list[str] = field(default_factory=list)
    outside: int = 0
    moved: int = 0
    out_of_box: int = 0
    in_organ: int = 0
    out_of_organ: int = 0
    seams: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def bad(self) -> bool:
        return bool(self.exceptions or self.outside or self.moved or self.out_of_box or self.out_of_organ
                    or any(seam > SEAM for seam in self.seams))

    def line(self) -> str:
        seams = self.seams or [0.0]
        return (f"{self.name:<62}{self.boxes:>6}{len(self.exceptions):>7}{self.outside:>9}{self.moved:>7}"
                f"{self.boxes - self.out_of_box:>5}/{self.boxes:<4}{self.in_organ - self.out_of_organ:>4}/"
                f"{self.in_organ:<4}{np.median(seams):>7.2f}{max(seams):>7.2f}{self.seconds:>8.1f}"
                + ("  VIOLATION" if self.bad else ""))


HEAD = (f"{'CT':<62}{'boxes':>6}{'raised':>7}{'outside':>9}{'moved':>7}{'in box':>10}{'in organ':>9}"
        f"{'seam':>7}{'worst':>7}{'s':>8}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", default="random", choices=("random", "mini", "published"))
    parser.add_argument("--boxes", type=int, default=20)
    parser.add_argument("--steps", type=int, help="sampling steps (default: 2 with random weights, else the preset's)")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", default="", metavar="PART", help="only CTs whose file name holds this")
    args = parser.parse_args()
    files = [path for path in sorted(args.folder.glob("*.nii.gz")) if _ending(path) is None and args.only in path.name]
    if not files:
        parser.error(f"there is no CT (*.nii.gz) in {args.folder}")
    print(HEAD, flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as home:
        weights = _prepared(args.weights, home)
        jobs = [(path, weights, args.boxes, args.steps or (2 if args.weights == "random" else None)) for path in files]
        for row in _all_rows(jobs, args.workers):
            rows.append(row)
            print("\n".join([row.line(), *(f"    {said}" for said in row.exceptions[:3])]), flush=True)
    seams = [seam for row in rows for seam in row.seams]
    print(f"{sum(row.boxes for row in rows)} boxes in {len(rows)} CTs, {sum(row.bad for row in rows)} of them with a "
          f"violation; {sum(seam > SEAM for seam in seams)} of {len(seams)} seams above {SEAM}")
    return int(any(row.bad for row in rows))


def _prepared(weights: str, home: str) -> str:
    """The name of the weight set; random ones are written to a home of their own."""
    if weights != "random":
        return weights
    import tiny_weights

    os.environ["TEXT2CT_HOME"] = home
    tiny_weights.install()
    return ""


def _all_rows(jobs: Sequence[tuple[Path, str, int, int | None]], workers: int) -> Iterator[Row]:
    if workers < 2:
        for job in jobs:
            yield from _rows(*job)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for rows in pool.map(_listed, jobs):
            yield from rows


def _listed(job: tuple[Path, str, int, int | None]) -> list[Row]:
    return list(_rows(*job))


def _rows(path: Path, weights: str, boxes: int, steps: int | None) -> Iterator[Row]:
    """A row for each kind of copy of one CT, which is read once."""
    import torch

    torch.set_num_threads(1)
    base = Patient(path.name.removesuffix(".nii.gz"), read_ct(path), None)
    base = Patient(base.name, base.ct, _organs(path, base.ct))
    for kind, change in COPIES.items():
        organs = None if base.organs is None else change(base.organs)
        yield _judged(Patient(f"{base.name}, {kind}", change(base.ct), organs), weights, boxes, steps)  # type: ignore[arg-type]


def _judged(patient: Patient, weights: str, boxes: int, steps: int | None) -> Row:
    row, start = Row(patient.name), time.monotonic()
    rng = np.random.default_rng(zlib.crc32(patient.name.encode()))
    for number in range(boxes):
        organ = _some_organ(patient, rng) if number % 2 else ""
        request = InsertLesion(
            patient.ct, _box(patient, organ, rng), engine="lesiondiffusion", weights=weights, steps=steps, seed=number,
            preset="draft", organs=patient.organs if organ else None, organ=organ)
        row.boxes += 1
        row.in_organ += bool(organ)
        try:
            made = run(request)
        except Exception as error:  # the row counts it, whatever it is
            row.exceptions.append(f"box {number} {request.box}: {type(error).__name__}: {error}")
            continue
        assert made.ct is not None
        _compare(row, request, made.ct, made.labels[0])
    row.seconds = time.monotonic() - start
    return row


def _compare(row: Row, request: InsertLesion, after: CTVolume, labels: LabelVolume) -> None:
    """The result beside the untouched CT."""
    before = request.ct
    if after.shape != before.shape or not np.array_equal(after.affine, before.affine):
        row.moved += 1
        return
    lesion = np.not_equal(labels.voxels, 0)
    low, high = request.box.voxels_in(before.grid)
    in_box = int(lesion[tuple(map(slice, low, high))].sum())
    row.out_of_box += in_box == 0 or in_box != int(lesion.sum())
    if request.organ and request.organs is not None:
        row.out_of_organ += bool((lesion & ~request.organs.mask(request.organ)).any())
    low_near, high_near = reach(lesion, before.grid, 2 * FEATHER_MM)
    near = tuple(map(slice, low_near, high_near))
    touched = within_reach(lesion[near], before.spacing)
    changed = after.voxels != before.voxels
    row.outside += int(changed.sum()) - int((changed[near] & touched).sum())
    row.seams.append(seam(before.voxels[near], after.voxels[near], touched))


def seam(before: NDArray[np.int16], after: NDArray[np.int16], touched: Mask) -> float:
    """The mean step across the surface of what was written, against that of the untouched CT."""
    old, new = (max(mean_step(ct.astype(np.float32), touched), QUIET_HU) for ct in (before, after))
    return new / old


def _some_organ(patient: Patient, rng: np.random.Generator) -> str:
    """One of the organs that are there, by chance."""
    if patient.organs is None:
        return ""
    there = set(np.unique(patient.organs.voxels[::2, ::2, ::2]).tolist())
    names = [segment.name for segment in patient.organs.segments if segment.value in there]
    return str(rng.choice(names)) if names else ""


def _box(patient: Patient, organ: str, rng: np.random.Generator) -> Box:
    """A box of 5 to 60 mm anywhere in the CT, or about a voxel of the organ."""
    place = rng.uniform(0, np.array(patient.ct.shape) - 1)
    if organ and patient.organs is not None:
        inside = np.flatnonzero(patient.organs.mask(organ))
        place = np.array(np.unravel_index(int(rng.choice(inside)), patient.ct.shape), float)
    a, b, c = patient.ct.grid.to_ras(place).tolist()
    x, y, z = rng.uniform(5, 60, 3).tolist()
    return Box((a, b, c), (x, y, z))


def _organs(path: Path, ct: CTVolume) -> LabelVolume | None:
    """The organs in the first label file whose name begins with that of the CT."""
    stem = path.name.removesuffix(".nii.gz")
    for beside in sorted(path.parent.glob(f"{stem}_*.nii.gz")):
        names = _ending(beside)
        if names:
            labels = resample_labels(read_labels(beside), ct.grid)
            segments = tuple(Segment(value, name, (0.5, 0.5, 0.5)) for value, name in names.items())
            return LabelVolume(labels.voxels, labels.affine, segments, "organs")
    return None


def _ending(path: Path) -> Mapping[int, str] | None:
    """What the labels of a label file mean; None for a CT."""
    return _LABELS.get(path.name.removesuffix(".nii.gz").rpartition("_")[2])


def _turned(volume: Volume) -> Volume:
    """The same voxels, the patient turned about two axes."""
    a, b = np.deg2rad(17), np.deg2rad(-9)
    first, second = np.eye(4), np.eye(4)
    first[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    second[1:3, 1:3] = [[np.cos(b), -np.sin(b)], [np.sin(b), np.cos(b)]]
    return _like(volume, Grid(volume.shape, first @ second @ volume.affine))


def _like(volume: Volume, grid: Grid) -> Volume:
    return replace(volume, affine=grid.affine)


def _middle(volume: Volume) -> Volume:
    low = [n // 4 for n in volume.shape]
    return volume.window(low, [a + n // 2 for a, n in zip(low, volume.shape, strict=True)])


def _opposite(volume: Volume) -> Volume:
    other = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}
    return volume.reoriented("".join(other[letter] for letter in volume.orientation))


COPIES: Mapping[str, Callable[[Volume], Volume]] = {
    "as it is": lambda volume: volume,
    "flipped": _opposite,
    "permuted": lambda volume: volume.reoriented(volume.orientation[1:] + volume.orientation[:1]),
    "oblique": _turned,
    "cropped": _middle}


if __name__ == "__main__":
    sys.exit(main())
