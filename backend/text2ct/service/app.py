"""The HTTP application: routes inside, the guard around them, and one shape for every refusal.

How the parts run together. The HTTP process has one event loop. It reads, judges and
sends; whatever waits for disk or store runs in one of a few threads. The supervisor has
threads of its own, which change the store and then ring the bell; an event stream that
hears it looks into the store again. Nothing here imports torch: engines run in workers.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp

from .. import __version__
from ..errors import BadInput
from . import openapi, routes_blobs, routes_jobs, routes_results, routes_server
from .bell import Bell
from .blobs import Blobs
from .capabilities import Abilities
from .door import Door, KeyRing
from .faults import Answer, answer_to, refusal
from .guard import Guard
from .options import Options
from .refusal import Refused
from .results import Results
from .running import Running, Streams
from .store import Store
from .supervisor import Supervisor
from .tally import Tally
from .wire import Code

_THREADS = 16
_ROUTERS = (("", routes_server.router), ("/v1", routes_blobs.router), ("/v1", routes_jobs.router),
            ("/v1", routes_results.router))
_HTTP_CODES: dict[int, Code] = {404: "not_found", 413: "too_large"}
_HTTP_SENTENCES = {404: f"There is nothing at this address; {openapi.PATH} lists what there is.",
                   405: f"This address does not take that method; {openapi.PATH} lists what it takes."}


def make_app(options: Options, store: Store, blobs: Blobs, results: Results, keys: KeyRing, supervisor: Supervisor,
             bell: Bell) -> FastAPI:
    """The application over the parts of a server. The caller starts and stops the supervisor."""
    door, tally = Door(options, keys), Tally()
    app = _Guarded(title="text2ct", version=__version__, openapi_url=openapi.PATH, docs_url=None, redoc_url=None,
                   redirect_slashes=False, lifespan=_lifespan)
    app.around = lambda inner: Guard(inner, door, tally, options)
    app.state.running = Running(options, store, blobs, results, keys, supervisor, bell, door,
                                Streams(options.limits.event_streams_a_key), Abilities(options, supervisor), tally)
    for prefix, router in _ROUTERS:
        app.include_router(router, prefix=prefix)
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        Refused: _failed, BadInput: _failed, Exception: _failed, HTTPException: _http_failed,
        RequestValidationError: _not_valid, ClientDisconnect: _gone}
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    app.openapi = openapi.describer(app, door.needs_key)  # type: ignore[method-assign]
    return app


class _Guarded(FastAPI):
    """The guard stands outside of all of the framework, so that its answers to defects pass it too."""

    around: Callable[[ASGIApp], Guard]

    def build_middleware_stack(self) -> ASGIApp:
        return self.around(super().build_middleware_stack())


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = _THREADS
    yield


async def _failed(request: Request, error: Exception) -> Response:
    return _response(answer_to(error, _where(request), getattr(request.state, "private", "")))


async def _http_failed(request: Request, error: HTTPException) -> Response:
    status = error.status_code
    code: Code = _HTTP_CODES.get(status, "bad_request")
    said = _HTTP_SENTENCES.get(status, "This request cannot be understood.")
    allow = {"Allow": _allowed(request.url.path) or (error.headers or {}).get("Allow", "")} if status == 405 else {}
    return _response(refusal(code, said, request.method, status, allow))


def _allowed(path: str) -> str:
    """All methods of an address; the framework itself names only those of the first route that fits."""
    scope = {"type": "http", "method": "", "root_path": ""}
    fitting = (route for prefix, router in _ROUTERS for route in router.routes if path.startswith(prefix)
               and route.matches({**scope, "path": path[len(prefix):]})[0] is not Match.NONE)
    return ", ".join(sorted({method for route in fitting for method in getattr(route, "methods", ())}))


async def _not_valid(request: Request, error: RequestValidationError) -> Response:
    """The first thing that is wrong with the parameters, without quoting what was sent."""
    first = error.errors()[0]
    place = " ".join(str(step) for step in first["loc"] if isinstance(step, (str, int)))
    return _response(refusal("bad_request", f"The {place} is wrong: {first['msg']}.", _where(request)))


async def _gone(request: Request, error: Exception) -> Response:
    """The client left while it was sending; nobody reads this."""
    return Response(status_code=400)


def _where(request: Request) -> str:
    """The route's pattern, not the path that was sent: that could say anything."""
    return f"{request.method} {getattr(request.scope.get('route'), 'path', '-')}"


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)
