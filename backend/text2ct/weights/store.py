"""The converted weights on this disk: where they are, whether they are still what they were, and how they came.

Beside each converted file stands a small record with the hashes of the source and of
the file. Whoever needs weights asks `find`, which compares the file with its record:
size and time each time, the whole hash when either changed. Weights that ship with us
lie in the package instead (`package`) and are found by the same names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ..engines.terms import Engine, WeightFile, WeightSet
from ..errors import BadInput, BadRequest, WeightsError
from ..formats.atomic import replacing
from ..plain import from_plain, to_plain
from ..provenance import now
from ..requests import Watch
from . import package
from .checkpoint import open_checkpoint
from .convert import convert, file_sha256
from .home import made, set_folder
from .manifest import load_manifest, problems, select


@dataclass(frozen=True)
class Record:
    """How a converted file came to be. `published` says whether the source had the published hash."""

    engine: str
    weights: str
    file: str
    source: str
    source_sha256: str
    source_bytes: int
    published: bool
    sha256: str
    bytes: int
    modified_ns: int
    licence: str
    licence_accepted: str
    converted: str
    scalars: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Place:
    """One file of the catalog, and where its converted form belongs."""

    engine: Engine
    weights: WeightSet
    entry: WeightFile

    @property
    def name(self) -> str:
        return f"{self.engine.id}/{self.weights.id}/{self.entry.name}"

    @property
    def path(self) -> Path:
        if self.weights.ships:
            return package.folder(self.engine.id, self.weights.id) / self.entry.path
        return set_folder(self.engine.id, self.weights.id) / f"{self.entry.name}.safetensors"

    @property
    def record_path(self) -> Path:
        return self.path.with_suffix(".json")

    def record(self) -> Record | None:
        """The record, or None when nothing whole is here."""
        if self.weights.ships:
            return _shipped_record(self)
        try:
            plain = json.loads(self.record_path.read_text(encoding="utf-8"))
            return from_plain(Record, plain) if self.path.is_file() else None
        except (OSError, ValueError, BadRequest):
            return None

    def write_record(self, record: Record) -> None:
        with replacing(self.record_path) as temporary:
            temporary.write_text(json.dumps(to_plain(record), indent=1), encoding="utf-8")

    def how_to_get(self) -> str:
        """The command that brings this file here."""
        if self.weights.ships:
            return package.HOW_TO_GET
        if self.weights.source == "import":
            return f"text2ct weights import {Path(self.entry.path).name} --as {self.name}"
        return f"text2ct weights download {self.engine.id}/{self.weights.id}"


def _shipped_record(wanted: Place) -> Record | None:
    stated = package.shipped(wanted.engine.id, wanted.weights.id).get(wanted.entry.name)
    if stated is None or not wanted.path.is_file():
        return None
    return Record(wanted.engine.id, wanted.weights.id, wanted.entry.name, wanted.entry.path, stated.sha256,
                  stated.bytes, True, stated.sha256, stated.bytes, wanted.path.stat().st_mtime_ns,
                  wanted.weights.licence.id, licence_accepted="", converted="")


def places(engines: Iterable[Engine]) -> list[Place]:
    """All files of these engines, those that can be fetched or brought in and those that ship with us."""
    return [Place(engine, weights, entry) for engine in engines for weights in engine.weight_sets
            for entry in weights.files]


def place(engine: Engine, weights_id: str, file: str) -> Place:
    """The place of one file by its names."""
    weights = engine.weight_set(weights_id)
    for entry in weights.files:
        if entry.name == file:
            return Place(engine, weights, entry)
    known = ", ".join(entry.name for entry in weights.files)
    raise BadInput(f"The weight set {engine.id}/{weights.id} has no file '{file}'; it has {known}.")


def present(engine: Engine, weights: WeightSet) -> bool:
    """Whether all files of a weight set that its engine reads are on this machine."""
    return all(Place(engine, weights, entry).record() is not None for entry in weights.files if not entry.spare)


def meant(engine: Engine, weights_id: str) -> str:
    """The weight set that a request means: the one it names, else the first that is here, else the first."""
    if weights_id or not engine.weight_sets:
        return weights_id
    here = (weights.id for weights in engine.weight_sets if present(engine, weights))
    return next(here, engine.weight_sets[0].id)


def find(engine: Engine, weights_id: str, file: str, watch: Watch | None = None) -> tuple[Path, Record]:
    """The converted file and its record, or a sentence with the command that brings it here."""
    wanted = place(engine, weights_id, file)
    record = wanted.record()
    if record is None:
        raise _absent(wanted)
    if wanted.weights.ships:
        package.check_once(wanted.path, _stated(record), wanted.name, record.modified_ns)
    elif not _untouched(wanted, record):
        record = verify(wanted, watch or Watch())
    return wanted.path, record


def verify(wanted: Place, watch: Watch) -> Record:
    """Hash the file anew and compare it with its record."""
    record = wanted.record()
    if record is None:
        raise _absent(wanted)
    if wanted.weights.ships:
        package.check(wanted.path, _stated(record), wanted.name)
        return record
    stat = wanted.path.stat()
    if stat.st_size != record.bytes or file_sha256(wanted.path, watch, f"hashing {wanted.name}") != record.sha256:
        raise WeightsError(f"The weights {wanted.name} changed on this disk since they were converted; remove them "
                           f"(text2ct weights remove {wanted.engine.id}/{wanted.weights.id}) and get them again with: "
                           f"{wanted.how_to_get()}")
    if stat.st_mtime_ns != record.modified_ns:
        record = replace(record, modified_ns=stat.st_mtime_ns)
        wanted.write_record(record)
    return record


def _absent(wanted: Place) -> WeightsError:
    if wanted.weights.ships:
        return package.absent(wanted.name)
    return WeightsError(f"The weights {wanted.name} are not on this machine; get them with: {wanted.how_to_get()}")


def _stated(record: Record) -> package.ShippedFile:
    return package.ShippedFile(record.file, record.bytes, record.sha256)


def _untouched(wanted: Place, record: Record) -> bool:
    stat = wanted.path.stat()
    return (stat.st_size, stat.st_mtime_ns) == (record.bytes, record.modified_ns)


def check_importable(wanted: Place) -> None:
    """Refuse a place that is not for files from elsewhere."""
    if wanted.weights.ships:
        raise BadInput(f"The weights {wanted.name} ship with text2ct; no other file can take their place.")


def keep(wanted: Place, source: Path, licence_accepted: str, watch: Watch, expected_sha256: str = "") -> Record:
    """Convert `source` into its place, and remember how."""
    check_importable(wanted)
    made(wanted.path.parent)
    manifest = load_manifest(wanted.entry.manifest)
    done = convert(source, wanted.path, wanted.entry, manifest, watch, expected_sha256)
    record = Record(
        wanted.engine.id, wanted.weights.id, wanted.entry.name, source.name, done.source_sha256, done.source_bytes,
        done.source_sha256 == wanted.entry.sha256, done.sha256, done.bytes, wanted.path.stat().st_mtime_ns,
        wanted.weights.licence.id, licence_accepted, now(), done.scalars)
    wanted.write_record(record)
    return record


def identify(source: Path, candidates: list[Place]) -> Place:
    """Which file of the catalog this is: by its name, else by its tensors. None of those that ship with us."""
    candidates = [one for one in candidates if not one.weights.ships]
    named = [one for one in candidates if Path(one.entry.path).name == source.name]
    if len(named) == 1:
        return named[0]
    checkpoint = open_checkpoint(source)
    fitting = []
    for one in named or candidates:
        manifest = load_manifest(one.entry.manifest)
        if not problems(select(checkpoint, one.entry, manifest), one.entry, manifest):
            fitting.append(one)
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = ", ".join(one.name for one in fitting)
        raise BadInput(f"{source.name} could be any of {names}; say which with --as ENGINE/SET/FILE.")
    raise WeightsError(f"{source.name} holds {len(checkpoint.tensors)} tensors, which are those of no known file; "
                       "see 'text2ct weights list', and name the file with --as ENGINE/SET/FILE to learn what differs.")


def remove(wanted: Place) -> int:
    """Delete a converted file and its record; returns the bytes that this freed."""
    if wanted.weights.ships:
        raise BadInput(f"The weights {wanted.engine.id}/{wanted.weights.id} ship with text2ct and stay as long as it "
                       "does; they go with: pip uninstall text2ct")
    freed = wanted.path.stat().st_size if wanted.path.is_file() else 0
    wanted.record_path.unlink(missing_ok=True)
    wanted.path.unlink(missing_ok=True)
    return freed
