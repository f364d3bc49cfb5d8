"""What this server can do, for menus and for clients that plan: engines, limits, devices, memory.

Made from the catalog and the options. Which weights are on this machine is looked up
on disk at most every few seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from .. import __version__
from ..engines import catalog, terms
from ..memory import available_bytes
from ..requests import MAX_REPORT
from ..weights.store import Place, meant, present
from .options import Options, Retention
from .supervisor import Supervisor
from .wire import WIRE_VERSION

_FRESH_S = 5.0


@dataclass(frozen=True)
class WeightsView:
    """A weight set, whether all of its files are on this machine, and the grids it can be asked for."""

    id: str
    title: str
    licence: terms.Licence
    bytes: int
    present: bool
    ships: bool
    presets: Mapping[str, terms.Preset]
    limits: terms.Limits


@dataclass(frozen=True)
class EngineView:
    """An engine of the catalog. Only a ready one can be asked.

    `weights` is the set that a request without one gets now; `presets` and `limits` are those with this set.
    """

    id: str
    title: str
    summary: str
    tasks: tuple[str, ...]
    ready: bool
    reference: str
    devices: tuple[str, ...]
    presets: Mapping[str, terms.Preset]
    limits: terms.Limits
    lesion_vocabulary: Mapping[str, tuple[str, ...]]
    weights: str
    weight_sets: tuple[WeightsView, ...]


@dataclass(frozen=True)
class LimitsView:
    """What a client must keep to; over each limit stands a refusal."""

    json_bytes: int
    blob_bytes: int
    piece_bytes: int
    voxels: int
    report_characters: int
    queued_jobs: int
    queued_jobs_a_key: int
    blob_bytes_a_key: int
    event_streams_a_key: int


@dataclass(frozen=True)
class DeviceView:
    """One worker and its device. Whose job it has is nobody else's business."""

    device: str
    alive: bool
    busy: bool
    memory_bytes: int
    restarts: int
    trouble: str


@dataclass(frozen=True)
class Capabilities:
    """The answer to GET /v1/capabilities."""

    version: str
    wire: int
    engines: tuple[EngineView, ...]
    defaults: Mapping[str, str]
    limits: LimitsView
    retention: Retention
    workers: tuple[DeviceView, ...]
    memory_bytes: int | None


class Abilities:
    """Says what this server can do now."""

    def __init__(self, options: Options, supervisor: Supervisor) -> None:
        limits = options.limits
        self._limits = LimitsView(
            limits.json_bytes, limits.blob_bytes, limits.piece_bytes, limits.voxels, MAX_REPORT, limits.queued_jobs,
            limits.queued_jobs_a_key, limits.blob_bytes_a_key, limits.event_streams_a_key)
        self._retention = options.retention
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._engines: tuple[EngineView, ...] = ()
        self._looked = float("-inf")

    def now(self) -> Capabilities:
        workers = tuple(DeviceView(w.device, w.alive, bool(w.job), w.memory, w.restarts, w.trouble)
                        for w in self._supervisor.workers())
        defaults = {str(task): name for task, name in catalog.DEFAULTS.items()}
        return Capabilities(__version__, WIRE_VERSION, self._engines_now(), defaults, self._limits, self._retention,
                            workers, available_bytes())

    def _engines_now(self) -> tuple[EngineView, ...]:
        with self._lock:
            if time.monotonic() - self._looked > _FRESH_S:
                self._engines = tuple(_engine_view(engine) for engine in catalog.ENGINES.values())
                self._looked = time.monotonic()
            return self._engines


def _engine_view(engine: terms.Engine) -> EngineView:
    weights = meant(engine, "")
    return EngineView(engine.id, engine.title, engine.summary, engine.tasks, engine.ready, engine.reference,
                      engine.devices, engine.presets_of(weights), engine.limits_of(weights),
                      engine.lesion_vocabulary, weights, tuple(_weights_view(engine, w) for w in engine.weight_sets))


def _weights_view(engine: terms.Engine, weights: terms.WeightSet) -> WeightsView:
    records = [Place(engine, weights, entry).record() for entry in weights.files]
    size = weights.bytes or sum(record.bytes for record in records if record is not None)
    return WeightsView(weights.id, weights.title, weights.licence, size, present(engine, weights), weights.ships,
                       engine.presets_of(weights.id), engine.limits_of(weights.id))
