"""Fetching what a job made: whole, in ranges, or not at all when the asker has it already."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Header, Response
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse

from .openapi import refusals
from .ranges import Span, asked_span, matches
from .refusal import Refused
from .routes_jobs import JobId
from .running import At, Owner, Running, in_thread
from .wire import CT_MEDIA, FINAL, JSON_MEDIA, LABELS_MEDIA, PartView

router = APIRouter(tags=["results"])
PREVIEW = "preview"
_PIECE = 256 << 10
Part = Annotated[str, InPath(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
_CONTENT = {media: {"schema": {"type": "string", "format": "binary"}} for media in (CT_MEDIA, LABELS_MEDIA)}
_TEXT = {"schema": {"type": "string"}}
_DOC_HEADERS = {"ETag": {"description": "sha256 of the whole part", **_TEXT},
                "Accept-Ranges": {"description": "bytes", **_TEXT}}


@dataclass(frozen=True)
class Held:
    """An open part. Once open it stays readable, though retention may drop it meanwhile."""

    handle: BinaryIO
    part: PartView

    @property
    def etag(self) -> str:
        return f'"{self.part.sha256}"'


@router.get("/jobs/{job_id}/result/{part}", response_class=StreamingResponse, responses={
    200: {"description": "The part.", "headers": _DOC_HEADERS,
          "content": {JSON_MEDIA: {"schema": {"type": "object"}}, **_CONTENT}},
    206: {"description": "The bytes asked for.", "headers": {**_DOC_HEADERS, "Content-Range": _TEXT},
          "content": {JSON_MEDIA: _TEXT, **_CONTENT}},
    304: {"description": "The asker has it already.", "headers": _DOC_HEADERS}, **refusals(404, 416)})
async def get_part(job_id: JobId, part: Part, server: At, owner: Owner,
                   range_: Annotated[str | None, Header(alias="Range")] = None,
                   if_range: Annotated[str | None, Header()] = None,
                   if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """One part of a result: "result" is JSON and lists the others; "preview" is the newest picture of a running job."""
    held = await in_thread(_open, server, job_id, owner, part)
    try:
        headers = {"ETag": held.etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
        if matches(if_none_match, held.etag):
            held.handle.close()
            return Response(status_code=304, headers=headers)
        span = asked_span(range_, if_range, held.etag, held.part.bytes)
        whole = Span(0, held.part.bytes, held.part.bytes)
        headers["Content-Length"] = str((span or whole).stop - (span or whole).start)
        if span is not None:
            headers["Content-Range"] = span.content_range
        return _Sent(held.handle, span or whole, 206 if span else 200, headers, held.part.media)
    except BaseException:
        held.handle.close()
        raise


class _Sent(StreamingResponse):
    """A file in pieces; closed however the sending ends."""

    def __init__(self, handle: BinaryIO, span: Span, status: int, headers: dict[str, str], media: str) -> None:
        super().__init__(_pieces(handle, span), status, headers, media)
        self._handle = handle

    async def __call__(self, scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._handle.close()


async def _pieces(handle: BinaryIO, span: Span) -> AsyncIterator[bytes]:
    await in_thread(handle.seek, span.start)
    left = span.stop - span.start
    while left:
        piece = await in_thread(handle.read, min(left, _PIECE))
        if not piece:
            raise OSError("a part of a result is shorter than its list says")
        left -= len(piece)
        yield piece


def _open(server: Running, job_id: str, owner: str, name: str) -> Held:
    job = server.job(job_id, owner)
    if name == PREVIEW or name.startswith(PREVIEW + "-"):
        found = _preview(server.results.preview(job_id), name)
    else:
        found = _part(server, job_id, name) if job.state == "done" else None
    if found is None:
        said = f"There is no part '{name}' in this result." if job.state == "done" else \
            f"This job has no result; it is {job.state}." if job.state in FINAL else \
            f"This job is {job.state}; there is no part '{name}' yet."
        raise Refused("not_found", said)
    return found


def _part(server: Running, job_id: str, name: str) -> Held | None:
    found = server.results.part(job_id, name)
    try:
        return Held(found[0].open("rb"), found[1]) if found else None
    except FileNotFoundError:
        return None  # retention was faster


def _preview(path: Path | None, name: str) -> Held | None:
    """A preview has no list to stand in; it is small, so it is hashed now."""
    if path is None or name not in (PREVIEW, path.stem):
        return None
    try:
        handle = path.open("rb")
    except FileNotFoundError:
        return None
    sha, size = hashlib.sha256(), 0
    while piece := handle.read(_PIECE):
        sha.update(piece)
        size += len(piece)
    return Held(handle, PartView(name, CT_MEDIA, size, sha.hexdigest()))
