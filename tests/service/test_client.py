"""The client with real servers: the same results as in process, over connections that break anywhere.

`FlakyProxy` stands before the server where bytes are counted or connections cut.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from odd_servers import Cut, FlakyProxy
from playhouse import play, until

from text2ct import client
from text2ct.client import Patience, Service
from text2ct.engines.run import run
from text2ct.errors import BadInput, BadRequest, Cancelled
from text2ct.geometry import Box
from text2ct.local_service import LocalService
from text2ct.plain import to_plain
from text2ct.remote import transfers
from text2ct.requests import CancelToken, GenerateCT, InsertLesion, Progress, Request, Result, ScoreCT
from text2ct.service.keys import Keys
from text2ct.service.options import Limits, Options
from text2ct.service.parcels import parcel_of
from text2ct.service.serve import run_server
from text2ct.volume import CTVolume, LabelVolume, Segment

KEY = "a-key-for-the-tests-of-the-client"
HERE = Path(__file__).resolve().parent
QUICK = Patience(connect=5, silence=15, gone=20, first=5, cancel=20)
SMALL = GenerateCT("Small right pleural effusion.", seed=7, shape=(48, 44, 40), spacing=(8, 8, 8))


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    with LocalService(folder=tmp_path_factory.mktemp("client") / "server") as local:
        yield local


@pytest.fixture
def proxy(local: LocalService) -> Iterator[FlakyProxy]:
    parts = urlsplit(local.address().url)
    with FlakyProxy((str(parts.hostname), int(parts.port or 0))) as proxy:
        yield proxy


@pytest.fixture
def flaky(local: LocalService, proxy: FlakyProxy) -> Service:
    return Service(proxy.url, local.address().key, patience=QUICK)


@contextmanager
def acting(folder: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits | None = None) -> Iterator[Service]:
    """A server whose workers run the engines of `acting`."""
    (folder / "marks").mkdir()
    monkeypatch.setenv("ACTING_FOLDER", str(folder / "marks"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    stop, ready, address = threading.Event(), threading.Event(), [""]

    def told(url: str) -> None:
        address[0] = url
        ready.set()

    options = Options(folder / "server", port=0, limits=limits or Limits())
    server = threading.Thread(target=run_server, args=(options, KEY, told, stop), kwargs={"loader": "acting:load"})
    server.start()
    try:
        assert ready.wait(60)
        yield Service(address[0], KEY, patience=QUICK)
    finally:
        stop.set()
        server.join(30)
    assert not server.is_alive()


def same(there: Result, here: Result) -> bool:
    """All that a result says, but for the moment when it was made."""
    notes = [to_plain(r.ledger) == to_plain(here.ledger) and r.score == here.score and r.notes == here.notes
             and {**to_plain(r.provenance), "created": ""} == {**to_plain(here.provenance), "created": ""}
             for r in (there,)]
    titles = [layer.title for layer in there.labels] == [layer.title for layer in here.labels]
    return there.ct == here.ct and list(there.labels) == list(here.labels) and titles and all(notes)


@pytest.fixture(scope="module")
def made() -> Result:
    return run(SMALL)


def lesion(made: Result) -> InsertLesion:
    assert made.ct is not None
    mask = np.zeros(made.ct.shape, np.uint8)
    mask[30:34, 20:24, 18:22] = 1
    return InsertLesion(made.ct, Box.between((60, -40, -40), (120, 40, 40)), organs=made.labels[0], seed=2,
                        attributes=(("density", "solid"),),
                        mask=LabelVolume(mask, made.ct.affine, (Segment(1, "lesion", (1.0, 0.0, 0.0)),)))


def test_the_three_tasks_give_what_they_give_in_process(local: LocalService, made: Result) -> None:
    assert made.ct is not None
    score = ScoreCT(made.ct, "Small right pleural effusion.", labels=made.labels[0])
    for request, here in ((SMALL, made), (lesion(made), run(lesion(made))), (score, run(score))):
        steps: list[Progress] = []
        assert same(local.service.run(request, steps.append), here)
        assert [step.seconds for step in steps] == sorted(step.seconds for step in steps)
        assert {"sending"} & {s.stage for s in steps} or request is SMALL


def test_an_image_turned_another_way_comes_back_on_its_own_grid(local: LocalService, made: Result) -> None:
    assert made.ct is not None
    turned = GenerateCT("Large left pleural effusion.", base=made.ct.reoriented("SAR"))
    result = local.service.run(turned)
    assert result.ct is not None
    assert result.ct.same_grid(made.ct.reoriented("SAR"))
    assert same(result, run(turned))


def test_identical_images_are_sent_once(flaky: Service, proxy: FlakyProxy, made: Result) -> None:
    assert made.ct is not None
    fresh = CTVolume(np.random.default_rng(1).integers(-1000, 1000, (60, 50, 40)).astype(np.int16), made.ct.affine)
    request = ScoreCT(fresh, "Normal chest.")
    first = flaky.submit(request)
    sent, proxy.up = proxy.up, 0
    second = flaky.submit(request)
    assert first.id != second.id
    assert sent > 150_000
    assert proxy.up < 10_000
    assert sum(line.startswith("PUT") for line in proxy.seen) == 1


def test_an_upload_goes_on_where_it_stopped(flaky: Service, proxy: FlakyProxy, tmp_path: Path,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(2).integers(-1000, 1000, (150, 130, 100)).astype(np.int16)
    request = ScoreCT(CTVolume(noise, np.diag([2.0, 2, 2, 1])), "Normal chest.")
    size = parcel_of(request.ct, tmp_path)[0].stat().st_size
    monkeypatch.setattr(transfers, "PIECE", 400_000)
    proxy.cuts = [Cut("PUT", up=900_000, times=1), Cut("PUT", up=700_000, times=1), Cut("PUT", up=300_000, times=2)]
    heard: list[tuple[int, int]] = []
    job = flaky.submit(request, on_upload=lambda done, total: heard.append((done, total)))
    assert proxy.cuts[-1].times == 0
    assert heard[0] == (0, size)
    assert heard[-1] == (size, size)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert size < proxy.up < 1.5 * size
    assert flaky.attach(job.id).view().task == "score"
    job.cancel()


def test_an_upload_whose_first_bytes_the_server_has_damaged_begins_anew(local: LocalService, tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(-1000, 1000, (90, 80, 70)).astype(np.int16)
    request = ScoreCT(CTVolume(noise, np.diag([2.0, 2, 2, 1])), "Normal chest.")
    file, name = parcel_of(request.ct, tmp_path)
    spoiled = requests.put(f"{local.address().url}/v1/blobs/{name}", bytes(70_000), timeout=30, headers={
        "Authorization": f"Bearer {local.address().key}", "Content-Range": f"bytes 0-69999/{file.stat().st_size}"})
    assert spoiled.status_code == 202
    heard: list[int] = []
    job = local.service.submit(request, on_upload=lambda done, _: heard.append(done))
    assert heard == [70_000, 0, file.stat().st_size]
    job.cancel()


@pytest.mark.parametrize("cut", [Cut("POST /v1/jobs", down=0, times=3), Cut("POST /v1/jobs", down=60),
                                 Cut("POST /v1/jobs", up=10), Cut("POST /v1/jobs", down=0, silent=True)])
def test_a_lost_answer_never_makes_two_jobs(flaky: Service, proxy: FlakyProxy, cut: Cut) -> None:
    before = {job.id for job in flaky.jobs()}
    proxy.cuts = [cut]
    job = flaky.submit(SMALL)
    assert cut.times == 0
    assert {j.id for j in flaky.jobs()} - before == {job.id}
    assert sum(line.startswith("POST") for line in proxy.seen) > 1


def test_the_same_key_of_the_callers_choice_is_the_same_job(local: LocalService) -> None:
    first = local.service.submit(SMALL, "slicer-scene-1")
    assert local.service.submit(SMALL, "slicer-scene-1").id == first.id
    with pytest.raises(BadRequest):
        local.service.submit(GenerateCT("Normal chest."), "slicer-scene-1")


def test_events_come_once_and_in_order_over_connections_that_break(flaky: Service, proxy: FlakyProxy) -> None:
    job = flaky.submit(SMALL)
    proxy.cuts = [Cut("GET /v1/jobs/.*/events", down=bytes_, times=1) for bytes_ in (0, 500, 900)]
    events = [event for event in job.events() if event.kind != "log"]
    assert [e.number for e in events] == sorted({e.number for e in events})
    assert events[-1].kind == "end"
    assert events[-1].data["state"] == "done"
    assert [cut.times for cut in proxy.cuts] == [0, 0, 0]
    seen_again = [event.number for event in flaky.attach(job.id).events(after=events[1].number)]
    assert min(seen_again) > events[1].number
    assert [event.kind for event in job.events(after=events[-1].number)] == ["end"]


def test_a_server_that_goes_away_is_waited_for_and_this_is_said(local: LocalService, proxy: FlakyProxy) -> None:
    service = Service(proxy.url, local.address().key, patience=Patience(connect=1, silence=5, gone=1.5, first=1))
    job = service.submit(SMALL)
    proxy.cuts = [Cut(".*", down=0, times=1000)]
    heard: list[str] = []
    with pytest.raises(client.Unreachable, match=r"Tried for 2 s\."):
        for event in job.events():
            heard.append(str(event.data.get("line")))
    assert heard == ["The connection to the server was lost; trying again for up to 2 s."]


def test_a_result_goes_on_where_it_stopped(local: LocalService, flaky: Service, proxy: FlakyProxy,
                                           made: Result) -> None:
    id_ = local.service.submit(SMALL, "slicer-scene-1").id
    local.service.attach(id_).wait()
    job = flaky.attach(id_)
    heard: list[tuple[int, int]] = []
    whole = job.result(lambda done, total: heard.append((done, total)))
    once, proxy.down = proxy.down, 0
    proxy.cuts = [Cut(f"GET .*/result/{part}", down=bytes_, times=2)
                  for part, bytes_ in (("ct", 60_000), ("labels-0", 2_500), ("result", 900))]
    assert same(job.result(), whole)
    assert same(whole, made)
    assert proxy.down < once + 3 * 30_000
    assert [cut.times for cut in proxy.cuts] == [0, 0, 0]
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert heard[-1][0] == heard[-1][1]


def test_a_result_that_is_damaged_on_its_way_is_refused(local: LocalService) -> None:
    job = local.service.submit(SMALL)
    job.wait()
    (file,) = local.folder.glob(f"**/{job.id}/ct.nrrd")
    data = bytearray(file.read_bytes())
    data[-500] ^= 1
    file.chmod(0o600)
    file.write_bytes(data)
    with pytest.raises(client.ServiceError, match=r"part 'ct' of the result arrived damaged twice"):
        job.result()


def test_a_job_is_found_again_by_its_key_alone(local: LocalService, made: Result) -> None:
    ann, bob = (Service(local.address().url, Keys(local.folder).add(name)) for name in ("ann", "bob"))
    id_ = ann.submit(SMALL).id
    again = Service(local.address().url, ann._connection._where().key).attach(id_)
    assert same(again.follow(), made)
    assert again.request()["report"] == SMALL.report
    assert [job.id for job in ann.jobs()] == [id_]
    assert bob.jobs() == []
    for nobodys in (id_, "0" * 32):
        with pytest.raises(client.NoSuchJob):
            bob.attach(nobodys)
    Keys(local.folder).revoke("ann")
    with pytest.raises(client.WrongKey, match="revoked"):
        ann.jobs()


def test_long_lists_of_jobs_come_whole(local: LocalService) -> None:
    for seed in range(5):
        local.service.submit(GenerateCT("Normal chest.", seed=seed, shape=(4, 4, 4), spacing=(9, 9, 9)))
    jobs = local.service.jobs()
    assert len({job.id for job in jobs}) == len(jobs) >= 5
    assert [job.id for job in local.service.jobs(3)] == [job.id for job in jobs[:3]]


@pytest.mark.parametrize("act", [pytest.param(lambda job, step, token: token.cancel(), id="by the token"),
                                 pytest.param(lambda job, step, token: job().cancel(), id="by somebody else")])
def test_a_cancelled_run_ends_there_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                        act: Callable[..., None]) -> None:
    with acting(tmp_path, monkeypatch) as service:
        token = CancelToken()

        def stepping(step: Progress) -> None:
            if step.stage == "stepping":
                act(lambda: service.attach(service.jobs()[0].id), step, token)

        with pytest.raises(Cancelled, match="nothing"):
            service.run(play("Steps."), stepping, token)
        assert [job.state for job in service.jobs()] == ["cancelled"]


def test_cancelled_before_it_began_nothing_is_sent(flaky: Service, proxy: FlakyProxy) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        flaky.run(SMALL, cancel=token)
    assert proxy.seen == []


def test_cancelling_while_the_server_is_away_says_that_the_job_may_go_on(
        local: LocalService, proxy: FlakyProxy, tmp_path: Path) -> None:
    service = Service(proxy.url, local.address().key, patience=Patience(1, 5, 0.5, 0.5, 5))
    token = CancelToken()

    def gone(step: Progress) -> None:
        proxy.cuts = [Cut(".*", down=0, times=1000)]
        token.cancel()

    with pytest.raises(Cancelled, match=r"the job \w+ may go on there"):
        service.run(SMALL, gone, token)


def test_previews_come_with_the_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with acting(tmp_path, monkeypatch) as service:
        seen: list[Progress] = []
        result = service.run(play("Samples slowly."), seen.append)
        assert result.ct is not None
        previews = [step.preview for step in seen if step.preview is not None]
        assert previews
        assert all(preview.shape == result.ct.shape for preview in previews)
        assert service.attach(service.jobs()[0].id).preview() is None
        no_previews: list[Progress] = []
        service.run(play("Samples."), no_previews.append, previews=False)
        assert not any(step.preview for step in no_previews)


@pytest.mark.parametrize(("request_", "kind", "words"), [
    (play("Breaks."), client.JobFailed, r"A defect of the server .*\(error e-[0-9a-f]{10} in the server's log\)"),
    (play("Lacks."), client.JobFailed, r"lacks a tensor; import it again"),
    (GenerateCT("Normal chest.", engine="magic"), BadRequest, "use one of: phantom"),
    (GenerateCT("Normal chest.", shape=(513, 4, 4)), BadRequest, "larger than this engine's limit")])
def test_a_job_that_cannot_be_done_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: Request,
                                            kind: type[Exception], words: str) -> None:
    with acting(tmp_path, monkeypatch) as service:
        with pytest.raises(kind, match=words) as caught:
            service.run(request_)
        found = re.search(r"e-[0-9a-f]{10}", str(caught.value))
        if found:
            log = (tmp_path / "server/logs/server.log").read_text()
            assert found[0] in log
            assert caught.value.error_id == found[0]  # type: ignore[attr-defined]
            with pytest.raises(client.JobFailed, match=found[0]):
                service.attach(service.jobs()[0].id).result()


def test_too_much_is_said_with_the_limit_or_the_number_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                              made: Result) -> None:
    assert made.ct is not None
    limits = Limits(blob_bytes=20_000, queued_jobs_a_key=2, voxels=50_000)
    with acting(tmp_path, monkeypatch, limits) as service:
        with pytest.raises(client.TooLarge, match=r"takes 0\.\d+ MB packed, and the server takes at most 0\.02 MB"):
            service.submit(ScoreCT(made.ct, "Normal chest."))
        with pytest.raises(client.TooLarge, match=r"50[,_]?000"):
            service.submit(GenerateCT("Normal chest.", shape=(64, 64, 64), spacing=(5, 5, 5)))
        running = service.submit(play("Steps."))
        until(lambda: running.view().state == "running")
        with pytest.raises(BadRequest, match="is running and has no result yet"):
            running.result()
        waiting = [service.submit(play("Normal chest.", seed)) for seed in (1, 2)]
        assert [job.view().place for job in waiting] == [1, 2]
        with pytest.raises(client.Busy, match="2"):
            service.submit(play("Normal chest.", 3))
        for job in (*waiting, running):
            job.cancel()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
def test_a_certificate_of_ones_own_must_be_named_to_be_trusted(tmp_path: Path) -> None:
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=test", "-addext",
                    "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    (tmp_path / "garbage.pem").write_text("no certificate")
    with LocalService(folder=tmp_path / "server", arguments=("--cert", cert, "--cert-key", key)) as local:
        url, secret = local.address().url, local.address().key
        assert url.startswith("https://")
        assert Service(url, secret, cert, QUICK).jobs() == []
        for untrusted in (True, str(tmp_path / "garbage.pem")):
            with pytest.raises(client.Unreachable, match=r"could not prove who it is"):
                Service(url, secret, untrusted, QUICK).jobs()
        with pytest.raises(client.Unreachable, match="could not prove who it is"):
            Service(url.replace("127.0.0.1", "localhost"), secret, cert, QUICK).jobs()
        with pytest.raises(BadInput, match="There is no certificate"):
            Service(url, secret, str(tmp_path / "absent.pem"))


def test_importing_the_client_brings_nothing_heavy() -> None:
    looks = "import sys, text2ct.client, text2ct.local_service; print(sorted(sys.modules))"
    names = subprocess.run([sys.executable, "-c", looks], capture_output=True, text=True, check=True).stdout
    for heavy in ("torch", "fastapi", "starlette", "uvicorn", "scipy", "pydicom", "matplotlib"):
        assert f"'{heavy}'" not in names


def test_no_images_stay_behind_on_the_way(local: LocalService, made: Result, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    local.service.run(lesion(made))
    assert list(tmp_path.iterdir()) == []
