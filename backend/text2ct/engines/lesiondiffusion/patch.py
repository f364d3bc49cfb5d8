"""The right way to insert a lesion: on a crop, and back into the CT's own voxels only where the lesion is.

surroundings -> attributes -> LMNet's mask (or the user's) -> LINet's latent -> the CT.
Each network is loaded when its turn comes and let go after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from .attributes import Surroundings, asked, completed, organ_asked
from .crops import Mask
from .organs import as_v1, name_of, number_in, number_of
from .previews import Preview, mask_preview, paint_preview
from .quantities import size_ml, size_share, stated_hu
from .report_file import Attributes
from .sampling import Begun, Sampler, context_of, sample_latent, sample_mask, seeded
from .tokens import linet_tokens, lmnet_tokens
from .trail import Drawn, State, Trail
from .vocabulary import CAVITY, CT_VALUE, SIZE
from .weight_files import Weights, batch_for_mask, bytes_for_mask, bytes_for_paint, check_memory
from .working import Crop, Floats, crop_around, inside_box, inside_ellipsoid, reach, values_on

_AORTA, _FEW = 7, 50
_NEAR_VOXELS = 6
_VOLUME_ERROR = 0.02
_LUNG_HU = -350.0
DRAW, PAINT = "drawing the lesion", "painting the lesion"
_MOVED = ("LINet painted the lesion; its HU as a whole were then moved to the mean that its density stands for, "
          "and specks far off the rest were held.")
_EXACT = "LMNet drew the form of the lesion; its surface was then moved until the volume was the wanted one."


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
    organ = number_in(request.organs, request.organ) if request.organ else None
    if organs is not None and request.organs is not None and request.organ:
        # the networks know some segments by one number (a kidney and its cyst): the one that is named counts
        organs = np.where((organs == organ) & ~request.organs.mask(request.organ), np.uint8(0), organs)
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
    trail = Trail.of(watch, request, weights, sampler)
    if trail.painting is not None and trail.painting.drawn is not None:
        drawn = trail.painting.drawn
    else:
        drawn = given(scene, weights.settings) if request.mask is not None else draw(scene, weights, sampler, trail)
    notes = (*scene.notes, *drawn.notes, *trail.notes)
    if request.parts == "mask":
        return Inserted(drawn.mask, None, drawn.attributes, notes)
    notes += (_MOVED,) if weights.settings.exact_hu else ()
    crop = _paint_crop(scene.ct.grid, drawn.mask, weights.settings)
    if crop.stretched > 1:
        notes += (f"The lesion is larger than LINet can see at once; it worked at {crop.grid.spacing[0]:.1f} mm.",)
    ct = paint(scene, drawn, crop, weights, sampler, trail)
    return Inserted(drawn.mask, ct, drawn.attributes, notes)


def given(scene: Scene, settings: networks.Settings) -> Drawn:
    """The mask of the user, and the attributes that fit what lies around it."""
    assert scene.request.mask is not None
    mask = np.not_equal(scene.request.mask.voxels, 0)
    if not mask.any():
        raise BadRequest("The lesion mask is empty; draw the lesion first.")
    pieces = int(ndimage.label(mask, np.ones((3, 3, 3)))[1])
    if pieces > 1 and _paint_crop(scene.ct.grid, mask, settings).stretched > 1:
        raise BadRequest(f"The lesion mask has {pieces} pieces, too far apart to be painted at once; keep one of them, "
                         "and paint the others one by one.")
    return Drawn(mask, completed(scene.said, scene.organ, _around(scene, scene.ct.grid, mask)), ())


def draw(scene: Scene, weights: Weights, sampler: Sampler, trail: Trail) -> Drawn:
    """LMNet's mask."""
    file, request, settings = weights.lmnet, scene.request, weights.settings
    assert file is not None
    free = _free(scene)
    crop = crop_around(scene.ct.grid, request.box, settings.mask_crop, settings.mask_spacing_mm or settings.spacing_mm)
    check_memory(bytes_for_mask(file, crop.size), weights.device, "Drawing this lesion")
    hu = values_on(scene.ct.voxels, scene.ct.grid, crop.grid)
    organs = None if scene.organs is None else values_on(
        scene.organs, scene.ct.grid, crop.grid, nearest=True, outside=0.0).astype(np.uint8)
    place = drawing.place_for(crop, request.box, hu, organs, scene.organ, scene.confined)
    share = size_share(scene.said.get(SIZE, "")) or 1.0
    form = inside_ellipsoid(request.box, crop.grid, share)
    attributes = completed(scene.said, scene.organ, surroundings(scene, hu, form & place.allowed, organs))
    wanted = _wanted_voxels(scene, place, form, crop)
    raws = _candidates(scene, weights, place, attributes, sampler, trail, mask_preview(hu, place.allowed, crop))
    if settings.exact_volume:
        wanted_ml = wanted * crop.grid.voxel_ml
        mask = free.settled(lambda grid, may: drawing.of_volume(raws, crop.grid, grid, may, wanted_ml))
        return Drawn(mask, attributes, (_volume_note(mask, scene.ct.grid, wanted_ml),))
    found = drawing.chosen(raws, place.allowed, wanted)
    mask = free.settled(lambda grid, may: drawing.on_patient_grid(found.mask, crop.grid, grid, may))
    return Drawn(mask, attributes, _draw_notes(crop, found, place))


def paint(scene: Scene, drawn: Drawn, crop: Crop, weights: Weights, sampler: Sampler, trail: Trail) -> CTVolume:
    """The CT with the lesion in it, painted on the crop that LINet sees."""
    file, ct, settings, mask = weights.linet, scene.ct, weights.settings, drawn.mask
    assert file is not None
    check_memory(bytes_for_paint(file, crop.size), weights.device, "Painting this lesion")
    trail.watch.at("encoding the CT", 0, 1)
    seed = painting.seed_for(scene.request.seed, "paint")
    told = linet_tokens(_without(drawn.attributes, scene), scene.organ)
    with torch.inference_mode():
        context = context_of([told], networks.text_tower(file, settings), weights.vocabulary).to(weights.device)
        vq = networks.vqgan(file, settings.vq_groups).to(weights.device)
        unit = painting.unit_crop(ct, crop)
        latent = vq.encode(unit.to(weights.device))
        untouched = vq.decode(latent).cpu()
        where = painting.mask_on_latent(mask, ct.grid, crop, latent, settings.touched)
        net = quickened(networks.unet(file, settings), weights.kind).to(weights.device)
        shown = paint_preview(unit, latent, crop)

        def after(step: int, steps: int, x: torch.Tensor, x0: torch.Tensor) -> None:
            trail.keep(State(Begun(step, x, x0), drawn=drawn))
            trail.at(PAINT, step, steps, x0, shown)

        begun = trail.painting.begun if trail.painting is not None else None
        done = sample_latent(net, latent, where, context, sampler, seeded(seed), after, settings.predicts, begun)
        del net
        trail.watch.at("decoding the CT", 0, 1)
        painted = vq.decode(done)
        level = painting.lost_level(unit, untouched, mask, ct.grid, crop)
    wanted = stated_hu(dict(drawn.attributes).get(CT_VALUE, "")) if settings.exact_hu else None
    return painting.set_back(ct, mask, painted + level, untouched + level, crop, scene.request.seed, wanted)


def _paint_crop(grid: Grid, mask: Mask, settings: networks.Settings) -> Crop:
    """What LINet sees of a lesion."""
    box = box_around(LabelVolume(mask.astype(np.uint8), grid.affine))
    return crop_around(grid, box, settings.paint_crop, settings.spacing_mm)


@dataclass(frozen=True, eq=False)
class Free:
    """The voxels of the CT that a lesion may take: in the box and, where one is named, in the organ."""

    whole: Grid
    low: tuple[int, ...]
    near: Grid
    may: Mask

    def settled(self, settle: Callable[[Grid, Mask], Mask]) -> Mask:
        """A mask on the CT, made of what is made on the free voxels."""
        mask = np.zeros(self.whole.shape, bool)
        cut = tuple(slice(first, first + n) for first, n in zip(self.low, self.near.shape, strict=True))
        mask[cut] = settle(self.near, self.may)
        return mask


def _free(scene: Scene) -> Free:
    """Judged before anything is sampled: a box may lie between the voxels of a coarse CT."""
    low, high = scene.request.box.voxels_in(scene.ct.grid)
    near = scene.ct.grid.window(low, high)
    may = inside_box(scene.request.box, near)
    said = "No voxel of the CT lies in the box; move or enlarge it."
    if scene.confined and scene.organs is not None:
        may &= scene.organs[tuple(map(slice, low, high))] == scene.organ
        said = "The box does not touch the organ that was named; move it there or name another organ."
    if not may.any():
        raise BadRequest(said)
    return Free(scene.ct.grid, tuple(low), near, may)


def _volume_note(mask: Mask, grid: Grid, wanted_ml: float) -> str:
    """What was done to the volume, and whether it came out."""
    made = float(mask.sum()) * grid.voxel_ml
    if abs(made - wanted_ml) <= max(_VOLUME_ERROR * wanted_ml, grid.voxel_ml):
        return _EXACT
    return f"LMNet drew the form of the lesion; {made:.3g} of the {wanted_ml:.3g} ml that were wanted fit there."


def _candidates(scene: Scene, weights: Weights, place: drawing.Place, attributes: Attributes, sampler: Sampler,
                trail: Trail, shown: Preview) -> list[Floats]:
    """LMNet's raw masks, each from a seed of its own."""
    file, device, count, before = weights.lmnet, weights.device, scene.request.candidates, trail.drawing
    assert file is not None
    told = lmnet_tokens(attributes, scene.organ, dict(attributes)[CAVITY])
    with torch.inference_mode():
        context = context_of([told], networks.text_tower(file, weights.settings), weights.vocabulary).to(device)
        net = quickened(networks.unet(file, weights.settings), weights.kind).to(device)
        condition = place.condition.to(device)

        def sample(part: range, finished: Sequence[Floats]) -> torch.Tensor:
            def after(step: int, steps: int, x: torch.Tensor, x0: torch.Tensor) -> None:
                trail.keep(State(Begun(step, x, x0), tuple(finished)))
                trail.at(DRAW, part.start * steps + step * len(part), count * steps, x0, shown)

            here = before is not None and (len(before.finished), len(before.begun.x)) == (part.start, len(part))
            noise = drawing.separate([seeded(painting.seed_for(scene.request.seed, f"mask {n}")) for n in part])
            return sample_mask(net, condition.expand(len(part), -1, -1, -1, -1), context.expand(len(part), -1, -1),
                               sampler, noise, after, weights.settings.predicts,
                               before.begun if before is not None and here else None)

        return drawing.in_batches(count, batch_for_mask(file, place.crop.size, count, device), sample,
                                  before.finished if before is not None else ())


def _wanted_voxels(scene: Scene, place: drawing.Place, form: Mask, crop: Crop) -> int:
    """How many voxels of the crop the lesion should have."""
    stated = size_ml(scene.said.get(SIZE, ""))
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
    low, high = reach(mask, grid, 2.0 * _NEAR_VOXELS)
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
    if request.mask is not None:
        found = organs[request.mask.voxels != 0]
    else:
        low, high = request.box.voxels_in(request.ct.grid)
        found = organs[tuple(map(slice, low, high))][inside_box(request.box, request.ct.grid.window(low, high))]
    counts = np.bincount(found, minlength=2)
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

