"""Files to and from a service: in pieces, taken up where a broken connection left them, checked by sha256."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from ..errors import BadRequest
from ..service.parcels import file_sha256
from ..service.wire import OFFSET_HEADER, PartView
from .connection import Connection, chunks
from .failures import Conflict, ServiceError, Unreachable

PIECE = 8 << 20
OnBytes: TypeAlias = Callable[[int, int], None]


def upload(connection: Connection, file: Path, sha: str, on_bytes: OnBytes) -> None:
    """Bring a file to the service, unless it is there; `on_bytes` hears (bytes there, bytes in all)."""
    size, path, tries, anew = file.stat().st_size, f"/v1/blobs/{sha}", connection.tries(), False
    with file.open("rb") as stream:
        start = _there(connection, path, size)
        while True:
            on_bytes(start, size)
            if start >= size:
                return
            try:
                start = _send(connection, path, stream, start, size)
                tries.went_well()
            except BadRequest:
                if anew or start == 0:
                    raise
                start, anew = 0, True  # what the server had of it was damaged, by a power failure say
            except (Unreachable, Conflict) as error:
                tries.failed(error)
                start = _there(connection, path, size)


def download(connection: Connection, path: str, part: PartView, file: Path, on_bytes: OnBytes) -> None:
    """Fetch a part of a result into a file; what arrives damaged is fetched once more."""
    for _ in range(2):
        file.write_bytes(b"")
        _fetch(connection, path, part, file, on_bytes)
        if file_sha256(file) == part.sha256:
            return
    raise ServiceError(f"The part '{part.name}' of the result arrived damaged twice; something between here and the "
                       "server changes it.")


def _there(connection: Connection, path: str, size: int) -> int:
    """How many bytes of a file the service already has."""
    def ask() -> int:
        with connection.exchange("HEAD", path, also=(404,)) as response:
            said = response.headers.get(OFFSET_HEADER, "0")
            if response.status_code != 404:
                return size
            return min(int(said), size - 1) if re.fullmatch(r"\d{1,15}", said) else 0
    return connection.patiently(ask)


def _send(connection: Connection, path: str, stream: io.BufferedReader, start: int, size: int) -> int:
    """Send the piece that begins at `start`; how many bytes are there after it."""
    stream.seek(start)
    piece = stream.read(PIECE)
    end = start + len(piece)
    headers = {"Content-Range": f"bytes {start}-{end - 1}/{size}", "Content-Type": "application/octet-stream"}
    # As a stream: `requests` would give one block of bytes a single time limit, however slow the line is.
    with connection.exchange("PUT", path, headers, io.BytesIO(piece)) as response:
        return size if response.status_code != 202 else end


def _fetch(connection: Connection, path: str, part: PartView, file: Path, on_bytes: OnBytes) -> None:
    tries, done = connection.tries(), 0
    while done < part.bytes:
        on_bytes(done, part.bytes)
        try:
            with connection.exchange("GET", path, {"Range": f"bytes={done}-"}) as response, file.open("r+b") as target:
                done = done if response.status_code == 206 else 0
                target.seek(done)
                for piece in chunks(response):
                    done += target.write(piece[:part.bytes - done])
                    tries.went_well()
                    on_bytes(done, part.bytes)
            if done < part.bytes:
                raise Unreachable(f"The part '{part.name}' of the result was cut off; see whether the server is well.",
                                  passing=True)
        except Unreachable as error:
            tries.failed(error)
