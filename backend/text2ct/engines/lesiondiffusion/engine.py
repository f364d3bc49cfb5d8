"""The door of LesionDiffusion: a request in; a lesion's mask, the CT with it, and their account out."""

from __future__ import annotations

import numpy as np

from ...digest import voxel_digest
from ...errors import BadRequest
from ...provenance import ALTERED, Provenance, now, text_sha256
from ...requests import InsertLesion, Request, Result, Watch
from ...speed.lesion import kind_for
from ...speed.plan import chosen_device
from ...volume import LabelVolume, Segment
from .. import catalog
from .measure import lesion_size, size_entries
from .patch import insert
from .sampling import PUBLISHED, Sampler
from .trail import NOT_TAKEN_UP
from .weight_files import Weights, opened
from .whole import insert_published

_ENGINE = "lesiondiffusion"
_STEPS = {"draft": 15, "standard": 30}
_COLOR = (0.95, 0.35, 0.15)


class LesionDiffusionEngine:
    """Draws a lesion's mask into a box and paints it into a CT."""

    def run(self, request: Request, watch: Watch) -> Result:
        if not isinstance(request, InsertLesion):
            raise BadRequest(f"LesionDiffusion cannot do '{request.task}'; it inserts lesions.")
        sampler = sampler_of(request)
        device = chosen_device(watch.device)
        weights = opened(catalog.engine(_ENGINE), request.weights, request.mask is None, request.parts != "mask",
                         device, kind_for(device, sampler.kind == "ddim"), watch)
        if request.mode == "published":
            remade = insert_published(request, weights, sampler, watch)
            lesion, grid, ct, told = remade.labels == 2, remade.grid, remade.ct, remade.attributes
            notes = remade.notes + ((NOT_TAKEN_UP,) if watch.resume is not None else ())
        else:
            done = insert(request, weights, sampler, watch)
            lesion, grid, ct, told, notes = done.mask, request.ct.grid, done.ct, done.attributes, done.notes
        labels = LabelVolume(lesion.astype(np.uint8), grid.affine, (Segment(1, "lesion", _COLOR, "lesion"),), "lesion")
        return Result(_provenance(request, weights, sampler), ct, (labels,), size_entries(lesion_size(lesion, grid)),
                      notes=notes, attributes=told)


def sampler_of(request: InsertLesion) -> Sampler:
    """DDIM with all its noise for the published mode and the best preset, else the solver that needs fewer steps.

    A number of steps that cannot be is refused here, before anything is loaded.
    """
    if request.mode == "published" or request.preset == "best":
        sampler = Sampler("ddim", request.steps or PUBLISHED.steps)
    else:
        sampler = Sampler("dpm++2m", request.steps or _STEPS[request.preset])
    _ = sampler.plan
    return sampler


def _provenance(request: InsertLesion, weights: Weights, sampler: Sampler) -> Provenance:
    number = str(weights.kind).removeprefix("torch.")
    return Provenance(
        engine=_ENGINE, task=request.task, seed=request.seed, weights=weights.name, weights_sha256=weights.sha256,
        sampler=f"{request.mode}, {sampler.name}, {number}", preset=request.preset,
        report_sha256=text_sha256(request.text), base_digest=voxel_digest(request.ct), created=now(), notice=ALTERED)
