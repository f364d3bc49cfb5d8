"""From whatever went wrong to what the asker may see of it: a status, a code, a sentence and an id.

A refusal carries its own sentence. A defect of ours says only its id; the traceback
stands under that id in the server's log. No log line here quotes what was sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import BadInput
from ..plain import to_plain
from .log import LOG, new_id, report_defect
from .ranges import Unsatisfiable
from .refusal import STATUS, Refused
from .wire import JSON_MEDIA, Code, ErrorView

_WAIT_SECONDS: Mapping[str, str] = {"slow_down": "60", "busy": "10", "full": "600"}
_LONGEST = 600


@dataclass(frozen=True)
class RefusalBody:
    """The body of every answer that is not what was asked for."""

    error: ErrorView


@dataclass(frozen=True)
class Answer:
    """A refusal, ready to be sent."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def answer_to(error: BaseException, where: str = "-", private: str = "") -> Answer:
    """The refusal for a failure; the log has it under the id that the asker gets, without a word of `private`."""
    if isinstance(error, BadInput):
        return refusal("bad_request", str(error), where)
    if isinstance(error, Refused):
        extra = {"Content-Range": f"bytes */{error.size}"} if isinstance(error, Unsatisfiable) else {}
        return refusal(error.code, str(error), where, error.status, extra)
    id_ = report_defect(where, error, private or str(error))
    said = f"A defect of the server; its log has the details under {id_}."
    return _answer(STATUS["defect"], ErrorView("defect", said, id_), {})


def refusal(code: Code, message: str, where: str = "-", status: int | None = None,
            headers: Mapping[str, str] | None = None) -> Answer:
    """A refusal in words; `status` where HTTP itself prescribes another one, such as 405."""
    id_, status = new_id(), status or STATUS[code]
    LOG.info("%s %s refused as %s (%d)", id_, where, code, status)
    extra = dict(headers or {})
    if code in _WAIT_SECONDS:
        extra["Retry-After"] = _WAIT_SECONDS[code]
    if code == "unknown_key":
        extra["WWW-Authenticate"] = "Bearer"
    return _answer(status, ErrorView(code, message[:_LONGEST], id_), extra)


def _answer(status: int, view: ErrorView, headers: dict[str, str]) -> Answer:
    return Answer(status, as_json(RefusalBody(view)), {"Content-Type": JSON_MEDIA, **headers})


def as_json(value: Any) -> bytes:
    """ASCII only: a text with half a surrogate in it must not break the answer that quotes it."""
    return json.dumps(to_plain(value), ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()
