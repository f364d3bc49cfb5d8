"""The menu of weights: the set that is here is chosen, and the presets are those of the set."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from flows import run_in


@pytest.fixture
def shipped(slicer_app: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shipped weight set of three files that nobody loads; nothing was fetched."""
    from text2ct.engines.catalog import engine
    from text2ct.weights import package

    monkeypatch.setenv("TEXT2CT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(package, "ENGINES", tmp_path)
    folder = tmp_path / "text2ct" / "mini"
    folder.mkdir(parents=True)
    files = engine("text2ct").weight_set("mini").files
    for file in files:
        (folder / file.path).write_bytes(b"numbers")
    digest = hashlib.sha256(b"numbers").hexdigest()
    (folder / "config.json").write_text(json.dumps(
        {"files": [{"name": file.name, "bytes": 7, "sha256": digest} for file in files]}))
    return folder


def menus(request: pytest.FixtureRequest) -> Any:
    run_in("here")
    ui = request.getfixturevalue("panel").uis["Report"]
    ui.engineBox.setCurrentIndex(ui.engineBox.findData("text2ct"))
    return ui


def listed(box: Any) -> list[str]:
    return [box.itemText(n) for n in range(box.count)]


def test_the_set_that_is_here_is_chosen_and_its_presets_are_shown(
        shipped: Path, request: pytest.FixtureRequest) -> None:
    ui = menus(request)
    assert ui.weightsBox.currentData == "mini"
    assert any("(not downloaded)" in words for words in listed(ui.weightsBox))
    assert all("128 x 96 x 64" in words for words in listed(ui.presetBox))
    ui.presetBox.setCurrentIndex(ui.presetBox.findData("best"))
    ui.weightsBox.setCurrentIndex(ui.weightsBox.findData("published"))
    assert all("512 x 512 x 128" in words for words in listed(ui.presetBox))
    assert ui.presetBox.currentData == "best"


def test_a_set_that_ships_but_is_not_in_this_copy_is_not_offered(
        shipped: Path, request: pytest.FixtureRequest) -> None:
    (shipped / "config.json").unlink()
    ui = menus(request)
    assert [ui.weightsBox.itemData(n) for n in range(ui.weightsBox.count)] == ["published"]
