"""Weights that ship with the package: found, told apart from those that are fetched, and really in the wheel."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from text2ct.cli import weights as command
from text2ct.cli.console import Console, common_options
from text2ct.engines import catalog
from text2ct.engines.terms import Engine, WeightFile, WeightSet
from text2ct.errors import BadInput, WeightsError
from text2ct.weights import package
from text2ct.weights.store import find, meant, present

Run = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
CONTENT = {"net": b"n" * 300, "other": b"o" * 200}


@pytest.fixture
def folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine with weights to fetch and weights that ship, the latter in place."""
    fetched = WeightSet("published", "Published", "hub", catalog.MIT, (WeightFile("net", "net.pt", 9, "tiny"),),
                        repo="someone/tiny")
    mini = WeightSet("mini", "Ours", "package", catalog.APACHE, tuple(
        WeightFile(name, f"{name}.safetensors") for name in CONTENT))
    monkeypatch.setattr(catalog, "ENGINES", {
        "tiny": Engine("tiny", "Tiny", "", ("generate",), None, weight_sets=(fetched, mini))})
    monkeypatch.setattr(package, "ENGINES", tmp_path)
    made = tmp_path / "tiny" / "mini"
    made.mkdir(parents=True)
    for name, data in CONTENT.items():
        (made / f"{name}.safetensors").write_bytes(data)
    stated = [{"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
              for name, data in CONTENT.items()]
    (made / "config.json").write_text(json.dumps({"files": stated, "more": "of the engine"}))
    return made


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    import argparse

    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers(required=True), common_options())
    args = parser.parse_args(["weights", *arguments])
    capsys.readouterr()
    args.run(args, Console())
    return capsys.readouterr().out


def tiny() -> Engine:
    return catalog.ENGINES["tiny"]


def test_shipped_files_are_found_without_a_licence_to_accept(folder: Path, home: Path) -> None:
    path, record = find(tiny(), "mini", "net")
    assert path == folder / "net.safetensors"
    assert record.sha256 == hashlib.sha256(CONTENT["net"]).hexdigest()
    assert not home.exists()


def test_the_list_says_that_they_ship(folder: Path, weights: Run, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {row["name"]: row for row in weights("list")}
    assert rows["tiny/mini/net"]["state"] == "here"
    assert (rows["tiny/mini/net"]["source"], rows["tiny/mini/net"]["bytes"]) == ("package", 300)
    assert rows["tiny/published/net"]["state"] == "absent"
    assert lines(capsys, "list").count("ships with text2ct") == 2
    (folder / "net.safetensors").unlink()
    assert lines(capsys, "list").count("ships with text2ct") == 1


@pytest.mark.parametrize(("arguments", "sentence"), [
    (("remove", "tiny/mini"), "stay as long as it does"), (("download", "tiny/mini"), "there is nothing to fetch"),
    (("import", "FILE", "--as", "tiny/mini/net"), "no other file can take their place")])
def test_what_cannot_be_done_with_them_is_one_sentence(
        folder: Path, weights: Run, arguments: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        weights(*(str(folder / "net.safetensors") if word == "FILE" else word for word in arguments))
    assert (folder / "net.safetensors").read_bytes() == CONTENT["net"]


def test_removing_all_weights_of_an_engine_leaves_them(folder: Path, weights: Run) -> None:
    assert weights("remove", "tiny")["bytes"] == 0
    assert present(tiny(), tiny().weight_set("mini"))


def test_damage_is_found_by_use_and_by_verify(folder: Path, weights: Run) -> None:
    assert [row["state"] for row in weights("verify", "tiny")] == ["verified", "verified"]
    find(tiny(), "mini", "net")
    (folder / "net.safetensors").write_bytes(b"m" * 300)
    for act in (lambda: find(tiny(), "mini", "net"), lambda: weights("verify", "tiny/mini")):
        with pytest.raises(WeightsError, match="tiny/mini/net are not those that shipped with text2ct"):
            act()


@pytest.mark.parametrize("config", ["", "[]", "{}", '{"files": 3}', '{"files": [{"name": "net"}]}', None])
def test_a_set_whose_config_is_damaged_or_gone_is_absent(folder: Path, weights: Run, config: str | None) -> None:
    (folder / "config.json").unlink()
    if config is not None:
        (folder / "config.json").write_text(config)
    assert {row["state"] for row in weights("list")} == {"absent"}
    with pytest.raises(WeightsError, match="are not in this copy of text2ct"):
        find(tiny(), "mini", "net")


def test_an_unnamed_set_means_the_first_that_is_here(folder: Path) -> None:
    assert meant(tiny(), "") == "mini"
    assert meant(tiny(), "published") == "published"
    (folder / "other.safetensors").unlink()
    assert meant(tiny(), "") == "published"


def test_the_wheel_holds_them(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling is not installed: the wheel is not built")
    copy = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("backend", "training"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE", ".gitignore"):
        shutil.copy(ROOT / name, copy)
    wanted = []
    for engine in ("text2ct", "lesiondiffusion"):
        for weights in catalog.engine(engine).weight_sets:
            if weights.ships:
                names = [file.path for file in weights.files] + ["config.json", "MODEL_CARD.md"]
                wanted += [f"text2ct/engines/{engine}/{weights.id}/{name}" for name in names]
    for path in wanted:
        (copy / "backend" / path).parent.mkdir(exist_ok=True)
        (copy / "backend" / path).write_bytes(path.encode())
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=copy, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        assert len(wanted) >= 9
        assert [wheel.read(path) for path in wanted] == [path.encode() for path in wanted]
