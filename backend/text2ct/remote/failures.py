"""All that can go wrong between a client and a service, as few exceptions with one sentence each.

Whatever `requests`, the network, a proxy or the server does, it ends here: what comes
out of `text2ct.client` is one of these, or `BadRequest` for a request that makes no
sense, or `Cancelled`.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ..errors import BadRequest, Text2CTError
from ..service.wire import ErrorView


class ServiceError(Text2CTError):
    """The service did not do what was asked. `error_id` finds the details in the server's log.

    The sentence names it where the log says more than the sentence.
    """

    exit_code = 6
    log_says_more: ClassVar[bool] = False

    def __init__(self, message: str, error_id: str = "") -> None:
        named = bool(error_id) and (self.log_says_more or type(self) is ServiceError)
        super().__init__(f"{message} (error {error_id} in the server's log)" if named else message)
        self.error_id = error_id


class Unreachable(ServiceError):
    """No answer, or none of a text2ct service. `passing`: it may well be better in a moment."""

    def __init__(self, message: str, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing


class WrongKey(ServiceError):
    """The service wants a key, or another one."""


class VersionMismatch(ServiceError):
    """Client and service speak different versions of the wire format."""


class TooLarge(ServiceError):
    """A request, an image or a text over one of the service's limits."""

    exit_code = 2


class Busy(ServiceError):
    """The service has too much to do, or to keep, to take this on now."""


class NoSuchJob(ServiceError):
    """There is no such job, or no such result, for this key."""


class JobFailed(ServiceError):
    """The job was run and failed."""

    log_says_more = True


class Conflict(ServiceError):
    """Something else is already there: another request under this key, another piece of this file."""


_KINDS: Mapping[str, type[ServiceError]] = {
    "slow_down": Busy, "busy": Busy, "full": Busy, "not_found": NoSuchJob, "conflict": Conflict,
    "too_large": TooLarge, "version": VersionMismatch}
_CODES = {400: "bad_request", 401: "unknown_key", 404: "not_found", 409: "conflict", 413: "too_large",
          422: "bad_request", 429: "busy", 507: "full"}


def refusal(status: int, body: bytes, url: str, had_key: bool) -> Text2CTError:
    """The failure that a service's refusal stands for."""
    view = _error_view(body) or ErrorView(_CODES.get(status, "defect"), "")
    if view.code == "unknown_key":
        return WrongKey(f"The server at {url} does not know this key, or it was revoked; ask for a new one." if had_key
                        else f"The server at {url} wants a key; give the one that its administrator made for you.")
    message = view.message or f"The server at {url} refused ({view.code}, HTTP {status}) and did not say why."
    if view.code == "bad_request":
        return BadRequest(message)
    return _KINDS.get(view.code, ServiceError)(message, view.id)


def job_failure(error: ErrorView | None) -> Text2CTError:
    """The failure of a job, as its view or its last event has it."""
    if error is None:
        return JobFailed("The job failed, and the server does not say why.")
    if error.code == "bad_request":
        return BadRequest(error.message)
    return JobFailed(error.message, error.id)


def network_failure(error: BaseException, url: str) -> Unreachable:
    """The sentence for whatever `requests` or the system raised."""
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLError) or type(cause).__name__ == "SSLError" for cause in causes):
        said = next((str(c.verify_message) for c in causes if isinstance(c, ssl.SSLCertVerificationError)), "")
        return Unreachable(f"The server at {url} could not prove who it is ({said or 'TLS failed'}); check the "
                           "address, or give the certificate to trust.")
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return Unreachable(f"Nothing answers at {url}; start the server or check the address.", passing=True)
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Unreachable(f"The name in {url} is not known to this network; check the address.", passing=True)
    if any(isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__ for cause in causes):
        return Unreachable(f"The server at {url} does not answer in time; see whether it still runs.", passing=True)
    return Unreachable(f"The connection to {url} broke; see whether the server still runs.", passing=True)


def _error_view(body: bytes) -> ErrorView | None:
    try:
        said: Any = json.loads(body)["error"]
        view = ErrorView(said["code"], said["message"], said.get("id") or "")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    return view if all(isinstance(text, str) for text in (view.code, view.message, view.id)) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error with all that it was made from; `requests` wraps up to four deep."""
    waiting, seen = [error], set()
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        inner = (found.__cause__, found.__context__, getattr(found, "reason", None), *found.args)
        waiting += [one for one in inner if isinstance(one, BaseException)]
