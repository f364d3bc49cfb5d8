"""What every request passes before any route sees it, and every answer on its way out.

In: the Host header must be a name of this server (a web page whose name was pointed at
it is so kept out), no page of another origin may ask, the wire version must be ours, and
the key must be right. Out: security headers, and an orderly end when a body was refused
unread: the rest is read and thrown away for a moment, so that the client, still
sending, hears why instead of meeting a broken connection.

This is plain ASGI around the application, so that nothing inside can forget it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .door import Door
from .faults import Answer, answer_to
from .log import report_defect
from .options import LOOPBACK, Options
from .refusal import Refused
from .tally import Tally
from .wire import VERSION_HEADER, WIRE_VERSION

HEALTH = "/v1/health"
_LINGER_S = 5.0
_HEADERS = (
    (b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"), (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"same-origin"), (b"cache-control", b"no-store"),
    (VERSION_HEADER.lower().encode(), str(WIRE_VERSION).encode()))
_TLS_ONLY = ((b"strict-transport-security", b"max-age=31536000"),)


class Guard:
    """The outermost layer."""

    def __init__(self, app: ASGIApp, door: Door, tally: Tally, options: Options) -> None:
        self._app = app
        self._door = door
        self._tally = tally
        self._proxy = options.behind_proxy
        self._names = {name.lower() for name in (*LOOPBACK, options.host, *options.hosts)}
        self._headers = _HEADERS + (_TLS_ONLY if options.tls else ())
        self._most_linger = options.limits.piece_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send, self._headers, self._most_linger, self._tally)
        try:
            scope.setdefault("state", {})["owner"] = self._admit(scope)
        except Exception as error:
            await exchange.answer(answer_to(error, "at the door"))
            return
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            if not exchange.ended:
                report_defect("an answer broke off", error, str(error))
                raise

    def _admit(self, scope: Scope) -> str:
        """Whose request this is."""
        host = _only(scope, b"host")
        if host is None or host_name(host) not in self._names:
            raise Refused("bad_request", "This server is not called by that name; who runs it can allow a name with "
                                         "--allow-host NAME.")
        origin = _only(scope, b"origin")
        if origin is not None and _origin_name(origin) not in self._names:
            raise Refused("bad_request", "Web pages of other origins may not ask this server.")
        if scope["path"] == HEALTH:
            return ""
        version = _only(scope, VERSION_HEADER.lower().encode())
        if version is not None and version != str(WIRE_VERSION):
            raise Refused("version", f"You speak version {version[:20]!a} of the wire format and this server version "
                                     f"{WIRE_VERSION}; update the older side.")
        return self._door.owner(_all(scope, b"authorization"), self._address(scope))

    def _address(self, scope: Scope) -> str:
        """Where a request comes from. Of what a proxy forwards only the last entry is the proxy's own word."""
        forwarded = _all(scope, b"x-forwarded-for") if self._proxy else []
        if forwarded:
            return forwarded[-1].decode("latin-1").rpartition(",")[2].strip()
        return str(scope["client"][0]) if scope.get("client") else ""


class Exchange:
    """One request and its answer, on their way through the guard."""

    def __init__(self, scope: Scope, receive: Receive, send: Send,
                 headers: tuple[tuple[bytes, bytes], ...], most_linger: int, tally: Tally) -> None:
        self._receive, self._send, self._tally = receive, send, tally
        self._headers, self._most_linger = headers, most_linger
        self._unread = bool(_all(scope, b"transfer-encoding")) or _only(scope, b"content-length") not in (None, "0")
        self._waits = bool(_all(scope, b"expect"))  # the client sends its body only once it is asked for
        self.ended = False

    async def receive(self) -> Message:
        self._waits = False
        message = await self._receive()
        if message["type"] == "http.request":
            self._unread = bool(message.get("more_body", False))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._tally.note(message["status"])
            own = {name.lower() for name, _ in message["headers"]}
            added = [pair for pair in self._headers if pair[0] not in own]
            if self._unread:
                added.append((b"connection", b"close"))
            message = {**message, "headers": [*message["headers"], *added]}
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self.ended = True
            if self._unread and not self._waits:
                await self._send({**message, "more_body": True})
                await self._linger()
                message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def answer(self, answer: Answer) -> None:
        headers = {**answer.headers, "Content-Length": str(len(answer.body))}
        await self.send({"type": "http.response.start", "status": answer.status,
                         "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()]})
        await self.send({"type": "http.response.body", "body": answer.body})

    async def _linger(self) -> None:
        with suppress(asyncio.TimeoutError, TimeoutError):
            await asyncio.wait_for(self._discard(), _LINGER_S)

    async def _discard(self) -> None:
        left = self._most_linger
        while self._unread and left > 0:
            message = await self.receive()
            if message["type"] != "http.request":
                return
            left -= len(message.get("body", b""))


def host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _origin_name(origin: str) -> str:
    return host_name(origin.partition("://")[2])


def _all(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]


def _only(scope: Scope, name: bytes) -> str | None:
    """The header's text; a header that stands there twice is no text at all."""
    values = _all(scope, name)
    return None if not values else values[0].decode("latin-1") if len(values) == 1 else "\0"
