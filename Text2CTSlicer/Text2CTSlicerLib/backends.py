"""Where requests are run: in this Slicer, in a process of its own on this machine, or on a server.

One interface for the three; none of them knows Qt or MRML, and every method may block,
so panels call them through `tasks`. Translating asks Qt, so what a thread may have to say
is put into words when a backend is made. The service behind the last two keeps its jobs:
a job is found again by its id after a crash of Slicer or of the service.
"""

from __future__ import annotations

import shutil
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from slicer.i18n import tr as _

from . import packages

if TYPE_CHECKING:
    from text2ct.client import RemoteJob, Service
    from text2ct.local_service import LocalService
    from text2ct.requests import CancelToken, ProgressSink, Request, Result

HERE, PROCESS = "here", "process"


@dataclass(frozen=True)
class EngineChoice:
    """An engine as a menu shows it. `presets` and `weights` map ids to words.

    `chosen_weights` are those that the engine takes by itself; weights named in `presets_of` have their own presets;
    those in `absent` are still to be downloaded or brought in.
    """

    id: str
    title: str
    summary: str
    tasks: tuple[str, ...]
    ready: bool
    presets: Mapping[str, str]
    weights: Mapping[str, str]
    lesion_vocabulary: Mapping[str, tuple[str, ...]]
    needs_torch: bool = False
    chosen_weights: str = ""
    presets_of: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()

    def weights_words(self) -> dict[str, str]:
        """The weights as a menu shows them."""
        return {name: title + (_(" (not downloaded)") if name in self.absent else "")
                for name, title in self.weights.items()}

    def presets_with(self, weights: str) -> Mapping[str, str]:
        """The presets that a menu shows while these weights are chosen."""
        return self.presets_of.get(weights) or self.presets


@dataclass(frozen=True)
class Lamp:
    """Whether a backend can be used now, in a sentence, and what it offers."""

    ok: bool
    sentence: str
    device: str = ""
    free_bytes: int | None = None
    version: str = ""
    engines: tuple[EngineChoice, ...] = ()


class Running(Protocol):
    """One request under way. `id` finds it again; it is empty where it cannot be found again."""

    id: str

    def follow(self, progress: ProgressSink, cancel: CancelToken) -> Result:
        """Wait for the end, telling each step; cancelled when `cancel` says so."""


class Backend(Protocol):
    """A place that runs requests. `key` is how the settings name it."""

    key: str
    title: str

    def check(self) -> Lamp:
        """Whether it can be used; starts what must be started."""

    def start(self, request: Request, progress: ProgressSink, cancel: CancelToken) -> Running:
        """Hand a request over."""

    def attach(self, job_id: str) -> Running:
        """A request handed over before."""

    def close(self) -> None:
        """Let go of everything; jobs of a service stay on it."""


class Here:
    """In this Slicer, in a thread: nothing to install or to start, but Slicer stutters meanwhile."""

    key = HERE

    def __init__(self) -> None:
        self.title = _("This Slicer")
        self._state = _("Runs inside Slicer, one request at a time; Slicer answers more slowly meanwhile.")
        self._gone = _("A request that ran inside Slicer ended with it; generate it again.")
        self._turn = threading.Lock()

    def check(self) -> Lamp:
        import text2ct
        from text2ct.memory import available_bytes

        return Lamp(True, self._state, "cpu", available_bytes(), text2ct.__version__, catalog_engines())

    def start(self, request: Request, progress: ProgressSink, cancel: CancelToken) -> Running:
        return _InThread(request, self._turn)

    def attach(self, job_id: str) -> Running:
        from text2ct.errors import Unavailable

        raise Unavailable(self._gone)

    def close(self) -> None:
        """Nothing is held."""


class _InThread:
    """One request in the thread that follows it, after those before it."""

    id = ""

    def __init__(self, request: Request, turn: threading.Lock) -> None:
        self._request, self._turn = request, turn

    def follow(self, progress: ProgressSink, cancel: CancelToken) -> Result:
        from text2ct.engines.run import run

        while not self._turn.acquire(timeout=0.1):
            cancel.check()
        try:
            return run(self._request, progress, cancel)
        finally:
            self._turn.release()


class _OverService(ABC):
    """What the two backends with a service behind them share."""

    def __init__(self, key: str, title: str) -> None:
        self.key, self.title = key, title
        self._ready = _("Ready: text2ct {version} on {device}.")
        self._other_version = _("This module has version {ours}.")
        self._sending = _("sending the image")

    @abstractmethod
    def _service(self) -> Service:
        """The service, there and ready to be asked."""

    def check(self) -> Lamp:
        import text2ct
        from text2ct.errors import Text2CTError

        try:
            said = self._service().capabilities()
        except Text2CTError as error:
            return Lamp(False, str(error))
        workers = [w for w in said.get("workers") or () if isinstance(w, dict)]
        trouble = next((str(w["trouble"]) for w in workers if w.get("trouble")), "")
        theirs, device = str(said.get("version", "?")), ", ".join(sorted({str(w.get("device")) for w in workers}))
        sentence = trouble or self._ready.format(version=theirs, device=device or "?")
        if theirs != text2ct.__version__ and not trouble:
            sentence += " " + self._other_version.format(ours=text2ct.__version__)
        free = said.get("memory_bytes")
        return Lamp(not trouble, sentence, device, free if isinstance(free, int) else None, theirs, offered(said))

    def start(self, request: Request, progress: ProgressSink, cancel: CancelToken) -> Running:
        from text2ct.requests import Progress

        def sending(done: int, total: int) -> None:
            cancel.check()
            progress(Progress(self._sending, done >> 20, max(1, total >> 20), 0.0))

        return self._service().submit(request, on_upload=sending)

    def attach(self, job_id: str) -> RemoteJob:
        return self._service().attach(job_id)


class LocalProcess(_OverService):
    """A service of our own in a child process, ended with Slicer; its jobs outlive both."""

    def __init__(self, local: LocalService | None = None) -> None:
        super().__init__(PROCESS, _("Local process"))
        self._lacking = _("Not set up yet: {names} are missing. Press 'Set up'.")
        self._folder = packages.folder()
        self._local = local

    def check(self) -> Lamp:
        lacking = packages.missing([packages.BASE, packages.SERVER])
        if lacking:
            return Lamp(False, self._lacking.format(names=", ".join(lacking)))
        return super().check()

    def _service(self) -> Service:
        if self._local is None:
            from text2ct.local_service import LocalService

            self._local = LocalService(python(), environment={"PYTHONPATH": str(self._folder)})
        return self._local.start()

    def close(self) -> None:
        if self._local is not None:
            self._local.stop()


class Remote(_OverService):
    """A server, by its address and key."""

    def __init__(self, address: str, secret: str) -> None:
        super().__init__(address, address)
        self._secret = secret
        self._client: Service | None = None

    def _service(self) -> Service:
        if self._client is None:
            from text2ct.client import Service

            self._client = Service(self.key, self._secret)
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def python() -> str:
    """The Python of this Slicer, as a program that can be started."""
    return shutil.which("PythonSlicer") or sys.executable


def catalog_engines() -> tuple[EngineChoice, ...]:
    """The engines of the package beside the module."""
    from text2ct.engines.catalog import ENGINES
    from text2ct.plain import to_plain
    from text2ct.weights.store import meant, present

    return tuple(_choice({
        **to_plain(engine), "ready": engine.ready, "weights": meant(engine, ""),
        "weight_sets": [{**to_plain(w), "present": present(engine, w), "ships": w.ships} for w in engine.weight_sets],
    }) for engine in ENGINES.values())


def offered(capabilities: Mapping[str, Any]) -> tuple[EngineChoice, ...]:
    """The engines that a service says it has."""
    return tuple(_choice(engine) for engine in capabilities.get("engines") or () if isinstance(engine, dict))


def for_task(engines: tuple[EngineChoice, ...], task: str) -> list[EngineChoice]:
    """Those that can be asked for this now."""
    return [engine for engine in engines if engine.ready and task in engine.tasks]


def _choice(engine: Mapping[str, Any]) -> EngineChoice:
    here = [w for w in engine["weight_sets"] if w.get("present", True) or not w.get("ships")]
    absent = frozenset(w["id"] for w in here if not w.get("present", True))
    vocabulary = {name: tuple(values) for name, values in engine["lesion_vocabulary"].items()}
    return EngineChoice(engine["id"], engine["title"], engine["summary"], tuple(engine["tasks"]), engine["ready"],
                        _presets(engine), {w["id"]: w["title"] for w in here}, vocabulary,
                        engine.get("extra") == "torch", engine.get("weights", ""),
                        {w["id"]: _presets(w) for w in here if w.get("presets")}, absent)


def _presets(owner: Mapping[str, Any]) -> dict[str, str]:
    return {name: _preset_words(name, preset) for name, preset in owner["presets"].items()}


def _preset_words(name: str, preset: Mapping[str, Any]) -> str:
    shape = " x ".join(str(n) for n in preset["shape"])
    return f"{name}: {shape}" + (f", {preset['summary']}" if preset.get("summary") else "")


def backend_of(key: str, secret: Callable[[str], str]) -> Backend:
    """The backend that the settings name; `secret` gives the key of a server."""
    if key == HERE:
        return Here()
    return LocalProcess() if key == PROCESS else Remote(key, secret(key))
