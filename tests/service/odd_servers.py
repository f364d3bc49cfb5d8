"""Real HTTP on loopback that is not as it should be: other programs, old versions, broken and silent ones.

`answering` serves what a function writes; `FlakyProxy` stands before a real service and
breaks connections where a rule says so.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]
WIRE = {"Text2CT-Wire": "1"}


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """The address of a server that answers every request so."""
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with suppress(OSError):
                answer(self)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: object) -> None:
            """Says nothing."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] = WIRE) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(body)


@contextmanager
def saying_raw(data: bytes) -> Iterator[str]:
    """The address of a server that sends these bytes to whoever connects, and closes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with closing(connection), suppress(OSError):
                connection.recv(65536)
                connection.sendall(data)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Cut:
    """Break a connection whose request begins so, after so many further bytes up or down; so often."""

    request: str
    up: int | None = None
    down: int | None = None
    times: int = 1
    silent: bool = False


@dataclass
class FlakyProxy:
    """A TCP proxy before a service. `seen` are the first lines of all requests, `up` and `down` the bytes passed."""

    target: tuple[str, int]
    cuts: list[Cut] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    up: int = 0
    down: int = 0

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> FlakyProxy:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._open:
                _end(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self.target, timeout=10)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open += [client, server]
            budget: dict[str, Cut] = {}
            threading.Thread(target=self._pump, args=(client, server, budget, "up"), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, budget, "down"), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, budget: dict[str, Cut], way: str) -> None:
        left: int | None = None
        with suppress(OSError):
            while data := source.recv(16384):
                if way == "up":
                    self._note(data, budget)
                cut = budget.get("cut")
                limit = getattr(cut, way) if cut else None
                if limit is not None:
                    left = limit if left is None else left
                    sink.sendall(data[:left])
                    self._count(way, len(data[:left]))
                    left -= len(data[:left])
                    if left <= 0 and cut is not None:
                        if cut.silent:
                            threading.Event().wait(3)
                        break
                    continue
                sink.sendall(data)
                self._count(way, len(data))
        _end(source)
        _end(sink)

    def _note(self, data: bytes, budget: dict[str, Cut]) -> None:
        line = re.match(rb"(?:GET|PUT|POST|HEAD|DELETE) \S+", data)
        if line is None:
            return
        text = line[0].decode()
        with self._lock:
            self.seen.append(text)
            for cut in self.cuts:
                if cut.times > 0 and re.match(cut.request, text):
                    cut.times -= 1
                    budget["cut"] = cut
                    return

    def _count(self, way: str, amount: int) -> None:
        with self._lock:
            setattr(self, way, getattr(self, way) + amount)


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        one.close()
