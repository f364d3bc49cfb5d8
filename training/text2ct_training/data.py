"""Examples by number: the same number is the same example, whoever asks, on any machine, in any process.

That one rule is what makes runs repeatable. The place of a run in its data is a count of
examples; a resumed run asks for the next number, and two processes share out the numbers
that one would have taken. Whatever is random about an example (noise, a time, a crop, the
drop-out of its report) is drawn from its number too, so that no random generator has a
state that could be lost.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from text2ct.engines.text2ct.intensity import from_hu
from text2ct.engines.text2ct.standard_words import standard_words
from text2ct.errors import BadInput
from text2ct.formats.atomic import replacing
from text2ct.formats.files import read_ct
from text2ct.geometry import Grid
from text2ct.report.finding import Finding
from text2ct.report.grammar import Split
from text2ct.report.parser import understand
from text2ct.report.vocabulary import KINDS

from .phantoms import PhantomTap
from .ranks import Place
from .recipe import Data

Batch = dict[str, Tensor]
AXES = "RAS"
_LOBES = ("RUL", "RML", "RLL", "LUL", "lingula", "LLL")
_SEVERITIES = ("small", "moderate", "large")
_MILLIMETRES = (8, 15, 25, 40)
_ASPECTS = ("present", "left", "right", *_LOBES, *_SEVERITIES, *(f"over {mm} mm" for mm in _MILLIMETRES))
FACTS = len(KINDS) * len(_ASPECTS)


@dataclass(frozen=True, eq=False)
class Study:
    """A CT in [0, 1] as (1, X, Y, Z), where its lungs and findings are, and what its report says."""

    image: Tensor
    lungs: Tensor
    marked: Tensor
    report: str
    findings: tuple[Finding, ...]


class Studies(Protocol):
    """CTs with reports, by number."""

    def study(self, index: int) -> Study: ...

    def words(self, index: int) -> tuple[str, tuple[Finding, ...]]: ...


@dataclass(frozen=True)
class PhantomStudies:
    """Patients that are drawn when they are asked for: without end, or `count` of them in turn."""

    tap: PhantomTap
    count: int = 0
    kept: Path | None = None
    standard: bool = False

    def words(self, index: int) -> tuple[str, tuple[Finding, ...]]:
        report, findings = self.tap.words(self._number(index))
        return standard_words(findings, self.tap.kinds)[0] if self.standard else report, findings

    def study(self, index: int) -> Study:
        number = self._number(index)
        place = self.kept / f"{self.tap.split}-{self.tap.seed}-{self._kind}-{number:06d}.npz" if self.kept else None
        if place is None or not place.exists():
            drawn = self._drawn(number)
            if place is not None:
                _keep(place, drawn)
        else:
            with np.load(place) as file:
                drawn = {name: file[name] for name in ("hu", "lungs", "marked")}
        lungs, marked = (np.unpackbits(drawn[name], count=drawn["hu"].size).reshape(drawn["hu"].shape).astype(bool)
                         for name in ("lungs", "marked"))
        return Study(from_hu(drawn["hu"])[None], _mask(lungs), _mask(marked), *self.words(index))

    @property
    def _kind(self) -> str:
        """A word for the grid and the findings: phantoms of other ones have other names."""
        told = repr((self.tap.grid.shape, self.tap.grid.spacing, self.tap.kinds))
        return hashlib.sha256(told.encode()).hexdigest()[:8]

    def _number(self, index: int) -> int:
        return index % self.count if self.count else index

    def _drawn(self, number: int) -> dict[str, NDArray[Any]]:
        """A CT in whole HU, and where its lungs and findings are, as bits."""
        case = self.tap.case(number)
        organs = case.labels[0].reoriented(AXES)
        lungs = np.isin(organs.voxels, [s.value for s in organs.segments if s.name.startswith("lung_")])
        marked = np.zeros(organs.shape, bool)
        for layer in case.labels[1:]:
            marked |= layer.reoriented(AXES).voxels > 0
        return {"hu": case.ct.reoriented(AXES).voxels.astype(np.int16), "lungs": np.packbits(lungs),
                "marked": np.packbits(marked)}


def _keep(place: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with replacing(place) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


@dataclass(frozen=True)
class FileStudies:
    """Prepared CTs named in a list of JSON lines, {"image": path, "report": text}, in a new order each time round.

    Where their lungs and findings lie is not known: both masks are empty.
    """

    place: Path
    shape: tuple[int, int, int]
    seed: int | None

    def words(self, index: int) -> tuple[str, tuple[Finding, ...]]:
        report = self._entry(index)[1]
        return report, tuple(f for f in understand(report).findings if f.certainty == "present")

    def study(self, index: int) -> Study:
        path, _ = self._entry(index)
        ct = read_ct(path).reoriented(AXES)
        if ct.shape != self.shape:
            raise BadInput(f"{path} has {ct.shape} voxels, the recipe says {self.shape}; prepare it first with: "
                           "python -m text2ct_training.ct_rate.")
        nothing = torch.zeros((1, *ct.shape), dtype=torch.bool)
        return Study(from_hu(ct.voxels)[None], nothing, nothing, *self.words(index))

    def _entry(self, index: int) -> tuple[Path, str]:
        entries = listed(self.place)
        entry = entries[turn(index, len(entries), self.seed)]
        return self.place.parent / entry[0], entry[1]


@lru_cache(maxsize=4)
def listed(place: Path) -> tuple[tuple[str, str], ...]:
    """The images and reports that a list names."""
    try:
        lines = [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines() if line.strip()]
        entries = tuple((str(line["image"]), str(line["report"])) for line in lines)
    except (OSError, ValueError, KeyError, TypeError):
        entries = ()
    if not entries:
        raise BadInput(f"{place} is no list of CTs; give a file with one line "
                       '{"image": "name.nii.gz", "report": "..."} for each CT.')
    return entries


def studies(data: Data, split: Split) -> Studies:
    """The CTs that a recipe speaks of."""
    if data.source == "phantom":
        tap = PhantomTap(Grid.centred(data.shape, data.spacing), split, data.seed, kinds=data.drawn)
        return PhantomStudies(tap, data.count if split == "train" else 0, Path(data.kept) if data.kept else None,
                              data.words == "standard")
    if data.source == "files":
        place = data.place if split == "train" else data.held_out or data.place
        return FileStudies(Path(place), data.shape, data.seed if split == "train" else None)
    raise BadInput("Shards hold latents, which only the task 'unet' can learn from; say source = \"phantom\" or "
                   "\"files\".")


def turn(index: int, count: int, seed: int | None) -> int:
    """Which of `count` examples comes at a place of the endless row: a new order each time round, or none."""
    if seed is None:
        return index % count
    return int(_order(seed, index // count, count)[index % count])


@lru_cache(maxsize=2)
def _order(seed: int, time_round: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, time_round]).permutation(count)


def dice(seed: int, split: Split, index: int) -> np.random.Generator:
    """The random numbers that belong to an example."""
    return np.random.default_rng([seed, ("train", "held-out").index(split), index])


def noise(rng: np.random.Generator, shape: Sequence[int]) -> Tensor:
    return torch.from_numpy(rng.standard_normal(tuple(shape), dtype=np.float32))


def facts(findings: Sequence[Finding]) -> Tensor:
    """Findings as zeros and ones: each kind with its side, lobes and size, in words or in steps of millimetres."""
    told = torch.zeros(len(KINDS), len(_ASPECTS))
    rows = {kind: number for number, kind in enumerate(KINDS)}
    for finding in findings:
        sides = ("left", "right") if finding.side == "bilateral" else (finding.side,)
        over = [f"over {mm} mm" for mm in _MILLIMETRES if finding.size_mm is not None and finding.size_mm > mm]
        for aspect in ("present", *sides, *finding.lobe, finding.severity, *over):
            if aspect is not None:
                told[rows[finding.kind], _ASPECTS.index(aspect)] = 1.0
    return told.flatten()


def _mask(where: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(where))[None]


class Examples(Dataset[Batch]):
    """What a task makes of its data: example number `index` as tensors."""

    def __getitem__(self, index: int) -> Batch:
        raise NotImplementedError


@dataclass(frozen=True)
class Turns:
    """The numbers of the examples of each batch of one process, without end."""

    start: int
    batch: int
    rank: int
    count: int

    def __iter__(self) -> Iterator[list[int]]:
        first = self.start + self.rank * self.batch
        while True:
            yield list(range(first, first + self.batch))
            first += self.batch * self.count


def batches(examples: Examples, batch: int, place: Place, start: int, workers: int) -> Generator[Batch]:
    """The batches of this process from example number `start` on, already on its device."""
    turns: Any = Turns(start, batch, place.rank, place.count)
    loader: DataLoader[Batch] = DataLoader(examples, batch_sampler=turns, num_workers=workers,
                                           worker_init_fn=_begin_work, pin_memory=place.device.type == "cuda")
    for made in loader:
        yield moved(made, place.device)


def moved(batch: Batch, device: torch.device) -> Batch:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def _begin_work(_: int) -> None:
    """An interrupt is for the process that trains; it ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
