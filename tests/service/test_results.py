"""A result is seen whole or not at all, once, and with exactly the parts it lists."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from pathlib import Path

import pytest
from kept_files import sha, write_result

from text2ct.service.refusal import Refused
from text2ct.service.results import Results

JOB = "ab" * 16


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path)


def published(results: Results, ct: bytes = b"voxels", attempt: int = 0) -> None:
    workspace = results.workspace(JOB, attempt)
    write_result(workspace, ct)
    results.publish(JOB, workspace)


def test_a_published_result_gives_back_every_part(results: Results) -> None:
    assert results.view(JOB) is None
    assert results.part(JOB, "ct") is None
    workspace = results.workspace(JOB, 0)
    view = write_result(workspace, b"voxels")
    assert results.view(JOB) is None
    results.publish(JOB, workspace)
    assert results.view(JOB) == view
    path, part = results.part(JOB, "ct") or pytest.fail("no ct")
    assert (path.read_bytes(), part) == (b"voxels", view.parts[0])
    path, part = results.part(JOB, "labels-0") or pytest.fail("no labels")
    assert (path.read_bytes(), part.title) == (b"labels", "organs")
    path, part = results.part(JOB, "result") or pytest.fail("no json")
    assert (part.sha256, part.bytes) == (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size)
    assert results.part(JOB, "labels-1") is None
    assert results.bytes_of(JOB) == part.bytes + len(b"voxels" + b"labels")
    assert not workspace.exists()


def test_the_first_result_stays(results: Results) -> None:
    published(results, b"first")
    published(results, b"second", attempt=1)
    found = results.part(JOB, "ct")
    assert found is not None
    assert found[0].read_bytes() == b"first"
    half = results.workspace(JOB, 2)
    results.publish(JOB, half)
    assert not half.exists()


def test_a_rename_that_fails_is_not_taken_for_a_result(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EIO, "broken")
    workspace = results.workspace(JOB, 0)
    write_result(workspace, b"voxels")
    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="broken"):
        results.publish(JOB, workspace)
    assert workspace.is_dir()


def test_only_what_is_listed_is_published(results: Results) -> None:
    workspace = results.workspace(JOB, 0)
    write_result(workspace, b"voxels")
    (workspace / "preview-3.nrrd").write_bytes(b"preview")
    (workspace / "scratch").mkdir()
    (workspace / "scratch" / "x").write_bytes(b"x")
    results.publish(JOB, workspace)
    found = results.part(JOB, "ct")
    assert found is not None
    assert {path.name for path in found[0].parent.iterdir()} == {"result.json", "ct.nrrd", "labels-0.seg.nrrd"}
    assert results.part(JOB, "preview-3") is None


def cut(workspace: Path) -> None:
    (workspace / "ct.nrrd").write_bytes(b"vox")


def missing(workspace: Path) -> None:
    (workspace / "labels-0.seg.nrrd").unlink()


def linked(workspace: Path) -> None:
    (workspace / "ct.nrrd").rename(workspace / "elsewhere")
    (workspace / "ct.nrrd").symlink_to(workspace / "elsewhere")


def without_json(workspace: Path) -> None:
    (workspace / "result.json").unlink()


def half_json(workspace: Path) -> None:
    text = (workspace / "result.json").read_text()
    (workspace / "result.json").write_text(text[:len(text) // 2])


def renamed(name: str) -> object:
    def spoil(workspace: Path) -> None:
        plain = json.loads((workspace / "result.json").read_text())
        plain["parts"][0]["name"] = name
        (workspace / "result.json").write_text(json.dumps(plain))
    spoil.__name__ = f"part_named_{name}"
    return spoil


@pytest.mark.parametrize("spoil", [cut, missing, linked, without_json, half_json, renamed("../ct"),
                                   renamed("labels-0"), renamed("result"), renamed("CT")])
def test_an_incomplete_result_is_never_published(results: Results, spoil: object) -> None:
    workspace = results.workspace(JOB, 0)
    write_result(workspace, b"voxels")
    spoil(workspace)  # type: ignore[operator]
    with pytest.raises(Refused) as said:
        results.publish(JOB, workspace)
    assert said.value.code == "failed"
    assert results.view(JOB) is None


def test_a_disk_that_turns_out_full_publishes_nothing(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "no room")
    workspace = results.workspace(JOB, 0)
    write_result(workspace, b"voxels")
    with monkeypatch.context() as broken, pytest.raises(Refused) as said:
        broken.setattr(os, "fsync", full)
        results.publish(JOB, workspace)
    assert said.value.code == "full"
    assert results.view(JOB) is None
    results.publish(JOB, workspace)
    assert results.view(JOB) is not None


def test_every_file_is_synced_before_the_result_has_its_name(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, real = [], os.fsync

    def fsync(handle: int) -> None:
        if results.view(JOB) is None:
            synced.append(os.fstat(handle).st_ino)
        real(handle)
    workspace = results.workspace(JOB, 0)
    write_result(workspace, b"voxels")
    inodes = {path.stat().st_ino for path in (workspace, *workspace.iterdir())}
    monkeypatch.setattr(os, "fsync", fsync)
    results.publish(JOB, workspace)
    assert set(synced) >= inodes


def test_the_newest_preview_is_that_of_the_last_attempt(results: Results) -> None:
    assert results.preview(JOB) is None
    first, second = results.workspace(JOB, 0), results.workspace(JOB, 1)
    (first / "preview-12.nrrd").write_bytes(b"x")
    assert results.preview(JOB) == first / "preview-12.nrrd"
    for number in (2, 10, 9):
        (second / f"preview-{number}.nrrd").write_bytes(b"x")
    (second / ".preview-99.nrrd").write_bytes(b"being written")
    assert results.preview(JOB) == second / "preview-10.nrrd"
    published(results, attempt=2)
    results.discard(JOB)
    assert results.preview(JOB) is None


def test_a_workspace_is_fresh(results: Results) -> None:
    (results.workspace(JOB, 3) / "old").write_bytes(b"x")
    assert list(results.workspace(JOB, 3).iterdir()) == []


def test_the_sweep_at_the_start_leaves_results_and_takes_the_rest(results: Results, tmp_path: Path) -> None:
    published(results)
    write_result(results.workspace("cd" * 16, 0), b"half")
    results.sweep()
    assert results.view(JOB) is not None
    assert results.view("cd" * 16) is None
    assert list((tmp_path / "work").iterdir()) == []


def test_a_discarded_result_is_gone_and_others_stay(results: Results, tmp_path: Path) -> None:
    published(results)
    other = results.workspace("cd" * 16, 0)
    results.workspace(JOB, 5)
    results.discard(JOB)
    results.discard(JOB)
    assert results.view(JOB) is None
    assert results.bytes_of(JOB) == 0
    assert list((tmp_path / "work").iterdir()) == [other]


@pytest.mark.parametrize("name", ["", "..", "../final", "AB", "a" * 65, "ab\n", "\ud800"])
def test_only_an_id_of_ours_names_a_folder(results: Results, name: str) -> None:
    for call in (results.view, results.preview, results.discard, results.bytes_of):
        with pytest.raises(Refused):
            call(name)
    with pytest.raises(Refused):
        results.workspace(name, 0)
    published(results)
    for part in (name, "result.json", "../result", "ct.nrrd"):
        assert results.part(JOB, part) is None


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_results_are_for_the_servers_user_only(results: Results, tmp_path: Path) -> None:
    published(results)
    folders = [tmp_path / "final", tmp_path / "work", tmp_path / "final" / JOB, results.workspace(JOB, 1)]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert sha(b"voxels") in (tmp_path / "final" / JOB / "result.json").read_text()
