"""The JSON Schema of a posted job, made from the request dataclasses themselves.

`plain.from_plain` reads JSON by the type hints of a dataclass; this says the same to
those who read the OpenAPI. What the hints do not say (bounds of numbers, lengths of
texts) stands in one table; what depends on several fields only `validate()` knows.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

from ..engines.catalog import ENGINES
from ..requests import MAX_BEST_OF, MAX_REPORT, MAX_SEED, REQUESTS
from ..volume import LabelVolume, Segment, Volume
from .wire import JSON_MEDIA

Schema = dict[str, Any]
_DIGEST: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_BOUNDS: Mapping[str, Schema] = {
    "report": {"minLength": 1, "maxLength": MAX_REPORT, "pattern": r"\S"}, "text": {"maxLength": MAX_REPORT},
    "seed": {"minimum": 0, "maximum": MAX_SEED}, "steps": {"minimum": 1, "maximum": 1000},
    "guidance": {"minimum": 0, "maximum": 50}, "best_of": {"minimum": 1, "maximum": MAX_BEST_OF}}
_SCALARS: Mapping[Any, Schema] = {float: {"type": "number"}, int: {"type": "integer"}, str: {"type": "string"},
                                  bool: {"type": "boolean"}}


def schema_of(kind: Any) -> Schema:
    """The schema of a frozen dataclass."""
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    needed = [f.name for f in fields
              if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING]
    return _closed({f.name: _bounded(f.name, _hint_schema(hints[f.name])) for f in fields}, needed)


def _bounded(name: str, schema: Schema) -> Schema:
    bounds = _BOUNDS.get(name, {})
    if "anyOf" in schema:
        return {"anyOf": [{**one, **bounds} if one != {"type": "null"} else one for one in schema["anyOf"]]}
    return {**schema, **bounds}


def _hint_schema(hint: Any) -> Schema:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [{"type": "null"} if a is type(None) else _hint_schema(a) for a in args]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple:
        size = {} if args[-1] is Ellipsis else {"minItems": len(args), "maxItems": len(args)}
        return {"type": "array", "items": _hint_schema(args[0]), **size}
    if isinstance(hint, type) and issubclass(hint, Volume):
        return _reference(hint)
    if dataclasses.is_dataclass(hint):
        return schema_of(hint)
    return dict(_SCALARS[hint])


def _reference(kind: type[Volume]) -> Schema:
    """What stands in a request for a volume."""
    row = {"type": "array", "items": {"type": "number"}, "minItems": 4, "maxItems": 4}
    fields: Schema = {
        "digest": _DIGEST, "affine": {"type": "array", "items": row, "minItems": 4, "maxItems": 4},
        "shape": {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 3, "maxItems": 3}}
    if issubclass(kind, LabelVolume):
        fields["segments"] = {"type": "array", "items": schema_of(Segment)}
    return _closed(fields, ["digest", "shape", "affine"])


def _closed(fields: Schema, needed: list[str]) -> Schema:
    return {"type": "object", "properties": fields, "required": needed, "additionalProperties": False}


def _request_schema(task: str, kind: Any) -> Schema:
    schema = schema_of(kind)
    engines = [engine.id for engine in ENGINES.values() if engine.ready and task in engine.tasks]
    schema["properties"] = {"task": {"enum": [task]}, **schema["properties"], "engine": {"enum": engines}}
    schema["required"] = ["task", *schema["required"]]
    schema["description"] = (kind.__doc__ or "").partition("\n")[0]
    return schema


def job_body() -> Schema:
    """The request body of POST /v1/jobs, for the OpenAPI."""
    volumes = {"type": "object", "propertyNames": _DIGEST, "additionalProperties": _DIGEST,
               "description": "For each voxel digest in the request, the sha256 of the blob that holds the volume."}
    requests = {"oneOf": [_request_schema(task, kind) for task, kind in REQUESTS.items()]}
    return {"required": True, "content": {JSON_MEDIA: {
        "schema": _closed({"request": requests, "volumes": volumes}, ["request"])}}}
