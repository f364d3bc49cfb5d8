"""The kinds of fact that the catalog states: what an engine, a weight set, a file, a licence is.

Torch-free and plain, so that the command line, a server and Slicer's menus can all
read them before anything heavy is installed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..errors import BadInput, BadRequest
from ..geometry import Triple, times

Task = Literal["generate", "lesion", "score", "xray"]


@dataclass(frozen=True)
class Licence:
    """Under which terms weights may be used; shown before a download."""

    id: str
    url: str
    summary: str
    commercial: bool


@dataclass(frozen=True)
class Limits:
    """Which grids an engine works on, and what memory they cost."""

    max_shape: tuple[int, int, int]
    multiple_of: tuple[int, int, int] = (1, 1, 1)
    spacing_range_mm: tuple[float, float] = (0.3, 10.0)
    base_bytes: int = 0
    bytes_per_voxel: int = 0

    def memory(self, shape: tuple[int, int, int]) -> int:
        """Estimated peak bytes for a result of this shape."""
        i, j, k = shape
        return self.base_bytes + self.bytes_per_voxel * i * j * k

    def problems(self, shape: tuple[int, int, int], spacing: Triple) -> list[str]:
        """Sentences that say why a grid is not possible."""
        said = []
        if any(n > m for n, m in zip(shape, self.max_shape, strict=True)):
            said.append(f"The grid {times(shape)} is larger than this engine's limit of {times(self.max_shape)}.")
        if any(n % m for n, m in zip(shape, self.multiple_of, strict=True)):
            said.append(f"The grid {times(shape)} must be a multiple of {times(self.multiple_of)}.")
        low, high = self.spacing_range_mm
        if any(not low <= s <= high for s in spacing):
            said.append(f"The spacing {times(spacing)} mm is outside this engine's {low:g} to {high:g} mm.")
        return said


@dataclass(frozen=True)
class Preset:
    """A named balance of speed and quality: the grid, and how many steps a sampler takes."""

    shape: tuple[int, int, int]
    spacing: Triple
    steps: int | None = None
    summary: str = ""


@dataclass(frozen=True)
class WeightFile:
    """One published checkpoint file and how its tensors are found in it.

    Files that ship with us have their sizes and hashes beside them (`weights.package`), not here, and no manifest.
    `manifest` names the list of expected tensors in the package data. `wrappers`
    are keys under which the state dict may stand (the bare dict is accepted too);
    `scalars` are single values kept beside the tensors. Tensors whose names begin
    with one of `optional` may be absent and are not kept. An engine does without a
    `spare` file: the authors give it, and another of the set holds the same.
    """

    name: str
    path: str
    bytes: int = 0
    manifest: str = ""
    sha256: str = ""
    wrappers: tuple[str, ...] = ()
    scalars: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    spare: bool = False


@dataclass(frozen=True)
class WeightSet:
    """A set of numbers for an engine, and where it comes from.

    `source`: "hub" is downloaded through huggingface_hub, "import" is brought in by
    the user as files, "package" ships with us. `presets` and `limits` are given where they are not those of
    the engine.
    """

    id: str
    title: str
    source: Literal["hub", "import", "package"]
    licence: Licence
    files: tuple[WeightFile, ...]
    repo: str = ""
    repo_type: Literal["model", "dataset"] = "model"
    revision: str = "main"
    gated: bool = False
    notes: str = ""
    presets: Mapping[str, Preset] = field(default_factory=dict)
    limits: Limits | None = None

    @property
    def ships(self) -> bool:
        """Whether it comes with the package, so that there is nothing to fetch, to accept or to remove."""
        return self.source == "package"

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)


@dataclass(frozen=True)
class Engine:
    """One engine, in code of our own. `runner` is "module:Class", None while that is not in this release."""

    id: str
    title: str
    summary: str
    tasks: tuple[Task, ...]
    runner: str | None
    reference: str = ""
    extra: str = ""
    weight_sets: tuple[WeightSet, ...] = ()
    presets: Mapping[str, Preset] = field(default_factory=dict)
    limits: Limits = field(default_factory=lambda: Limits((512, 512, 512)))
    lesion_vocabulary: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return self.runner is not None

    @property
    def devices(self) -> tuple[str, ...]:
        return ("cpu", "cuda", "mps") if self.extra == "torch" else ("cpu",)

    def weight_set(self, id_: str) -> WeightSet:
        """The weight set called `id_`, the first one for an empty id."""
        for weights in self.weight_sets:
            if id_ in ("", weights.id):
                return weights
        known = ", ".join(w.id for w in self.weight_sets) or "none: it needs no weights"
        raise BadInput(f"The engine {self.id} has no weight set '{id_}'; it has {known}.")

    def presets_of(self, weights: str = "") -> Mapping[str, Preset]:
        """The presets with these weights: their own, else the engine's."""
        return (self.weight_set(weights).presets if self.weight_sets else {}) or self.presets

    def limits_of(self, weights: str = "") -> Limits:
        """The limits with these weights: their own, else the engine's."""
        return (self.weight_set(weights).limits if self.weight_sets else None) or self.limits

    def preset(self, name: str, weights: str = "") -> Preset:
        presets = self.presets_of(weights)
        if name not in presets:
            known = ', '.join(presets) or 'none'
            raise BadRequest(f"The engine {self.id} has no preset '{name}'; it has {known}.")
        return presets[name]
