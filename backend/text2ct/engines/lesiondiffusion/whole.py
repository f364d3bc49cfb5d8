"""The published inference on a request: the whole CT at 1 mm, every voxel of it made anew.

The same functions that reproduce the recorded case, fed from a request. The result
lies on the grid that the networks work on, for that is what the published program
writes; its folder names are made up from the organ and the features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import BadRequest
from ...geometry import Grid
from ...requests import InsertLesion, Watch
from ...volume import CTVolume
from . import networks, published
from .attributes import completed
from .hounsfield import to_unit
from .organs import name_of
from .painting import seed_for
from .patch import DRAW, PAINT, Scene, scene_of, surroundings
from .report_file import Attributes, Entry, StructuredReport
from .sampling import Sampler, context_of, sample_latent, sample_mask, seeded
from .tokens import Labels
from .vocabulary import FEATURES
from .weight_files import Weights, bytes_for_mask, bytes_for_vq, check_memory
from .working import AXES, Floats, values_on


@dataclass(frozen=True, eq=False)
class Remade:
    """Organs (1) and lesion (2) on the working grid, and the CT on it (None when only the mask was asked for)."""

    labels: Labels
    ct: CTVolume | None
    grid: Grid
    attributes: Attributes
    notes: tuple[str, ...]


def insert_published(request: InsertLesion, weights: Weights, sampler: Sampler, watch: Watch) -> Remade:
    """The lesion as the authors' program would make it."""
    scene = scene_of(request)
    if scene.organs is None:
        raise BadRequest("The published mode needs organ labels with the organ in them; give them, "
                         "or use the patch mode.")
    settings = weights.settings
    grid = _grid(request.ct.grid, settings)
    if weights.linet is not None:
        check_memory(bytes_for_vq(weights.linet, grid.shape), weights.device, "Re-making the whole CT")
    organs = values_on(scene.organs, request.ct.grid, grid, nearest=True, outside=0.0).astype(np.uint8)
    case, attributes = _case(scene, grid, organs)
    if request.mask is None:
        labels = published.place_masks(case, settings.mask_crop, _drawer(request, weights, sampler, watch), 1)
    else:
        labels = np.where(case.label == 2, case.label, np.uint8(0))
    if not (labels == 2).any():
        raise BadRequest("LMNet drew no lesion; try another seed, or the patch mode.")
    ct = None if request.parts == "mask" else _remade(scene, case, labels, grid, weights, sampler, watch)
    notes = (*scene.notes, *(("The published mode makes the whole CT anew at the networks' spacing: every voxel "
                              "changes, and HU stop at -1000 and 1000. The attributes shape the mask only.",)
                             if ct is not None else ()))
    shape = labels.shape if ct is None else ct.shape
    kept = labels[:shape[0], :shape[1], :shape[2]]
    return Remade(kept, ct, grid.window((0, 0, 0), shape), attributes, notes)


def _grid(source: Grid, settings: networks.Settings) -> Grid:
    """The whole CT at the networks' spacing, at least as large as their crops."""
    whole = source.reoriented(AXES).with_spacing((settings.spacing_mm,) * 3)
    shape = [max(sizes) for sizes in zip(whole.shape, settings.mask_crop, settings.paint_crop, strict=True)]
    return whole.window((0, 0, 0), shape)


def _case(scene: Scene, grid: Grid, organs: Labels) -> tuple[published.Case, Attributes]:
    request = scene.request
    label = np.zeros(grid.shape, np.uint8)
    if request.mask is None:
        low, high = request.box.voxels_in(grid)
        label[tuple(map(slice, low, high))] = 2
    else:
        share = values_on((request.mask.voxels != 0).astype(np.float32), request.ct.grid, grid, outside=0.0)
        label[share > 0.5] = 2
    hu = values_on(request.ct.voxels, request.ct.grid, grid)
    attributes = completed(scene.said, scene.organ, surroundings(scene, hu, label == 2, organs))
    entry = Entry(scene.organ, attributes)
    stone = "stone" if "stone" in entry.value(FEATURES) else ""
    return published.Case(label, organs, StructuredReport((entry,)), (name_of(scene.organ), stone)), attributes


def _drawer(request: InsertLesion, weights: Weights, sampler: Sampler, watch: Watch) -> published.DrawMask:
    file, settings, device = weights.lmnet, weights.settings, weights.device
    assert file is not None
    check_memory(bytes_for_mask(file, settings.mask_crop), device, "Drawing this lesion")
    tower, net = networks.text_tower(file, settings), networks.unet(file, settings).to(device)
    noise = seeded(seed_for(request.seed, "mask 0"))

    def draw(condition: Tensor, tokens: Attributes) -> Floats:
        with torch.inference_mode():
            context = context_of([tokens], tower, weights.vocabulary).to(device)
            raw = sample_mask(net, condition[None].to(device), context, sampler, noise,
                              lambda step, steps, x, x0: watch.at(DRAW, step, steps), settings.predicts)
        return np.asarray(raw[0, 0].cpu().numpy())

    return draw


def _remade(scene: Scene, case: published.Case, labels: Labels, grid: Grid, weights: Weights, sampler: Sampler,
            watch: Watch) -> CTVolume:
    """The whole CT out of the decoder, without the text, as in the published test configuration."""
    file, settings, device = weights.linet, weights.settings, weights.device
    assert file is not None
    vq, net = networks.vqgan(file, settings.vq_groups).to(device), networks.unet(file, settings).to(device)
    noise = seeded(seed_for(scene.request.seed, "paint"))

    def paint(latent: Tensor, mask: Tensor, tokens: Attributes) -> Tensor:
        return sample_latent(net, latent, mask, None, sampler, noise,
                             lambda step, steps, x, x0: watch.at(PAINT, step, steps), settings.predicts)

    unit = to_unit(values_on(scene.ct.voxels, scene.ct.grid, grid))
    asked = published.Case(labels, case.organs, case.report, case.folders)
    with torch.inference_mode():
        watch.at("encoding the CT", 0, 1)
        _, decoded = published.paint_volume(unit, asked, settings.paint_crop, vq, paint)
    hu = np.rint(published.decoded_hu(decoded)).astype(np.int16)
    return CTVolume(hu, grid.affine)

