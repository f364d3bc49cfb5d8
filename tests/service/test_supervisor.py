"""The supervisor with real worker processes: what happens to jobs when workers misbehave, die or hang."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from acting import STEPS, marks
from playhouse import Playhouse, children_of, play, runs, until

from text2ct.digest import voxel_digest
from text2ct.engines.run import run
from text2ct.errors import Text2CTError
from text2ct.geometry import Box
from text2ct.requests import GenerateCT, InsertLesion
from text2ct.service import parcels
from text2ct.service.inputs import request_of
from text2ct.service.link import Gone
from text2ct.service.messages import Ready, RunJob, Saved
from text2ct.service.options import Patience
from text2ct.service.refusal import Refused
from text2ct.service.saving import save

pytestmark = [pytest.mark.usefixtures("acting_folder"),
              pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")]
REPORT = "Small right pleural effusion. No pneumothorax."


@pytest.fixture
def house(tmp_path):
    with Playhouse(tmp_path / "server") as house:
        yield house


def hasty(tmp_path, **patience) -> Playhouse:
    return Playhouse(tmp_path / "server", Patience(**patience))


def test_a_job_gives_the_same_voxels_labels_and_ledger_as_in_process(house):
    request = GenerateCT(REPORT, preset="draft", shape=(64, 64, 32), seed=5)
    job = house.do(request)
    here = run(request)
    view = house.results.view(job.id)
    assert job.state == "done"
    assert house.ct(job.id) == here.ct
    assert [parcels.read_labels(house.results.part(job.id, p.name)[0], 1 << 30) for p in view.parts[1:]] \
        == list(here.labels)
    assert (view.ledger, view.notes, view.provenance.seed) == (here.ledger, here.notes, 5)
    assert job.id in house.rung


def test_an_image_travels_by_its_blob(house, tmp_path):
    base = run(GenerateCT("Normal chest.", preset="draft", shape=(64, 64, 32), seed=2)).ct
    path, sha = parcels.parcel_of(base, tmp_path)
    with house.blobs.receive("local", sha, 0, path.stat().st_size, 1 << 30) as blob:
        blob.write(path.read_bytes())
    request = InsertLesion(base, Box((60.0, 0.0, 0.0), (25.0, 25.0, 25.0)))
    job = house.ended(house.add(request, {voxel_digest(base): sha}))
    assert job.error is None
    assert house.ct(job.id) == run(request).ct


def test_the_same_request_gives_the_same_bytes_again(house):
    first, second = house.do("samples"), house.do("samples")
    other = house.do(play("samples", seed=2))
    shas = [house.results.view(job.id).parts[0].sha256 for job in (first, second, other)]
    assert shas[0] == shas[1] != shas[2]


def test_a_job_whose_worker_died_goes_on_from_the_kept_state_to_the_same_voxels(house):
    whole = house.do("samples")
    assert marks("stepped") == STEPS
    died = house.do("dies")
    assert died.state == "done"
    assert died.crashes == 1
    assert house.ct(died.id) == house.ct(whole.id)
    assert marks("stepped") < 3 * STEPS - STEPS // 2, "it began anew instead of going on"
    assert any("last state" in str(said["line"]) for said in house.said(died.id, "log"))
    assert list((house.folder / "checkpoints").iterdir()) == []


def test_the_last_try_does_not_trust_the_kept_state(house):
    job = house.do("spoils")
    assert (job.state, job.crashes, marks("resumed")) == ("done", 2, 1)


def test_a_worker_killed_from_outside_costs_nothing_but_time(house):
    id_ = house.running("steps")
    [pid] = house.workers()
    os.kill(pid, signal.SIGKILL)
    until(lambda: house.job(id_).attempt == 1 and house.job(id_).state == "running")
    house.cancel(id_)
    assert house.ended(id_).state == "cancelled"
    assert house.do("samples").state == "done"
    assert house.supervisor.workers()[0].restarts == 1


def test_a_job_that_always_kills_its_worker_fails_with_the_likely_cause_and_harms_no_other(house):
    bad, good = house.add("suicide"), house.add("samples")
    job = house.ended(bad)
    assert job.state == "failed"
    assert "lacks memory" in job.error.message
    assert "3 times" in job.error.message
    assert marks("suicide") == 3
    assert house.ended(good).state == "done"


def test_a_crash_in_native_code_is_told_with_its_signal(tmp_path):
    with hasty(tmp_path, crashes=0) as house:
        job = house.do("crash")
        assert f"signal {int(signal.SIGSEGV)}" in job.error.message
        assert job.error.id in house.log()
        assert "acting.py" in house.log(), "the log tells where in the code"


def test_want_of_memory_fails_the_job_with_a_sentence_and_renews_the_worker(house):
    job = house.do("greedy")
    assert (job.state, job.crashes) == ("failed", 0)
    assert "memory did not suffice" in job.error.message
    assert house.do("samples").state == "done"
    assert house.supervisor.workers()[0].restarts == 1


def test_a_defect_is_opaque_outside_and_explained_in_the_log_without_the_report(house):
    job = house.do("breaks for Mrs Quillfeather, born 1931, sigma unknown")
    assert (job.state, job.error.code) == ("failed", "defect")
    assert re.fullmatch(r"e-[0-9a-f]{10}", job.error.id)
    assert "ValueError" not in job.error.message
    log = house.log()
    assert job.error.id in log
    assert "ValueError" in log
    assert "acting.py" in log
    assert "cannot make anything" in log
    assert not re.search("Quillfeather|1931|unknown", log)


def test_a_sentence_for_people_passes_but_not_where_the_servers_files_lie(house):
    job = house.do("lacks")
    assert job.error.message == "The file unet.safetensors lacks a tensor; import it again."


def test_an_impossible_request_fails_as_one(house):
    job = house.do(GenerateCT("samples", preset="draft", shape=(4000, 4000, 4000)))
    assert (job.state, job.error.code) == ("failed", "bad_request")


def test_an_engine_that_leaves_python_fails_only_its_job(house):
    assert house.do("quit").error.code == "defect"
    assert house.do("samples").state == "done"
    assert house.supervisor.workers()[0].restarts == 0


def test_what_engines_print_goes_to_the_log_and_harms_nothing(house):
    assert house.do("prints").state == "done"
    for line in ("printed by python", "written to the descriptor", "printed by a child"):
        until(lambda line=line: line.replace("printed", "*") in house.log() or line in house.log())


def test_a_running_job_is_cancelled_at_its_next_step_and_the_worker_stays(house):
    id_ = house.running("steps")
    workers = house.workers()
    house.cancel(id_)
    assert house.ended(id_).state == "cancelled"
    assert house.do("samples").state == "done"
    assert house.workers() == workers
    assert house.results.view(id_) is None


def test_a_job_that_hears_nothing_is_cancelled_by_ending_its_worker_and_all_it_began(tmp_path, acting_folder):
    with hasty(tmp_path, cancel=0.5) as house:
        id_ = house.add("hang")
        until(lambda: marks("hanging") == 1)
        [worker], child = house.workers(), int((acting_folder / "child").read_text())
        house.cancel(id_)
        assert house.ended(id_).state == "cancelled"
        until(lambda: not runs(worker) and not runs(child))
        assert house.do("samples").state == "done"


def test_a_job_that_makes_no_step_is_ended_and_fails(tmp_path):
    with hasty(tmp_path, stall=1.0) as house:
        job = house.do("hang")
        assert job.state == "failed"
        assert "no step for 1 seconds" in job.error.message
        assert house.do("samples").state == "done"


def test_a_worker_without_a_sign_of_life_is_ended_and_its_job_fails(tmp_path):
    with hasty(tmp_path, beat=1.5) as house:
        job = house.do("seizes")
        assert "no sign of life" in job.error.message
        assert house.do("samples").state == "done"


def test_a_worker_that_stops_while_idle_is_replaced_before_it_costs_a_job(tmp_path):
    with hasty(tmp_path, beat=1.5) as house:
        assert house.do("samples").state == "done"
        [pid] = house.workers()
        os.kill(pid, signal.SIGSTOP)
        until(lambda: not runs(pid))
        assert house.do("samples").crashes == 0


def test_a_broken_installation_shows_in_the_workers_and_jobs_wait_until_it_is_mended(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    with Playhouse(tmp_path / "server", loader="mended_later:load") as house:
        id_ = house.add("samples")
        until(lambda: "mended_later" in house.supervisor.workers()[0].trouble)
        assert house.job(id_).state == "queued"
        assert not house.supervisor.workers()[0].alive
        (tmp_path / "mended_later.py").write_text("from acting import load\n")
        assert house.ended(id_).state == "done"
        assert house.supervisor.workers()[0].trouble == ""


def test_stopping_puts_the_running_job_back_and_leaves_no_process(tmp_path, acting_folder):
    house = Playhouse(tmp_path / "server")
    house.supervisor.start()
    id_ = house.add("hang")
    until(lambda: marks("hanging") == 1)
    [worker], child = house.workers(), int((acting_folder / "child").read_text())
    house.supervisor.stop()
    assert house.job(id_).state == "queued"
    assert house.job(id_).crashes == 0
    assert not runs(worker)
    until(lambda: not runs(child))
    house.__exit__()


def test_after_a_restart_a_public_result_is_done_and_others_run_again(tmp_path):
    house = Playhouse(tmp_path / "server")
    public, lost, cancelled = (house.add(f"samples {n}") for n in range(3))
    for id_ in (public, lost, cancelled):
        assert house.store.next().id == id_
    workspace = house.results.workspace(public, 0)
    save(run(GenerateCT("Normal chest.", preset="draft", shape=(32, 32, 16))), workspace)
    assert house.store.saving(public)
    house.results.publish(public, workspace)
    sha = house.results.view(public).parts[0].sha256
    house.store.ask_cancel(cancelled)
    (house.folder / "checkpoints" / "strange.bin").write_bytes(b"left over")
    with house:
        assert house.ended(public).state == "done"
        assert house.ended(lost).state == "done"
        assert house.job(lost).attempt == 1
        assert house.ended(cancelled).state == "cancelled"
        assert house.results.view(public).parts[0].sha256 == sha
        assert list((house.folder / "checkpoints").iterdir()) == []


def test_workers_end_when_the_server_is_killed(tmp_path, acting_folder):
    script = ("import sys, pathlib; from playhouse import *; "
              "h = Playhouse(pathlib.Path(sys.argv[1]), Patience(beat=3.0)); "
              "h.supervisor.start(); h.add(sys.argv[2]); time.sleep(600)")
    for play_ in ("hang", "seizes"):
        (acting_folder / "hanging").unlink(missing_ok=True)
        server = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / play_), play_])
        until(lambda: marks("hanging") == 1)
        [worker] = children_of(server.pid)
        server.kill()
        server.wait()
        until(lambda worker=worker: not runs(worker))
    child = int((acting_folder / "child").read_text())
    until(lambda: not runs(child))


def test_a_full_disk_at_the_last_moment_fails_the_job_and_says_so(house, monkeypatch):
    def full(*_):
        raise Refused("full", "The server's disk is full.")
    monkeypatch.setattr(house.results, "publish", full)
    job = house.do("samples")
    assert (job.state, job.error.code) == ("failed", "full")


def test_an_ending_that_cannot_be_written_yet_is_written_later(house, monkeypatch):
    real, tries = house.store.finish, []

    def sometimes(*arguments):
        tries.append(arguments)
        if len(tries) == 1:
            raise Refused("full", "The server's disk is full.")
        return real(*arguments)
    monkeypatch.setattr(house.store, "finish", sometimes)
    assert house.do("samples").state == "done"
    assert len(tries) == 2


def test_a_queue_that_cannot_be_read_costs_no_worker(house, monkeypatch):
    assert house.do("samples").state == "done"
    workers, real, tries = house.workers(), house.store.next, []

    def sometimes():
        tries.append(1)
        if len(tries) == 1:
            raise Text2CTError("The disk is full.")
        return real()
    monkeypatch.setattr(house.store, "next", sometimes)
    assert house.do("samples").state == "done"
    assert house.workers() == workers


def test_each_device_has_a_worker_and_they_run_side_by_side(tmp_path):
    with Playhouse(tmp_path / "server", devices=("auto", "cpu")) as house:
        ids = [house.running("steps"), house.running("steps")]
        views = house.supervisor.workers()
        assert [view.device for view in views] == ["auto", "cpu"]
        assert {view.job for view in views} == set(ids)
        assert not house.supervisor.idle
        for id_ in ids:
            house.cancel(id_)
        assert [house.ended(id_).state for id_ in ids] == ["cancelled", "cancelled"]
        until(lambda: house.supervisor.idle)


def test_what_a_killed_worker_was_just_keeping_goes_with_its_job(house):
    job = house.running("steps")
    (house.folder / "checkpoints" / f".half.{job}.bin").write_bytes(b"half")
    house.cancel(job)
    assert house.ended(job).state == "cancelled"
    until(lambda: list((house.folder / "checkpoints").iterdir()) == [])


def test_previews_show_while_the_job_runs_and_are_no_part_of_the_result(house):
    job = house.do("samples")
    assert house.said(job.id, "preview")[-1]["part"] == "preview-1"
    assert house.results.preview(job.id) is None
    assert [part.name for part in house.results.view(job.id).parts] == ["ct"]


class ThreadWorker:
    """A worker that is no process, as one on another machine would not be."""

    def __init__(self, device, post):
        self._post = post
        post(self, Ready())

    def send(self, order):
        if isinstance(order, RunJob):
            threading.Thread(target=self._run, args=(order,)).start()

    def _run(self, order):
        save(run(request_of(order)), Path(order.workspace))
        self._post(self, Saved(order.job))

    def end(self):
        self._post(self, Gone(0))


def test_something_else_than_a_process_can_do_the_work(tmp_path):
    with Playhouse(tmp_path / "server", hire=ThreadWorker) as house:
        job = house.do(GenerateCT("Normal chest.", preset="draft", shape=(32, 32, 16)))
        assert job.state == "done"
        assert house.ct(job.id) == run(GenerateCT("Normal chest.", preset="draft", shape=(32, 32, 16))).ct
        assert house.workers() == []


def test_a_worker_that_dies_before_it_took_the_job_up_is_not_held_against_the_job(tmp_path):
    deaths = []

    class Stillborn(ThreadWorker):
        def _run(self, order):
            if len(deaths) < 2:
                deaths.append(order.job)
                self._post(self, Gone(-9))
            else:
                super()._run(order)

    with Playhouse(tmp_path / "server", hire=Stillborn) as house:
        job = house.do(GenerateCT("Normal chest.", preset="draft", shape=(32, 32, 16)))
        assert (job.state, job.attempt, job.crashes) == ("done", 2, 0)
