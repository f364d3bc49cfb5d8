"""What supervisor and worker say to each other: one JSON object a line, each of a kind named here.

The supervisor speaks on the worker's stdin, the worker on what was its stdout. Only
paths and small values travel: images lie in files that both can read. The lines are
plain enough to be carried by something else than pipes (see docs/scale-out.md).

    supervisor -> worker   RunJob, CancelJob. The end of stdin means: end yourself now.
    worker -> supervisor   Ready once, Beat all the time; for a job any number of Step and
                           Preview and Note, then one of Saved and Failed.

A worker runs one job at a time. What it says of a job other than the one that the
supervisor gave it last is not listened to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

from ..errors import BadInput
from ..plain import from_plain, to_plain


@dataclass(frozen=True)
class Image:
    """An image of a request: the digest of its voxels, and the parcel that holds it."""

    digest: str
    path: str


@dataclass(frozen=True)
class RunJob:
    """Run this request and write its result into `workspace`, an empty folder for this try alone.

    `checkpoint` is the file for the sampler's state; with `resume`, what lies there is gone on from.
    """

    kind: ClassVar[str] = "run"
    job: str
    request: str
    images: tuple[Image, ...]
    workspace: str
    checkpoint: str
    resume: bool
    most_voxels: int


@dataclass(frozen=True)
class CancelJob:
    """Stop this job at its next step."""

    kind: ClassVar[str] = "cancel"
    job: str


@dataclass(frozen=True)
class Ready:
    """The worker has started and takes jobs."""

    kind: ClassVar[str] = "ready"


@dataclass(frozen=True)
class Beat:
    """The worker is alive; it holds so many bytes of memory."""

    kind: ClassVar[str] = "beat"
    memory: int


@dataclass(frozen=True)
class Step:
    """How far the job is. `seconds` have passed since this try of it began."""

    kind: ClassVar[str] = "step"
    job: str
    stage: str
    step: int
    total: int
    seconds: float


@dataclass(frozen=True)
class Preview:
    """A part that can be fetched while the job runs shows the image as it forms."""

    kind: ClassVar[str] = "preview"
    job: str
    part: str


@dataclass(frozen=True)
class Note:
    """A line that the owner of the job may read."""

    kind: ClassVar[str] = "note"
    job: str
    line: str


@dataclass(frozen=True)
class Saved:
    """The whole result lies in the workspace and has reached the disk."""

    kind: ClassVar[str] = "saved"
    job: str


@dataclass(frozen=True)
class Failed:
    """There will be no result. `code` is one of wire.Code, or "cancelled".

    `account` is for the log alone: where in the code it happened. With `leaving`, the
    worker ends itself, because its memory can no longer be trusted to suffice.
    """

    kind: ClassVar[str] = "failed"
    job: str
    code: str
    message: str
    account: str = ""
    leaving: bool = False


Order: TypeAlias = RunJob | CancelJob
Report: TypeAlias = Ready | Beat | Step | Preview | Note | Saved | Failed
_KINDS: Mapping[str, type[Any]] = MappingProxyType({
    kind.kind: kind for kind in (RunJob, CancelJob, Ready, Beat, Step, Preview, Note, Saved, Failed)})


def to_line(message: Order | Report) -> bytes:
    """One line of ASCII with its end."""
    return json.dumps({"kind": message.kind, **to_plain(message)}, allow_nan=False).encode() + b"\n"


def order_of(line: bytes) -> Order:
    """What the supervisor said."""
    message = _message(line)
    if isinstance(message, Order):
        return message
    raise BadInput(f"'{message.kind}' is no order; a worker is told {RunJob.kind} or {CancelJob.kind}.")


def report_of(line: bytes) -> Report:
    """What the worker said."""
    message = _message(line)
    if isinstance(message, Report):
        return message
    raise BadInput(f"'{message.kind}' is no report; a worker only tells of itself and its job.")


def _message(line: bytes) -> Order | Report:
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError):
        raise BadInput("This line is not JSON; supervisor and worker must be of the same version.") from None
    kind = _KINDS.get(str(plain.get("kind"))) if isinstance(plain, dict) else None
    if kind is None:
        raise BadInput("This line is no message known here; supervisor and worker must be of the same version.")
    message: Order | Report = from_plain(kind, {name: value for name, value in plain.items() if name != "kind"})
    return message
