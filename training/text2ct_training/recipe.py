"""A training run as a value: what is trained, on what, how, and where the result goes.

A recipe is a TOML file. Each of its tables becomes a frozen dataclass, the only list of what may
be said: another name, or a value of another kind, is refused with a sentence before anything is
built. The sizes of the networks are the engine's own, so that what is trained is what is run.
"""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from text2ct.engines.text2ct.config import ModelSizes, TextSizes, UNetSizes, VAESizes
from text2ct.engines.text2ct.intensity import HIGH_HU, LOW_HU
from text2ct.engines.text2ct.vision import VisionSizes
from text2ct.errors import BadInput, Unavailable
from text2ct.report.grammar import DRAWABLE

from .lesion_settings import DenoiserLoss, LesionCrops, LesionData, LesionNet, LesionText, VQLoss, VQNet

Kind = TypeVar("Kind")
_FREE = ("out", "run.steps", "run.save_every", "run.keep", "run.log_every", "run.validate_every", "run.export",
         "data.workers", "data.kept")


@dataclass(frozen=True)
class Run:
    """How the numbers of a network are changed, and how often that is kept and looked at.

    `batch` is for each process; a step sees batch x accumulate x processes examples.
    `clip` and `average` (the decay of the moving average) are off at 0, as published.
    """

    steps: int = 1000
    batch: int = 4
    accumulate: int = 1
    optimiser: Literal["adam", "adamw"] = "adam"
    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    schedule: Literal["constant", "polynomial", "cosine"] = "polynomial"
    warm_up: int = 0
    clip: float = 0.0
    average: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"
    seed: int = 0
    save_every: int = 1000
    keep: int = 2
    log_every: int = 20
    validate_every: int = 0
    validation: int = 32
    export: Literal["float32", "float16"] = "float32"

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "save_every", "keep", "log_every", "validation"):
            _in_bounds(name, getattr(self, name), 1)
        for name in ("weight_decay", "warm_up", "clip", "validate_every", "seed"):
            _in_bounds(name, getattr(self, name), 0)
        _in_bounds("average", self.average, 0, below=1)
        if not self.learning_rate > 0:
            raise BadInput(f"learning_rate = {self.learning_rate}; it must be more than 0.")


@dataclass(frozen=True)
class Data:
    """Where examples come from.

    "phantom" draws them, `count` different ones in turn (0: without end), with findings of `kinds` (none named:
    all), and reads them again from the folder `kept` where one is named; their reports are in the words of people,
    or in the standard words of small weights; "files" reads the CTs and reports of a list (see `ct_rate`);
    "shards" reads what the task "latents" wrote."""

    source: Literal["phantom", "files", "shards"] = "phantom"
    place: str = ""
    held_out: str = ""
    shape: tuple[int, int, int] = (128, 96, 64)
    spacing: tuple[float, float, float] = (3.0, 3.0, 5.0)
    crop: tuple[int, int, int] = (0, 0, 0)
    seed: int = 0
    workers: int = 0
    count: int = 0
    kinds: tuple[str, ...] = ()
    words: Literal["report", "standard"] = "report"
    kept: str = ""

    @property
    def drawn(self) -> tuple[str, ...]:
        """The kinds of finding that phantoms show."""
        return self.kinds or DRAWABLE


@dataclass(frozen=True)
class FlowLoss:
    """The published loss of the UNet. A `scale_factor` of 0 is measured on the first `measured` latents.

    Reports are vectors of length one, whose small numbers are learned from slowly. `loud` gives them the length of
    as many ones while the UNet learns; the finished weights hold that factor.
    `finding` is added to the weight 1 of each number of a latent where a finding was drawn, and at the mirror place,
    for plain learning hears of an effusion last; but a place that counts more when a finding is there is believed to
    have it too often. `usual` is added where findings are usual, in each example alike: so nothing is believed falsely.
    """

    drop: float = 0.1
    loud: bool = False
    distance: Literal["l1", "l2"] = "l1"
    finding: float = 0.0
    usual: float = 0.0
    scale_factor: float = 0.0
    measured: int = 4

    def __post_init__(self) -> None:
        _in_bounds("drop", self.drop, 0, below=1)
        _in_bounds("measured", self.measured, 1)


@dataclass(frozen=True)
class CoderLoss:
    """Weights of the parts of the VAE's loss. `lung` and `finding` are added to the weight 1 of each voxel there.

    What lies in `windows` (pairs of HU) is looked at once more, as by a reader who narrows the window: voxel by voxel
    (`windowed`) and in the mean of each cell of the latent (`shares`); fluid and muscle differ by one part in fifty of
    all HU. With `levels` the first channels of the latent, one for each window, are drawn to these means, so that the
    difference is large there too. `shaken` is noise that the decoder learns to forgive: latents of a UNet have some.
    """

    kl: float = 1e-6
    gradient: float = 0.0
    features: float = 0.0
    adversarial: float = 0.0
    adversarial_from: int = 0
    critic_width: int = 32
    critic_learning_rate: float = 1e-4
    lung: float = 0.0
    finding: float = 0.0
    windows: tuple[tuple[float, float], ...] = ()
    windowed: float = 0.0
    shares: float = 0.0
    levels: float = 0.0
    shaken: float = 0.0

    def __post_init__(self) -> None:
        for low, high in self.windows:
            if not LOW_HU <= low < high <= HIGH_HU:
                raise BadInput(f"windows has {[low, high]}; each goes up, within {LOW_HU} to {HIGH_HU} HU.")


@dataclass(frozen=True)
class TextLoss:
    """Weights of the two lessons of the text tower: the matching CT, and the findings that the report states."""

    contrast: float = 1.0
    findings: float = 0.0
    codebook: Literal["fixed", "none"] = "fixed"


@dataclass(frozen=True)
class UNetRecipe:
    """`begin` is a finished file to go on from."""

    task: Literal["unet"]
    out: str
    begin: str = ""
    run: Run = field(default_factory=Run)
    data: Data = field(default_factory=Data)
    model: UNetSizes = field(default_factory=UNetSizes)
    loss: FlowLoss = field(default_factory=FlowLoss)


@dataclass(frozen=True)
class VAERecipe:
    """`begin` is a finished file to go on from; with `learns` decoder its encoder stays, and with it every latent."""

    task: Literal["vae"]
    out: str
    begin: str = ""
    learns: Literal["all", "decoder"] = "all"
    run: Run = field(default_factory=Run)
    data: Data = field(default_factory=Data)
    model: VAESizes = field(default_factory=VAESizes)
    loss: CoderLoss = field(default_factory=CoderLoss)


@dataclass(frozen=True)
class TextRecipe:
    task: Literal["text"]
    out: str
    run: Run = field(default_factory=Run)
    data: Data = field(default_factory=Data)
    model: TextSizes = field(default_factory=TextSizes)
    vision: VisionSizes = field(default_factory=VisionSizes)
    loss: TextLoss = field(default_factory=TextLoss)


@dataclass(frozen=True)
class LatentsRecipe:
    """Not a training: CTs and reports through a finished VAE and text tower, once, into shards."""

    task: Literal["latents"]
    out: str
    vae: str
    text: str
    count: int
    held_out: int = 0
    batch: int = 1
    per_shard: int = 64
    kind: Literal["float32", "float16"] = "float32"
    precision: Literal["float32", "bfloat16"] = "float32"
    data: Data = field(default_factory=Data)
    sizes: ModelSizes = field(default_factory=ModelSizes)

    def __post_init__(self) -> None:
        for name in ("count", "batch", "per_shard"):
            _in_bounds(name, getattr(self, name), 1)


@dataclass(frozen=True)
class LesionsRecipe:
    """Not a training: drawn lesions into shards. `per_body` lesions go into each body; the share `real` of them are
    CTs of the folder `cts`, where one is named."""

    task: Literal["lesions"]
    out: str
    count: int
    held_out: int = 0
    per_shard: int = 100
    per_body: int = 40
    cts: str = ""
    real: float = 0.5
    data: Data = field(default_factory=Data)
    crops: LesionCrops = field(default_factory=LesionCrops)


@dataclass(frozen=True, kw_only=True)
class LesionTraining:
    """What the recipes of the lesion networks share. `begin` is a file to go on from (fine-tuning)."""

    out: str
    begin: str = ""
    run: Run = field(default_factory=Run)
    data: LesionData = field(default_factory=LesionData)
    crops: LesionCrops = field(default_factory=LesionCrops)


@dataclass(frozen=True, kw_only=True)
class LesionVQRecipe(LesionTraining):
    task: Literal["lesion-vq"]
    model: VQNet = field(default_factory=VQNet)
    loss: VQLoss = field(default_factory=VQLoss)


@dataclass(frozen=True, kw_only=True)
class DenoiserTraining(LesionTraining):
    """LMNet or LINet, each with a text tower."""

    model: LesionNet = field(default_factory=LesionNet)
    text: LesionText = field(default_factory=LesionText)
    loss: DenoiserLoss = field(default_factory=DenoiserLoss)


@dataclass(frozen=True, kw_only=True)
class LMNetRecipe(DenoiserTraining):
    task: Literal["lesion-lmnet"]


@dataclass(frozen=True, kw_only=True)
class LINetRecipe(DenoiserTraining):
    """`vq` is the finished VQ-GAN, whose norms have `vq_groups`."""

    task: Literal["lesion-linet"]
    vq: str
    vq_groups: int = 16


def _in_bounds(name: str, value: float, least: float, below: float = float("inf")) -> None:
    if not least <= value < below:
        more = f" and less than {below}" if below != float("inf") else ""
        raise BadInput(f"{name} = {value}; it must be at least {least}{more}.")


LesionRecipe = LesionVQRecipe | LMNetRecipe | LINetRecipe
TrainingRecipe = UNetRecipe | VAERecipe | TextRecipe | LesionRecipe
Recipe = TrainingRecipe | LatentsRecipe | LesionsRecipe
_RECIPES: Mapping[str, type[Recipe]] = {"unet": UNetRecipe, "vae": VAERecipe, "text": TextRecipe,
                                        "latents": LatentsRecipe, "lesions": LesionsRecipe,
                                        "lesion-vq": LesionVQRecipe, "lesion-lmnet": LMNetRecipe,
                                        "lesion-linet": LINetRecipe}


def read_recipe(path: Path) -> Recipe:
    """The recipe in a TOML file."""
    table = _toml(path)
    kind = _RECIPES.get(str(table.get("task")))
    if kind is None:
        raise BadInput(f"{path.name}: task is {table.get('task')!r}; say one of {', '.join(_RECIPES)}.")
    recipe: Recipe = checked(kind, table, path.name)
    return recipe


def _toml(path: Path) -> dict[str, Any]:
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"The recipe {path} cannot be read ({error.strerror}); check the name.") from None
    except ValueError as error:  # no TOML, or no UTF-8
        raise BadInput(f"{path.name} is not TOML: {error}.") from None


def _parsed(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib

        return tomllib.loads(text)
    else:
        raise Unavailable("Recipes are TOML, which Python reads itself from 3.11 on; train with Python 3.11 or newer.")


def checked(kind: type[Kind], table: Mapping[str, Any], where: str) -> Kind:
    """A dataclass filled from a table that names only its fields, with values of their kinds."""
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    for name in table:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise BadInput(f"{where} has a setting '{name}' that does not exist; "
                           + (f"did you mean '{near[0]}'?" if near else f"there are: {', '.join(known)}."))
    kinds = get_type_hints(kind)
    values = {name: _value(kinds[name], value, f"{where}: {name}") for name, value in table.items()}
    try:
        return kind(**values)
    except TypeError:
        missing = [name for name in known if name not in values and _required(kind, name)]
        raise BadInput(f"{where} lacks {' and '.join(missing)}; add it.") from None


def _required(kind: type[Any], name: str) -> bool:
    one = next(entry for entry in fields(kind) if entry.name == name)
    return repr(one.default) == repr(one.default_factory)  # both missing


def _value(kind: Any, value: Any, where: str) -> Any:
    """The value as the field wants it; whole numbers serve as decimals, lists as tuples, tables as dataclasses."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        return checked(kind, value, where)
    if origin in (Union, UnionType) and type(None) in inner:
        return _value(inner[0], value, where)  # None is said by silence
    if origin is Literal and value in inner:
        return value
    if origin is tuple and isinstance(value, list):
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        if len(kinds) == len(value):
            return tuple(_value(one, each, where) for one, each in zip(kinds, value, strict=True))
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind in (int, str, bool) and type(value) is kind:
        return value
    raise BadInput(f"{where} = {json.dumps(value, default=str)} cannot be; it wants {_said(kind)}.")


def _said(kind: Any) -> str:
    """A kind of value in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return "one of " + ", ".join(json.dumps(one) for one in inner)
    if origin is tuple:
        many = "a list" if inner[-1] is Ellipsis else f"a list of {len(inner)}"
        return f"{many}, each {_said(inner[0])}"
    if origin in (Union, UnionType) or is_dataclass(kind):
        return "a table"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}[kind]


def validates_on_unseen(data: Data | LesionData) -> bool:
    """Whether what a run is validated on is not what it learns from; other phantoms there are always."""
    if isinstance(data, LesionData):
        return bool(data.held_out or data.held_out_lists.images)
    return data.source == "phantom" or bool(data.held_out)


def settings(recipe: Recipe) -> dict[str, Any]:
    """A recipe flat, {"run.batch": 4, ...}: what a checkpoint remembers of it."""
    return dict(_flat(json.loads(json.dumps(asdict(recipe))), ""))


def _flat(table: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in table.items():
        pairs += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return pairs


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Settings in which a recipe no longer is the one that a checkpoint was made with, but for harmless ones."""
    return [f"{name} was {old.get(name)}, is {new.get(name)}" for name in sorted({*old, *new})
            if name not in _FREE and old.get(name) != new.get(name)]
