"""Jobs: post, list, look, listen, cancel."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Annotated

import anyio
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from .body import whole
from .events import EVENT_MEDIA, EVENT_SCHEMA, EventStream, last_event_id
from .faults import as_json
from .judging import Posted, judge
from .openapi import refusals
from .refusal import Refused
from .request_schema import job_body
from .running import At, Owner, Running, in_thread
from .store import Job, view
from .wire import FINAL, IDEMPOTENCY_HEADER, JSON_MEDIA, JobView, State

router = APIRouter(tags=["jobs"])
JobId = Annotated[str, Path(pattern=r"^[0-9a-f]{1,64}$")]


@dataclass(frozen=True)
class JobList:
    """A page of jobs, newest first. `next` is the `before` of the next page; none when there is no more."""

    jobs: tuple[JobView, ...]
    next: int | None


@router.post("/jobs", status_code=202, response_model=JobView, responses={
    202: {"headers": {"Location": {"description": "The address of the job.", "schema": {"type": "string"}}}},
    **refusals(409, 413, 507)}, openapi_extra={"requestBody": job_body()})
async def post_job(request: Request, server: At, owner: Owner, idempotency_key: Annotated[str | None, Header(
        alias=IDEMPOTENCY_HEADER, pattern=r"^[\x21-\x7e]{1,128}$",
        description="The same key with the same body gives the same job.")] = None) -> Response:
    """Queue a request."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON_MEDIA:
        raise Refused("bad_request", f"Send a job with Content-Type {JSON_MEDIA}.")
    text = await whole(request, server.options.limits.json_bytes)
    request.state.private = text.decode("utf-8", "replace")
    posted = await anyio.to_thread.run_sync(judge, text, server.options.limits, limiter=server.judges)
    job = await in_thread(_queue, server, owner, posted, idempotency_key or secrets.token_hex(16))
    return _told(server, job, 202, {"Location": f"/v1/jobs/{job.id}"})


def _queue(server: Running, owner: str, posted: Posted, key: str) -> Job:
    for blob in posted.volumes.values():
        if server.blobs.complete(owner, blob) is None:
            raise Refused("bad_request", f"The blob {blob[:12]}... is not here, or not wholly; send it first.")
    limits, own = server.options.limits, server.keys.most_queued(owner)
    share = limits.queued_jobs_a_key if own is None else min(own, limits.queued_jobs)
    job = server.store.add(owner, posted.task, posted.engine, posted.request, posted.volumes, key, limits.queued_jobs,
                         share)
    server.supervisor.wake()
    return job


@router.get("/jobs", response_model=JobList, responses=refusals())
def list_jobs(server: At, owner: Owner, state: Annotated[list[State] | None, Query(max_length=6)] = None,
              limit: Annotated[int, Query(ge=1, le=100)] = 50,
              before: Annotated[int | None, Query(ge=0, le=2**62)] = None) -> Response:
    """This key's jobs, the newest first."""
    jobs = server.store.jobs(owner, tuple(state or ()), limit, before)
    following = jobs[-1].number if len(jobs) == limit else None
    return Response(as_json(JobList(tuple(_view(server, job) for job in jobs), following)),
                    media_type=JSON_MEDIA)


@router.get("/jobs/{job_id}", response_model=JobView, responses=refusals(404))
def get_job(job_id: JobId, server: At, owner: Owner) -> Response:
    """A job as it is now."""
    return _told(server, server.job(job_id, owner))


@router.get("/jobs/{job_id}/request", responses={
    200: {"description": "The request as it was judged.", "content": {JSON_MEDIA: {"schema": {"type": "object"}}}},
    **refusals(404)})
def get_request(job_id: JobId, server: At, owner: Owner) -> Response:
    """What was asked."""
    return Response(json.dumps(json.loads(server.job(job_id, owner).request)), media_type=JSON_MEDIA)


@router.delete("/jobs/{job_id}", response_model=JobView, responses=refusals(404, 507))
def cancel_job(job_id: JobId, server: At, owner: Owner) -> Response:
    """Cancel a job. One that has ended stays as it is."""
    job = server.job(job_id, owner)
    if job.state not in FINAL:
        if server.store.ask_cancel(job_id) not in FINAL:
            server.supervisor.cancel(job_id)
        server.bell.ring(job_id)
    return _told(server, server.job(job_id, owner))


@router.get("/jobs/{job_id}/events", responses={
    200: {"description": "Server-sent events; see wire.py for their kinds. The last one is \"end\".",
          "content": {EVENT_MEDIA: {"schema": EVENT_SCHEMA}}}, **refusals(404)}, response_class=StreamingResponse)
async def get_events(job_id: JobId, server: At, owner: Owner, last_event: Annotated[str | None, Header(
        alias="Last-Event-ID", pattern=r"^[0-9]{0,18}$", description="Go on after this event.")] = None) -> Response:
    """What happens to a job, as it happens."""
    await in_thread(server.job, job_id, owner)
    return EventStream(server, job_id, owner, last_event_id(last_event))


def _told(server: Running, job: Job, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(as_json(_view(server, job)), status, headers, JSON_MEDIA)


def _view(server: Running, job: Job) -> JobView:
    """A job and, only while it waits, its place in the line: that takes a look at the whole line."""
    return view(job, server.store.place(job) if job.state == "queued" else None)
