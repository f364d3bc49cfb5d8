"""Published weights without a terminal: the licence is shown, a child process downloads, and it can be cancelled."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flows import REPORT, finish, run_in, status, write
from slicer_standin import drive

Turn = Callable[..., Any]
WEIGHTS_TESTS = Path(__file__).resolve().parents[1] / "weights"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXT2CT_HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    return tmp_path / "home"


@pytest.fixture
def here(slicer_app: Any, home: Path, request: pytest.FixtureRequest) -> Any:
    run_in("here")
    panel = request.getfixturevalue("panel")
    panel.uis["Backend"].backendSection.collapsed = False
    drive.settle()
    return panel


@pytest.fixture
def hub(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A hub on loopback with the tiny weights of the tests of the package, and the catalog that has them."""
    monkeypatch.syspath_prepend(str(WEIGHTS_TESTS))
    import io

    import tiny
    import torch
    from hub_server import Hub, serving

    from text2ct.engines import catalog
    from text2ct.weights import manifest

    def saved(value: Any) -> bytes:
        buffer = io.BytesIO()
        torch.save(value, buffer)
        return buffer.getvalue()

    (tmp_path / "manifests").mkdir()
    tiny.write_manifests(tmp_path / "manifests")
    engine = tiny.engines()["tiny"]
    phantom = catalog.ENGINES["phantom"]
    monkeypatch.setattr(catalog, "ENGINES", {"phantom": phantom, "tiny": replace(
        engine, runner="tiny:Tiny", weight_sets=engine.weight_sets[:1], presets=phantom.presets)})
    monkeypatch.setattr(manifest, "FOLDER", tmp_path / "manifests")
    weights = tiny.weights_of()
    with serving(Hub({"someone/tiny/folder/net.pt": saved({"state": weights, "scale": 1.5, "epoch": 3}),
                      "someone/tiny/other.ckpt": saved({"state_dict": {f"o.{k}": v for k, v in weights.items()}})},
                     )) as found:
        for name, value in {"HF_ENDPOINT": found.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1",
                            "TINY_MANIFESTS": str(tmp_path / "manifests")}.items():
            monkeypatch.setenv(name, value)
        yield found


def instead(monkeypatch: pytest.MonkeyPatch, command: Callable[[list[str]], list[str]]) -> None:
    """Let the child run another command than the one that is asked for."""
    from text2ct import children

    begin = children.begin
    monkeypatch.setattr(children, "begin", lambda asked, **options: begin(command(list(asked)), **options))


def test_without_a_yes_to_the_licence_nothing_is_downloaded(here: Any, slicer_app: Any, home: Path) -> None:
    slicer_app.dialogs.answer = False
    drive.click(here.uis["Backend"].weightsButton)
    (asked,) = slicer_app.dialogs.texts
    assert "https://huggingface.co/dmolino/text2ct-weights" in asked
    assert "research only" in asked
    assert "4.1 GB" in asked
    assert str(home) in asked
    assert here.logic.jobs.rows() == []
    assert not home.exists()


def test_the_package_that_talks_to_the_hub_is_asked_for_first(
        here: Any, slicer_app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from Text2CTSlicerLib import packages

    monkeypatch.setattr(packages, "_is_installed", lambda requirement: requirement.name != "huggingface_hub")
    slicer_app.dialogs.answer = False
    drive.click(here.uis["Backend"].weightsButton)
    (asked,) = slicer_app.dialogs.texts
    assert "huggingface_hub" in asked
    assert here.logic.jobs.rows() == []


def test_with_a_yes_the_weights_are_downloaded_converted_and_offered(
        hub: Any, here: Any, slicer_app: Any, turn_until: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, lambda asked: [asked[0], str(WEIGHTS_TESTS / "tiny.py"), *asked[4:]])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    report = here.uis["Report"]
    report.engineBox.setCurrentIndex(report.engineBox.findData("tiny"))
    assert "(not downloaded)" in report.weightsBox.currentText
    slicer_app.dialogs.answer = True
    drive.click(here.uis["Backend"].weightsButton)
    assert not here.uis["Backend"].weightsButton.enabled
    finish(here, turn_until, 120)
    assert "CC-BY-NC-SA" in slicer_app.dialogs.texts[0]
    assert status(here) == "The weights are here and can be chosen."
    assert "converting" in here.logic.jobs.log(1)
    assert report.weightsBox.currentText == "Tiny weights"
    assert here.uis["Backend"].weightsButton.enabled
    drive.click(here.uis["Backend"].weightsButton)
    assert "All weights" in here.uis["Backend"].backendLabel.text


def test_a_download_that_fails_says_why_in_the_words_of_the_package(
        hub: Any, here: Any, slicer_app: Any, turn_until: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    instead(monkeypatch, lambda asked: [asked[0], str(WEIGHTS_TESTS / "tiny.py"), *asked[4:]])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    hub.spoil = True
    drive.click(here.uis["Backend"].weightsButton)
    finish(here, turn_until, 120)
    assert here.logic.jobs.rows()[0].state == "failed"
    assert "arrived damaged" in status(here)
    assert here.uis["Backend"].weightsButton.enabled


def test_a_download_that_is_cancelled_leaves_no_process_behind(
        here: Any, slicer_app: Any, turn_until: Turn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = ("import json, os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); "
               "print(json.dumps({'stage': 'downloading x', 'step': 3, 'total': 9, 'seconds': 0.1}), file=sys.stderr, "
               "flush=True); time.sleep(600)")
    instead(monkeypatch, lambda asked: [asked[0], "-c", endless, str(tmp_path / "pid")])
    drive.click(here.uis["Backend"].weightsButton)
    turn_until(lambda: "downloading x 3/9" in status(here), 30)
    pid = int((tmp_path / "pid").read_text())
    drive.click(here.uis["Jobs"].cancelButton)
    finish(here, turn_until, 30)
    assert here.logic.jobs.rows()[0].state == "cancelled"
    turn_until(lambda: not _runs(pid), 10)


def _runs(pid: int) -> bool:
    """Whether a process is alive; one that only waits to be buried is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def absent(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request asks for weights that are not here."""
    from text2ct.engines import run
    from text2ct.engines.catalog import engine
    from text2ct.weights.store import find

    monkeypatch.setattr(run, "run", lambda *given, **more: find(engine("text2ct"), "published", "unet"))


def test_the_command_for_absent_weights_works_in_a_terminal(here: Any, absent: None, turn_until: Turn) -> None:
    write(here, REPORT)
    drive.click(here.uis["Report"].generateButton)
    finish(here, turn_until, 60)
    said = status(here)
    command = re.search(r"get them with: (.*) weights download text2ct/published", said)
    assert command, said
    assert "Download weights..." in said
    run = subprocess.run(["/bin/sh", "-c", f"{command[1]} weights list"], capture_output=True, text=True, check=False,
                         cwd="/", env={"PATH": "/usr/bin:/bin", "HOME": "/"})
    assert run.returncode == 0, run.stderr
    assert "text2ct/published/unet" in run.stdout


def test_what_a_server_says_of_its_weights_is_left_as_it_is(here: Any, turn_until: Turn) -> None:
    from Text2CTSlicerLib.jobs import Delivery

    from text2ct.errors import WeightsError
    from text2ct.requests import GenerateCT

    class Server:
        key = title = "https://gpu.example.org"

        def start(self, *given: Any) -> Any:
            raise WeightsError("Absent; get them with: text2ct weights download text2ct/published")

    here.logic.jobs.submit(Server(), GenerateCT(REPORT), "x", Delivery(lambda made: ""))
    finish(here, turn_until, 30)
    assert status(here) == "Absent; get them with: text2ct weights download text2ct/published"
