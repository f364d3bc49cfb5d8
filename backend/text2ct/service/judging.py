"""A posted job is judged here, before anything of it is stored: text in, a sensible job or one sentence out.

Nothing here reads a voxel. A request names its volumes by digest, shape and affine;
with `Unseen` they stand there as one repeated voxel, so the request's own rules, the
engine's grid limits and the server's voxel limit are all judged for free.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ..engines import catalog
from ..engines.run import grid_problems, result_shape, settled
from ..engines.terms import Engine
from ..errors import BadInput, BadRequest, Unavailable
from ..geometry import times
from ..plain import Unseen
from ..requests import Request, from_json
from ..volume import Volume
from .options import Limits
from .refusal import Refused

SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MOST_VOLUMES = 16


@dataclass(frozen=True)
class Posted:
    """A job that makes sense. `volumes` maps voxel digests to blob names; the blobs are not looked at yet."""

    task: str
    engine: str
    request: str
    volumes: Mapping[str, str]


def judge(text: bytes, limits: Limits) -> Posted:
    """What `POST /v1/jobs` was given, or BadInput or Refused."""
    try:
        return _judge(text, limits)
    except RecursionError:
        raise BadRequest("This JSON is nested too deeply.") from None
    except (OverflowError, FloatingPointError, UnicodeError):
        raise BadRequest("This request holds a number or a text that cannot be worked with.") from None


def _judge(text: bytes, limits: Limits) -> Posted:
    body = _object(text)
    plain, volumes = body.get("request"), body.get("volumes", {})
    if not set(body) <= {"request", "volumes"} or not isinstance(plain, dict):
        raise BadRequest('A job is {"request": {...}, "volumes": {voxel digest: blob sha256}}.')
    canonical = json.dumps(plain, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    canonical.encode()
    request = from_json(canonical, Unseen())
    try:
        engine = catalog.ready_engine(request.engine, request.task)
    except Unavailable as error:
        raise BadRequest(str(error)) from None
    problems = request.validate() or _grid_problems(engine, settled(engine, request), limits)
    if problems:
        raise BadRequest(" ".join(problems))
    return Posted(request.task, request.engine, canonical, _listed(volumes, _digests(request, plain)))


def _object(text: bytes) -> dict[str, Any]:
    try:
        body = json.loads(text.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError:
        raise BadRequest("The body is not UTF-8.") from None
    except BadInput:
        raise
    except ValueError:
        raise BadRequest("The body is not JSON.") from None
    if not isinstance(body, dict):
        raise BadRequest('A job is an object: {"request": {...}, "volumes": {...}}.')
    return body


def _no_constant(name: str) -> NoReturn:
    raise BadRequest(f"{name} is no number that JSON knows.")


def _finite(digits: str) -> float:
    """A number with a point or an exponent; JSON allows some that no computer has, such as 1e999."""
    number = float(digits)
    if not math.isfinite(number):
        raise BadRequest("This request holds a number that is too large to work with.")
    return number


def _grid_problems(engine: Engine, request: Request, limits: Limits) -> list[str]:
    """Sizes over what the server takes or the engine can; Refused where it is the server's limit."""
    if problems := grid_problems(engine, request):
        return problems
    for shape in [*(volume.shape for _, volume in _volumes_of(request)), result_shape(engine, request)]:
        if math.prod(shape) > limits.voxels:
            raise Refused("too_large", f"A volume of {times(shape)} has {math.prod(shape)} voxels; this server's limit "
                                       f"is {limits.voxels}.")
    return []


def _volumes_of(request: Request) -> list[tuple[str, Volume]]:
    named = ((field.name, getattr(request, field.name)) for field in dataclasses.fields(request))
    return [(name, value) for name, value in named if isinstance(value, Volume)]


def _digests(request: Request, plain: Mapping[str, Any]) -> set[str]:
    """The voxel digests that a request refers to. The hollow volumes have none, so the JSON is asked."""
    digests = {str(plain[name]["digest"]) for name, _ in _volumes_of(request)}
    if not all(SHA256.fullmatch(digest) for digest in digests):
        raise BadRequest("A volume is named by its voxel digest, 64 hexadecimal digits.")
    return digests


def _listed(volumes: Any, digests: set[str]) -> dict[str, str]:
    """The blobs, one for each volume that the request refers to and no others."""
    if not isinstance(volumes, dict) or len(volumes) > _MOST_VOLUMES:
        raise BadRequest(f'"volumes" must be an object of at most {_MOST_VOLUMES} voxel digests and blob names.')
    if not all(isinstance(name, str) and SHA256.fullmatch(name) for name in volumes.values()):
        raise BadRequest("A blob's name is the sha256 of its bytes, 64 hexadecimal digits.")
    if missing := digests - set(volumes):
        raise BadRequest(f"The request refers to voxels {min(missing)[:12]}..., for which no blob is listed in "
                         '"volumes".')
    if set(volumes) - digests:
        raise BadRequest('"volumes" lists voxels that the request does not refer to.')
    return dict(volumes)
