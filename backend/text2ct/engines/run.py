"""From a request to its result: look the engine up, judge the request, then run it.

Every door (command line, server, Slicer in process) comes through here, so that
checks and their sentences are the same everywhere. Heavy code is imported only
when an engine is really started.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, cast

from ..errors import BadRequest, Unavailable
from ..memory import available_bytes
from ..requests import CancelToken, GenerateCT, InsertLesion, ProgressSink, Request, Result, Watch
from ..weights.store import meant
from . import catalog
from .terms import Engine


class Runner(Protocol):
    """What the code of an engine offers."""

    def run(self, request: Request, watch: Watch) -> Result:
        """Do the work, tell `watch` each step, and return a result with its account."""


def load(entry: Engine) -> Runner:
    """The code of an engine, imported now."""
    module, _, name = (entry.runner or "").partition(":")
    try:
        return cast(Runner, getattr(importlib.import_module(module), name)())
    except ModuleNotFoundError as error:
        extra = f"[{entry.extra}]" if entry.extra else ""
        raise Unavailable(f"The engine {entry.title} needs the package '{error.name}'; "
                          f"install it with: pip install 'text2ct{extra}'.") from error


def run(request: Request, progress: ProgressSink | None = None, cancel: CancelToken | None = None,
        device: str = "auto", *, keep: Callable[[bytes], None] | None = None, resume: bytes | None = None,
        loaded: Callable[[Engine], Runner] = load) -> Result:
    """The result of a request, or one sentence that says why there is none.

    `keep` and `resume` are those of Watch. `loaded` gives the code of an engine; a worker
    gives what it has kept from the job before.
    """
    entry = catalog.ready_engine(request.engine, request.task)
    request = settled(entry, request)
    problems = request.validate() or grid_problems(entry, request)
    if problems:
        raise BadRequest(" ".join(problems))
    if device.partition(":")[0] not in ("auto", *entry.devices):
        raise BadRequest(f"The engine {entry.title} runs on {' or '.join(entry.devices)}, not on {device}.")
    _check_memory(entry, request)
    watch = Watch(progress, cancel or CancelToken(), device, keep=keep, resume=resume)
    watch.at("starting", 0, 1)
    result = loaded(entry).run(request, watch)
    result = replace(result, notes=(*result.notes, *_unused(entry, request)))
    return _with_reading(request, result, watch)


def _with_reading(request: Request, result: Result, watch: Watch) -> Result:
    """What was not understood of a report is said, and a generated CT is measured at once."""
    if isinstance(request, InsertLesion):
        return result
    from ..report.ledger import measure
    from ..report.parser import understand
    read = understand(request.report)
    unread = [f'Not understood: "{request.report[a:b]}".' for a, b in read.not_understood]
    result = replace(result, notes=(*result.notes, *unread))
    if not isinstance(request, GenerateCT) or result.ct is None or result.ledger:
        return result
    organs = next((layer for layer in result.labels if layer.title == "organs"), None)
    return replace(result, ledger=measure(result.ct, read.findings, organs, watch))


def _unused(entry: Engine, request: Request) -> tuple[str, ...]:
    """What was asked of sampling, where nothing is sampled."""
    names = ("sampler", "solver", "precision", "lossy", "best_of")
    asked = [name.replace("_", " ") for name in names if not entry.weight_sets
             and isinstance(request, GenerateCT) and getattr(request, name) not in ("", (), 1)]
    return (f"The engine {entry.title} does not sample, so these were not used: {', '.join(asked)}.",) if asked else ()


def settled(entry: Engine, request: Request) -> Request:
    """The request with its weight set named: an empty name means the first set that is on this machine."""
    if request.weights:
        entry.weight_set(request.weights)
    return replace(request, weights=meant(entry, request.weights))


def result_shape(entry: Engine, request: Request) -> tuple[int, int, int]:
    """The shape of the CT that a settled request is about."""
    if isinstance(request, GenerateCT):
        if request.base is not None:
            return request.base.shape
        return request.shape or entry.preset(request.preset, request.weights).shape
    return request.ct.shape


def grid_problems(entry: Engine, request: Request) -> list[str]:
    """Sentences that say why an engine cannot make the grid that a settled request asks for."""
    if isinstance(request, GenerateCT) and request.base is None:
        spacing = request.spacing or entry.preset(request.preset, request.weights).spacing
        return entry.limits_of(request.weights).problems(result_shape(entry, request), spacing)
    return []


def memory_needed(entry: Engine, request: Request) -> int:
    """Estimated peak bytes of a settled request."""
    return entry.limits_of(request.weights).memory(result_shape(entry, request))


def _check_memory(entry: Engine, request: Request) -> None:
    needed, free = memory_needed(entry, request), available_bytes()
    if free is not None and needed > free:
        raise Unavailable(f"The engine {entry.title} needs about {needed / 1e9:.1f} GB of memory for this grid, "
                          f"and {free / 1e9:.1f} GB are free; close other programs or ask for a smaller grid.")
