"""One service, spoken to over HTTP: where it is, how long to wait for it, and what its answers mean.

`Connection` is the only place that uses `requests`. Each exchange asks anew where the
service is: a local one that was started again has another port and another key, and
nobody above needs to know. No redirect is followed, so that a key goes nowhere else; the
settings of proxies are not used for this very machine.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3

from .. import __version__
from ..errors import BadInput, BadRequest
from ..plain import from_plain
from ..service.wire import JSON_MEDIA, VERSION_HEADER, WIRE_VERSION
from .failures import ServiceError, Unreachable, VersionMismatch, network_failure, refusal

T = TypeVar("T")
_MOST_JSON = 64 << 20
_CHUNK = 1 << 14  # what a broken connection costs at most: `requests` drops a chunk that it could not fill
_NETWORK = (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException)
_OF_A_PROXY = (408, 502, 503, 504)


@dataclass(frozen=True)
class Patience:
    """How many seconds to wait: for a connection, for the next bytes, for a server that is gone.

    `first` is for one that never answered yet: most likely the address is wrong.
    """

    connect: float = 10.0
    silence: float = 45.0
    gone: float = 120.0
    first: float = 3.0
    cancel: float = 20.0


@dataclass(frozen=True)
class Address:
    """Where a service is and what opens it. `verify` may name a file with certificates to trust."""

    url: str
    key: str = field(default="", repr=False)
    verify: bool | str = True

    @classmethod
    def checked(cls, url: str, key: str = "", verify: bool | str = True, unprotected: bool = False) -> Address:
        """An address that can be used, or a sentence; off this machine only with TLS."""
        try:
            parts = urlsplit(url.strip())
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.query or parts.fragment or parts.username is not None:
            raise BadInput(f"'{url[:80]}' is no address of a server; write for example https://gpu.example.org:8042.")
        key = key.strip()
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise BadInput("The key holds characters that no key has; copy it again.")
        if parts.scheme == "http" and not _is_this_machine(parts.hostname or "") and not unprotected:
            raise BadInput(f"Reports and images would go to {parts.hostname} unprotected; use https://, or a tunnel "
                           "that ends at 127.0.0.1.")
        if isinstance(verify, str) and not Path(verify).exists():
            raise BadInput(f"There is no certificate {verify}; check the name of the file.")
        return cls(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", key, verify)

    @property
    def is_this_machine(self) -> bool:
        return _is_this_machine(urlsplit(self.url).hostname or "")


class Tries:
    """Back-off between tries, until nothing has gone well for so many seconds."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since: float | None = None
        self._pause = 0.1

    @property
    def failing(self) -> bool:
        return self._since is not None

    def went_well(self) -> None:
        self._since, self._pause = None, 0.1

    def alive(self) -> None:
        """A sign of life, but nothing done yet: patience begins anew, the pauses stay as long as they are."""
        self._since = None

    def failed(self, error: ServiceError) -> None:
        """Wait before the next try; raise the error when it will not pass, or patience is at its end."""
        if isinstance(error, Unreachable) and not error.passing:
            raise error
        if self._since is None:
            self._since = time.monotonic()
        left = self._since + self._patience - time.monotonic()
        if left <= 0:
            raise type(error)(f"{error} Tried for {self._patience:.0f} s.") from None
        time.sleep(min(left, self._pause * random.uniform(0.7, 1.3)))
        self._pause = min(2 * self._pause, 5.0)


class Connection:
    """A service as seen from here. Every failure comes out as one of `failures`."""

    def __init__(self, where: Callable[[], Address], patience: Patience) -> None:
        self.patience = patience
        self._where = where
        self._session = requests.Session()
        self._session.auth = lambda request: request  # our own header stands; none is taken from a .netrc file
        self._met = False

    @property
    def url(self) -> str:
        return self._where().url

    def close(self) -> None:
        self._session.close()

    def tries(self) -> Tries:
        return Tries(self.patience.gone if self._met else self.patience.first)

    def patiently(self, action: Callable[[], T]) -> T:
        """The action, repeated while the server is away. It must be one that may be done twice."""
        tries = self.tries()
        while True:
            try:
                return action()
            except Unreachable as error:
                tries.failed(error)

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """One question, its answer a JSON object; asked again while the server is away."""
        return self.patiently(lambda: self._ask_once(method, path, body, headers or {}))

    @contextmanager
    def exchange(self, method: str, path: str, headers: Mapping[str, str] | None = None,
                 body: bytes | BinaryIO | None = None, also: tuple[int, ...] = ()) -> Iterator[requests.Response]:
        """One exchange, once. Statuses of refusal raise, but those in `also`."""
        address = self._where()
        sent = {VERSION_HEADER: str(WIRE_VERSION), "User-Agent": f"text2ct/{__version__}",
                "Accept-Encoding": "identity", **(headers or {})}
        if address.key:
            sent["Authorization"] = f"Bearer {address.key}"
        self._session.trust_env = not address.is_this_machine
        try:
            response = self._session.request(
                method, address.url + path, headers=sent, data=body, verify=address.verify, stream=True,
                timeout=(self.patience.connect, self.patience.silence), allow_redirects=False)
        except (*_NETWORK, OSError, UnicodeError) as error:
            raise network_failure(error, address.url) from None
        try:
            with response:
                _judge(response, address, also, self._met)
                self._met = True
                yield response
        except _NETWORK as error:
            raise network_failure(error, address.url) from None

    def _ask_once(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> dict[str, Any]:
        data = None
        if body is not None:
            headers = {**headers, "Content-Type": JSON_MEDIA}
            data = json_bytes(body)
        with self.exchange(method, path, headers, data) as response:
            text = read_most(response, _MOST_JSON)
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise Unreachable(f"The answer of the server at {self.url} is no JSON object; see whether it is well.",
                              passing=True)
        return answer


def json_bytes(body: Any) -> bytes:
    """A value as JSON in UTF-8; half a character (a lone surrogate) is a sentence."""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise BadRequest("The request holds a text with half a character; type it again.") from None


def chunks(response: requests.Response) -> Iterator[bytes]:
    """The body as it arrives; without HTTP's own chunks it would otherwise wait for a full one."""
    yield from response.iter_content(_CHUNK if "Content-Length" in response.headers or _is_chunked(response) else 1)


def read_most(response: requests.Response, most: int) -> bytes:
    """The whole body, refused when it is longer than it can sensibly be."""
    body = bytearray()
    for piece in chunks(response):
        body += piece
        if len(body) > most:
            raise Unreachable("The server's answer does not end; see whether the address is right.")
    return bytes(body)


def understood(kind: type[T], plain: Any) -> T:
    """A value of the wire; what cannot be read is the server's fault, not the asker's."""
    try:
        return from_plain(kind, plain)
    except BadRequest as error:
        raise ServiceError(f"The server's answer was not understood ({error}) It may be of another version.") from None


def _judge(response: requests.Response, address: Address, also: tuple[int, ...], met: bool) -> None:
    status, wire = response.status_code, response.headers.get(VERSION_HEADER)
    if wire is None:
        if status in _OF_A_PROXY:
            raise Unreachable(f"The server at {address.url} is away, says the proxy before it (HTTP {status}); "
                              "see whether it runs.", passing=True)
        # From a server that was one before, this is a head that broke off: its lost lines are not missed by HTTP.
        raise Unreachable(f"Something answers at {address.url} (HTTP {status}), but it is no text2ct server; "
                          "check the address.", passing=met)
    if wire != str(WIRE_VERSION):
        raise VersionMismatch(f"The server at {address.url} speaks version {wire[:20]} of the wire format, this "
                              f"text2ct {__version__} speaks version {WIRE_VERSION}; update the older of the two.")
    if not (200 <= status < 300 or status in also):
        raise refusal(status, read_most(response, 1 << 20), address.url, bool(address.key))


def _is_chunked(response: requests.Response) -> bool:
    return "chunked" in response.headers.get("Transfer-Encoding", "").lower()


def _is_this_machine(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
