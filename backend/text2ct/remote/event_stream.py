"""What happens to a job, as it happens: server-sent events that outlive broken connections.

`follow` reads a job's stream, and when it breaks asks again for what came after the last
event it saw. It says so in a "log" event of its own, and gives up when the server was
away for too long. `in_background` lets somebody wait for events and do other things too.
"""

from __future__ import annotations

import json
import queue
import threading
import typing
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, cast

from ..plain import to_plain
from ..service.wire import FINAL, Event, EventKind, JobView
from .connection import Connection, chunks, understood
from .failures import Unreachable

_KINDS = typing.get_args(EventKind)
_MOST_LINE = 1 << 22


def follow(connection: Connection, job_id: str, after: int = 0) -> Iterator[Event]:
    """The events of a job with numbers above `after`, up to its "end"."""
    last, tries, told = after, connection.tries(), False
    while True:
        try:
            for event in _stream(connection, job_id, last):
                tries.alive()
                told = False
                if event is not None and event.number > last:
                    tries.went_well()
                    last = event.number
                    yield event
                    if event.kind == "end":
                        return
            end = _end_of(connection, job_id, last)
            if end is not None:
                yield end
                return
            lost = Unreachable(f"The server at {connection.url} ended the stream of events; see whether it still runs.",
                               passing=True)
        except Unreachable as error:
            lost = error
        if tries.failing and not told and lost.passing:
            told = True
            yield Event(last, "log", {"line": "The connection to the server was lost; trying again for up to "
                                              f"{connection.patience.gone:.0f} s."})
        tries.failed(lost)


def parse(pieces: Iterable[bytes]) -> Iterator[Event | None]:
    """Events from the bytes of a stream; None for a sign of life without one, kinds not known here are left out."""
    fields: dict[str, str] = {}
    for line in _lines(pieces):
        name, _, value = line.partition(":")
        if line and name:
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and name in fields else value
            continue
        yield None if line else _event(fields)
        if not line:
            fields = {}


def in_background(events: Iterator[Event], tick: float = 0.2) -> Iterator[Event | None]:
    """The same events, read by a thread; None whenever a tick passes without one."""
    arrived: queue.Queue[Event | BaseException | None] = queue.Queue()
    closed = threading.Event()

    def read() -> None:
        try:
            for event in events:
                if closed.is_set():
                    return
                arrived.put(event)
            arrived.put(None)
        except BaseException as error:
            arrived.put(error)

    threading.Thread(target=read, name="text2ct events", daemon=True).start()
    try:
        while True:
            item = None
            with suppress(queue.Empty):
                item = arrived.get(timeout=tick)
                if item is None:
                    return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()


def _stream(connection: Connection, job_id: str, last: int) -> Iterator[Event | None]:
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": str(last)} if last else {})}
    with connection.exchange("GET", f"/v1/jobs/{job_id}/events", headers) as response:
        yield from parse(chunks(response))


def _end_of(connection: Connection, job_id: str, last: int) -> Event | None:
    """The end of a job whose stream had nothing more to say, when it is over."""
    view = understood(JobView, connection.ask("GET", f"/v1/jobs/{job_id}"))
    if view.state not in FINAL:
        return None
    error: dict[str, Any] = {"error": to_plain(view.error)} if view.error else {}
    return Event(last, "end", {"state": view.state, **error})


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")
        if len(rest) > _MOST_LINE:
            raise Unreachable("The server's events are not those of a text2ct server; check the address.")


def _event(fields: dict[str, str]) -> Event | None:
    if "data" not in fields or fields.get("event") not in _KINDS:
        return None
    try:
        number, data = int(fields.get("id", "")), json.loads(fields["data"])
    except (ValueError, RecursionError):
        raise Unreachable("The server sent an event that cannot be read; asking again.", passing=True) from None
    return Event(number, cast(EventKind, fields["event"]), data if isinstance(data, dict) else {})
