"""The door of Text2CT: a request in, a CT and its account out.

The networks are loaded once for a device and kept with the engine. What they are, where
they run and what could not be done as asked is said in the account and in the notes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from torch import Tensor

from ...diffusion.solvers import Velocity
from ...errors import BadRequest
from ...geometry import Grid, times
from ...provenance import Provenance, now, text_sha256
from ...report.finding import Finding
from ...report.ledger import measure, score
from ...report.parser import understand
from ...requests import GenerateCT, Request, Result, Watch, to_json
from ...speed.lossy import shortened
from ...speed.plan import KINDS, Plan, chosen_device, planned, wishes
from ...volume import CTVolume
from .. import catalog
from ..phantom.drawing import Drawing
from . import pipeline
from .config import ModelSizes
from .files import Files, found_files
from .finishing import finished
from .focal import drawn_into
from .pipeline import Sampler
from .prompt import Prompt, named, prompt_of
from .state import SamplerState, read_state
from .variants import Way, at_once, best_of, steps_in_all
from .weights import ENGINE, Networks, load

_ORIENTATION = "RAS"
_PREVIEW_EVERY = 5


class Text2CTEngine:
    """Runs requests. `sampler` stands in place of that of the weights; steps and guidance come from the request."""

    def __init__(self, sampler: Sampler | None = None, files: Callable[[str, Watch], Files] = found_files) -> None:
        self._sampler = sampler
        self._files = files
        self._loaded: tuple[tuple[object, ...], Networks] | None = None

    def run(self, request: Request, watch: Watch) -> Result:
        if not isinstance(request, GenerateCT):
            raise BadRequest(f"Text2CT cannot do '{request.task}'; it makes a CT from a report.")
        if request.base is not None:
            raise BadRequest("Text2CT makes a new CT and cannot draw into one; leave out the base CT, "
                             "or use the engine phantom.")
        files = self._files(request.weights, watch)
        grid = _grid(request, files)
        sampler = _sampler(request, self._sampler or files.sampler, files)
        latent_shape = _latent_shape(grid.shape, files.sizes)
        plan = planned(chosen_device(watch.device), files.sizes, latent_shape, sampler.guidance != 1.0,
                       flow=KINDS.get(request.precision), wished=wishes(),
                       as_published_decode=sampler.as_published_decode)
        networks = self._networks(files, plan, watch)
        watch.at("reading the report", 0, 1)
        prompt = prompt_of(request.report, files, request.by_rule)
        context = pipeline.encoded(networks, prompt.ids)
        way = _Way(request, watch, networks, plan, sampler, grid, files, context, latent_shape)
        ct, seed, notes = way.made() if request.best_of == 1 else way.best(prompt.by_rule)
        drawing = drawn_into(ct, prompt.by_rule, seed, watch)
        provenance = Provenance(
            engine=ENGINE, task=request.task, seed=seed, weights=files.id, weights_sha256=files.sha256,
            sampler=", ".join((sampler.said(), plan.said(), *_about_means(prompt, drawing, request, files))),
            preset=request.preset, report_sha256=text_sha256(request.report), created=now())
        said = (*_about_report(prompt, drawing, files), *_about_grid(grid, files), *plan.notes, *notes)
        return Result(provenance, drawing.ct, drawing.labels, notes=said)

    def _networks(self, files: Files, plan: Plan, watch: Watch) -> Networks:
        """Loaded for this device and kind of number, once."""
        key = (files.sha256, str(plan.device), str(plan.flow), plan.compiled, plan.graphs)
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
    context: Tensor
    latent_shape: tuple[int, int, int]

    def made(self) -> tuple[CTVolume, int, tuple[str, ...]]:
        """The CT, its seed, and what to say about the start."""
        start, schedule = self._start(self.request.seed), self.sampler.schedule(self.latent_shape)
        state, notes = self._taken_up(tuple(start.shape), len(schedule))
        with stoppable(self.networks, self.watch):
            self.watch.at("sampling", 0 if state is None else state.done, len(schedule))
            latent = pipeline.walked(self._field(), start, schedule, self.sampler.solver, state,
                                     lambda after, clean: self._after(after, clean, len(schedule)))
        return self._decoded(latent), self.request.seed, notes

    def best(self, elsewhere: Sequence[Finding]) -> tuple[CTVolume, int, tuple[str, ...]]:
        """The CT that shows most of the report, but for the findings that are drawn elsewhere; its seed; the scores."""
        schedule, count = self.sampler.schedule(self.latent_shape), self.request.best_of
        findings = [one for one in understand(self.request.report).findings if one not in elsewhere]
        together = at_once(self.plan, self.files.sizes, self.latent_shape, self.sampler.guidance != 1.0)
        coarsening = pipeline.fit_coarsening(self.networks, self.plan, self.latent_shape)
        total, done = steps_in_all(self.sampler, len(schedule), count), 0

        def shown(ct: CTVolume) -> float | None:
            return score(measure(ct, findings, None, self.watch))

        def finished(latent: Tensor) -> tuple[float | None, CTVolume]:
            ct = self._decoded(latent)
            return shown(ct), ct

        def after(state: SamplerState, clean: Tensor) -> None:
            nonlocal done
            done += len(clean)
            self.watch.at("sampling", done, total)

        with stoppable(self.networks, self.watch):
            seeds = range(self.request.seed, self.request.seed + count)
            best = best_of(Way(self._field, self._start, schedule, self.sampler, together), seeds,
                           lambda clean: shown(self._preview(clean, coarsening)), finished, after)
        return best.kept, best.seed, (best.said(),)

    def _decoded(self, latent: Tensor) -> CTVolume:
        """The CT of a finished latent."""
        hu = pipeline.decoded(self.networks, self.plan, self.sampler, latent,
                              lambda i, n: self.watch.at("decoding", i, n))
        self.watch.at("decoding", 1, 1)
        return CTVolume(finished(hu, self.grid.spacing, self.files.finish), self.grid.affine)

    def _start(self, seed: int) -> Tensor:
        return pipeline.noise(seed, self.files.sizes.unet.in_channels, self.latent_shape).to(self.plan.device)

    def _field(self) -> Velocity:
        return pipeline.velocity(self.networks.unet, self.plan, self.sampler, self.context, self.grid.spacing)

    def _after(self, state: SamplerState, clean: Tensor, total: int) -> None:
        if self.watch.keep is not None and (self.sampler.begins_anew(state.done) or state.done == total):
            self.watch.keep(state.to_bytes(self._identity()))
        wanted = (self.watch.sink is not None and state.done % _PREVIEW_EVERY == 0 and state.done < total
                  and all(n % pipeline.PREVIEW_COARSENING == 0 for n in clean.shape[2:]))
        self.watch.at("sampling", state.done, total, self._preview(clean) if wanted else None)

    def _preview(self, clean: Tensor, coarsening: int = pipeline.PREVIEW_COARSENING) -> CTVolume:
        hu = pipeline.preview(self.networks, self.plan, clean, coarsening)
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


def _sampler(request: GenerateCT, sampler: Sampler, files: Files) -> Sampler:
    steps = request.steps or catalog.engine(ENGINE).preset(request.preset, files.id).steps or sampler.steps
    guidance = sampler.guidance if request.guidance is None else request.guidance
    sampler = replace(sampler, steps=steps, guidance=guidance, grid=request.sampler or sampler.grid,
                      solver=request.solver or sampler.solver,
                      as_published_decode=request.sampler == "published" if request.sampler
                      else sampler.as_published_decode)
    return shortened(sampler, request.lossy)


def _grid(request: GenerateCT, files: Files) -> Grid:
    """The request's own grid or that of its preset, in the middle of the patient, axes as in training."""
    preset = catalog.engine(ENGINE).preset(request.preset, files.id)
    shape = request.shape or preset.shape
    return Grid.centred(shape, request.spacing or preset.spacing, _ORIENTATION)


def _latent_shape(shape: tuple[int, int, int], sizes: ModelSizes) -> tuple[int, int, int]:
    multiple = sizes.vae.factor * sizes.unet.factor
    if any(n % multiple for n in shape):
        raise BadRequest(f"The grid {times(shape)} does not fit these weights; each size must be a multiple "
                         f"of {multiple}.")
    a, b, c = (n // sizes.vae.factor for n in shape)
    return a, b, c


def _about_means(prompt: Prompt, drawing: Drawing, request: GenerateCT, files: Files) -> tuple[str, ...]:
    """For the account, which stands in file headers: by what means, without the report's own words."""
    count = len(drawing.drawn)
    said = ((f"best of {request.best_of} by the ledger", request.best_of > 1),
            ("report in standard words", bool(prompt.words)),
            (f"{count} finding{'s' if count > 1 else ''} drawn by rule", count > 0))
    return (*files.finish.said(), *(sentence for sentence, true in said if true))


def _about_report(prompt: Prompt, drawing: Drawing, files: Files) -> tuple[str, ...]:
    """How the report was read, and what became of each finding that the weights did not draw."""
    length, missing = files.sizes.text.length, (*prompt.left, *drawing.not_drawn)
    said = (
        (bool(files.about), files.about),
        (bool(prompt.words), f'The weights were told, in standard words: "{prompt.words}"'),
        (prompt.dropped > 0, f"The weights read {length} tokens of a report; its last {prompt.dropped} were left out. "
                             "Put what matters first."),
        (bool(prompt.cut), f"The weights read {length - 2} standard words; these findings did not fit: "
                           f"{named(prompt.cut)}."),
        (bool(drawing.drawn), "Drawn by rule into the generated CT, not by the weights: "
                              f"{named(drawing.drawn)}."),
        (bool(missing), f"Not drawn by these weights: {named(missing)}."))
    return tuple(sentence for true, sentence in said if true)


def _about_grid(grid: Grid, files: Files) -> tuple[str, ...]:
    nominal = ("The voxel size is nominal: in training every CT was stretched to one grid, so lengths are not true "
               "to the millimetre.",) if files.stretched else ()
    spacing = tuple(round(s, 4) for s in grid.spacing)
    if (grid.shape, spacing) == (files.shape, files.spacing):
        return nominal
    return (*nominal, f"These weights were trained on {times(files.shape)} voxels of {times(files.spacing)} mm only; "
            f"a grid of {times(grid.shape)} at {times(spacing)} mm can look wrong.")
