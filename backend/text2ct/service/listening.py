"""The socket, and patience with those who connect to it.

uvicorn speaks HTTP; what it leaves open is added here. A connection that does not
finish its headers in time, or takes nothing of an answer for long, is cut, so that
slow or dead clients hold neither memory nor descriptors; what the transport buffers
for one of them is bounded by uvicorn's high-water mark. Bytes that are no HTTP get the
same kind of refusal as everything else. Signals stop the server in good order and are
not raised again; off the main thread there are none, and `should_exit` does the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any

import h11
from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import Unavailable
from .bell import Bell
from .faults import refusal
from .options import Options
from .wire import VERSION_HEADER, WIRE_VERSION

HEADER_S = 30.0
STALL_S = 120.0
MOST_CONNECTIONS = 1000
GRACE_S = 3


class Connection(H11Protocol):
    """One client's connection."""

    _headers_due: asyncio.TimerHandle | None = None
    _taking_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override,unused-ignore]
        super().connection_made(transport)
        # asyncio does this only for sockets that name their protocol. Without it the second packet of an answer
        # waits until the client has acknowledged the first, which takes it 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self._watch_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for handle in (self._headers_due, self._taking_due):
            if handle is not None:
                handle.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taking_due = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._taking_due is not None:
            self._taking_due.cancel()
            self._taking_due = None

    def send_400_response(self, msg: str) -> None:
        answer = refusal("bad_request", "This is not HTTP as this server understands it.", "connection", status=400)
        headers = {**answer.headers, "Content-Length": str(len(answer.body)), "Connection": "close",
                   VERSION_HEADER: str(WIRE_VERSION)}
        event = h11.Response(status_code=answer.status, headers=list(headers.items()), reason=b"Bad Request")
        with contextlib.suppress(h11.LocalProtocolError):  # an answer is already under way: only close
            for part in (event, h11.Data(data=answer.body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(part) or b"")
        self.transport.close()

    def _watch_headers(self) -> None:
        """Time runs while we wait for the head of a request, not while one is served."""
        waiting = self.conn.their_state is h11.IDLE
        if waiting and self._headers_due is None:
            self._headers_due = self.loop.call_later(HEADER_S, self._cut)
        elif not waiting and self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def _cut(self) -> None:
        self._headers_due = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.abort()


class HttpServer(Server):
    """uvicorn's server; says when it answers, and lets event streams end before it waits for them."""

    def __init__(self, config: Config, bell: Bell, answering: Callable[[], None]) -> None:
        super().__init__(config)
        self._bell = bell
        self._answering = answering

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._answering()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._bell.close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGBREAK] if hasattr(signal, "SIGBREAK") else [])]
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def http_config(app: Any, options: Options) -> Config:
    """uvicorn as we use it: no access log, no banner, no websockets, no header of a proxy believed."""
    return Config(app, http=Connection, ws="none", loop="asyncio", lifespan="on", log_config=None,
                  log_level="critical", access_log=False, server_header=False, proxy_headers=False,
                  timeout_keep_alive=15, timeout_graceful_shutdown=GRACE_S, backlog=256,
                  ssl_certfile=options.cert, ssl_keyfile=options.cert_key)


def listen(options: Options) -> socket.socket:
    """The bound socket, or one sentence."""
    try:
        family, _, _, _, address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=256)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Unavailable(f"The port {options.port} is taken by another program; choose another one with "
                              "--port.") from error
        what = error.strerror or str(error)
        raise Unavailable(f"The server cannot listen on {options.host} port {options.port} ({what}); choose another "
                          "--host or --port.") from error


def allow_descriptors() -> None:
    """Each connection takes a descriptor, and each file that is sent; systems often give 1024 until more are wanted."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * MOST_CONNECTIONS + 500
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def address_of(bound: socket.socket, options: Options) -> str:
    """The URL by which this machine reaches the server."""
    host, port = bound.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if options.tls else 'http'}://{name}:{port}"
