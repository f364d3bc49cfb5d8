"""A real worker process, spoken to over its pipes."""

from __future__ import annotations

import errno
import queue
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from acting import STEPS, marks
from playhouse import play, runs, until

from text2ct import errors
from text2ct.digest import voxel_digest
from text2ct.engines.run import run
from text2ct.engines.terms import Engine
from text2ct.geometry import Box
from text2ct.requests import GenerateCT, InsertLesion, to_json
from text2ct.service import checkpoint, parcels
from text2ct.service.failing import failure_of
from text2ct.service.link import Gone, LocalWorker
from text2ct.service.log import account_of, masked, without_folders, words_of
from text2ct.service.messages import (
    Beat,
    CancelJob,
    Failed,
    Image,
    Note,
    Preview,
    Ready,
    RunJob,
    Saved,
    Step,
    order_of,
    report_of,
    to_line,
)
from text2ct.service.saving import thinned
from text2ct.service.worker import device_for
from text2ct.volume import CTVolume

pytestmark = pytest.mark.usefixtures("acting_folder")


class Heard:
    """A worker and all that it has reported."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.inbox, self.all = folder, queue.SimpleQueue(), []
        self.worker = LocalWorker("auto", lambda _, report: self.inbox.put(report), beat=0.5, loader="acting:load")
        self.wait(Ready)

    def wait(self, *kinds):
        while True:
            report = self.inbox.get(timeout=60)
            self.all.append(report)
            if isinstance(report, (*kinds, Gone)):
                return report

    def order(self, request, job="j1", images=(), most_voxels=1 << 30, resume=False) -> RunJob:
        workspace = self.folder / job
        workspace.mkdir()
        return RunJob(job, to_json(request), images, str(workspace), str(self.folder / f"{job}.bin"), resume,
                      most_voxels)

    def do(self, request, **order):
        self.worker.send(self.order(request, **order))
        return self.wait(Saved, Failed)

    def of(self, kind):
        return [report for report in self.all if isinstance(report, kind)]


@pytest.fixture
def heard(tmp_path):
    heard = Heard(tmp_path)
    yield heard
    heard.worker.end()


@pytest.mark.parametrize("message", [
    RunJob("j", '{"report": "Pleuraerguß\\n"}', (Image("d", "/p"),), "/w", "/c", True, 7), CancelJob("j"),
], ids=lambda m: m.kind)
def test_orders_cross_the_line_unchanged(message):
    line = to_line(message)
    assert line.count(b"\n") == 1
    assert order_of(line) == message
    with pytest.raises(errors.BadInput):
        report_of(line)


@pytest.mark.parametrize("message", [
    Ready(), Beat(5), Step("j", "sampling", 1, 2, 0.5), Preview("j", "preview-1"), Note("j", "a line\nanother"),
    Saved("j"), Failed("j", "defect", "Sentence.", "account\nof it", True)], ids=lambda m: m.kind)
def test_reports_cross_the_line_unchanged(message):
    assert report_of(to_line(message)) == message
    with pytest.raises(errors.BadInput):
        order_of(to_line(message))


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"kind": 3}', b'{"kind": "step"}', b"\xff", b"[" * 100_000])
def test_a_line_that_is_no_message_is_a_sentence(line):
    with pytest.raises(errors.BadInput):
        report_of(line)


def test_models_stay_loaded_from_job_to_job(heard):
    for number in range(3):
        assert heard.do(play("samples"), job=f"j{number}") == Saved(f"j{number}")
    assert marks("loaded") == 1


def test_an_engine_that_failed_unforeseen_is_loaded_anew_but_one_that_refused_is_not(heard):
    assert heard.do(play("lacks"), job="a").code == "failed"
    assert heard.do(play("samples"), job="b") == Saved("b")
    assert marks("loaded") == 1
    assert heard.do(play("breaks"), job="c").code == "defect"
    assert heard.do(play("samples"), job="d") == Saved("d")
    assert marks("loaded") == 2


def test_a_state_that_was_kept_leads_to_the_same_voxels(heard):
    heard.do(play("samples"), job="whole")
    first = marks("stepped")
    assert (heard.folder / "whole.bin").exists()
    (heard.folder / "whole.bin").rename(heard.folder / "again.bin")
    heard.do(play("samples"), job="again", resume=True)
    assert (first, marks("stepped")) == (STEPS, 2 * STEPS - 1)
    assert (heard.folder / "again" / "ct.nrrd").read_bytes() == (heard.folder / "whole" / "ct.nrrd").read_bytes()
    assert [note.job for note in heard.of(Note)] == ["again"]


@pytest.mark.parametrize("harm", [lambda b: b[:-1], lambda b: b[:40] + b"x" + b[41:], lambda b: b"", lambda b: b[:10]])
def test_a_state_that_is_not_whole_or_of_another_request_is_not_used(tmp_path, harm):
    path = tmp_path / "c.bin"
    checkpoint.write(path, b"state of a sampler, and more of it", "request")
    assert checkpoint.read(path, "request") == b"state of a sampler, and more of it"
    assert checkpoint.read(path, "another request") is None
    path.write_bytes(harm(path.read_bytes()))
    assert checkpoint.read(path, "request") is None
    assert checkpoint.read(tmp_path / "none.bin", "request") is None


def test_steps_are_told_in_order_and_not_all_of_them(heard):
    assert heard.do(play("rushes")) == Saved("j1")
    told = [step.step for step in heard.of(Step) if step.stage == "rushing"]
    assert told == sorted(told)
    assert 1 <= len(told) < 1000, "twenty thousand steps in a moment are not worth so many lines"


def test_a_preview_can_be_read_while_the_job_runs_and_is_gone_when_it_is_saved(heard):
    heard.worker.send(heard.order(play("samples")))
    preview = heard.wait(Preview)
    assert preview.part == "preview-1"
    heard.wait(Saved)
    assert sorted(path.name for path in (heard.folder / "j1").iterdir()) == ["ct.nrrd", "result.json"]


def test_a_preview_is_thinned_and_its_voxels_stay_where_they_were():
    affine = np.array([[0, -2.0, 0, 5], [1.5, 0, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1.0]])
    ct = CTVolume(np.arange(9 * 10 * 11, dtype=np.int16).reshape(9, 10, 11), affine)
    thin = thinned(ct, 60)
    assert thin.voxels.size <= 60
    assert thin.voxels[1, 2, 1] == ct.voxels[3, 6, 3]
    assert np.allclose(thin.affine @ [1, 2, 1, 1], ct.affine @ [3, 6, 3, 1])
    assert thinned(ct, 1000) == ct


def test_a_cancel_stops_the_job_and_the_next_one_runs(heard):
    heard.worker.send(heard.order(play("steps"), job="long"))
    until(lambda: marks("stepped") > 0)
    heard.worker.send(CancelJob("another"))
    heard.worker.send(CancelJob("long"))
    assert heard.wait(Failed, Saved).code == "cancelled"
    assert heard.do(play("samples"), job="next") == Saved("next")


def test_a_job_cancelled_before_it_was_taken_up_never_starts(heard):
    heard.worker.send(heard.order(play("steps")))
    heard.worker.send(CancelJob("j1"))
    assert heard.wait(Failed, Saved).code == "cancelled"
    assert marks("stepped") <= 1


def test_images_are_read_bounded_and_checked(heard, tmp_path):
    base = run(GenerateCT("Normal chest.", preset="draft", shape=(64, 64, 32), seed=2)).ct
    other = CTVolume(np.zeros(base.shape, np.int16), base.affine)
    request = InsertLesion(base, Box((60.0, 0.0, 0.0), (25.0, 25.0, 25.0)))
    path, wrong = parcels.parcel_of(base, tmp_path)[0], parcels.parcel_of(other, tmp_path)[0]
    digest = voxel_digest(base)
    assert heard.do(request, job="good", images=(Image(digest, str(path)),)) == Saved("good")
    assert heard.do(request, job="wrong", images=(Image(digest, str(wrong)),)).code == "bad_request"
    assert heard.do(request, job="none").code == "bad_request"
    big = heard.do(request, job="big", images=(Image(digest, str(path)),), most_voxels=1000)
    assert "limit is 1000" in big.message
    gone = heard.do(request, job="gone", images=(Image(digest, str(tmp_path / "gone.nrrd")),))
    assert gone.message == "An image of this request is no longer on the server; send it again."
    assert str(tmp_path) not in "".join(failed.message for failed in heard.of(Failed))


def test_what_is_printed_never_reaches_the_messages(heard):
    assert heard.do(play("prints")) == Saved("j1")
    assert heard.of(Gone) == []


def test_the_end_of_its_orders_is_the_end_of_the_worker_and_its_children(acting_folder):
    worker = subprocess.Popen([sys.executable, "-m", "text2ct.service.worker", "--loader", "acting:load"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    assert report_of(worker.stdout.readline()) == Ready()
    request = to_json(play("hang"))
    worker.stdin.write(to_line(RunJob("j", request, (), str(acting_folder), str(acting_folder / "c"), False, 1)))
    worker.stdin.flush()
    until(lambda: marks("hanging") == 1)
    worker.stdin.close()
    assert worker.wait(30) != 0
    worker.stdout.close()
    child = int((acting_folder / "child").read_text())
    until(lambda: not runs(child))


def test_nonsense_on_the_line_ends_the_worker_with_a_sentence():
    done = subprocess.run([sys.executable, "-m", "text2ct.service.worker"], input=b"nonsense\n", capture_output=True,
                          timeout=60, start_new_session=True, check=False)
    assert b"not JSON" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_worker_starts_without_torch_and_without_the_web_server():
    code = ("import sys, text2ct.service.worker; "
            "print([m for m in ('torch', 'fastapi', 'uvicorn', 'scipy', 'pydicom', 'requests') if m in sys.modules])")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(("error", "code", "leaving"), [
    (errors.Cancelled("Cancelled."), "cancelled", False), (errors.BadRequest("No."), "bad_request", False),
    (errors.Unavailable("No."), "failed", False), (MemoryError(), "failed", True),
    (RuntimeError("CUDA out of memory. Tried to allocate"), "failed", True),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "failed", True),
    (OSError(errno.ENOSPC, "No space"), "full", False), (OSError(errno.EIO, "Broken"), "defect", False),
    (ZeroDivisionError("by zero"), "defect", False)])
def test_each_failure_has_its_code_and_a_sentence(error, code, leaving):
    failed = failure_of(error, "j", "{}")
    assert (failed.code, failed.leaving) == (code, leaving)
    assert failed.message.endswith(".")


def test_a_full_disk_is_told_also_when_it_was_the_cause_of_a_sentence():
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left")
        except OSError as cause:
            raise errors.Unavailable("ct.nrrd could not be written.") from cause
    except errors.Unavailable as error:
        assert failure_of(error, "j", "{}").code == "full"


def test_no_word_of_a_request_is_in_an_account():
    request = to_json(GenerateCT("Frau Müller, 12.03.1950: Pleuraerguss", seed=4))
    quoted = "müller 1950, erguss, sampler"
    try:
        raise KeyError(quoted)
    except KeyError as error:
        account = account_of(error, words_of(request))
    assert "sampler" in account
    assert not any(word in account.lower() for word in ("müller", "1950", "erguss"))


def test_masking_leaves_what_the_request_does_not_say():
    assert masked("device cuda failed at nodule 7", "Nodule of 7 mm") == "device cuda failed at * *"


@pytest.mark.parametrize(("said", "told"), [
    ("/home/a/b.nrrd could not be written", "b.nrrd could not be written"),
    ("in '/srv/x/y.pt': no", "in 'y.pt': no"), (r"C:\Users\x\y.pt lacks", "y.pt lacks"),
    ("see https://example.org/a/b", "see https://example.org/a/b"), ("1/2 and a/b stay", "1/2 and a/b stay")])
def test_sentences_for_outside_name_files_without_their_folders(said, told):
    assert without_folders(said) == told


def test_a_worker_of_a_gpu_runs_engines_that_know_only_the_processor():
    plain = Engine("a", "A", "", ("generate",), "m:C")
    learned = Engine("b", "B", "", ("generate",), "m:C", extra="torch")
    assert [device_for(plain, d) for d in ("auto", "cpu", "cuda:1")] == ["auto", "cpu", "cpu"]
    assert [device_for(learned, d) for d in ("auto", "cpu", "cuda:1")] == ["auto", "cpu", "cuda:1"]
