"""A lesion by rules in a box of a given CT: its form, and its HU with the scan's own noise.

Works in the millimetres of the box itself, so any orientation of the CT and any turn
of the box will do. Only voxels of the lesion and its soft rim are touched; all others
keep their bits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...errors import BadRequest
from ...geometry import Box, Grid
from ...requests import InsertLesion, Watch
from ...volume import CTVolume, LabelVolume, Segment
from .. import catalog
from .frame import Bools, Floats
from .scan_noise import measure_noise
from .shapes import coverage, noise_field, stream

_SHARE = {"full": 1.0, "medium": 0.75, "small": 0.5}
_ROUGH = {"smooth": 0.03, "lobulated": 0.2, "spiculated": 0.14, "ill-defined": 0.12}
_NEAR = 1.6  # half edges from the centre; beyond, the box cuts the lesion off whatever its form
_COLOR = (0.95, 0.35, 0.15)
_LUNG_HU = -400.0


@dataclass(frozen=True)
class Look:
    """The attributes of a lesion, each a word of the vocabulary."""

    shape: str = "oval"
    margin: str = "smooth"
    density: str = ""
    heterogeneity: str = "homogeneous"
    size: str = "full"


@dataclass(frozen=True, eq=False)
class Patch:
    """The voxels around the box: their window in the CT, and for each the depth in the lesion (mm)."""

    low: tuple[int, ...]
    high: tuple[int, ...]
    depth: Floats
    local: Floats

    @property
    def cut(self) -> tuple[slice, ...]:
        return tuple(slice(a, b) for a, b in zip(self.low, self.high, strict=True))


def insert(request: InsertLesion, watch: Watch) -> tuple[CTVolume | None, LabelVolume]:
    """The CT with the lesion (None where only the mask is asked for), and the lesion as labels."""
    look = look_of(request)
    watch.at("shaping the lesion", 0, 2)
    patch = _given(request) if request.mask is not None else _formed(request, look)
    inside = patch.depth > 0
    if not inside.any():
        raise BadRequest("No voxel of the lesion lies in the image or the organ named; move or enlarge the box.")
    watch.at("painting the lesion", 1, 2)
    mask = np.zeros(request.ct.shape, np.uint8)
    mask[patch.cut][inside] = 1
    labels = LabelVolume(mask, request.ct.affine, (Segment(1, "lesion", _COLOR, "lesion"),), "lesion")
    if request.parts == "mask":
        return None, labels
    voxels = np.array(request.ct.voxels)
    voxels[patch.cut] = _painted(request, look, patch)
    watch.at("painting the lesion", 2, 2)
    return CTVolume(voxels, request.ct.affine), labels


def look_of(request: InsertLesion) -> Look:
    """The attributes asked for; words of the text stand in for those that are not given."""
    vocabulary = catalog.engine(request.engine).lesion_vocabulary
    chosen: dict[str, str] = {}
    for name, value in request.attributes:
        if name not in vocabulary:
            raise BadRequest(f"The attribute '{name}' is not known; there are {', '.join(vocabulary)}.")
        if value not in vocabulary[name]:
            raise BadRequest(f"'{value}' is no {name}; there are {', '.join(vocabulary[name])}.")
        chosen[name] = value
    text = request.text.lower().replace("-", " ")
    for name, values in vocabulary.items():
        told = [v for v in sorted(values, key=len, reverse=True)
                if re.search(rf"(?<!\bno )(?<!\bnot )(?<!\bnon )(?<!\bwithout )\b{v.replace('-', ' ')}\b", text)]
        if name not in chosen and name != "size" and told:
            chosen[name] = told[0]
    return Look(**chosen)


def _formed(request: InsertLesion, look: Look) -> Patch:
    box, grid = request.box, request.ct.grid
    low, high = box.voxels_in(grid)
    local = _local(grid, low, high, box)
    rng = stream(request.seed, "lesion form")
    half = np.asarray(box.size, float) / 2 * _SHARE[look.size]
    if look.shape == "round":
        half = np.full(3, half.min())
    rough = _ROUGH[look.margin] + (0.14 if look.shape == "irregular" else 0.0)
    parts: Floats = np.divide(local, half, dtype=np.float32)
    body = 0.74 if look.margin == "spiculated" else 1.0
    q = np.sqrt(np.einsum("...k,...k->...", parts, parts))
    limit = min(float(np.abs(parts).max()), _NEAR) + 0.3
    grain = noise_field(rng, 0.34 if look.shape == "irregular" else 0.5, (-limit,) * 3, (limit,) * 3)
    bumps = np.clip(grain.at(np.clip(parts, -_NEAR, _NEAR)), -1.5, 1.5)
    bent = q - np.float32(body - 0.8 * rough) - np.float32(rough) * bumps
    bent = np.maximum(bent, (np.abs(parts).max(-1) - 1))
    depth: Floats = (-bent * half.min()).astype(np.float32)
    if look.margin == "spiculated":
        depth = np.maximum(depth, _spikes(parts, half, rng))
    if request.organ and request.organs is not None:
        organ = request.organs.mask(request.organ)[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        depth = np.where(organ, depth, np.minimum(depth, np.float32(-9)))
    return Patch(low, high, depth, local)


def _spikes(parts: Floats, half: NDArray[np.float64], rng: np.random.Generator) -> Floats:
    """Fine strands from the body to the walls of the box, as depth."""
    ways = rng.normal(size=(22, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    best = np.full(parts.shape[:-1], -9, np.float32)
    for way in ways.astype(np.float32):
        along = parts @ way
        aside = np.sqrt(np.maximum(np.einsum("...k,...k->...", parts, parts) - along * along, 0))
        width = 0.13 * np.clip(1.25 - along, 0, 1)
        strand = np.where((along > 0.4) & (along < 1), (width - aside) * np.float32(half.min()), -9)
        np.maximum(best, strand, out=best)
    return best


def _given(request: InsertLesion) -> Patch:
    """The patch of a mask that was given."""
    assert request.mask is not None
    filled: Bools = np.greater(request.mask.voxels, 0)
    found = np.argwhere(filled)
    if not len(found):
        raise BadRequest("The lesion mask is empty; draw the lesion first.")
    low = tuple(int(v) for v in np.maximum(found.min(0) - 3, 0))
    high = tuple(int(v) for v in np.minimum(found.max(0) + 4, filled.shape))
    near = filled[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    spacing = request.ct.spacing
    depth = ndimage.distance_transform_edt(near, spacing) - ndimage.distance_transform_edt(~near, spacing)
    depth = depth - np.where(near, 0.5, -0.5) * min(spacing)
    middle = request.ct.grid.to_ras(found.mean(0)).tolist()
    local = _local(request.ct.grid, low, high, Box((middle[0], middle[1], middle[2]), (1.0, 1.0, 1.0)))
    return Patch(low, high, depth.astype(np.float32), local)


def _local(grid: Grid, low: tuple[int, ...], high: tuple[int, ...], box: Box) -> Floats:
    """Millimetres along the edges of the box, from its centre, of every voxel of a window."""
    axes = np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij")
    turn = np.array(box.axes) @ grid.affine[:3, :3]
    start = np.array(box.axes) @ (grid.affine[:3, 3] - np.asarray(box.center))
    local: Floats = np.stack([sum(turn[r, c] * axes[c] for c in range(3)) + start[r] for r in range(3)], -1
                          ).astype(np.float32)
    return local


def _painted(request: InsertLesion, look: Look, patch: Patch) -> NDArray[np.int16]:
    """The voxels of the window with the lesion in them."""
    old = request.ct.voxels[patch.cut]
    hu = old.astype(np.float32)
    feather = max(min(request.ct.spacing), 1.2) * (3.5 if look.margin == "ill-defined" else 1.0)
    cover = coverage(patch.depth, feather)
    inside = patch.depth > 0
    around = (cover == 0) & (np.abs(patch.depth) < 12)
    context = float(np.median(hu[around if around.sum() > 20 else ~inside])) if (~inside).any() else float(
        np.median(hu))
    rng = stream(request.seed, "lesion paint")
    grain = noise_field(rng, 5.0, tuple(patch.local.min((0, 1, 2)).tolist()),
                        tuple(patch.local.max((0, 1, 2)).tolist())).at(patch.local)
    target = _target(look, hu, patch.depth, grain, context)
    noise = measure_noise(request.ct.voxels).field(rng, (old.shape[0], old.shape[1], old.shape[2]))
    new = hu + cover * (target + noise - hu)
    np.clip(np.rint(new), -1024, 3071, out=new)
    return np.where(cover > 0, new, hu).astype(np.int16)


def _target(look: Look, hu: Floats, depth: Floats, grain: Floats, context: float) -> Floats:
    """HU inside the lesion before noise."""
    lung = context < _LUNG_HU
    density = look.density or ("solid" if lung else "hypodense")
    soft = 38.0 if lung else context
    spread = 26.0 if look.heterogeneity == "heterogeneous" else 6.0
    size = float(depth.max())
    base = {"solid": soft, "part-solid": soft - 8, "calcified": 520.0, "cavitary": soft, "hypodense": soft - 34,
            "hyperdense": soft + 48, "cystic": 8.0, "fatty": -90.0}.get(density, soft)
    rough = spread * (3 if density == "calcified" else 1)
    target: Floats = base + rough * grain
    if look.heterogeneity == "heterogeneous" and density in ("solid", "hypodense", "hyperdense"):
        target -= 30 * np.clip(depth / max(size, 1) - 0.55, 0, 1) * np.clip(grain + 0.6, 0, 2)
    if density in ("ground glass", "part-solid"):
        veil = np.minimum(hu + 300 * np.clip((-150 - hu) / 500, 0, 1), 60) if lung else hu + 25
        core = coverage(depth - 0.5 * size, 2.0) * np.float32(density == "part-solid")
        target = (veil + grain * spread) * (1 - core) + target * core
    if density == "cavitary":
        hole = coverage(depth - max(2.5, 0.38 * size) * (1 + 0.2 * grain), 1.5)
        target = target * (1 - hole) - 960 * hole
    return target
