"""What can be asked of an engine, and what comes back: plain frozen values.

A request means the same in process, in a local process, on a server and on a
cluster. `validate()` lists in sentences what is wrong with it, `to_json` and
`from_json` carry it there and back exactly (voxels apart, by digest). A Result
holds the volumes, the ledger and the account of how they were made.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from .engines.catalog import DEFAULTS
from .errors import BadRequest, Cancelled
from .geometry import Box, Triple, times
from .plain import from_plain, to_plain
from .provenance import Provenance
from .report.finding import LedgerEntry
from .volume import CTVolume, LabelVolume, Volume

MAX_REPORT = 20_000
MAX_SEED = 2**63 - 1
MAX_CANDIDATES = 32
MAX_BEST_OF = 32
Preset = Literal["draft", "standard", "best"]
Shortcut = Literal["cache", "interval", "fewer"]
Sizes: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class GenerateCT:
    """A CT from a report. With `base`, the report's findings drawn into that CT.

    `by_rule`: findings that the weights leave to rules are drawn into what they made.
    `sampler`, `solver` and `precision` are the engine's own choice where empty; the sampler
    "published" is the authors' way to the end, their decoding included. `lossy` names
    what may change the picture to save time: deep features used twice (cache), guidance in
    the middle of the way only (interval), half the steps by a better solver (fewer). With
    `best_of`, so many seeds from `seed` on are begun, and the CT that shows most is kept.
    """

    task: ClassVar[Literal["generate"]] = "generate"
    report: str
    engine: str = DEFAULTS["generate"]
    weights: str = ""
    seed: int = 0
    preset: Preset = "standard"
    steps: int | None = None
    guidance: float | None = None
    shape: Sizes | None = None
    spacing: Triple | None = None
    base: CTVolume | None = None
    by_rule: bool = True
    sampler: Literal["", "published", "exact"] = ""
    solver: Literal["", "euler", "heun", "multistep"] = ""
    precision: Literal["", "float32", "bfloat16"] = ""
    lossy: tuple[Shortcut, ...] = ()
    best_of: int = 1

    def validate(self) -> list[str]:
        """Sentences that say what is wrong; none when the request makes sense."""
        said = _report_problems(self.report) + _sampler_problems(self.seed, self.steps, self.guidance)
        if self.shape is not None and (min(self.shape) < 1 or max(self.shape) > 4096):
            said.append(f"The grid {times(self.shape)} is impossible; each size must be between 1 and 4096 voxels.")
        if self.spacing is not None and not all(0.05 <= s <= 50 for s in self.spacing):
            said.append(f"The spacing {times(self.spacing)} mm is impossible; each must be between 0.05 and 50 mm.")
        if self.base is not None and (self.shape or self.spacing):
            said.append("A base CT brings its own grid; leave out shape and spacing.")
        if "fewer" in self.lossy and (self.sampler or self.solver):
            said.append("Fewer steps bring their own sampler and solver; leave those out, or leave out 'fewer'.")
        if not 1 <= self.best_of <= MAX_BEST_OF:
            said.append(f"The best of {self.best_of} is impossible; give between 1 and {MAX_BEST_OF}.")
        elif self.seed <= MAX_SEED < self.seed + self.best_of - 1:
            said.append(f"The best of {self.best_of} would need seeds past {MAX_SEED}; give a smaller seed.")
        return said


@dataclass(frozen=True)
class InsertLesion:
    """A lesion in a box of a given CT: its mask, or the CT with the lesion painted in, or both.

    `attributes` are pairs of name and value from the engine's vocabulary. `mask`
    replaces the engine's own mask; `organ` names a segment of `organs`. Engines that
    sample draw `candidates` masks and keep the one of the wanted size; `mode` published
    follows the authors' program with its quirks, patch changes the lesion only.
    """

    task: ClassVar[Literal["lesion"]] = "lesion"
    ct: CTVolume
    box: Box
    engine: str = DEFAULTS["lesion"]
    weights: str = ""
    seed: int = 0
    preset: Preset = "standard"
    steps: int | None = None
    attributes: tuple[tuple[str, str], ...] = ()
    text: str = ""
    organs: LabelVolume | None = None
    organ: str = ""
    mask: LabelVolume | None = None
    parts: Literal["both", "mask", "paint"] = "both"
    candidates: int = 1
    mode: Literal["patch", "published"] = "patch"

    def validate(self) -> list[str]:
        """Sentences that say what is wrong; none when the request makes sense."""
        said = _sampler_problems(self.seed, self.steps, None) + self.box.problems()
        if not _is_text(self.text):
            said.append("The text holds half a character that no file can keep; type or paste it again.")
        if len(self.text) > MAX_REPORT:
            said.append(f"The text has {len(self.text)} characters; the limit is {MAX_REPORT}.")
        if not said:
            low, high = self.box.voxels_in(self.ct.grid)
            if any(a >= b for a, b in zip(low, high, strict=True)):
                said.append("The box lies outside the CT; move it into the image.")
        for volume, what in ((self.organs, "organ labels"), (self.mask, "lesion mask")):
            if volume is not None and not volume.same_grid(self.ct):
                said.append(f"The {what} lie on another grid than the CT; resample them to it first.")
        if self.organ and self.organs is None:
            said.append(f"The organ '{self.organ}' is named, but no organ labels are given; give them too.")
        elif self.organ and self.organs and self.organ not in {s.name for s in self.organs.segments}:
            names = [segment.name for segment in self.organs.segments]
            said.append(f"The organ labels have no segment '{self.organ}'; they have {', '.join(names[:6])}"
                        f"{' and more' if len(names) > 6 else ''}.")
        if not 1 <= self.candidates <= MAX_CANDIDATES:
            said.append(f"{self.candidates} candidates are impossible; give between 1 and {MAX_CANDIDATES}.")
        if self.parts == "paint" and self.mask is None:
            said.append("To paint only, a lesion mask is needed; give one, or ask for both.")
        if self.parts == "mask" and self.mask is not None:
            said.append("A lesion mask is given and nothing but a mask is wanted; leave it out, or ask for both.")
        return said


@dataclass(frozen=True)
class ScoreCT:
    """How well a CT shows what a report says."""

    task: ClassVar[Literal["score"]] = "score"
    ct: CTVolume
    report: str
    engine: str = DEFAULTS["score"]
    weights: str = ""
    labels: LabelVolume | None = None

    def validate(self) -> list[str]:
        """Sentences that say what is wrong; none when the request makes sense."""
        said = _report_problems(self.report)
        if self.labels is not None and not self.labels.same_grid(self.ct):
            said.append("The labels lie on another grid than the CT; resample them to it first.")
        return said


Request: TypeAlias = GenerateCT | InsertLesion | ScoreCT
REQUESTS: Mapping[str, type[GenerateCT] | type[InsertLesion] | type[ScoreCT]] = {
    kind.task: kind for kind in (GenerateCT, InsertLesion, ScoreCT)}


@dataclass(frozen=True)
class Progress:
    """How far a run is. `seconds` have passed since its start; `preview` is the CT as it forms."""

    stage: str
    step: int
    total: int
    seconds: float
    preview: CTVolume | None = None


ProgressSink: TypeAlias = Callable[[Progress], None]


class CancelToken:
    """Set from any thread; a run looks at it each step and stops with Cancelled."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        self._event.set()

    @property
    def cancelled(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        if self._event.is_set():
            raise Cancelled("Cancelled; nothing was written.")


@dataclass(frozen=True)
class Watch:
    """What an engine runs under: it reports its steps here, and is stopped here when the user asks to.

    `keep` takes the state of a sampler after a step, when the engine has one worth
    keeping; `resume` is such a state of an earlier try of the same request.
    """

    sink: ProgressSink | None = None
    cancel: CancelToken = field(default_factory=CancelToken)
    device: str = "auto"
    started: float = field(default_factory=time.monotonic)
    keep: Callable[[bytes], None] | None = None
    resume: bytes | None = None

    def at(self, stage: str, step: int, total: int, preview: CTVolume | None = None) -> None:
        self.cancel.check()
        if self.sink is not None:
            self.sink(Progress(stage, step, total, time.monotonic() - self.started, preview))


@dataclass(frozen=True, eq=False)
class Result:
    """What a run made. `labels` are layers: organs first, then findings or the lesion.

    `notes` are sentences about what was asked for and could not be done; `attributes` are
    what the networks were told of a lesion, with what they were not asked but saw.
    """

    provenance: Provenance
    ct: CTVolume | None = None
    labels: tuple[LabelVolume, ...] = ()
    ledger: tuple[LedgerEntry, ...] = ()
    score: float | None = None
    notes: tuple[str, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()


def to_json(request: Request) -> str:
    """The request as one JSON object; its volumes stand there by digest."""
    return json.dumps({"task": request.task, **to_plain(request)}, ensure_ascii=False, allow_nan=False)


def from_json(text: str, volumes: Mapping[str, Volume] | None = None) -> Request:
    """The request that `to_json` wrote; `volumes` maps digests to the volumes it refers to."""
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"This is not JSON: {error}.") from None
    kind = REQUESTS.get(str(plain.get("task"))) if isinstance(plain, dict) else None
    if kind is None:
        raise BadRequest(f"A request is an object with a 'task' of {', '.join(REQUESTS)}.")
    return from_plain(kind, {k: v for k, v in plain.items() if k != "task"}, volumes)


def _report_problems(report: str) -> list[str]:
    if not _is_text(report):
        return ["The report holds half a character that no file can keep; type or paste it again."]
    if not report.strip():
        return ["The report is empty; write what the CT shall show, for example 'Small right pleural effusion.'"]
    if len(report) > MAX_REPORT:
        return [f"The report has {len(report)} characters; the limit is {MAX_REPORT}."]
    return []


def _is_text(text: str) -> bool:
    """Whether it can be written: half of a surrogate pair cannot."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _sampler_problems(seed: int, steps: int | None, guidance: float | None) -> list[str]:
    said = []
    if not 0 <= seed <= MAX_SEED:
        said.append(f"The seed {seed} is out of range; it must be between 0 and {MAX_SEED}.")
    if steps is not None and not 1 <= steps <= 1000:
        said.append(f"{steps} steps are impossible; give between 1 and 1000.")
    if guidance is not None and not (math.isfinite(guidance) and 0 <= guidance <= 50):
        said.append(f"A guidance of {guidance} is impossible; give a number between 0 and 50.")
    return said

