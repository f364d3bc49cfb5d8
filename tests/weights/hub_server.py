"""A hub on loopback: speaks enough of the protocol for huggingface_hub, and can be told to misbehave.

HEAD and GET of /REPO/resolve/REVISION/PATH answer with the commit, the hash and the
size, and point to /store/..., which stands for the storage network and knows Range.
Every request is logged.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Asked:
    """One request that came in."""

    method: str
    path: str
    range: str
    authorised: bool


@dataclass
class Hub:
    """What is on the hub, and how it misbehaves."""

    files: dict[str, bytes] = field(default_factory=dict)
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    cuts: int = 0
    dies_after: int | None = None
    announced_size: int | None = None
    announced_hash: str = ""
    sent_length: int | None = None
    surplus: bytes = b""
    spoil: bool = False
    ignore_range: bool = False
    shift_range: int = 0
    without_size: bool = False
    log: list[Asked] = field(default_factory=list)
    url: str = ""

    def ranges(self) -> list[str]:
        """The Range headers that the storage was asked with."""
        return [asked.range for asked in self.log if asked.path.startswith("/store/") and asked.method == "GET"]


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub on a free port of loopback."""

    class Handler(_Handler):
        serves = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    serves: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._note()
        self._resolve()

    def do_GET(self) -> None:
        self._note()
        if self.path.startswith("/store/"):
            self._stored(self.serves.files[self.path.removeprefix("/store/")])
        else:
            self._resolve()

    def _note(self) -> None:
        self.serves.log.append(Asked(self.command, self.path, self.headers.get("Range", ""),
                                     "Authorization" in self.headers))

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def _resolve(self) -> None:
        hub = self.serves
        repo, _, rest = self.path.strip("/").partition("/resolve/")
        for prefix, (status, code) in hub.refuse.items():
            if repo.startswith(prefix) and not (status == 401 and "Authorization" in self.headers and code == "token"):
                self._answer(status, {"X-Error-Code": code} if code else {})
                return
        key = f"{repo}/{rest.partition('/')[2]}"
        if key not in hub.files:
            self._answer(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        content = hub.files[key]
        size = len(content) if hub.announced_size is None else hub.announced_size
        headers = {"X-Repo-Commit": COMMIT, "Location": f"http://localhost:{self.server.server_port}/store/{key}",
                   "X-Linked-Etag": f'"{hub.announced_hash or hashlib.sha256(content).hexdigest()}"',
                   "X-Linked-Size": str(size)}
        if hub.without_size:
            del headers["X-Linked-Size"]
        self._answer(302, headers)

    def _stored(self, content: bytes) -> None:
        hub = self.serves
        if hub.spoil:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = int(self.headers["Range"].removeprefix("bytes=").partition("-")[0]) if "Range" in self.headers else 0
        headers, status = {"ETag": '"x"'}, 200
        if start and not hub.ignore_range:
            start += hub.shift_range
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            content = content[start:]
        if hub.surplus:
            headers["Connection"] = "close"
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content + hub.surplus)
            self.close_connection = True
            return
        self._answer(status, {**headers, "Content-Length": str(len(content) if hub.sent_length is None
                                                               else hub.sent_length)})
        if hub.dies_after is not None or hub.cuts:
            hub.cuts = max(0, hub.cuts - 1)
            self.wfile.write(content[:max(0, hub.dies_after - start) if hub.dies_after else len(content) // 2])
            self.close_connection = True
            return
        self.wfile.write(content)
