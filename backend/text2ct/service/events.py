"""The stream of a job's events, as server-sent events.

A stream holds one batch of events at a time. It sends them one after the other, and
each send waits until the client has room; only then is the store asked for more. A
client that reads one byte a second so costs one small batch and one bounded buffer,
and the store is held by nobody. When nothing happens a comment is sent now and then,
which tells both sides that the other is still there.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import get_args

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from .refusal import Refused
from .running import Running, in_thread
from .wire import FINAL, Event, EventKind

EVENT_MEDIA = "text/event-stream"
EVENT_SCHEMA = {  # of one event, as its fields stand on the wire; "data" is a JSON object
    "type": "object", "required": ["id", "event", "data"], "additionalProperties": False, "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"}, "event": {"enum": list(get_args(EventKind))},
        "data": {"type": "string", "contentMediaType": "application/json"}}}
HEARTBEAT_S = 10.0
BATCH = 64
_STILL_HERE = b": alive\n\n"
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)


class EventStream(StreamingResponse):
    """The answer; it takes one of its owner's places only while it is really being sent."""

    media_type = EVENT_MEDIA

    def __init__(self, server: Running, job_id: str, owner: str, after: int) -> None:
        super().__init__(event_frames(server, job_id, after), headers={"X-Accel-Buffering": "no"})
        self._server, self._owner = server, owner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._server.streams.one(self._owner):
            await super().__call__(scope, receive, send)


async def event_frames(server: Running, job_id: str, after: int) -> AsyncIterator[bytes]:
    """Events above `after`, then those to come, up to "end"."""
    yield _STILL_HERE
    with server.bell.listening(job_id) as listener:
        while not server.bell.closed:
            over, events = await in_thread(_look, server, job_id, after)
            for event in events:
                yield frame(event)
                after = event.number
                if event.kind == "end":
                    return
            if over and not events:
                return
            if not events and not await listener.wait(HEARTBEAT_S):
                yield _STILL_HERE


def _look(server: Running, job_id: str, after: int) -> tuple[bool, list[Event]]:
    """Whether the job is over (or forgotten), and the next events. In this order: the end may come in between."""
    job = server.store.get(job_id)
    return job is None or job.state in FINAL, server.store.events(job_id, after, BATCH)


def frame(event: Event) -> bytes:
    """One event on the wire. JSON in ASCII has no line breaks, so one data line always does."""
    data = json.dumps(event.data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return f"id: {event.number}\nevent: {event.kind}\ndata: {data}\n\n".encode()


def last_event_id(header: str | None) -> int:
    """The number that a client has seen last; 0 when it has seen none."""
    if header is None or header == "":
        return 0
    if not _NUMBER.fullmatch(header):
        raise Refused("bad_request", "Last-Event-ID must be the number of an event of this stream.")
    return int(header)
