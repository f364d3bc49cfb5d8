"""The authors' inference, step by step as their program does it, whole volumes and all their quirks.

For comparison with it, not for work: the second half re-encodes and re-decodes the
whole CT, so every voxel changes, odd axes lose a voxel and HU stop at +-1000. All
arrays are (z, y, x) at 1 mm. Networks come in as functions, so that recorded noise
can be replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from .crops import Index, Window, bounds, largest_component, lesions, window_around
from .hounsfield import to_hu
from .report_file import Attributes, StructuredReport
from .tokens import (
    Labels,
    Mask,
    linet_tokens,
    lmnet_tokens,
    overlapping_organ,
    published_cavity,
    published_target,
)
from .vq import VQGAN

Floats = NDArray[np.float32]
THRESHOLDS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
MAX_LESIONS = 3
_ORGANS = 104
_ATTEMPTS = 2
_ENOUGH, _ENOUGH_STONE = 400, 50  # voxels
_BAND = 2  # voxels on each side of a face
DrawMask = Callable[[Tensor, Attributes], Floats]
Paint = Callable[[Tensor, Tensor, Attributes], Tensor]


@dataclass(frozen=True, eq=False)
class Case:
    """One CT as the authors' lists describe it. `label` is 2 in the boxes; `folders` are organ and disease."""

    label: Labels
    organs: Labels
    report: StructuredReport
    folders: tuple[str, str]
    coarse: Labels | None = None

    @property
    def size(self) -> Index:
        a, b, c = self.label.shape
        return a, b, c


@dataclass(frozen=True, eq=False)
class Call:
    """What LMNet is asked for one box: the window it sees, the channels, and the texts."""

    window: Window
    condition: Tensor
    tokens: Attributes
    organ: int
    box: Mask


def call_for(case: Case, lesion: Mask, crop: Index) -> Call:
    """The question to LMNet about one box."""
    window = window_around(bounds(lesion), crop, case.size)
    organs, inside = case.organs[window.cut], lesion[window.cut]
    organ = overlapping_organ(case.report.organs, organs, inside)
    target = published_target(organs, organ, case.report.organs, case.folders)
    coarse = (case.organs if case.coarse is None else case.coarse)[window.cut]
    cavity = published_cavity(case.folders, int((coarse == organ).sum()), int(target.sum()))
    box = np.zeros(organs.shape, bool)
    box[bounds(inside).cut] = True
    channels = np.stack([organs.astype(np.float32) / np.float32(_ORGANS), target, box]).astype(np.float32)
    tokens = lmnet_tokens(case.report.entry(organ).attributes, organ, cavity)
    return Call(window, torch.from_numpy(channels), tokens, organ, box)


def binarised(raw: Floats, wanted: int) -> Mask:
    """The largest component above the threshold that brings it nearest to the wanted count of voxels."""
    found = [largest_component(raw > threshold) for threshold in THRESHOLDS]
    return found[int(np.argmin([abs(int(one.sum()) - wanted) for one in found]))]


def place_masks(case: Case, crop: Index, draw: DrawMask, at_most: int = MAX_LESIONS) -> Labels:
    """1 in the organs that were spoken of, 2 in the lesions. A lesion that would touch another is dropped."""
    result = np.zeros(case.size, np.uint8)
    done = np.zeros(case.size, bool)
    enough = _ENOUGH_STONE if "stone" in case.folders[1].lower() else _ENOUGH
    for lesion in lesions(case.label, at_most):
        call = call_for(case, lesion, crop)
        result[published_target(case.organs, call.organ, case.report.organs, case.folders)] = 1
        for attempt in range(_ATTEMPTS):
            mask = binarised(draw(call.condition, call.tokens), int(call.box.sum()))
            free = not (mask & done[call.window.cut]).any()
            if free and (mask.sum() > enough or attempt == _ATTEMPTS - 1):
                done[call.window.cut] |= mask
                break
    result[done] = 2
    return result


def paint_volume(unit: Floats, case: Case, crop: Index, vq: VQGAN, paint: Paint, shortened: bool = False,
                 at_most: int = MAX_LESIONS) -> tuple[Tensor, Tensor]:
    """The whole latent with all lesions painted in, and its decoding (1, 1, z, y, x) on the 0..1 scale."""
    factor = vq.factor
    latent = vq.encode(torch.from_numpy(unit)[None, None])
    mask = latent_mask(case.label == 2, latent)
    for lesion in lesions(case.label, at_most):
        window = window_around(bounds(lesion), crop, case.size)
        here = Window(scaled(window.low, factor), scaled(window.high, factor))
        organ = overlapping_organ(case.report.organs, case.organs[window.cut], lesion[window.cut], case.organs)
        tokens = linet_tokens(case.report.entry(organ).attributes, organ, shortened)
        part = (slice(None), slice(None), *here.cut)
        latent[part] = paint(latent[part].clone(), mask[part], tokens)
    return latent, vq.decode(latent)


def latent_mask(mask: Mask, latent: Tensor) -> Tensor:
    """The mask on the latent's grid (1, 1, z, y, x): the voxels at even places, as in training."""
    return F.interpolate(torch.from_numpy(mask.astype(np.float32))[None, None], latent.shape[2:], mode="nearest")


def file_array(hu: Floats) -> Floats:
    """The array as the authors' files hold it: (x, y, z), y the other way round."""
    return np.ascontiguousarray(hu[:, ::-1].transpose(2, 1, 0))


def paste_patch(volume: Floats, patch: Floats, window: Window) -> Floats:
    """The authors' paste of a decoded crop into a CT (HU): its mean moved to that of the old crop, its faces blended.

    Upstream quirk: at the high face of the second and third axis the blend runs the wrong way.
    """
    old = volume[window.cut]
    pasted = volume.copy()
    pasted[window.cut] = patch - (patch.mean() - old.mean())
    share = _face_weights(window, volume.shape)
    mixed: Floats = (1 - share) * pasted + share * ndimage.gaussian_filter(pasted, 1)
    return mixed


def _face_weights(window: Window, size: tuple[int, ...]) -> Floats:
    """How much of the smoothed volume stands at each voxel: ramps across the faces of the window."""
    ramp = np.linspace(0, 1, 2 * _BAND, dtype=np.float32)
    weights = np.zeros(size, np.float32)
    for axis, (low, high, length) in enumerate(zip(window.low, window.high, size, strict=True)):
        faces = [(low, ramp)] if low > _BAND else []
        faces += [(high, ramp[::-1] if axis == 0 else ramp)] if high < length - _BAND else []
        for face, values in faces:
            cut = list(window.cut)
            cut[axis] = slice(face - _BAND, face + _BAND)
            shape = [1, 1, 1]
            shape[axis] = -1
            part = weights[tuple(cut)]
            np.maximum(part, values.reshape(shape), out=part)
    return weights


def scaled(index: Index, factor: int) -> Index:
    a, b, c = (n // factor for n in index)
    return a, b, c


def decoded_hu(unit: Tensor) -> Floats:
    """A decoding as HU."""
    return to_hu(unit.detach().float().cpu().numpy()[0, 0])
