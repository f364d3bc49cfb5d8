"""What server and client say to each other, in one place that neither torch nor FastAPI is needed for.

The wire format, version 1. All bodies but voxels are JSON in UTF-8.

- A request travels as `requests.to_json` wrote it: its volumes stand there by voxel
  digest. The volumes themselves are blobs: a CT as NRRD with gzip inside, labels as
  .seg.nrrd likewise (both keep the affine to the last digit, which NIfTI's float32
  would not). A blob's name is the sha256 of its bytes as sent.
- `PUT /v1/blobs/{sha256}` sends a blob whole, or a piece with `Content-Range: bytes
  a-b/total`; pieces come in order. `HEAD` answers 200 when the blob is complete, 404
  otherwise, and `Upload-Offset` says how many bytes the server already has.
- `POST /v1/jobs` sends {"request": {...}, "volumes": {voxel digest: blob sha256}} with an
  `Idempotency-Key`: the same key and body give the same job, however often it is sent.
- `GET /v1/jobs/{id}/events` is a stream of server-sent events. Each has a number that only
  grows (`id:`), a kind (`event:`) and a JSON object (`data:`). Sent again with
  `Last-Event-ID`, the stream goes on after that number. It ends with the event "end".
- `GET /v1/jobs/{id}/result/{part}`: the part "result" is JSON (see `ResultView`), the others
  are the volumes it lists. `ETag` is the sha256 of the bytes; ranges are served.
- Every refusal is {"error": {"code", "message", "id"}}: a code of `Code`, one sentence, and
  an id that finds the details in the server's log.
- Both sides name the wire version in the header `Text2CT-Wire`; other numbers are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from ..provenance import Provenance
from ..report.finding import LedgerEntry

WIRE_VERSION = 1
VERSION_HEADER = "Text2CT-Wire"
OFFSET_HEADER = "Upload-Offset"
IDEMPOTENCY_HEADER = "Idempotency-Key"
CT_MEDIA = "application/x-nrrd"
LABELS_MEDIA = "application/x-seg-nrrd"
JSON_MEDIA = "application/json"
RESULT_PART = "result"

State: TypeAlias = Literal["queued", "running", "saving", "done", "failed", "cancelled"]
FINAL: tuple[State, ...] = ("done", "failed", "cancelled")
EventKind: TypeAlias = Literal["state", "progress", "preview", "log", "end"]
Code: TypeAlias = Literal[
    "bad_request",  # 422: the request makes no sense; the sentence says why
    "unknown_key",  # 401: no key, a wrong or a revoked one
    "slow_down",  # 429: too many wrong keys from this address
    "not_found",  # 404: no such job, blob or part for this key
    "conflict",  # 409: same Idempotency-Key with another body, or a piece that does not fit
    "too_large",  # 413: body, blob, voxels or text over a limit, which the sentence states
    "busy",  # 429: the queue or this key's share of it is full; the sentence says how many wait
    "version",  # 400: another wire version; the sentence names both
    "full",  # 507: the server's disk or quota is full
    "failed",  # the job itself failed; stands in JobView.error
    "defect",  # 500: a defect of the server; only the id is told
]


@dataclass(frozen=True)
class ErrorView:
    """Why something was refused or failed. `id` finds the details in the server's log."""

    code: str
    message: str
    id: str = ""


@dataclass(frozen=True)
class JobView:
    """A job as its owner sees it. Times are ISO 8601 in UTC; `place` is 1 for the next in the queue."""

    id: str
    state: State
    task: str
    engine: str
    created: str
    started: str = ""
    finished: str = ""
    stage: str = ""
    step: int = 0
    total: int = 0
    place: int | None = None
    attempt: int = 0
    error: ErrorView | None = None


@dataclass(frozen=True)
class Event:
    """One thing that happened to a job, with its number.

    state: {"state", "place"?, "note"?}. progress: {"stage", "step", "total", "seconds"}.
    preview: {"part"}, a part that can be fetched while the job runs. log: {"line"}.
    end: {"state", "error"?}, always the last one.
    """

    number: int
    kind: EventKind
    data: dict[str, Any]


@dataclass(frozen=True)
class PartView:
    """One file of a result. `title` is the layer's title for labels."""

    name: str
    media: str
    bytes: int
    sha256: str
    title: str = ""


@dataclass(frozen=True)
class ResultView:
    """The JSON part of a result: all but the voxels. `parts` lists "ct", then "labels-0" and so on."""

    provenance: Provenance
    ledger: tuple[LedgerEntry, ...] = ()
    score: float | None = None
    notes: tuple[str, ...] = ()
    parts: tuple[PartView, ...] = ()
    attributes: tuple[tuple[str, str], ...] = ()
