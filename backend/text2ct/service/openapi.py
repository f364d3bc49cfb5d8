"""What the generated OpenAPI says beyond the routes: every refusal, the key, the headers of every answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from .faults import RefusalBody
from .wire import OFFSET_HEADER, VERSION_HEADER

Responses: TypeAlias = dict[int | str, dict[str, Any]]
PATH = "/v1/openapi.json"
OFFSET_DOC = {OFFSET_HEADER: {"description": "How many bytes of the blob are here.", "required": True,
                              "schema": {"type": "string", "pattern": "^[0-9]+$"}}}
_REFUSALS = {
    400: "Another version of the wire format, or not HTTP.", 401: "No key, a wrong or a revoked one.",
    404: "No such thing for this key.", 409: "It does not fit what is there.", 413: "Over a limit.",
    416: "The range lies outside.", 422: "It makes no sense; the sentence says why.",
    429: "Too much or too often; Retry-After says when to come again.", 500: "A defect of the server.",
    507: "The server's disk or this key's share of it is full."}
_ALWAYS = (400, 401, 422, 429, 500)
_WAIT = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}}
_BEARER = {"WWW-Authenticate": {"description": "Bearer.", "schema": {"type": "string"}}}
_INTRODUCTION = """Requests to text2ct, run in order and kept through restarts.
Every refusal is {"error": {"code", "message", "id"}}; the id finds the details in the server's log."""


def refusals(*more: int, body: bool = True, always: tuple[int, ...] = _ALWAYS) -> Responses:
    """The refusals of a route: those that any may give, and `more`."""
    said: Responses = {}
    for status in sorted({*always, *more}):
        headers = _WAIT if status in (429, 507) else _BEARER if status == 401 else {}
        said[status] = {"description": _REFUSALS[status], **({"headers": headers} if headers else {}),
                        **({"model": RefusalBody} if body else {})}
    return said


def describer(app: FastAPI, needs_key: bool) -> Callable[[], dict[str, Any]]:
    """What FastAPI calls for the schema; made once."""
    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(get_openapi(
                title="text2ct", version=app.version, description=_INTRODUCTION, routes=app.routes), needs_key)
        return app.openapi_schema
    return openapi


def _completed(schema: dict[str, Any], needs_key: bool) -> dict[str, Any]:
    components = schema.setdefault("components", {})
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    components.get("schemas", {}).pop("HTTPValidationError", None)
    components.get("schemas", {}).pop("ValidationError", None)
    version = {"description": "The version of the wire format.", "required": True, "schema": {"type": "string"}}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            operation["security"] = [] if path.endswith("/health") or not needs_key else [{"key": []}]
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _never_null(parameter["schema"])
            for answer in operation["responses"].values():
                answer.setdefault("headers", {})[VERSION_HEADER] = version
    return schema


def _never_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter may be left out; it cannot be null, which the type hints of Python say by the same word."""
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    return {**kinds[0], **{k: v for k, v in schema.items() if k != "anyOf"}} if len(kinds) == 1 else schema
