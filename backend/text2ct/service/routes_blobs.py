"""Sending images: a blob is put whole or in pieces, and goes to disk as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import anyio
from fastapi import APIRouter, Header, Path, Request, Response

from .blobs import Receiving
from .body import pieces
from .faults import as_json
from .openapi import OFFSET_DOC, refusals
from .ranges import Span, sent_span
from .refusal import Refused
from .running import At, Owner, Running, in_thread
from .wire import JSON_MEDIA, OFFSET_HEADER

router = APIRouter(tags=["blobs"])
Sha = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="sha256 of the blob's bytes")]


@dataclass(frozen=True)
class BlobView:
    """How far a blob is."""

    sha256: str
    offset: int
    complete: bool


@router.head("/blobs/{sha256}", response_class=Response, responses={
    200: {"description": "The blob is complete.", "headers": OFFSET_DOC},
    404: {"description": "It is not, or not wholly.", "headers": OFFSET_DOC}, **refusals(body=False)})
def ask_blob(sha256: Sha, server: At, owner: Owner) -> Response:
    """How many bytes of a blob are here."""
    size = server.blobs.complete(owner, sha256)
    offset = server.blobs.offset(owner, sha256) if size is None else size
    return Response(status_code=404 if size is None else 200, headers={OFFSET_HEADER: str(offset)})


@router.put("/blobs/{sha256}", response_model=BlobView, responses={
    200: {"description": "The blob was complete already.", "model": BlobView, "headers": OFFSET_DOC},
    201: {"description": "The blob is complete now.", "model": BlobView, "headers": OFFSET_DOC},
    202: {"description": "The piece is kept; more are needed.", "model": BlobView, "headers": OFFSET_DOC},
    **refusals(409, 413, 507)},
    openapi_extra={"requestBody": {"required": True, "content": {
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}})
async def put_blob(sha256: Sha, request: Request, server: At, owner: Owner, content_range: Annotated[
        str | None, Header(description="bytes FIRST-LAST/TOTAL")] = None) -> Response:
    """Send a blob, or the next piece of one."""
    span = sent_span(content_range, request.headers.get("content-length"))
    size = await in_thread(server.blobs.complete, owner, sha256)
    if size is not None:
        return _told(200, BlobView(sha256, size, True))
    most = server.options.limits.piece_bytes
    if span.stop - span.start > most:
        raise Refused("too_large", f"This piece has {span.stop - span.start} bytes; send pieces of at most {most}.")
    async with _receiving(server, owner, sha256, span) as receiving:
        said = f"More bytes came than the {span.stop - span.start} that were announced."
        async for piece in pieces(request, span.stop - span.start, said):
            await in_thread(receiving.write, piece)
        offset = receiving.offset
        if offset < span.stop:
            raise Refused("bad_request", f"The piece ended at byte {offset}, not at {span.stop}; send the rest from "
                                         "there.")
    done = offset == span.total
    return _told(201 if done else 202, BlobView(sha256, offset, done))


@asynccontextmanager
async def _receiving(server: Running, owner: str, sha256: str, span: Span) -> AsyncIterator[Receiving]:
    """`Blobs.receive` with its disk work off the event loop; it is left in good order also when we are cancelled."""
    with anyio.CancelScope(shield=True):
        receiving = await in_thread(server.blobs.receive, owner, sha256, span.start, span.total, span.stop - span.start)
        await in_thread(receiving.__enter__)
    try:
        yield receiving
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await in_thread(receiving.__exit__, type(error), error, None)
        raise
    with anyio.CancelScope(shield=True):
        await in_thread(receiving.__exit__, None, None, None)


def _told(status: int, view: BlobView) -> Response:
    return Response(as_json(view), status, {OFFSET_HEADER: str(view.offset)}, JSON_MEDIA)
