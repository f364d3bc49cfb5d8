"""The HTTP API as a client meets it: a real server, real uploads, a real engine."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import SMALL, Served, in_thread

from text2ct.errors import BadInput
from text2ct.plain import to_plain
from text2ct.provenance import Provenance
from text2ct.service import parcels
from text2ct.service.judging import judge
from text2ct.service.options import Limits
from text2ct.service.ranges import Unsatisfiable, asked_span
from text2ct.service.refusal import Refused
from text2ct.volume import CTVolume

LIMITS = Limits(json_bytes=40_000, piece_bytes=300_000, blob_bytes=400_000, blob_bytes_a_key=700_000,
                voxels=60_000_000, queued_jobs_a_key=40)
HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with in_thread(tmp_path_factory.mktemp("app") / "server", LIMITS) as server:
        yield server


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server without workers: what is queued stays queued."""
    with in_thread(tmp_path_factory.mktemp("idle") / "server", LIMITS, devices=()) as server:
        yield server


@pytest.fixture(scope="module")
def done(served: Served) -> str:
    return served.done_job()


def refused(answer: requests.Response, status: int, code: str, words: str = "") -> None:
    """A refusal in the one shape there is."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "id"}
    assert (error["code"], bool(re.fullmatch("e-[0-9a-f]{10}", error["id"]))) == (code, True)
    assert words in error["message"]
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Text2CT-Wire"] == "1"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_posted_job_is_done_and_every_part_of_its_result_is_what_the_list_says(served: Served, done: str) -> None:
    result = served.get(f"/v1/jobs/{done}/result/result")
    view = result.json()
    assert view["provenance"]["engine"] == "phantom"
    assert [part["name"] for part in view["parts"]][:2] == ["ct", "labels-0"]
    for part in view["parts"]:
        answer = served.get(f"/v1/jobs/{done}/result/{part['name']}")
        assert (len(answer.content), sha(answer.content)) == (part["bytes"], part["sha256"])
        assert answer.headers["ETag"] == f'"{part["sha256"]}"'
        assert answer.headers["Content-Type"] == part["media"]
    assert result.headers["ETag"] == f'"{sha(result.content)}"'


def test_a_part_is_served_in_ranges_and_not_again_to_who_has_it(served: Served, done: str) -> None:
    address = f"/v1/jobs/{done}/result/ct"
    whole = served.get(address)
    etag, size = whole.headers["ETag"], len(whole.content)
    middle = served.get(address, headers={"Range": "bytes=10-19", "If-Range": etag})
    assert (middle.status_code, middle.content) == (206, whole.content[10:20])
    assert middle.headers["Content-Range"] == f"bytes 10-19/{size}"
    assert served.get(address, headers={"Range": f"bytes={size - 5}-"}).content == whole.content[-5:]
    assert served.get(address, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).content == whole.content
    assert served.get(address, headers={"Range": "bytes=9-1"}).content == whole.content
    unchanged = served.get(address, headers={"If-None-Match": f'"x", {etag}'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    behind = served.get(address, headers={"Range": f"bytes={size}-"})
    refused(behind, 416, "bad_request", str(size))
    assert behind.headers["Content-Range"] == f"bytes */{size}"


@given(size=st.integers(0, 50), first=st.none() | st.integers(0, 60), last=st.none() | st.integers(0, 60))
def test_a_range_means_the_bytes_that_http_says(size: int, first: int | None, last: int | None) -> None:
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    body = bytes(range(size))
    try:
        span = asked_span(header, None, '"e"', size)
    except Unsatisfiable:
        assert (first or 0) >= size or (first is None and last == 0)
        return
    if (first is None and last is None) or (first is not None and last is not None and last < first):
        assert span is None
    else:
        meant = body[-last:] if first is None and last is not None else body[first:None if last is None else last + 1]
        assert span is not None
        assert body[span.start:span.stop] == meant
        assert span.content_range == f"bytes {span.start}-{span.stop - 1}/{size}"


def test_the_same_key_and_body_give_the_same_job_and_another_body_a_refusal(idle: Served) -> None:
    headers = {"Idempotency-Key": "once"}
    first = idle.post_job(headers=headers)
    spaced = json.dumps({"volumes": {}, "request": dict(reversed(SMALL.items()))}, indent=3)
    again = idle.ask("POST", "/v1/jobs", data=spaced, headers={**headers, "Content-Type": "application/json"})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["Location"] == f"/v1/jobs/{first.json()['id']}"
    refused(idle.post_job({**SMALL, "seed": 1}, headers=headers), 409, "conflict")
    assert idle.post_job().json()["id"] != first.json()["id"]


def posted(text: bytes | str, content_type: str = "application/json", **headers: str) -> dict[str, Any]:
    return {"data": text, "headers": {"Content-Type": content_type, **headers}}


VOLUME = {"digest": "a" * 64, "shape": [9, 9, 9], "affine": np.diag([2.0, 2, 2, 1]).tolist()}
LESION = {"task": "lesion", "ct": VOLUME, "box": to_plain({"center": [8, 8, 8], "size": [4, 4, 4]})}
BAD = {
    "no json": (posted("{"), 422, "not JSON"),
    "no object": (posted("[1]"), 422, "an object"),
    "no utf-8": (posted(b'{"request": "\xff"}'), 422, "UTF-8"),
    "nan": (posted('{"request": {"task": "generate", "report": "x", "guidance": NaN}}'), 422, "NaN"),
    "a number beyond all": (posted('{"request": {"task": "generate", "report": "", "guidance": 1e999}}'), 422, "large"),
    "a number of 5000 digits": (posted('{"request": {"seed": ' + "9" * 5000 + "}}"), 422, "JSON"),
    "deep": (posted('{"request":' + "[" * 19000 + "]" * 19000 + "}"), 422, "nested"),
    "deep inside": (posted('{"request":{"task":"generate","report":' + "[" * 800 + "]" * 800 + "}}"), 422, ""),
    "half a surrogate": (posted(r'{"request": {"task": "generate", "report": "\ud800"}}'), 422, "text"),
    "half a surrogate in a name": (posted(r'{"request": {"task": "generate", "\ud800": 1}}'), 422, "text"),
    "more fields": (posted(json.dumps({"request": SMALL, "path": "/etc"})), 422, "volume"),
    "no task": (posted('{"request": {}}'), 422, "task"),
    "unknown field": (posted(json.dumps({"request": {**SMALL, "file": "/etc"}})), 422, "no field 'file'"),
    "empty report": (posted(json.dumps({"request": {**SMALL, "report": " "}})), 422, "empty"),
    "long report": (posted(json.dumps({"request": {**SMALL, "report": "a" * 20_001}})), 422, "20001 characters"),
    "steps": (posted(json.dumps({"request": {**SMALL, "steps": 10**6}})), 422, "steps"),
    "grid": (posted(json.dumps({"request": {**SMALL, "shape": [4000, 512, 512]}})), 422, "larger than this engine"),
    "engine": (posted(json.dumps({"request": {**SMALL, "engine": "nothing"}})), 422, "use one of"),
    "not ready": (posted(json.dumps({"request": {**SMALL, "engine": "generatect"}})), 422, "not in this release"),
    "weights": (posted(json.dumps({"request": {**SMALL, "weights": "../../etc"}})), 422, "no weight set"),
    "preset": (posted(json.dumps({"request": {**SMALL, "preset": "huge"}})), 422, "must be one of"),
    "no blob": (posted(json.dumps({"request": LESION})), 422, "no blob is listed"),
    "absent blob": (posted(json.dumps({"request": LESION, "volumes": {"a" * 64: "b" * 64}})), 422, "send it first"),
    "a path for a blob": (posted(json.dumps({"request": LESION, "volumes": {"a" * 64: "../x"}})), 422, "sha256"),
    "surplus blob": (posted(json.dumps({"request": SMALL, "volumes": {"a" * 64: "b" * 64}})), 422, "does not refer"),
    "voxels": (posted(json.dumps({"request": {**LESION, "ct": {**VOLUME, "shape": [2**20] * 3}}})), 413, "limit"),
    "infinite affine": (posted(json.dumps({"request": {**LESION, "ct": {**VOLUME, "affine": [[1e308] * 4] * 4}}})),
                        422, ""),
    "content type": (posted(json.dumps({"request": SMALL}), "text/plain"), 422, "Content-Type"),
    "compressed": (posted(b"x", **{"Content-Encoding": "gzip"}), 422, "Content-Encoding"),
    "too long": (posted(b" " * 40_001), 413, "limit of 40000"),
    "idempotency key": (posted(json.dumps({"request": SMALL}), **{"Idempotency-Key": "a b"}), 422, "Idempotency-Key"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_job_that_makes_no_sense_is_refused_with_a_sentence_before_it_is_queued(idle: Served, name: str) -> None:
    more, status, words = BAD[name]
    before = idle.get("/v1/jobs").json()["jobs"]
    refused(idle.ask("POST", "/v1/jobs", **more), status, "too_large" if status == 413 else "bad_request", words)
    assert idle.get("/v1/jobs").json()["jobs"] == before


def test_a_chunked_body_is_limited_while_it_comes(idle: Served) -> None:
    answer = idle.ask("POST", "/v1/jobs", data=(b" " * 10_000 for _ in range(2000)),
                      headers={"Content-Type": "application/json"})
    refused(answer, 413, "too_large")


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4))
NAMES = st.sampled_from(["task", "report", "shape", "spacing", "ct", "box", "organs", "engine", "seed", "base", "mask"])


@settings(max_examples=300, deadline=None)
@given(base=st.sampled_from([SMALL, LESION, {**SMALL, "base": VOLUME}]),
       changes=st.dictionaries(NAMES, JSON | st.sampled_from([VOLUME, "lesion", "score", "phantom", "ledger"])),
       inner=st.dictionaries(st.sampled_from(["shape", "affine", "digest", "segments"]), JSON, max_size=2))
def test_whatever_is_posted_is_judged_or_refused(base: dict[str, Any], changes: dict[str, Any],
                                                 inner: dict[str, Any]) -> None:
    request = {**base, **changes}
    for name in ("ct", "base"):
        if isinstance(request.get(name), dict):
            request[name] = {**request[name], **inner}
    try:
        judge(json.dumps({"request": request, "volumes": {"a" * 64: "b" * 64}}).encode("utf-8", "replace"), Limits())
    except (BadInput, Refused) as error:
        assert str(error)


def test_a_blob_comes_in_pieces_and_goes_on_where_it_stopped(served: Served) -> None:
    data = bytes(range(256)) * 900
    address = f"/v1/blobs/{sha(data)}"
    assert served.ask("HEAD", address).headers["Upload-Offset"] == "0"
    first = served.ask("PUT", address, data=data[:100_000], headers={"Content-Range": f"bytes 0-99999/{len(data)}"})
    assert (first.status_code, first.headers["Upload-Offset"]) == (202, "100000")
    wrong = served.ask("PUT", address, data=data[:10], headers={"Content-Range": f"bytes 5-14/{len(data)}"})
    refused(wrong, 409, "conflict", "100000 bytes are here")
    asked = served.ask("HEAD", address)
    assert (asked.status_code, asked.headers["Upload-Offset"]) == (404, "100000")
    last = served.ask("PUT", address, data=iter([data[100_000:]]),
                      headers={"Content-Range": f"bytes 100000-{len(data) - 1}/{len(data)}"})
    assert (last.status_code, last.json()) == (201, {"sha256": sha(data), "offset": len(data), "complete": True})
    asked = served.ask("HEAD", address)
    assert (asked.status_code, asked.headers["Upload-Offset"]) == (200, str(len(data)))
    assert served.ask("PUT", address, data=data).status_code == 200


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(min_size=1, max_size=3000), moves=st.lists(st.tuples(st.integers(0, 3000), st.booleans()),
                                                               max_size=5))
def test_however_a_blob_is_cut_and_however_often_it_begins_anew_it_ends_complete(
        idle: Served, data: bytes, moves: list[tuple[int, bool]]) -> None:
    address, offset = f"/v1/blobs/{sha(data)}", 0
    for size, anew in [*moves, (3000, False)]:
        start = 0 if anew else offset
        stop = min(len(data), start + size + 1)
        answer = idle.ask("PUT", address, data=data[start:stop],
                          headers={"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"})
        assert answer.status_code in (200, 201, 202), answer.text
        offset = int(answer.headers["Upload-Offset"])
        assert offset in (stop, len(data))
        if offset == len(data):
            break
    assert answer.json()["complete"] is True
    stored = next((idle.folder / "blobs").glob(f"*/{sha(data)}"))
    assert stored.read_bytes() == data


def test_a_blob_that_is_not_what_it_says_is_refused(served: Served) -> None:
    address = f"/v1/blobs/{sha(b'right')}"
    refused(served.ask("PUT", address, data=b"wrong"), 422, "bad_request", "sha256")
    assert served.ask("HEAD", address).headers["Upload-Offset"] == "0"
    too_long = {"Content-Range": "bytes 0-4/5"}
    refused(served.ask("PUT", address, data=iter([b"right", b"er"]), headers=too_long), 413, "too_large")
    refused(served.ask("PUT", address, data=b"rig", headers={"Content-Range": "bytes 0-4/9"}), 422, "bad_request",
            "ended at byte 3")
    refused(served.ask("PUT", address, data=iter([b"right"])), 422, "bad_request", "how long")
    refused(served.ask("PUT", address, data=b"x" * 300_001), 413, "too_large", "pieces of at most 300000")
    more = {"Content-Range": "bytes 0-4/400001"}
    refused(served.ask("PUT", address, data=b"right", headers=more), 413, "too_large", "400000")
    for header in ("bytes 4-0/5", "bytes 0-5/5", "bytes */5", "5", "bytes 0-4/*", "bytes -1-4/5",
                   "bytes 0-4/99999999999999999999"):
        refused(served.ask("PUT", address, data=b"right", headers={"Content-Range": header}), 422, "bad_request")
    refused(served.ask("PUT", "/v1/blobs/..%2F..%2Fetc", data=b"x"), 404, "not_found")
    refused(served.ask("PUT", "/v1/blobs/" + "A" * 64, data=b"x"), 422, "bad_request")


def test_a_key_has_its_share_of_the_disk(tmp_path: Path) -> None:
    with in_thread(tmp_path / "server", Limits(blob_bytes_a_key=1000), devices=()) as server:
        assert server.ask("PUT", f"/v1/blobs/{sha(b'a' * 900)}", data=b"a" * 900).status_code == 201
        over = server.ask("PUT", f"/v1/blobs/{sha(b'b' * 101)}", data=b"b" * 101)
        refused(over, 507, "full")
        assert "Retry-After" in over.headers


def test_a_lesion_is_painted_into_a_ct_that_was_sent(served: Served, tmp_path: Path) -> None:
    voxels = np.random.default_rng(3).integers(-900, 300, (40, 40, 24)).astype(np.int16)
    ct = CTVolume(voxels, np.diag([3.0, 3, 5, 1]))
    path, name = parcels.parcel_of(ct, tmp_path)
    assert served.ask("PUT", f"/v1/blobs/{name}", data=path.read_bytes()).status_code == 201
    request = {"task": "lesion", "ct": to_plain(ct), "box": {"center": [60, 60, 60], "size": [30, 30, 30]}}
    job = served.done_job(request, volumes={request["ct"]["digest"]: name})
    parts = {part["name"]: part for part in served.get(f"/v1/jobs/{job}/result/result").json()["parts"]}
    painted = tmp_path / "painted.nrrd"
    painted.write_bytes(served.get(f"/v1/jobs/{job}/result/ct").content)
    assert parts["ct"]["sha256"] == sha(painted.read_bytes())
    back = parcels.read_ct(painted, 10**6)
    assert back.same_grid(ct)
    assert 0 < np.count_nonzero(back.voxels != ct.voxels) < 5000


def test_jobs_are_listed_newest_first_in_pages_and_by_state(tmp_path: Path) -> None:
    with in_thread(tmp_path / "server", devices=()) as server:
        made = [server.post_job({**SMALL, "seed": n}).json() for n in range(5)]
        assert [job["place"] for job in made] == [1, 2, 3, 4, 5]
        page = server.get("/v1/jobs?limit=3").json()
        rest = server.get(f"/v1/jobs?limit=3&before={page['next']}").json()
        assert [job["id"] for job in page["jobs"] + rest["jobs"]] == [job["id"] for job in reversed(made)]
        assert rest["next"] is None
        gone = server.ask("DELETE", f"/v1/jobs/{made[1]['id']}")
        assert gone.json()["state"] == "cancelled"
        assert server.ask("DELETE", f"/v1/jobs/{made[1]['id']}").json() == gone.json()
        listed = server.get("/v1/jobs?state=cancelled&state=done").json()["jobs"]
        assert [job["id"] for job in listed] == [made[1]["id"]]
        for query in ("state=lost", "limit=0", "limit=101", "limit=x", "before=-1", f"before={2**64}"):
            refused(server.get(f"/v1/jobs?{query}"), 422, "bad_request")


def test_a_full_line_says_how_many_wait(tmp_path: Path) -> None:
    with in_thread(tmp_path / "server", Limits(queued_jobs_a_key=2), devices=()) as server:
        for _ in range(2):
            assert server.post_job().status_code == 202
        busy = server.post_job()
        refused(busy, 429, "busy", "2 of your jobs")
        assert "Retry-After" in busy.headers


def test_a_running_job_is_cancelled(served: Served) -> None:
    job = served.post_job({**SMALL, "shape": [400, 400, 256], "spacing": [1, 1, 1.5]}).json()["id"]
    served.ask("DELETE", f"/v1/jobs/{job}")
    assert served.ended(job)["state"] == "cancelled"
    refused(served.get(f"/v1/jobs/{job}/result/ct"), 404, "not_found", "it is cancelled")


def test_the_request_of_a_job_comes_back_as_it_was_asked(served: Served, done: str) -> None:
    assert served.get(f"/v1/jobs/{done}/request").json() == SMALL


def test_the_newest_preview_is_served_while_a_job_has_no_result(idle: Served) -> None:
    job = idle.post_job().json()["id"]
    refused(idle.get(f"/v1/jobs/{job}/result/preview"), 404, "not_found", "queued")
    workspace = idle.folder / "results" / "work" / f"{job}-1"
    workspace.mkdir()
    (workspace / "preview-2.nrrd").write_bytes(b"old")
    (workspace / "preview-10.nrrd").write_bytes(b"new")
    for name in ("preview", "preview-10"):
        answer = idle.get(f"/v1/jobs/{job}/result/{name}")
        assert (answer.content, answer.headers["ETag"]) == (b"new", f'"{sha(b"new")}"')
    refused(idle.get(f"/v1/jobs/{job}/result/preview-2"), 404, "not_found")
    refused(idle.get(f"/v1/jobs/{job}/result/ct"), 404, "not_found", "queued")


def test_a_part_that_turns_out_cut_off_breaks_the_answer_instead_of_ending_it(served: Served) -> None:
    job = served.done_job({**SMALL, "seed": 99})
    part = served.folder / "results" / "final" / job / "ct.nrrd"
    whole = part.read_bytes()
    part.write_bytes(whole[:-1])
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        served.get(f"/v1/jobs/{job}/result/ct")
    assert served.get("/v1/health").status_code == 200


def test_unknown_things_and_methods_are_refused_in_the_same_shape(served: Served, done: str) -> None:
    refused(served.get("/v1/nothing"), 404, "not_found")
    refused(served.get("/docs"), 404, "not_found")
    refused(served.get(f"/v1/jobs/{'0' * 32}"), 404, "not_found")
    refused(served.get("/v1/jobs/not-an-id"), 422, "bad_request")
    refused(served.get(f"/v1/jobs/{done}/result/labels-99"), 404, "not_found", "labels-99")
    refused(served.get(f"/v1/jobs/{done}/result/..%2F..%2Fkeys.json"), 404, "not_found")
    wrong = served.ask("PATCH", "/v1/jobs")
    refused(wrong, 405, "bad_request")
    assert wrong.headers["Allow"] == "GET, POST"


def test_capabilities_say_what_the_catalog_and_the_limits_say(served: Served) -> None:
    said = served.get("/v1/capabilities").json()
    phantom = next(engine for engine in said["engines"] if engine["id"] == "phantom")
    assert phantom["ready"] is True
    assert phantom["presets"]["draft"]["shape"] == [128, 128, 64]
    assert said["defaults"]["generate"] == "phantom"
    assert (said["limits"]["voxels"], said["limits"]["report_characters"]) == (60_000_000, 20_000)
    assert [worker["device"] for worker in said["workers"]] == ["auto"]
    assert said["version"] == Provenance("", "", 0).version


def test_metrics_are_numbers_that_prometheus_reads(served: Served, done: str) -> None:
    text = served.get("/metrics").text
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r'[a-z0-9_]+(\{[a-z]+="[^"]*"\})? -?[0-9.e+]+', line) for line in samples)
    assert re.search(r'text2ct_jobs\{state="done"\} [1-9]', text)
    assert served.get("/v1/metrics").status_code == 200


def test_a_short_run_of_the_fuzzer_finds_nothing() -> None:
    run = subprocess.run([sys.executable, str(HERE / "fuzz_http.py"), "--cases", "120", "--seed", "8"],
                         capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
