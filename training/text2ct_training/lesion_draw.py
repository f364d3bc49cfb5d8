"""Lesions drawn by rule: the built-in examples from which the small lesion networks learn.

A body (a drawn phantom with its organs, or a real CT that a recipe names) -> an organ and
a box in it -> two crops, cut by the engine's own rules, one as LMNet sees it and one as
LINet does -> the form of a lesion by the phantom's rules, and its HU by those here -> the
texts that the engine would make of such a lesion. What is asked of a network in training
is so what it will be asked in use. Number `index` is always the same example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from text2ct.engines.lesiondiffusion.attributes import Surroundings, completed
from text2ct.engines.lesiondiffusion.blending import signed_depth
from text2ct.engines.lesiondiffusion.drawing import place_for
from text2ct.engines.lesiondiffusion.organs import NUMBERS, as_v1, is_lung
from text2ct.engines.lesiondiffusion.report_file import Attributes
from text2ct.engines.lesiondiffusion.tokens import linet_tokens, lmnet_tokens
from text2ct.engines.lesiondiffusion.vocabulary import CAVITY, CT_VALUE, DENSITY, FEATURES, SHAPE, SURFACE, VARIATIONS
from text2ct.engines.lesiondiffusion.working import Crop, Floats, crop_around, values_on
from text2ct.engines.phantom.lesion import insert
from text2ct.engines.phantom.shapes import coverage, noise_field
from text2ct.errors import BadInput
from text2ct.formats.files import read_ct, read_labels
from text2ct.geometry import Box, Grid
from text2ct.report.grammar import Split
from text2ct.requests import InsertLesion, Watch
from text2ct.volume import CTVolume

from .data import dice
from .lesion_settings import LesionCrops
from .lesion_shards import text_of
from .phantoms import PhantomTap
from .recipe import LesionsRecipe
from .shards import Row, Shards, made_from, write_shards

_AORTA = 7
_USED = tuple(NUMBERS[name] for name in (
    "lung upper lobe left", "lung lower lobe left", "lung upper lobe right", "lung middle lobe right",
    "lung lower lobe right", "liver", "spleen", "kidney left", "kidney right", "pancreas"))
_EDGES_MM, _ASPECT, _LARGEST_MM = (6.0, 45.0), (0.75, 1.33), 60.0
_LUNG_SHARE, _LABELLED_SHARE = 0.5, 0.6
_FEWEST = 6  # voxels of a lesion on the coarser crop
# Shape, surface and feature as the networks read them, with the phantom's words for such a form.
_FORMS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("round-like,", "well-defined margin,", "", {"shape": "oval", "margin": "smooth"}),
    ("round-like,", "ill-defined margin,", "", {"shape": "oval", "margin": "ill-defined"}),
    ("punctate,", "well-defined margin,", "", {"shape": "round", "margin": "smooth"}),
    ("cystic,", "well-defined margin,", "", {"shape": "oval", "margin": "smooth"}),
    ("irregular,", "well-defined margin,", "", {"shape": "irregular", "margin": "lobulated"}),
    ("irregular,", "ill-defined margin,", "", {"shape": "irregular", "margin": "ill-defined"}),
    ("round-like,", "ill-defined margin,", "spiculated margins,", {"shape": "oval", "margin": "spiculated"}),
    ("irregular,", "ill-defined margin,", "spiculated margins,", {"shape": "irregular", "margin": "spiculated"}))
_DARKER, _BRIGHTER = "presence of decreased density areas,", "presence of increased density areas,"


@dataclass(frozen=True, eq=False)
class Body:
    """A CT, its organs with the networks' numbers, and the voxels of each in which a lesion may begin."""

    ct: CTVolume
    organs: NDArray[np.uint8]
    places: Mapping[int, NDArray[np.int64]]
    labelled: bool

    @property
    def aorta_hu(self) -> float | None:
        blood = self.ct.voxels[self.organs == _AORTA]
        return float(np.median(blood)) if self.labelled and blood.size else None


@dataclass(frozen=True)
class Tint:
    """What a lesion is painted as: HU of its middle and rim, how much these vary, and the words for it."""

    density: str
    hu: float
    rim_hu: float
    spread: float
    feature: str
    keeps_texture: bool = False


class DrawnLesions:
    """Rows of the shards, by number."""

    def __init__(self, recipe: LesionsRecipe, split: Split) -> None:
        self.recipe, self.split = recipe, split
        self.cts = real_cts(Path(recipe.cts)) if recipe.cts else []
        self.tap = PhantomTap(Grid.centred(recipe.data.shape, recipe.data.spacing), split, recipe.data.seed)

    def row(self, index: int) -> Row:
        rng = dice(self.recipe.data.seed, self.split, index)
        body = self._body(index)
        for _ in range(20):
            drawn = drawn_lesion(body, self.recipe.crops, rng)
            if drawn is not None:
                return drawn
        raise BadInput("No lesion could be drawn in one of the CTs; take CTs of whole chests or bellies.")

    def _body(self, index: int) -> Body:
        """Bodies follow each other; each is used for some lesions in a row, the real CTs for their share of them."""
        group = index // self.recipe.per_body
        if self.cts and dice(self.recipe.data.seed + 1, self.split, group).random() < self.recipe.real:
            return _real_body(self.cts[group % len(self.cts)])
        return _phantom_body(self.tap, group)


def real_cts(folder: Path) -> list[tuple[Path, Path]]:
    """The CTs of a folder that have a label volume of their lungs (1 right, 2 left) beside them."""
    found = [(path.with_name(path.name.replace("_lungs", "")), path) for path in sorted(folder.glob("*_lungs.nii.gz"))]
    missing = [str(ct) for ct, _ in found if not ct.is_file()]
    if missing or not found:
        raise BadInput(f"{missing[0]} is missing; put it beside its lungs." if missing else
                       f"{folder} holds no CT; put NAME.nii.gz and NAME_lungs.nii.gz (1 right, 2 left) there.")
    return found


@lru_cache(maxsize=1)
def _phantom_body(tap: PhantomTap, number: int) -> Body:
    case = tap.case(number)
    organs, _ = as_v1(case.labels[0])
    return body_of(case.ct, organs, True)


@lru_cache(maxsize=4)
def _real_body(files: tuple[Path, Path]) -> Body:
    """Lobes by side and height; soft tissue that is flat goes by the name that the engine would guess for it."""
    ct = read_ct(files[0])
    lungs = read_labels(files[1]).voxels
    across, height = (_along(ct.grid, axis) for axis in (0, 2))
    upper = height > np.median(height[lungs > 0])
    organs = np.zeros(ct.shape, np.uint8)
    for side, word in ((1, "right"), (2, "left")):
        for level, word2 in ((upper, "upper"), (~upper, "lower")):
            organs[(lungs == side) & level] = NUMBERS[f"lung {word2} lobe {word}"]
    smooth = ndimage.gaussian_filter(ct.voxels.astype(np.float32), 1.5)
    soft = ndimage.binary_erosion((smooth > -10) & (smooth < 200), iterations=3) & (lungs == 0)
    right = across > ct.grid.to_ras((np.array(ct.shape) - 1) / 2)[0]
    organs[soft & right], organs[soft & ~right] = NUMBERS["liver"], NUMBERS["spleen"]
    return body_of(ct, organs, False)


def _along(grid: Grid, axis: int) -> NDArray[np.float32]:
    """How far each voxel lies along one axis of the patient, in mm."""
    (a, b, c), begin = grid.affine[axis, :3].astype(np.float32), np.float32(grid.affine[axis, 3])
    i, j, k = (np.arange(n, dtype=np.float32) for n in grid.shape)
    return np.asarray(a * i[:, None, None] + b * j[:, None] + c * k + begin, np.float32)


def body_of(ct: CTVolume, organs: NDArray[np.uint8], labelled: bool) -> Body:
    """A CT with the networks' numbers of its organs; `labelled` when these are more than lungs and a guess."""
    flat = organs.ravel()
    places = {number: np.flatnonzero(flat == number) for number in _USED}
    return Body(ct, organs, {number: where for number, where in places.items() if len(where) > 50}, labelled)


def drawn_lesion(body: Body, crops: LesionCrops, rng: np.random.Generator) -> Row | None:
    """One lesion in a body, in both crops; None where it came out as hardly a voxel."""
    organ = _organ(body, rng)
    where = np.unravel_index(rng.choice(body.places[organ]), body.ct.shape)
    centre = body.ct.grid.to_ras(np.array(where, float)).tolist()
    edge = float(np.exp(rng.uniform(*np.log(_EDGES_MM))))
    x, y, z = np.minimum(edge * rng.uniform(*_ASPECT, 3), _LARGEST_MM).tolist()
    box = Box((centre[0], centre[1], centre[2]), (x, y, z))
    form, seed = _FORMS[rng.integers(len(_FORMS))], int(rng.integers(1 << 31))
    labelled = bool(is_lung(organ) or body.labelled) and rng.random() < _LABELLED_SHARE
    paint = crop_around(body.ct.grid, box, crops.paint, crops.spacing)
    lesion = formed(paint.grid, box, form[3], seed)
    if lesion.sum() < _FEWEST:
        return None
    hu = values_on(body.ct.voxels, body.ct.grid, paint.grid)
    depth = signed_depth(lesion, paint.grid.spacing)
    tint = random_tint(rng, hu, depth, is_lung(organ))
    painted = np.rint(np.clip(tinted(hu, depth, tint, form[1] == "ill-defined margin,", rng), -1024, 3071))
    said = {SHAPE: form[0], SURFACE: form[1], FEATURES: tint.feature + form[2], DENSITY: tint.density,
            VARIATIONS: "heterogeneous," if tint.spread > 15 or tint.feature else "homogeneous,",
            CT_VALUE: f"{painted[lesion].mean():.0f} HU"}
    seen = Surroundings(hu, lesion, (depth < 0) & (depth > -8), _organs_on(body, paint) if labelled else None,
                        body.aorta_hu if labelled else None)
    attributes = completed(said, organ, seen)
    return {"image": painted.astype(np.int16), "lesion": np.packbits(lesion), "linet": text_of(_values(linet_tokens(
            tuple(one for one in attributes if one[0] != CAVITY), organ))),
            **_mask_row(body, crops, box, form[3], seed, organ, labelled, attributes)}


def _mask_row(body: Body, crops: LesionCrops, box: Box, words: Mapping[str, str], seed: int, organ: int,
              labelled: bool, attributes: Attributes) -> Row:
    """What LMNet learns from: the lesion's form, the three channels it is given, and its texts."""
    crop = crop_around(body.ct.grid, box, crops.mask, crops.finest)
    hu = values_on(body.ct.voxels, body.ct.grid, crop.grid)
    place = place_for(crop, box, hu, _organs_on(body, crop) if labelled else None, organ, False)
    mask = formed(crop.grid, box, words, seed)
    window = np.array([*crop.box.low, *crop.box.high], np.int64)
    return {"mask": np.packbits(mask), "organs": place.organs, "target": np.packbits(place.target), "window": window,
            "lmnet": text_of(_values(lmnet_tokens(attributes, organ, dict(attributes)[CAVITY])))}


def formed(grid: Grid, box: Box, words: Mapping[str, str], seed: int) -> NDArray[np.bool_]:
    """A lesion by the phantom's rules on any grid."""
    nothing = CTVolume(np.zeros(grid.shape, np.int16), grid.affine)
    request = InsertLesion(nothing, box, engine="phantom", seed=seed, attributes=tuple(words.items()), parts="mask")
    _, labels = insert(request, Watch())
    return np.not_equal(labels.voxels, 0)


def random_tint(rng: np.random.Generator, hu: Floats, depth: Floats, lung: bool) -> Tint:
    """A density with its words. The lung's are told from soft tissue, as the engine does."""
    near = (depth < -1) & (depth > -10)
    tissue = 35.0 if lung else float(np.median(hu[near] if near.any() else hu))
    kinds = ["low", "iso", "high", "calcified", "fluid", "mass", "mixed", "ring", "glass", "free"]
    kind = rng.choice([*kinds, "glass", "halo"] if lung else kinds)
    spread = float(rng.choice([4.0, 26.0], p=[0.7, 0.3]))
    feature = str(rng.choice(["", _DARKER, _BRIGHTER], p=[0.8, 0.1, 0.1]))
    if kind == "free":
        middle = rng.uniform(-800, 800)
        word = "low-density ground-glass opacity," if middle < -250 else "low density lesion," if middle < tissue else \
            "high density lesion,"
        return Tint(word, middle, middle, spread, "")
    if kind in ("glass", "halo"):
        middle = rng.uniform(-700, -400) if kind == "glass" else rng.uniform(10, 60)
        word = "low-density ground-glass opacity," if kind == "glass" else \
            "isodense soft tissue mass with peripheral low-density ground-glass opacity,"
        return Tint(word, middle, middle if kind == "glass" else rng.uniform(-650, -450), 3 * spread, "", True)
    word, low, high = {
        "low": ("low density lesion,", tissue - 70, tissue - 20), "iso": ("isodense lesion,", tissue - 8, tissue + 8),
        "high": ("high density lesion,", tissue + 30, tissue + 110), "calcified": ("high density lesion,", 250, 800),
        "fluid": ("hypodense fluid-like lesion,", 0, 18), "mass": ("isodense soft tissue mass,", 20, 50),
        "mixed": ("mixed-density lesion,", tissue - 40, tissue),
        "ring": ("ring enhancement,", tissue - 60, tissue - 20),
    }[kind]
    middle = rng.uniform(low, high)
    rim = middle + rng.uniform(60, 120) if kind == "ring" else middle
    spread = {"calcified": 4 * spread, "mixed": 35.0, "fluid": 3.0}.get(kind, spread)
    return Tint(word, middle, rim, spread, "" if kind == "fluid" else feature)


def tinted(hu: Floats, depth: Floats, tint: Tint, soft_edge: bool, rng: np.random.Generator) -> Floats:
    """The crop with the lesion in it."""
    size = float(depth.max())
    low, high = [0.0] * 3, [float(n) for n in hu.shape]
    steps = np.stack(np.meshgrid(*map(np.arange, hu.shape), indexing="ij"), -1).astype(np.float32)
    grain = noise_field(rng, 4.0, low, high).at(steps)
    rim = np.clip(1 - depth / max(0.45 * size, 1.0), 0, 1)
    wanted = tint.hu + (tint.rim_hu - tint.hu) * rim + tint.spread * grain
    spots = np.clip(noise_field(rng, 3.0, low, high).at(steps) - 0.3, 0, 1.5) * np.clip(depth, 0, 1)
    wanted = wanted + {_DARKER: -45.0, _BRIGHTER: 60.0}.get(tint.feature, 0.0) * spots
    if tint.keeps_texture:
        inside = depth > 0
        wanted = wanted + 0.4 * (hu - float(hu[inside].mean())) * (wanted < -200)
    cover = coverage(depth.copy(), 4.5 if soft_edge else 1.8)
    return np.asarray(hu + cover * (wanted - hu), np.float32)


def _organ(body: Body, rng: np.random.Generator) -> int:
    lungs = [number for number in body.places if is_lung(number)]
    others = [number for number in body.places if not is_lung(number)]
    among = lungs if lungs and (not others or rng.random() < _LUNG_SHARE) else others
    if not among:
        raise BadInput("A CT shows neither lung nor soft tissue; take CTs of whole chests or bellies.")
    return int(rng.choice(among))


def _organs_on(body: Body, crop: Crop) -> NDArray[np.uint8]:
    return values_on(body.organs, body.ct.grid, crop.grid, nearest=True, outside=0.0).astype(np.uint8)


def _values(tokens: Attributes) -> list[str]:
    return [value for _, value in tokens]


def write_lesions(recipe: LesionsRecipe) -> int:
    """Draw what is missing of the training and of the held-out shards; returns how many examples there are."""
    total = 0
    data = {name: getattr(recipe.data, name) for name in ("shape", "spacing", "seed")}
    stated = {**data, **asdict(recipe.crops), "cts": recipe.cts, "real": recipe.real, "per_body": recipe.per_body}
    for split, count in (("train", recipe.count), ("held-out", recipe.held_out)):
        folder = Path(recipe.out) / split
        made_from(folder, stated)
        done = len(Shards(folder))
        lesions = DrawnLesions(recipe, cast(Split, split))
        if done < count:
            done = write_shards(folder, (lesions.row(index) for index in range(done, count)), recipe.per_shard)
        total += done
    return total
