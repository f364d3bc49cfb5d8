"""Which bytes of a file an HTTP request is about: Range, If-Range, If-None-Match, Content-Range.

Pure functions from header texts to numbers. A Range that cannot be read is ignored, as
HTTP has it, and so is one of several parts: the answer is then the whole file. One that
lies outside the file is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .refusal import Refused

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)


class Unsatisfiable(Refused):
    """A range that begins behind the end of the file: HTTP has a status of its own for it."""

    def __init__(self, size: int) -> None:
        super().__init__("bad_request", f"The range lies outside this part, which has {size} bytes.")
        self.size = size

    @property
    def status(self) -> int:
        return 416


@dataclass(frozen=True)
class Span:
    """Bytes start <= n < stop of `total`."""

    start: int
    stop: int
    total: int

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.stop - 1}/{self.total}"


def asked_span(header: str | None, if_range: str | None, etag: str, size: int) -> Span | None:
    """The part that a GET asks for; None for the whole."""
    if header is None or (if_range is not None and if_range.strip() != etag):
        return None
    found = _RANGE.fullmatch(header.strip())
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size:
        raise Unsatisfiable(size)
    return Span(start, stop, size)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the asker already has these bytes."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags


def sent_span(header: str | None, length: str | None) -> Span:
    """Where the bytes of a PUT belong: by Content-Range, else from the start, Content-Length bytes."""
    if header is not None:
        found = _CONTENT_RANGE.fullmatch(header.strip())
        first, last, total = map(int, found.groups()) if found else (1, 0, 0)
        if not first <= last < total:
            raise Refused("bad_request", "Content-Range must read 'bytes FIRST-LAST/TOTAL', counted from 0.")
        return Span(first, last + 1, total)
    if length is None or not re.fullmatch(r"\d{1,18}", length, re.ASCII):
        raise Refused("bad_request", "Say how long the blob is: by Content-Length, or by Content-Range for a piece.")
    return Span(0, int(length), int(length))
