"""The command line with a server: the same commands, the same files, one line for what went wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from test_commands import one_sentence, text2ct

from text2ct.local_service import LocalService
from text2ct.requests import GenerateCT

REPORT = "Large left pleural effusion. No pneumothorax."
TINY = ["--shape", "48", "44", "40", "--spacing", "8", "8", "8", "--seed", "4"]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalService]:
    with LocalService(folder=tmp_path_factory.mktemp("remote") / "server") as local, \
            pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXT2CT_KEY", local.address().key)
        yield local


@pytest.fixture(scope="module")
def server(local: LocalService) -> list[str]:
    return ["--server", local.address().url]


@pytest.fixture(scope="module")
def made(server: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "there"
    done = text2ct("generate", "--report", REPORT, "-o", folder, *TINY, *server)
    assert done.returncode == 0, done.stderr
    assert "building the patient" in done.stderr
    return folder


def voxels(path: Path) -> np.ndarray:
    return np.asarray(nibabel.load(path).dataobj)


def test_generating_there_writes_what_generating_here_writes(made: Path, tmp_path: Path) -> None:
    assert text2ct("generate", "--report", REPORT, "-o", tmp_path / "here", *TINY).returncode == 0
    assert sorted(p.name for p in made.iterdir()) == sorted(p.name for p in (tmp_path / "here").iterdir())
    assert np.array_equal(voxels(made / "ct.nii.gz"), voxels(tmp_path / "here/ct.nii.gz"))
    there, here = (json.loads((folder / "account.json").read_text()) for folder in (made, tmp_path / "here"))
    assert there["request"] == here["request"]
    assert there["ledger"] == here["ledger"]
    assert text2ct("verify", made).returncode == 0


def test_lesions_and_scores_are_made_there_too(made: Path, server: list[str], tmp_path: Path) -> None:
    place = ["-i", made / "ct.nii.gz", "--box", 80, 0, 0, 60, 60, 60, "--attribute", "density=solid"]
    for where, more in (("there", server), ("here", [])):
        done = text2ct("lesion", *place, "-o", tmp_path / f"{where}.nii.gz", *more)
        assert done.returncode == 0, done.stderr
    assert np.array_equal(voxels(tmp_path / "there.nii.gz"), voxels(tmp_path / "here.nii.gz"))
    score = ["score", "-i", made / "ct.nii.gz", "--report", "No pleural effusion.", "--json"]
    there, here = (json.loads(text2ct(*score, *more).stdout) for more in (server, []))
    assert there["ledger"] == here["ledger"]
    assert there["ledger"][0]["agrees"] is False


def test_the_key_may_stand_in_a_file(local: LocalService, server: list[str], tmp_path: Path,
                                     monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEXT2CT_KEY")
    one_sentence(text2ct("jobs", "list", *server), 6, "wants a key")
    (tmp_path / "key").write_text(local.address().key + "\n")
    assert text2ct("jobs", "list", *server, "--key-file", tmp_path / "key").returncode == 0
    (tmp_path / "key").write_text("t2ct_wrong")
    one_sentence(text2ct("jobs", "list", *server, "--key-file", tmp_path / "key"), 6, "does not know this key")
    typed = text2ct("jobs", "list", *server, "--key", "t2ct_typed")
    one_sentence(typed, 2, "names no file; put the key into one")
    assert "t2ct_typed" not in typed.stderr


def test_ctrl_c_cancels_the_job_there(local: LocalService, server: list[str], tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "text2ct", "generate", "--report", REPORT, "-o", str(tmp_path / "out"),
         "--progress", "json", "--seed", "77", *server], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while json.loads(process.stderr.readline())["stage"] != "building the patient":
        pass
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "Cancelled; nothing was written."
    assert out == ""
    assert list(tmp_path.iterdir()) == []
    assert local.service.jobs()[0].state == "cancelled"


def test_a_job_is_listed_shown_followed_and_fetched_with_its_whole_account(
        local: LocalService, server: list[str], made: Path, tmp_path: Path) -> None:
    request = GenerateCT(REPORT, seed=4, shape=(48, 44, 40), spacing=(8.0, 8.0, 8.0))
    job = local.service.submit(request).id
    followed = text2ct("jobs", "follow", job[:12], *server)
    assert followed.returncode == 0, followed.stderr
    assert f"{job}  generate by phantom: done" in followed.stdout
    listed = json.loads(text2ct("jobs", "list", "--json", *server).stdout)
    assert listed[0]["id"] == job
    assert job in text2ct("jobs", "list", "--most", "1", *server).stdout.splitlines()[0]
    assert json.loads(text2ct("jobs", "show", job, "--json", *server).stdout)["state"] == "done"
    fetched = text2ct("jobs", "fetch", job, "-o", tmp_path / "out", "--dicom", *server)
    assert fetched.returncode == 0, fetched.stderr
    assert "SYNTHETIC result" in fetched.stdout
    assert np.array_equal(voxels(tmp_path / "out/ct.nii.gz"), voxels(made / "ct.nii.gz"))
    account, first = (json.loads((folder / "account.json").read_text()) for folder in (tmp_path / "out", made))
    assert account["request"] == first["request"]
    assert account["request"]["report"] == REPORT
    assert text2ct("verify", tmp_path / "out").returncode == 0


def test_watching_ends_and_the_job_goes_on(local: LocalService, server: list[str]) -> None:
    job = local.service.submit(GenerateCT(REPORT, seed=78, preset="best"))
    follow = [sys.executable, "-m", "text2ct", "jobs", "follow", job.id, "--progress", "json", *server]
    process = subprocess.Popen(follow, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    process.stderr.readline()
    os.kill(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("The job goes on;")
    assert job.view().state in ("queued", "running")
    early = text2ct("jobs", "fetch", job.id, "-o", "never", *server)
    one_sentence(early, 2, "has no result yet")
    cancelled = text2ct("jobs", "cancel", job.id, *server)
    assert cancelled.returncode == 0
    followed = text2ct("jobs", "follow", job.id, "-q", *server)
    one_sentence(followed, 130, "was cancelled; it made nothing")


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["jobs", "show", "0" * 32], 6, "job"),
    (["jobs", "show", "../secrets"], 6, "is no id of a job"),
    (["jobs", "list", "--most", "0"], 2, "give a number above 0"),
    (["generate", "--report", "Normal.", "-o", "x", "--device", "cpu"], 2, "leave --device out"),
    (["generate", "--report", " ", "-o", "x"], 2, "report is empty"),
    (["generate", "--report", "Normal.", "-o", "x", "--engine", "magic"], 2, "use one of: phantom"),
    (["generate", "--report", "Normal.", "-o", "x", "--ca", "absent.pem"], 2, "no file absent.pem"),
    (["generate", "--report", "Normal.", "-o", "x", "--key-file", "absent"], 2, "names no file")])
def test_bad_use_of_a_server_is_one_line_that_helps(server: list[str], tmp_path: Path, arguments: list[str], code: int,
                                                    words: str) -> None:
    one_sentence(text2ct(*arguments, *server, cwd=tmp_path), code, words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (["--server", "http://127.0.0.1:9"], 6, "Nothing answers at http://127.0.0.1:9; start the server"),
    (["--server", "http://gpu.example.org:8042"], 2, "unprotected; use https"),
    (["--server", "gpu:8042"], 2, "is no address of a server"),
    (["--key-file", "k"], 2, "name it with --server URL")])
def test_a_server_that_cannot_be_used_is_one_line_that_helps(tmp_path: Path, arguments: list[str], code: int,
                                                             words: str) -> None:
    done = text2ct("generate", "--report", "Normal chest.", "-o", "x", *arguments, cwd=tmp_path)
    one_sentence(done, code, words)
    assert list(tmp_path.iterdir()) == []
