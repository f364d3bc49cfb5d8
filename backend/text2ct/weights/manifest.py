"""What tensors a published file must hold, and which of a checkpoint's tensors are meant by it.

The lists stand in the package data, one JSON file for each entry of the catalog:
{"file": name, "tensors": {name: [shape, kind]}}. A checkpoint is compared with its
list before anything is converted, so that a wrong or changed file is named at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..engines.terms import WeightFile
from ..errors import WeightsError
from .checkpoint import Checkpoint, Scalar
from .tensors import BY_NAME, NumberType, TensorRef

FOLDER = Path(__file__).parent / "manifests"
_SHOWN = 5
_RECOMPUTED = "embeddings.position_ids"


@dataclass(frozen=True)
class Manifest:
    """The expected tensors of one file."""

    file: str
    tensors: Mapping[str, tuple[tuple[int, ...], NumberType]]


@dataclass(frozen=True)
class Selection:
    """What is kept of a checkpoint: the tensors by their published names, and its single values."""

    tensors: Mapping[str, TensorRef]
    scalars: Mapping[str, float]


def load_manifest(name: str, folder: Path | None = None) -> Manifest:
    """The manifest called `name` of the package data."""
    text = ((folder or FOLDER) / f"{name}.json").read_text(encoding="utf-8")
    plain = json.loads(text)
    tensors = plain["tensors"].items()
    return Manifest(plain["file"], {key: (tuple(shape), BY_NAME[kind]) for key, (shape, kind) in tensors})


def select(checkpoint: Checkpoint, entry: WeightFile, manifest: Manifest) -> Selection:
    """The tensors that the manifest speaks of, freed of wrappers; unknown ones stay in, to be named."""
    inner = {name: ref for name, ref in checkpoint.tensors.items() if name not in entry.scalars}
    for wrapper in entry.wrappers:
        wrapped = {name.removeprefix(f"{wrapper}/"): ref for name, ref in inner.items()
                   if name.startswith(f"{wrapper}/")}
        if wrapped:
            inner = wrapped
            break
    if inner and all(name.startswith("module.") for name in inner):
        inner = {name.removeprefix("module."): ref for name, ref in inner.items()}
    kept = {name: ref for name, ref in inner.items()
            if not name.startswith(entry.optional) and (name in manifest.tensors or not name.endswith(_RECOMPUTED))}
    return Selection(kept, _scalars(checkpoint, entry))


def problems(selection: Selection, entry: WeightFile, manifest: Manifest) -> str:
    """One sentence naming what is missing, unexpected or misshapen; empty when the structure is right."""
    expected = {name: value for name, value in manifest.tensors.items() if not name.startswith(entry.optional)}
    missing = [name for name in expected if name not in selection.tensors and not name.endswith(_RECOMPUTED)]
    unexpected = [name for name in selection.tensors if name not in expected]
    common = [(name, selection.tensors[name], *expected[name]) for name in expected if name in selection.tensors]
    misshapen = [_difference(*one) for one in common if not _fits(*one[1:])]
    parts = [f"{len(names)} {what} ({_first(names)})" for what, names in (
        ("missing", missing), ("unexpected", unexpected), ("misshapen", misshapen)) if names]
    return f"its tensors are not those of {manifest.file}: {'; '.join(parts)}" if parts else ""


def check(selection: Selection, entry: WeightFile, manifest: Manifest, source: Path) -> None:
    """Refuse a file whose structure is not the published one."""
    said = problems(selection, entry, manifest)
    if said:
        raise WeightsError(f"{source.name} cannot be used: {said}.")


def _fits(ref: TensorRef, shape: tuple[int, ...], kind: NumberType) -> bool:
    return ref.shape == shape and ref.kind.family == kind.family


def _difference(name: str, ref: TensorRef, shape: tuple[int, ...], kind: NumberType) -> str:
    return f"{name} is {ref.kind.name}{list(ref.shape)}, not {kind.name}{list(shape)}"


def _first(names: Iterable[str]) -> str:
    listed = [name if len(name) <= 200 else name[:197] + "..." for name in names]
    return ", ".join(listed[:_SHOWN]) + (", ..." if len(listed) > _SHOWN else "")


def _scalars(checkpoint: Checkpoint, entry: WeightFile) -> dict[str, float]:
    """The single values that the catalog asks for: plain ones, or tensors that hold one number."""
    found: dict[str, float] = {}
    with checkpoint.path.open("rb") as file:
        for name in entry.scalars:
            value: Scalar | None = checkpoint.scalars.get(name)
            if name in checkpoint.tensors:
                value = checkpoint.tensors[name].number(file)
            if isinstance(value, (int, float)) and abs(value) < float("inf"):
                found[name] = float(value)
    return found
