"""Outputs appear whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from text2ct.errors import BadInput, Cancelled, Unavailable
from text2ct.formats.atomic import replacing, replacing_folder


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    path.write_text("old")
    with pytest.raises(Cancelled), replacing(path) as temporary:
        temporary.write_text("half")
        raise Cancelled("stop")
    assert [p.name for p in tmp_path.iterdir()] == ["ct.nii.gz"]
    assert path.read_text() == "old"


def test_the_temporary_file_keeps_the_ending_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    with replacing(path) as temporary:
        assert temporary.name.endswith(".nii.gz")
        assert not path.exists()
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o444 == 0o444


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(Cancelled), replacing_folder(path) as folder:
        (folder / "a").write_text("half")
        raise Cancelled("stop")
    assert list(tmp_path.iterdir()) == []
    with replacing_folder(path) as folder:
        (folder / "a").write_text("whole")
    assert (path / "a").read_text() == "whole"


def test_a_folder_of_somebody_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(BadInput, match="not an empty folder"), replacing_folder(tmp_path):
        pass
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_place_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"), replacing(tmp_path / "no" / "file"):
        pass
    with pytest.raises(BadInput, match="is a folder"), replacing(tmp_path):
        pass


def test_a_disk_that_fills_up_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"could not be written: No space left"), replacing(tmp_path / "ct"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
