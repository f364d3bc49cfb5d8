"""A service as Slicer, scripts and the command line use it: needs numpy and requests, never torch.

    service = Service("https://gpu.example.org:8042", key)
    result = service.run(GenerateCT("Small right pleural effusion."))

`run` is `engines.run.run` done elsewhere: the same request, the same result, the same
progress and cancelling. Underneath, `submit` sends the images that the service does not
have yet, then the request; what comes back is a `RemoteJob`, which lives on the server
and is found again by `attach(job.id)`, after a crash of this program too.

Connections may break anywhere: uploads and downloads go on where they stopped, events
are asked for again, and a request sent twice is still one job, because both carry the
same idempotency key. How long a server may be away is said by `Patience`.
"""

from __future__ import annotations

import re
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .errors import BadRequest, Cancelled, Unavailable
from .formats.limits import MAX_VOXELS
from .plain import to_plain
from .remote.connection import Address, Connection, Patience, read_most, understood
from .remote.event_stream import follow, in_background
from .remote.failures import (
    Busy,
    Conflict,
    JobFailed,
    NoSuchJob,
    ServiceError,
    TooLarge,
    Unreachable,
    VersionMismatch,
    WrongKey,
    job_failure,
)
from .remote.transfers import OnBytes, download, upload
from .requests import CancelToken, Progress, ProgressSink, Request, Result
from .service.parcels import parcel_of, read_ct, read_labels
from .service.wire import (
    FINAL,
    IDEMPOTENCY_HEADER,
    LABELS_MEDIA,
    RESULT_PART,
    ErrorView,
    Event,
    JobView,
    PartView,
    ResultView,
)
from .volume import CTVolume, LabelVolume, Volume

__all__ = ["Busy", "Conflict", "JobFailed", "NoSuchJob", "Patience", "RemoteJob", "Service", "ServiceError",
           "TooLarge", "Unreachable", "VersionMismatch", "WrongKey"]

_JOB_ID = re.compile(r"[0-9a-f]{1,64}")
_MOST_PREVIEW = 256 << 20


class Service:
    """A service that runs requests: on this machine, or on a server."""

    def __init__(self, url: str, key: str = "", verify: bool | str = True, patience: Patience | None = None,
                 unprotected: bool = False) -> None:
        address = Address.checked(url, key, verify, unprotected)
        self._connection = Connection(lambda: address, patience or Patience())

    @classmethod
    def over(cls, connection: Connection) -> Service:
        """A service at the end of a connection that knows by itself where it is."""
        service = cls.__new__(cls)
        service._connection = connection
        return service

    @property
    def url(self) -> str:
        return self._connection.url

    def close(self) -> None:
        """Let go of the connections; jobs go on."""
        self._connection.close()

    def health(self) -> dict[str, Any]:
        """Whether it is there, and its version."""
        return self._connection.ask("GET", "/v1/health")

    def capabilities(self) -> dict[str, Any]:
        """Its engines, weight sets, limits and devices."""
        return self._connection.ask("GET", "/v1/capabilities")

    def submit(self, request: Request, idempotency_key: str = "", on_upload: OnBytes | None = None) -> RemoteJob:
        """Hand a request over. Sent again with the same key it is the same job, however often.

        `on_upload` hears (bytes there, bytes in all) of each image; what it raises stops the sending.
        """
        problems = request.validate()
        if problems:
            raise BadRequest(" ".join(problems))
        plain = {"task": request.task, **to_plain(request)}
        body = {"request": plain, "volumes": self._bring(_volumes(request, plain), on_upload or _nobody)}
        try:
            job = self._connection.ask("POST", "/v1/jobs", body, {
                IDEMPOTENCY_HEADER: idempotency_key or uuid.uuid4().hex})
        except Conflict as error:
            raise BadRequest(str(error)) from None
        return RemoteJob(self._connection, understood(JobView, job).id)

    def attach(self, job_id: str) -> RemoteJob:
        """A job handed over before, by this program or another with the same key."""
        if not _JOB_ID.fullmatch(job_id):
            raise NoSuchJob(f"'{job_id[:80]}' is no id of a job; see the ids with: text2ct jobs list.")
        job = RemoteJob(self._connection, job_id)
        job.view()
        return job

    def jobs(self, limit: int = 100) -> list[JobView]:
        """The newest jobs of this key, newest first."""
        found: list[JobView] = []
        before = ""
        while len(found) < limit:
            page = self._connection.ask("GET", f"/v1/jobs?limit={min(100, limit - len(found))}{before}")
            found += [understood(JobView, job) for job in page.get("jobs") or ()]
            if not page.get("jobs") or page.get("next") is None:
                break
            before = f"&before={quote(str(page['next']))}"
        return found

    def run(self, request: Request, progress: ProgressSink | None = None, cancel: CancelToken | None = None,
            previews: bool = True) -> Result:
        """The result of a request, as `engines.run.run` gives it. Cancelled here, the job is cancelled there."""
        tell, token = _timed(progress), cancel or CancelToken()
        token.check()
        job = self.submit(request, on_upload=_as_steps("sending", tell, token))
        try:
            return job.follow(tell, token, previews)
        except KeyboardInterrupt:
            with suppress(ServiceError):
                job.cancel()
            raise

    def _bring(self, volumes: Mapping[str, Volume], on_upload: OnBytes) -> dict[str, str]:
        """Have every volume on the server; its parcel's sha256 for each voxel digest."""
        if not volumes:
            return {}
        limits = self.capabilities().get("limits")
        most = limits.get("blob_bytes") if isinstance(limits, dict) else None
        names: dict[str, str] = {}
        with _scratch() as folder:
            for digest, volume in volumes.items():
                file, names[digest] = parcel_of(volume, folder)
                size = file.stat().st_size
                if isinstance(most, int) and size > most:
                    raise TooLarge(f"An image takes {size / 1e6:.3g} MB packed, and the server takes at most "
                                   f"{most / 1e6:.3g} MB; crop or resample it.")
                upload(self._connection, file, names[digest], on_upload)
                file.unlink()
        return names


class RemoteJob:
    """A job on a service. It goes on whether or not anybody looks."""

    def __init__(self, connection: Connection, id: str) -> None:
        self.id = id
        self._connection = connection
        self._path = f"/v1/jobs/{id}"

    def view(self) -> JobView:
        """How it stands."""
        return understood(JobView, self._connection.ask("GET", self._path))

    def request(self) -> dict[str, Any]:
        """What was asked, as plain values; images stand there by digest."""
        return self._connection.ask("GET", f"{self._path}/request")

    def cancel(self) -> JobView:
        """Ask the server to stop it; a job that is over stays as it is."""
        return understood(JobView, self._connection.ask("DELETE", self._path))

    def events(self, after: int = 0) -> Iterator[Event]:
        """What happens, up to "end"; broken connections are made again, restarts of the server waited for."""
        return follow(self._connection, self.id, after)

    def preview(self) -> CTVolume | None:
        """The newest preview of the CT, while there is one."""
        try:
            with _scratch() as folder:
                file = folder / "preview.nrrd"
                with self._connection.exchange("GET", f"{self._path}/result/preview") as response:
                    file.write_bytes(read_most(response, _MOST_PREVIEW))
                return read_ct(file, MAX_VOXELS)
        except NoSuchJob:
            return None

    def result(self, on_bytes: OnBytes | None = None) -> Result:
        """What the job made, checked against its hashes; `on_bytes` hears (bytes here, bytes in all)."""
        view = self.view()
        if view.state not in FINAL:
            raise BadRequest(f"The job {self.id} is {view.state} and has no result yet; wait for its end.")
        _raise_unless_done(view.state, view.error)
        whole = understood(ResultView, self._connection.ask("GET", f"{self._path}/result/{RESULT_PART}"))
        volumes = self._fetch(whole.parts, on_bytes or _nobody)
        return Result(whole.provenance, next((v for v in volumes if isinstance(v, CTVolume)), None),
                      tuple(v for v in volumes if isinstance(v, LabelVolume)), whole.ledger, whole.score, whole.notes,
                      whole.attributes)

    def follow(self, progress: ProgressSink | None = None, cancel: CancelToken | None = None,
               previews: bool = True) -> Result:
        """Wait for the end, then fetch the result; the job is cancelled when `cancel` says so."""
        tell, token = _timed(progress), cancel or CancelToken()
        self.wait(tell, token, previews)
        return self.result(_as_steps("receiving", tell, token))

    def wait(self, progress: ProgressSink | None = None, cancel: CancelToken | None = None,
             previews: bool = True) -> None:
        """Wait for the end of the job, telling `progress` each step; whatever end is not "done" is raised."""
        tell, token = _timed(progress), cancel or CancelToken()
        latest, asked = Progress("waiting", 0, 1, 0.0), None
        for event in in_background(self.events()):
            if token.cancelled and asked is None:
                self._cancel_or_say()
                asked = time.monotonic()
            if asked is not None:
                if time.monotonic() - asked > self._connection.patience.cancel:
                    break
            elif event is not None and event.kind == "end":
                error = event.data.get("error")
                _raise_unless_done(event.data.get("state", ""), understood(ErrorView, error) if error else None)
            elif event is not None:
                before, latest = latest, _after(event, latest)
                preview = self.preview() if event.kind == "preview" and previews and progress else None
                if latest is not before or preview is not None:
                    tell(replace(latest, preview=preview))
        token.check()

    def _cancel_or_say(self) -> None:
        try:
            self.cancel()
        except ServiceError as error:
            raise Cancelled(f"Cancelled here, but the server could not be told, and the job {self.id} may go on "
                            f"there: {error}") from None

    def _fetch(self, parts: tuple[PartView, ...], on_bytes: OnBytes) -> list[Volume]:
        whole, before = sum(part.bytes for part in parts), 0
        volumes: list[Volume] = []
        with _scratch() as folder:
            for part in parts:
                labels = part.media == LABELS_MEDIA
                file = folder / ("part.seg.nrrd" if labels else "part.nrrd")
                download(self._connection, f"{self._path}/result/{quote(part.name, safe='')}", part, file,
                         lambda done, _, before=before: on_bytes(before + done, whole))  # type: ignore[misc]
                volumes.append(read_labels(file, MAX_VOXELS) if labels else read_ct(file, MAX_VOXELS))
                file.unlink()
                before += part.bytes
        return volumes


def _raise_unless_done(state: str, error: ErrorView | None) -> None:
    if state == "cancelled":
        raise Cancelled("The job was cancelled; it made nothing.")
    if state != "done":
        raise job_failure(error)


def _after(event: Event, latest: Progress) -> Progress:
    """How far a job is after an event."""
    said = event.data
    if event.kind == "progress":
        return Progress(str(said.get("stage")), int(said.get("step", 0)), int(said.get("total", 1)), 0.0)
    if event.kind == "log":
        return replace(latest, stage=str(said.get("line")))
    if event.kind == "state" and said.get("state") == "queued":
        place = f", place {said['place']} in the queue" if said.get("place") else ""
        return Progress(str(said.get("note") or f"waiting{place}"), 0, 1, 0.0)
    return latest


def _volumes(request: Request, plain: Mapping[str, Any]) -> dict[str, Volume]:
    """The volumes of a request by their voxel digest, each once."""
    return {plain[name]["digest"]: value for name, value in vars(request).items() if isinstance(value, Volume)}


def _timed(progress: ProgressSink | None) -> ProgressSink:
    """Progress with the seconds since now, whatever its own clock said."""
    started = time.monotonic()
    return lambda step: progress(replace(step, seconds=time.monotonic() - started)) if progress else None


def _as_steps(stage: str, tell: ProgressSink, token: CancelToken) -> OnBytes:
    """Bytes on their way, told as steps of a megabyte."""
    def on_bytes(done: int, total: int) -> None:
        token.check()
        tell(Progress(stage, round(done / 1e6), max(1, round(total / 1e6)), 0.0))
    return on_bytes


def _nobody(done: int, total: int) -> None:
    """Hears bytes and does nothing."""


@contextmanager
def _scratch() -> Iterator[Path]:
    """A private folder for parcels on their way; a full disk is a sentence."""
    try:
        with tempfile.TemporaryDirectory(prefix="text2ct-") as folder:
            yield Path(folder)
    except OSError as error:
        raise Unavailable(f"The images on their way found no room in {tempfile.gettempdir()} "
                          f"({error.strerror or error}); free space or set TMPDIR.") from error
