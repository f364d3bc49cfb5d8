"""The door of Text2CT: a request in, a CT and its account out.

The networks are loaded once for a device and kept with the engine. What they are, where
they run and what could not be done as asked is said in the account and in the notes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from ...errors import BadRequest
from ...geometry import Grid, Triple, times
from ...provenance import Provenance, now, text_sha256
from ...requests import GenerateCT, Request, Result, Watch, to_json
from ...speed.plan import Plan, chosen_device, planned
from ...volume import CTVolume
from ...weights.store import find
from .. import catalog
from . import pipeline
from .config import PUBLISHED, ModelSizes
from .pipeline import Sampler
from .preparation import SHAPE, SPACING
from .prompt import as_trained
from .state import SamplerState, read_state
from .weights import ENGINE, Networks, load

_ORIENTATION = "RAS"
_PREVIEW_EVERY = 5


@dataclass(frozen=True)
class Files:
    """A weight set on this disk, and the one grid that it was trained on."""

    sizes: ModelSizes
    text: Path
    unet: Path
    vae: Path
    sha256: str
    shape: tuple[int, int, int] = SHAPE
    spacing: Triple = SPACING


def published_files(weights: str, watch: Watch) -> Files:
    """The files of a downloaded weight set, or a sentence with the command that brings them here."""
    entry = catalog.engine(ENGINE)
    found = {name: find(entry, weights, name, watch) for name in ("clip3d", "unet", "autoencoder")}
    together = hashlib.sha256(" ".join(record.sha256 for _, record in found.values()).encode()).hexdigest()
    text, unet, vae = (path for path, _ in found.values())
    return Files(PUBLISHED, text, unet, vae, together)


class Text2CTEngine:
    """Runs requests. `sampler` sets what a request does not; its steps and guidance come from the request."""

    def __init__(self, sampler: Sampler | None = None,
                 files: Callable[[str, Watch], Files] = published_files) -> None:
        self._sampler = sampler or Sampler()
        self._files = files
        self._loaded: tuple[tuple[str, str, str], Networks] | None = None

    def run(self, request: Request, watch: Watch) -> Result:
        if not isinstance(request, GenerateCT):
            raise BadRequest(f"Text2CT cannot do '{request.task}'; it makes a CT from a report.")
        if request.base is not None:
            raise BadRequest("Text2CT makes a new CT and cannot draw into one; leave out the base CT, "
                             "or use the engine phantom.")
        files = self._files(request.weights, watch)
        grid = _grid(request)
        sampler = _sampler(request, self._sampler)
        latent_shape = _latent_shape(grid.shape, files.sizes)
        plan = planned(chosen_device(watch.device), files.sizes, latent_shape, sampler.guidance != 1.0)
        networks = self._networks(files, plan, watch)
        prompt = as_trained(request.report)
        watch.at("reading the report", 0, 1)
        context, dropped = pipeline.encoded(networks, prompt)
        way = _Way(request, watch, networks, plan, sampler, grid, files)
        latent, notes = way.walked(context, latent_shape)
        hu = pipeline.decoded(networks, plan, sampler, latent, lambda i, n: watch.at("decoding", i, n))
        watch.at("decoding", 1, 1)
        provenance = Provenance(
            engine=ENGINE, task=request.task, seed=request.seed, weights=_weights_id(request),
            weights_sha256=files.sha256, sampler=f"{sampler.said()}, {plan.said()}", preset=request.preset,
            report_sha256=text_sha256(request.report), created=now())
        said = (*_about_report(dropped, files.sizes), *_about_grid(grid, files), *notes)
        return Result(provenance, CTVolume(hu, grid.affine), notes=said)

    def _networks(self, files: Files, plan: Plan, watch: Watch) -> Networks:
        """Loaded for this device and kind of number, once."""
        key = (files.sha256, str(plan.device), str(plan.flow))
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None
            watch.at("loading weights", 0, 1)
            networks = load(files.sizes, files.text, files.unet, files.vae)
            pipeline.placed(networks, plan)
            self._loaded = (key, networks)
        return self._loaded[1]


@dataclass(frozen=True)
class _Way:
    """One walk along the flow under a watch: progress, previews, cancelling, keeping and taking up."""

    request: GenerateCT
    watch: Watch
    networks: Networks
    plan: Plan
    sampler: Sampler
    grid: Grid
    files: Files

    def walked(self, context: Tensor, latent_shape: tuple[int, int, int]) -> tuple[Tensor, tuple[str, ...]]:
        """The latent at the end, and what to say about the start."""
        start = pipeline.noise(self.request.seed, self.files.sizes.unet.in_channels, latent_shape)
        schedule = self.sampler.schedule(latent_shape)
        state, notes = self._taken_up(tuple(start.shape), len(schedule))
        field = pipeline.velocity(self.networks.unet, self.plan, self.sampler, context, self.grid.spacing)
        with stoppable(self.networks, self.watch):
            self.watch.at("sampling", 0 if state is None else state.done, len(schedule))
            latent = pipeline.walked(field, start.to(self.plan.device), schedule, self.sampler.solver, state,
                                     lambda after, clean: self._after(after, clean, len(schedule)))
        return latent, notes

    def _after(self, state: SamplerState, clean: Tensor, total: int) -> None:
        if self.watch.keep is not None:
            self.watch.keep(state.to_bytes(self._identity()))
        wanted = self.watch.sink is not None and state.done % _PREVIEW_EVERY == 0 and state.done < total
        self.watch.at("sampling", state.done, total, self._preview(clean) if wanted else None)

    def _preview(self, clean: Tensor) -> CTVolume:
        hu = pipeline.preview(self.networks, self.plan, clean)
        spacing = [s * n / m for s, n, m in zip(self.grid.spacing, self.grid.shape, hu.shape, strict=True)]
        return CTVolume(hu, Grid.centred(hu.shape, spacing, _ORIENTATION).affine)

    def _identity(self) -> str:
        facts = [to_json(self.request), self.files.sha256, self.sampler.said(), self.plan.said(),
                 self.plan.one_batch, repr(self.plan.speed)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _taken_up(self, shape: tuple[int, ...], steps: int) -> tuple[SamplerState | None, tuple[str, ...]]:
        if self.watch.resume is None:
            return None, ()
        state = read_state(self.watch.resume, self._identity(), shape, steps)
        if state is None:
            return None, ("The state kept from an earlier try does not fit this run; it was done from the start.",)
        move = state.move
        device = self.plan.device
        return replace(state, move=replace(move, sample=move.sample.to(device),
                                           velocity=move.velocity.to(device))), ()


@contextmanager
def stoppable(networks: Networks, watch: Watch) -> Iterator[None]:
    """Look at the cancel token before each level of the UNet, for a step takes long on a CPU."""
    levels = [*networks.unet.down_blocks, *networks.unet.up_blocks]
    hooks = [level.register_forward_pre_hook(lambda *_: watch.cancel.check()) for level in levels]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _weights_id(request: GenerateCT) -> str:
    return request.weights or catalog.engine(ENGINE).weight_set("").id


def _sampler(request: GenerateCT, sampler: Sampler) -> Sampler:
    steps = request.steps or catalog.engine(ENGINE).preset(request.preset).steps or sampler.steps
    guidance = sampler.guidance if request.guidance is None else request.guidance
    return replace(sampler, steps=steps, guidance=guidance)


def _grid(request: GenerateCT) -> Grid:
    """The request's own grid or that of its preset, in the middle of the patient, axes as in training."""
    preset = catalog.engine(ENGINE).preset(request.preset)
    shape = request.shape or preset.shape
    return Grid.centred(shape, request.spacing or preset.spacing, _ORIENTATION)


def _latent_shape(shape: tuple[int, int, int], sizes: ModelSizes) -> tuple[int, int, int]:
    multiple = sizes.vae.factor * sizes.unet.factor
    if any(n % multiple for n in shape):
        raise BadRequest(f"The grid {times(shape)} does not fit these weights; each size must be a multiple "
                         f"of {multiple}.")
    a, b, c = (n // sizes.vae.factor for n in shape)
    return a, b, c


def _about_report(dropped: int, sizes: ModelSizes) -> tuple[str, ...]:
    if not dropped:
        return ()
    return (f"The weights read {sizes.text.length} tokens of a report; its last {dropped} were left out. "
            "Put what matters first.",)


def _about_grid(grid: Grid, files: Files) -> tuple[str, ...]:
    nominal = ("The voxel size is nominal: in training every CT was stretched to one grid, so lengths are not true "
               "to the millimetre.")
    spacing = tuple(round(s, 4) for s in grid.spacing)
    if (grid.shape, spacing) == (files.shape, files.spacing):
        return (nominal,)
    return (nominal, f"These weights were trained on {times(files.shape)} voxels of {times(files.spacing)} mm only; "
            f"a grid of {times(grid.shape)} at {times(spacing)} mm can look wrong.")
