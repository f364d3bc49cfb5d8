"""The body of a request, read with a limit and with limited patience; what a client announces is not trusted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request

from .refusal import Refused

PATIENCE_S = 60.0
PIECE = 1 << 20


async def pieces(request: Request, most: int, too_large: str) -> AsyncIterator[bytes]:
    """The body in pieces of about a megabyte, or Refused as soon as it is longer than `most`."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused("bad_request", "Send the body as it is, without Content-Encoding.")
    gathered, taken, stream = bytearray(), 0, aiter(request.stream())
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), PATIENCE_S)
        except StopAsyncIteration:
            break
        except (asyncio.TimeoutError, TimeoutError):
            raise Refused("bad_request", "The rest of the body did not come in time; send it again.") from None
        taken += len(chunk)
        if taken > most:
            raise Refused("too_large", too_large)
        gathered += chunk
        if len(gathered) >= PIECE:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


async def whole(request: Request, most: int) -> bytes:
    """A short body."""
    said = f"The body is longer than this server's limit of {most} bytes."
    return b"".join([piece async for piece in pieces(request, most, said)])
