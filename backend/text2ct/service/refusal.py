"""A refusal by the service: a code for programs, a sentence for people, a status for HTTP."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import Text2CTError
from .wire import Code

STATUS: Mapping[Code, int] = {
    "bad_request": 422, "unknown_key": 401, "slow_down": 429, "not_found": 404, "conflict": 409, "too_large": 413,
    "busy": 429, "version": 400, "full": 507, "failed": 500, "defect": 500}


class Refused(Text2CTError):
    """What was asked is not done; `code` says of which kind the reason is."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code

    @property
    def status(self) -> int:
        return STATUS[self.code]
