"""Frozen dataclasses to plain JSON values and back, exactly, by their type hints.

One codec serves requests, findings, ledgers and provenance, so that a value reads
the same in a sidecar file, on the wire and in a job table. Unknown and missing
fields, and values of the wrong type, are named in a sentence. Voxels never travel
inside: a volume becomes a reference by digest, which `volumes` resolves again.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, cast

import numpy as np

from .digest import voxel_digest
from .errors import BadRequest
from .volume import LabelVolume, Segment, Volume

T = TypeVar("T")


class Unseen(dict[str, Volume]):
    """Given as `volumes`, it stands for any: a volume comes out with its grid and names, without its voxels.

    A server can so judge a request by its own rules before it has read, or even has, the images.
    """


def to_plain(value: Any) -> Any:
    """A JSON-able picture of `value`; volumes become references."""
    if isinstance(value, Volume):
        reference = {"digest": voxel_digest(value), "shape": list(value.shape), "affine": value.affine.tolist()}
        names = {"segments": to_plain(value.segments)} if isinstance(value, LabelVolume) else {}
        return {**reference, **names}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [to_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    return value


def from_plain(kind: type[T], plain: Any, volumes: Mapping[str, Volume] | None = None, at: str = "") -> T:
    """The dataclass `kind` that `plain` pictures."""
    if not isinstance(plain, Mapping):
        raise BadRequest(f"{at or kind.__name__} must be an object with named fields, not {_say(plain)}.")
    fields = {f.name: f for f in dataclasses.fields(cast(Any, kind))}
    unknown = [name for name in plain if name not in fields]
    if unknown:
        raise BadRequest(f"{kind.__name__} has no field '{str(unknown[0])[:60]}'; it has {', '.join(fields)}.")
    hints = typing.get_type_hints(kind)
    values, given = {}, {} if volumes is None else volumes
    for name, field in fields.items():
        if name in plain:
            values[name] = _decode(hints[name], plain[name], given, f"{at or kind.__name__}.{name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise BadRequest(f"{at or kind.__name__} needs the field '{name}'.")
    return kind(**values)


def _decode(hint: Any, plain: Any, volumes: Mapping[str, Volume], at: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if plain is None and type(None) in args:
            return None
        return _decode_union([a for a in args if a is not type(None)], plain, volumes, at)
    if origin is Literal:
        if not any(type(plain) is type(a) and plain == a for a in args):
            raise BadRequest(f"{at} must be one of {', '.join(map(str, args))}, not {_say(plain)}.")
        return plain
    if origin is tuple:
        return _decode_tuple(args, plain, volumes, at)
    if isinstance(hint, type) and issubclass(hint, Volume):
        return _resolve(hint, plain, volumes, at)
    if dataclasses.is_dataclass(hint):
        return from_plain(cast(type[Any], hint), plain, volumes, at)
    return _scalar(hint, plain, at)


def _decode_union(options: list[Any], plain: Any, volumes: Mapping[str, Volume], at: str) -> Any:
    for option in options[:-1]:
        try:
            return _decode(option, plain, volumes, at)
        except BadRequest:
            continue
    return _decode(options[-1], plain, volumes, at)


def _decode_tuple(args: tuple[Any, ...], plain: Any, volumes: Mapping[str, Volume], at: str) -> tuple[Any, ...]:
    if not isinstance(plain, (list, tuple)):
        raise BadRequest(f"{at} must be a list, not {_say(plain)}.")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_decode(args[0], v, volumes, f"{at}[{n}]") for n, v in enumerate(plain))
    if len(plain) != len(args):
        raise BadRequest(f"{at} must hold {len(args)} values, not {len(plain)}.")
    return tuple(_decode(a, v, volumes, f"{at}[{n}]") for n, (a, v) in enumerate(zip(args, plain, strict=True)))


def _scalar(hint: Any, plain: Any, at: str) -> Any:
    if hint is Any:
        return plain
    if hint is float and isinstance(plain, (int, float)) and not isinstance(plain, bool):
        try:
            number = float(plain)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    elif hint in (int, str, bool) and type(plain) is hint:
        return plain
    names = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
    raise BadRequest(f"{at} must be {names.get(hint, str(hint))}, not {_say(plain)}.")


def _resolve(kind: type[Volume], plain: Any, volumes: Mapping[str, Volume], at: str) -> Volume:
    if isinstance(volumes, Unseen):
        return _hollow(kind, plain, at)
    digest = plain.get("digest") if isinstance(plain, Mapping) else None
    found = volumes.get(digest) if isinstance(digest, str) else None
    if found is None:
        raise BadRequest(f"{at} refers to voxels that were not given; send the volume along with the request.")
    if not isinstance(found, kind):
        raise BadRequest(f"{at} must be a {kind.__name__}, the volume given is a {type(found).__name__}.")
    if to_plain(found) != plain:
        raise BadRequest(f"{at} refers to another grid than that of the volume given; send the volume itself.")
    return found


@dataclasses.dataclass(frozen=True)
class _Reference:
    """What stands in JSON for a volume."""

    digest: str
    shape: tuple[int, int, int]
    affine: tuple[tuple[float, float, float, float], ...]
    segments: tuple[Segment, ...] = ()


def _hollow(kind: type[Volume], plain: Any, at: str) -> Volume:
    """A volume of one repeated voxel: any size costs nothing."""
    reference = from_plain(_Reference, plain, None, at)
    if min(reference.shape) < 1 or max(reference.shape) > 2**20 or len(reference.affine) != 4:
        raise BadRequest(f"{at} must have three sizes of at least one voxel and a 4 x 4 affine.")
    affine = np.array(reference.affine)
    if issubclass(kind, LabelVolume):
        return kind(np.broadcast_to(np.zeros((), np.uint8), reference.shape), affine, reference.segments)
    return kind(np.broadcast_to(np.zeros((), np.int16), reference.shape), affine)


def _say(plain: Any) -> str:
    text = repr(plain)
    return text if len(text) <= 40 else text[:37] + "..."
