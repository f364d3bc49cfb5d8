"""What went wrong in a worker, as a person outside may hear it and as the log shall keep it."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import BadInput, Cancelled, Text2CTError
from .disk import NO_SPACE
from .log import account_of, without_folders, words_of
from .messages import Failed
from .refusal import Refused

DEFECT = "A defect of the server stopped this job; the server's log says more under the error id."
FULL = "The server's disk is full; ask its administrator to make room, then send the job again."
NO_MEMORY = "The server's memory did not suffice for this job; ask for a smaller grid."
_SHORT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def failure_of(error: BaseException, job: str, request: str) -> Failed:
    """One sentence and a code; the account only where the log needs one."""
    if isinstance(error, Cancelled):
        return Failed(job, "cancelled", str(error))
    account = account_of(error, words_of(request))
    if short_of_memory(error):
        return Failed(job, "failed", NO_MEMORY, account, leaving=True)
    if disk_full(error):
        return Failed(job, "full", FULL, account)
    if isinstance(error, Refused):
        return Failed(job, error.code, str(error), account)
    if isinstance(error, BadInput):
        return Failed(job, "bad_request", without_folders(str(error)))
    if isinstance(error, Text2CTError):
        return Failed(job, "failed", without_folders(str(error)), account)
    return Failed(job, "defect", DEFECT, account)


def short_of_memory(error: BaseException) -> bool:
    """Also when torch says so: its errors are told by their name and words, since it may not be here."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SHORT_OF_MEMORY)


def disk_full(error: BaseException) -> bool:
    """Whether this error, or one that it came from, was for want of space."""
    return any(isinstance(cause, OSError) and cause.errno in NO_SPACE for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    for _ in range(20):
        if current is None:
            return
        yield current
        current = current.__cause__ or current.__context__
