"""Weights on this disk: brought in once, found by their names, noticed when changed, removed whole."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import tiny
import torch

from text2ct.engines import catalog
from text2ct.errors import BadInput, Unavailable, WeightsError
from text2ct.weights import home as places_on_disk
from text2ct.weights.store import find

Run = Callable[..., Any]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    torch.save({"state": tiny.weights_of(), "scale": torch.tensor(0.5), "epoch": 3}, tmp_path / "net.pt")
    return tmp_path / "net.pt"


def test_a_file_is_brought_in_once_and_then_found(tiny_catalog: Path, weights: Run, file: Path) -> None:
    with pytest.raises(WeightsError, match="text2ct weights download tiny/published"):
        find(catalog.ENGINES["tiny"], "", "net")
    row = weights("import", str(file), "--as", "tiny/published/net", "--accept-licence")[0]
    path, record = find(catalog.ENGINES["tiny"], "published", "net")
    assert Path(row["path"]) == path == tiny_catalog / "weights" / "tiny" / "published" / "net.safetensors"
    loaded = safetensors.torch.load_file(path)
    assert all(torch.equal(loaded[name], value) for name, value in tiny.weights_of().items())
    assert dict(record.scalars) == {"scale": 0.5, "epoch": 3.0}
    assert record.sha256 == row["sha256"] != record.source_sha256
    assert record.licence_accepted
    states = {r["name"]: r["state"] for r in weights("list")}
    assert states["tiny/published/net"] == "here"
    assert states["tiny/published/other"] == "absent"


def test_a_changed_file_is_noticed_and_a_touched_one_not_blamed(tiny_catalog: Path, weights: Run, file: Path) -> None:
    path = Path(weights("import", str(file), "--as", "tiny/published/net", "--accept-licence")[0]["path"])
    os.utime(path, (1, 1))
    assert find(catalog.ENGINES["tiny"], "", "net")[0] == path
    assert weights("verify")[0]["state"] == "verified"
    with path.open("r+b") as changed:
        changed.seek(-1, os.SEEK_END)
        last = changed.read(1)
        changed.seek(-1, os.SEEK_END)
        changed.write(bytes([last[0] ^ 1]))
    for act in (lambda: find(catalog.ENGINES["tiny"], "", "net"), lambda: weights("verify", "tiny")):
        with pytest.raises(WeightsError, match="changed on this disk since they were converted"):
            act()


def test_a_change_that_hides_its_time_is_found_by_verify(tiny_catalog: Path, weights: Run, file: Path) -> None:
    path = Path(weights("import", str(file), "--as", "tiny/published/net", "--accept-licence")[0]["path"])
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(WeightsError, match="changed on this disk"):
        weights("verify", "tiny/published")


def test_the_wrong_file_is_refused_and_leaves_nothing(tiny_catalog: Path, weights: Run, tmp_path: Path) -> None:
    torch.save({"net.weight": torch.zeros(2)}, tmp_path / "net.pt")
    with pytest.raises(WeightsError, match=r"2 missing \(net.bias, net.steps\); 1 misshapen"):
        weights("import", str(tmp_path / "net.pt"), "--as", "tiny/published/net", "--accept-licence")
    left = [path.name for path in (tiny_catalog / "weights" / "tiny" / "published").iterdir()]
    assert left == ["licence.json"]


def test_the_licence_is_asked_for_once(tiny_catalog: Path, weights: Run, file: Path) -> None:
    with pytest.raises(WeightsError, match="--accept-licence"):
        weights("import", str(file), "--as", "tiny/published/net")
    assert not (tiny_catalog / "weights").exists()
    weights("import", str(file), "--as", "tiny/published/net", "--accept-licence")
    weights("import", str(file), "--as", "tiny/published/net")


class Terminal(io.StringIO):
    """What stands in for a person at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "taken"), [("yes", True), ("no", False), ("", False)])
def test_a_person_at_a_terminal_is_asked(tiny_catalog: Path, weights: Run, file: Path, answer: str, taken: bool,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(answer + "\n"))
    monkeypatch.setattr("sys.stderr", shown)
    if taken:
        assert weights("import", str(file), "--as", "tiny/published/net")
    else:
        with pytest.raises(WeightsError, match="was not accepted"):
            weights("import", str(file), "--as", "tiny/published/net")
    assert "CC-BY-NC-SA-4.0" in shown.getvalue()


def test_removing_frees_the_disk_and_may_be_repeated(tiny_catalog: Path, weights: Run, file: Path) -> None:
    weights("import", str(file), "--as", "tiny/published/net", "--accept-licence")
    assert weights("remove", "tiny/published")["bytes"] > tiny.BYTES
    assert weights("remove", "tiny/published")["bytes"] == 0
    assert {row["state"] for row in weights("list")} == {"absent"}


def test_a_file_is_recognised_by_its_name(tiny_catalog: Path, weights: Run, tmp_path: Path) -> None:
    torch.save({"state_dict": {f"module.o.{n}": t for n, t in tiny.weights_of().items()}}, tmp_path / "mine.ckpt")
    with pytest.raises(BadInput, match="could be any of tiny/published/other, hand/published/other"):
        weights("import", str(tmp_path / "mine.ckpt"), "--accept-licence")
    row = weights("import", str(tmp_path / "mine.ckpt"), "--as", "hand/published/other", "--accept-licence")[0]
    assert row["name"] == "hand/published/other"


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("download", "nobody"), "'nobody' is no engine"), (("download", "tiny/other"), "no weight set 'other'"),
    (("download", "hand"), "cannot be downloaded from here. Ask the authors."),
    (("import", "none.pt"), "is not a file"),
    (("verify", "tiny"), "text2ct weights download tiny/published"),
])
def test_bad_use_gets_one_sentence(tiny_catalog: Path, weights: Run, arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises((BadInput, WeightsError), match=sentence):
        weights(*arguments)


def test_a_target_that_is_no_file_of_the_list_is_named(tiny_catalog: Path, weights: Run, file: Path) -> None:
    for target, sentence in (("tiny", "names no file"), ("tiny/published/x", "has no file 'x'; it has net, other"),
                             ("../x/y", "is no engine")):
        with pytest.raises(BadInput, match=sentence):
            weights("import", str(file), "--as", target)


def test_a_full_disk_is_foreseen(tiny_catalog: Path, weights: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places_on_disk, "free_bytes", lambda folder: 10)
    with pytest.raises(Unavailable, match=r"needs 0\.0 GB in .* free"):
        weights("import", str(file), "--as", "tiny/published/net", "--accept-licence")


def test_bytes_that_are_not_the_published_ones_are_told(
        tiny_catalog: Path, weights: Run, file: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(catalog, "ENGINES", tiny.engines(sha256="0" * 64))
    assert weights("import", str(file), "--as", "tiny/published/net", "--accept-licence")[0]["published"] is False


def test_the_default_home_is_the_systems_folder_for_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("TEXT2CT_HOME", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for system, folder in (("linux", ".local/share"), ("darwin", "Library/Application Support"),
                           ("win32", "AppData/Local")):
        monkeypatch.setattr("sys.platform", system)
        assert places_on_disk.home() == tmp_path / folder / "text2ct"


def test_the_users_own_folder_for_data_is_kept_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("TEXT2CT_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "Local"))
    for system, folder in (("linux", "data"), ("darwin", "data"), ("win32", "Local")):
        monkeypatch.setattr("sys.platform", system)
        assert places_on_disk.home() == tmp_path / folder / "text2ct"
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    monkeypatch.setattr("sys.platform", "linux")
    assert places_on_disk.home() == tmp_path / ".local/share/text2ct"


def test_another_home_can_be_chosen_and_one_that_cannot_be_made_is_told(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEXT2CT_HOME", "~/here")
    assert places_on_disk.home() == Path("~/here").expanduser()
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("TEXT2CT_HOME", str(tmp_path / "file"))
    with pytest.raises(Unavailable, match="TEXT2CT_HOME"):
        places_on_disk.made(places_on_disk.home() / "weights")
