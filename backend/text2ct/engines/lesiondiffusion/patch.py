"""The right way to insert a lesion: on a crop, and back into the CT's own voxels only where the lesion is.

surroundings -> attributes -> LMNet's mask (or the user's) -> LINet's latent -> the CT.
Each network is loaded when its turn comes and let go after it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from ...errors import BadRequest
from ...geometry import Grid
from ...lesion import box_around
from ...requests import InsertLesion, Watch
from ...speed.lesion import quickened
from ...volume import CTVolume, LabelVolume
from . import drawing, networks, painting
from .attributes import Surroundings, asked, completed, organ_asked, size_ml, size_share
from .crops import Mask
from .organs import as_v1, name_of, number_of
from .report_file import Attributes
from .sampling import Sampler, context_of, sample_latent, sample_mask, seeded
from .tokens import linet_tokens, lmnet_tokens
from .vocabulary import CAVITY
from .weight_files import Weights, batch_for_mask, bytes_for_mask, bytes_for_paint, check_memory
from .working import Crop, Floats, crop_around, inside_box, inside_ellipsoid, values_on

_AORTA, _FEW = 7, 50
_NEAR_VOXELS = 6
_LUNG_HU = -350.0
DRAW, PAINT = "drawing the lesion", "painting the lesion"


@dataclass(frozen=True, eq=False)
class Scene:
    """The request with what was found around its box. `organs` has v1 numbers on the CT's own grid."""

    request: InsertLesion
    organs: NDArray[np.uint8] | None
    organ: int
    said: dict[str, str]
    notes: tuple[str, ...]

    @property
    def ct(self) -> CTVolume:
        return self.request.ct

    @property
    def confined(self) -> bool:
        """Whether the lesion must stay in its organ: when the request names one."""
        return bool(self.request.organ) and self.organs is not None


@dataclass(frozen=True, eq=False)
class Inserted:
    """A lesion on the CT's own grid, and the CT with it (None when only the mask was asked for)."""

    mask: Mask
    ct: CTVolume | None
    attributes: Attributes
    notes: tuple[str, ...]


def scene_of(request: InsertLesion) -> Scene:
    """Which organ the lesion belongs to, and what was said about it."""
    said, notes = asked(request.attributes, request.text)
    organs: NDArray[np.uint8] | None = None
    if request.organs is not None:
        organs, lost = as_v1(request.organs)
        notes += lost
    organ = number_of(request.organ) if request.organ else None
    if request.organ and organ is None:
        raise BadRequest(f"The networks do not know the organ '{request.organ}'; give labels named as "
                         "TotalSegmentator names them, or leave the organ out.")
    organ = organ or organ_asked(said) or _most(request, organs)
    if organ is None:
        organ = _guess(request)
        notes.append(f"No organ was named; the lesion was taken for one of the {name_of(organ)} by its place.")
    if organs is not None and not (organs == organ).any():
        organs = None
        notes.append(f"The organ labels hold no {name_of(organ)}; tissue of the box's density stood in for it.")
    return Scene(request, organs, organ, said, tuple(notes))


def insert(request: InsertLesion, weights: Weights, sampler: Sampler, watch: Watch) -> Inserted:
    """The lesion's mask, and the CT with the lesion painted in."""
    scene = scene_of(request)
    notes = scene.notes
    if request.mask is not None:
        mask = np.not_equal(request.mask.voxels, 0)
        if not mask.any():
            raise BadRequest("The lesion mask is empty; draw the lesion first.")
        attributes = completed(scene.said, scene.organ, _around(scene, request.ct.grid, mask))
    else:
        mask, attributes, more = draw(scene, weights, sampler, watch)
        notes += more
    if request.parts == "mask":
        return Inserted(mask, None, attributes, notes)
    return Inserted(mask, paint(scene, mask, attributes, weights, sampler, watch), attributes, notes)


def draw(scene: Scene, weights: Weights, sampler: Sampler, watch: Watch) -> tuple[Mask, Attributes, tuple[str, ...]]:
    """LMNet's mask on the CT's grid, the attributes as they were read, and notes."""
    file, request, settings = weights.lmnet, scene.request, weights.settings
    assert file is not None
    crop = crop_around(scene.ct.grid, request.box, settings.mask_crop, settings.spacing_mm)
    check_memory(bytes_for_mask(file, crop.size), weights.device, "Drawing this lesion")
    hu = values_on(scene.ct.voxels, scene.ct.grid, crop.grid)
    organs = None if scene.organs is None else values_on(
        scene.organs, scene.ct.grid, crop.grid, nearest=True, outside=0.0).astype(np.uint8)
    place = drawing.place_for(crop, request.box, hu, organs, scene.organ, scene.confined)
    share = size_share(scene.said) or 1.0
    form = inside_ellipsoid(request.box, crop.grid, share)
    attributes = completed(scene.said, scene.organ, surroundings(scene, hu, form & place.allowed, organs))
    wanted = _wanted_voxels(scene, place, form, crop)
    raws = _candidates(scene, weights, place, attributes, sampler, watch)
    found = drawing.chosen(raws, place.allowed, wanted)
    may = inside_box(request.box, scene.ct.grid)
    if scene.confined and scene.organs is not None:
        may &= scene.organs == scene.organ
    if not may.any():
        raise BadRequest("No voxel of the CT lies in the box and the organ named; move or enlarge the box.")
    mask = drawing.on_patient_grid(found.mask, crop.grid, scene.ct.grid, may)
    return mask, attributes, _draw_notes(crop, found, place)


def paint(scene: Scene, mask: Mask, attributes: Attributes, weights: Weights, sampler: Sampler, watch: Watch,
          ) -> CTVolume:
    """The CT with the lesion in it."""
    file, ct, settings = weights.linet, scene.ct, weights.settings
    assert file is not None
    box = box_around(LabelVolume(mask.astype(np.uint8), ct.affine))
    crop = crop_around(ct.grid, box, settings.paint_crop, settings.spacing_mm)
    check_memory(bytes_for_paint(file, crop.size), weights.device, "Painting this lesion")
    watch.at("encoding the CT", 0, 1)
    seed = painting.seed_for(scene.request.seed, "paint")
    told = linet_tokens(_without(attributes, scene), scene.organ)
    with torch.inference_mode():
        context = context_of([told], networks.text_tower(file, settings), weights.vocabulary).to(weights.device)
        vq = networks.vqgan(file).to(weights.device)
        latent = vq.encode(painting.unit_crop(ct, crop).to(weights.device))
        untouched = vq.decode(latent).cpu()
        where = painting.mask_on_latent(mask, ct.grid, crop, latent)
        net = quickened(networks.unet(file, settings), weights.kind).to(weights.device)
        done = sample_latent(net, latent, where, context, sampler, seeded(seed),
                             lambda step, steps, x, x0: watch.at(PAINT, step, steps))
        del net
        watch.at("decoding the CT", 0, 1)
        painted = vq.decode(done)
    return painting.set_back(ct, mask, painted, untouched, crop, scene.request.seed)


def _candidates(scene: Scene, weights: Weights, place: drawing.Place, attributes: Attributes, sampler: Sampler,
                watch: Watch) -> list[Floats]:
    """LMNet's raw masks, each from a seed of its own."""
    file, device, count = weights.lmnet, weights.device, scene.request.candidates
    assert file is not None
    told = lmnet_tokens(attributes, scene.organ, dict(attributes)[CAVITY])
    with torch.inference_mode():
        context = context_of([told], networks.text_tower(file, weights.settings), weights.vocabulary).to(device)
        net = quickened(networks.unet(file, weights.settings), weights.kind).to(device)
        condition = place.condition.to(device)

        def sample(part: range) -> torch.Tensor:
            noise = drawing.separate([seeded(painting.seed_for(scene.request.seed, f"mask {n}")) for n in part])
            return sample_mask(net, condition.expand(len(part), -1, -1, -1, -1), context.expand(len(part), -1, -1),
                               sampler, noise, lambda step, steps, x, x0: watch.at(
                                   DRAW, part.start * steps + step * len(part), count * steps))

        return drawing.in_batches(count, batch_for_mask(file, place.crop.size, count, device), sample)


def _wanted_voxels(scene: Scene, place: drawing.Place, form: Mask, crop: Crop) -> int:
    """How many voxels of the crop the lesion should have."""
    stated = size_ml(scene.said)
    if stated is not None:
        return max(1, round(stated / crop.grid.voxel_ml))
    return max(1, int((form & place.allowed).sum()))


def _draw_notes(crop: Crop, found: drawing.Chosen, place: drawing.Place) -> tuple[str, ...]:
    notes = []
    if crop.stretched > 1:
        notes.append(f"The box is larger than LMNet can see at once; it worked at {crop.grid.spacing[0]:.1f} mm.")
    if not found.plain:
        notes.append("LMNet drew no lesion of that size there; the voxels that it held likeliest were taken.")
    return tuple(notes)


def _without(attributes: Attributes, scene: Scene) -> Attributes:
    """LINet was trained without the cavity; it reads one only when the request states it."""
    return tuple(one for one in attributes if one[0] != CAVITY or CAVITY in scene.said)


def surroundings(scene: Scene, hu: Floats, lesion: Mask, organs: NDArray[np.uint8] | None) -> Surroundings:
    """What is seen around the place of a lesion."""
    near = ndimage.binary_dilation(lesion, iterations=_NEAR_VOXELS) & ~lesion if lesion.any() else lesion
    return Surroundings(hu, lesion, near, organs, _aorta(scene))


def _around(scene: Scene, grid: Grid, mask: Mask) -> Surroundings:
    """The surroundings of a mask that the user gave, on the CT's own grid near it."""
    low, high = painting.reach(mask, grid, 2.0 * _NEAR_VOXELS)
    cut = tuple(map(slice, low, high))
    organs = None if scene.organs is None else scene.organs[cut]
    return surroundings(scene, scene.ct.voxels[cut].astype(np.float32), mask[cut], organs)


def _aorta(scene: Scene) -> float | None:
    if scene.organs is None:
        return None
    blood = scene.ct.voxels[scene.organs == _AORTA]
    return float(np.median(blood)) if blood.size > _FEW else None


def _most(request: InsertLesion, organs: NDArray[np.uint8] | None) -> int | None:
    """The organ that fills most of the box or, with a mask, most of the lesion."""
    if organs is None:
        return None
    where = inside_box(request.box, request.ct.grid) if request.mask is None else request.mask.voxels != 0
    counts = np.bincount(organs[where], minlength=2)
    counts[0] = 0
    return int(counts.argmax()) or None


def _guess(request: InsertLesion) -> int:
    """An organ by density and side: the networks want a name."""
    low, high = request.box.voxels_in(request.ct.grid)
    lung = float(np.median(request.ct.voxels[tuple(map(slice, low, high))])) < _LUNG_HU
    middle = request.ct.grid.to_ras((np.array(request.ct.shape) - 1) / 2)
    side = "right" if request.box.center[0] > middle[0] else "left"
    level = "upper" if request.box.center[2] > middle[2] else "lower"
    name = f"lung {level} lobe {side}" if lung else {"right": "liver", "left": "spleen"}[side]
    return number_of(name) or 1

