"""What the server says about itself."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Response

from .. import __version__
from .capabilities import Capabilities
from .faults import as_json
from .metrics import METRICS_MEDIA, metrics_text
from .openapi import refusals
from .running import At
from .wire import JSON_MEDIA, WIRE_VERSION

router = APIRouter(tags=["server"])
_METRICS_DOC = {200: {"description": "Numbers in Prometheus' text format.",
                      "content": {"text/plain": {"schema": {"type": "string"}}}}, **refusals()}


@dataclass(frozen=True)
class Health:
    """That the server is there; for everybody."""

    status: str
    version: str
    wire: int
    needs_key: bool


@router.get("/v1/health", response_model=Health, responses=refusals(always=(400, 422, 500)))
async def health(server: At) -> Response:
    """Whether the server answers, and which versions it speaks. Needs no key."""
    return Response(as_json(Health("ok", __version__, WIRE_VERSION, server.door.needs_key)), media_type=JSON_MEDIA)


@router.get("/v1/capabilities", response_model=Capabilities, responses=refusals())
def capabilities(server: At) -> Response:
    """Engines, weights, limits, devices."""
    return Response(as_json(server.abilities.now()), media_type=JSON_MEDIA)


@router.get("/metrics", responses=_METRICS_DOC)
@router.get("/v1/metrics", responses=_METRICS_DOC, include_in_schema=False)
def metrics(server: At) -> Response:
    """Numbers for Prometheus."""
    return Response(metrics_text(server), media_type=METRICS_MEDIA)
