"""The names that a checkpoint may mention, and what each of them means to us.

A pickle names classes and functions by module and name. None of these names is ever
imported: a name is looked up in the tables below and becomes one of a few inert
meanings. A name that stands nowhere here is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..errors import WeightsError
from .tensors import BY_NAME, NumberType


class Role(Enum):
    """What the reader does when a name is called or built."""

    TENSOR = "makes a tensor description"
    STORAGE = "names the numbers of a storage"
    NUMBERS = "names a kind of number"
    MAPPING = "becomes a plain dictionary"
    SIZE = "becomes a plain tuple"
    COPIER = "makes an empty object of a class that is given"
    CLASS = "names a tensor class"
    INERT = "becomes a placeholder that is dropped"


@dataclass(frozen=True, slots=True)
class Name:
    """A name found in a pickle, with its meaning."""

    full: str
    role: Role
    numbers: NumberType | None = None


_STORAGES = {"Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16", "Long": "int64",
             "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool"}
_STORAGE_MODULES = ("torch", "torch.cuda", "torch.storage")
_NUMBER_ALIASES = {"float": "float32", "double": "float64", "half": "float16", "long": "int64", "int": "int32",
                   "short": "int16"}

REBUILDERS = frozenset({"torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2",
                        "torch._utils._rebuild_tensor_v3", "torch._utils._rebuild_parameter",
                        "torch._utils._rebuild_parameter_with_state"})
REBUILD_FROM_TYPE = "torch._tensor._rebuild_from_type_v2"

_EXACT = {
    **dict.fromkeys(REBUILDERS | {REBUILD_FROM_TYPE}, Role.TENSOR),
    **dict.fromkeys(("collections.OrderedDict", "collections.defaultdict", "collections.Counter", "builtins.dict"),
                    Role.MAPPING),
    **dict.fromkeys(("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"), Role.CLASS),
    "torch.Size": Role.SIZE, "_codecs.encode": Role.INERT, "copyreg._reconstructor": Role.COPIER,
    **dict.fromkeys((f"builtins.{name}" for name in (
        "list", "set", "frozenset", "tuple", "int", "float", "str", "bool", "bytes", "bytearray", "complex", "slice",
        "range", "object")), Role.INERT),
    **dict.fromkeys((f"numpy.{core}.multiarray.{name}" for core in ("core", "_core")
                     for name in ("scalar", "_reconstruct")), Role.INERT),
    **dict.fromkeys(("numpy.dtype", "numpy.ndarray", "torch.device", "typing.Any", "argparse.Namespace",
                     "types.SimpleNamespace", "datetime.datetime", "datetime.date", "datetime.timedelta",
                     "uuid.UUID", "collections.deque"), Role.INERT),
    **dict.fromkeys((f"pathlib.{name}" for name in (
        "Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")), Role.INERT),
}
_FOREIGN = ("pytorch_lightning", "lightning", "lightning_fabric", "lightning_utilities", "omegaconf", "hydra",
            "torchmetrics", "torch.optim", "torch.amp.grad_scaler", "torch.cuda.amp.grad_scaler")
_FOREIGN_NAME = Name("a foreign class", Role.INERT)
_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


def meaning(module: str, name: str) -> Name:
    """What `module.name` means to us; a name that is not foreseen is refused."""
    module = _OLD_MODULES.get(module, module)
    full = f"{module}.{name}"
    if not (name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise refused(full)
    if full in _EXACT:
        return Name(full, _EXACT[full])
    if module in _STORAGE_MODULES and name.endswith("Storage"):
        return _storage(full, name.removesuffix("Storage"))
    numbers = BY_NAME.get(_NUMBER_ALIASES.get(name, name)) if module == "torch" else None
    if numbers is not None:
        return Name(full, Role.NUMBERS, numbers)
    if any(module == root or module.startswith(root + ".") for root in _FOREIGN):
        return _FOREIGN_NAME
    raise refused(full)


def refused(full: str) -> WeightsError:
    """The sentence for a name that is not foreseen."""
    shown = full if len(full) <= 80 and full.isprintable() else ascii(full[:80])
    return WeightsError(f"The file wants to use {shown}, which weights never need and which could run a program; "
                        "it is refused and nothing of it was run.")


def _storage(full: str, kind: str) -> Name:
    if kind == "Untyped":
        return Name(full, Role.STORAGE, BY_NAME["uint8"])
    if kind in _STORAGES:
        return Name(full, Role.STORAGE, BY_NAME[_STORAGES[kind]])
    raise WeightsError(f"The file holds numbers of the kind {full[:80]}, which are not supported here; "
                       "save it as float, integer or bool.")
