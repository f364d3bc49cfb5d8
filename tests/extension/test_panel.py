"""How the panel behaves: what it asks, when it is busy, and that every failure ends in a sentence.

Qt and the scene are replaced by the few names that the module uses; the child process
is one that the test moves on by hand.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

MODULE = Path(__file__).resolve().parents[2] / "Text2CTSlicer"
sys.path.insert(0, str(MODULE))

import Text2CTSlicerLib  # noqa: E402
from Text2CTSlicerLib import backend, generation  # noqa: E402


class Widget(SimpleNamespace):
    """A widget that remembers its connections and menu items."""

    def connect(self, signal: str, slot: Any) -> None:
        self.slots = {**getattr(self, "slots", {}), signal: slot}

    def click(self) -> None:
        if self.enabled:
            self.slots["clicked(bool)"]()

    def addItem(self, text: str, data: str) -> None:
        self.items = [*getattr(self, "items", []), (text, data)]
        self.count, self.currentData = len(self.items), self.items[0][1]


class Process:
    """A child process that does what the test says."""

    can_start = True
    last: Process

    def __init__(self, on_output: Any, on_end: Any) -> None:
        self.output, self.end, self.calls = on_output, on_end, []
        Process.last = self

    def start(self, program: str, arguments: list[str]) -> bool:
        self.program, self.arguments = program, arguments
        return self.can_start

    def cancel(self) -> None:
        self.calls.append("cancel")

    def abandon(self) -> None:
        self.calls.append("abandon")


class Base:
    """Stands for each of Slicer's base classes."""

    def __init__(self, parent: Any = None) -> None:
        self.parent, self.layout = parent, SimpleNamespace(addWidget=lambda widget: None)

    def setup(self) -> None:
        pass

    def resourcePath(self, name: str) -> str:
        return name


@pytest.fixture
def slicer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The names of Slicer that the module uses; `log` holds what it was asked to do."""
    names = {name: Widget(name=name, enabled=True) for name in (
        "reportEdit", "presetComboBox", "seedSpinBox", "generateButton", "cancelButton", "progressBar", "statusLabel")}
    names["reportEdit"].plainText, names["seedSpinBox"].value, names["presetComboBox"].count = "", 3, 0
    ui, log = SimpleNamespace(**names), []
    util = SimpleNamespace(
        loadUI=lambda path: SimpleNamespace(setMRMLScene=lambda scene: None), childWidgetVariables=lambda panel: ui,
        confirmOkCancelDisplay=lambda text: log.append(("ask", text)) or stand_in.answer,
        pip_install=lambda names: log.append(("install", names)),
        setSliceViewerLayers=lambda **how: log.append(("show", how)))
    stand_in = ModuleType("slicer")
    stand_in.__dict__.update(util=util, mrmlScene=None, app=SimpleNamespace(temporaryPath=str(tmp_path)),
                             ui=ui, log=log, answer=True)
    i18n, bases = ModuleType("slicer.i18n"), ModuleType("slicer.ScriptedLoadableModule")
    i18n.__dict__.update(tr=lambda text: text, translate=lambda context, text: text)
    bases.__dict__.update({f"ScriptedLoadableModule{kind}": Base for kind in ("", "Widget", "Logic", "Test")})
    process = ModuleType("Text2CTSlicerLib.process")
    process.__dict__.update(ChildProcess=Process)
    for module in (stand_in, i18n, bases, process):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(Text2CTSlicerLib, "nodes", SimpleNamespace(PREFIX="SYNTHETIC"), raising=False)
    monkeypatch.setattr(backend, "missing_packages", list)
    monkeypatch.setattr("shutil.which", lambda name: f"/slicer/{name}")
    return stand_in


@pytest.fixture
def panel(slicer: Any) -> Iterator[Any]:
    """The module's panel, set up, with a report typed in."""
    module = importlib.import_module("Text2CTSlicer")
    widget = module.Text2CTSlicerWidget()
    widget.setup()
    slicer.ui.reportEdit.plainText = "Small left pleural effusion."
    slicer.ui.reportEdit.slots["textChanged()"]()
    yield widget
    del sys.modules["Text2CTSlicer"]


def test_generate_waits_for_a_report(panel: Any, slicer: Any) -> None:
    assert slicer.ui.generateButton.enabled
    slicer.ui.reportEdit.plainText = "  \n"
    slicer.ui.reportEdit.slots["textChanged()"]()
    assert not slicer.ui.generateButton.enabled


def test_while_it_runs_only_cancel_can_be_pressed(panel: Any, slicer: Any) -> None:
    slicer.ui.generateButton.click()
    assert (slicer.ui.generateButton.enabled, slicer.ui.cancelButton.enabled) == (False, True)
    assert Process.last.program == "/slicer/PythonSlicer"
    assert Process.last.arguments[Process.last.arguments.index("--seed") + 1] == "3"


def test_progress_moves_the_bar_and_the_status(panel: Any, slicer: Any) -> None:
    slicer.ui.generateButton.click()
    Process.last.output(b'{"stage": "drawing lungs", "step": 2, "total": 8, "seconds": 1.2}\n')
    assert (slicer.ui.progressBar.value, slicer.ui.progressBar.maximum) == (2, 8)
    assert "drawing lungs" in slicer.ui.statusLabel.text


def test_a_failed_run_leaves_its_sentence_no_files_and_a_free_panel(panel: Any, slicer: Any, tmp_path: Path) -> None:
    slicer.ui.generateButton.click()
    Process.last.output(b"The report is empty of findings; write some.\n")
    Process.last.end(2)
    assert slicer.ui.statusLabel.text == "The report is empty of findings; write some."
    assert (slicer.ui.generateButton.enabled, slicer.ui.cancelButton.enabled) == (True, False)
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_cannot_be_read_is_told_and_leaves_a_free_panel(panel: Any, slicer: Any) -> None:
    slicer.ui.generateButton.click()
    Process.last.end(0)
    assert "could not be loaded" in slicer.ui.statusLabel.text
    assert slicer.ui.generateButton.enabled


def test_a_result_is_put_into_the_scene_and_shown(
        panel: Any, slicer: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ct, labels = (SimpleNamespace(GetName=lambda n=n: f"SYNTHETIC {n}") for n in ("CT", "labels"))
    nodes = SimpleNamespace(add_ct=lambda volume, account: ct, add_segmentation=lambda layers, node, account: labels)
    monkeypatch.setattr(sys.modules["Text2CTSlicer"], "nodes", nodes)
    monkeypatch.setattr(generation, "read", lambda folder: generation.Made("ct", ("organs",), "account"))  # type: ignore
    slicer.ui.generateButton.click()
    Process.last.end(0)
    assert slicer.log == [("show", {"background": ct, "fit": True})]
    assert slicer.ui.statusLabel.text == "Done: SYNTHETIC CT and SYNTHETIC labels."
    assert list(tmp_path.iterdir()) == []


def test_cancel_asks_the_child_and_the_panel_is_free_when_it_has_ended(panel: Any, slicer: Any) -> None:
    slicer.ui.generateButton.click()
    slicer.ui.cancelButton.click()
    assert Process.last.calls == ["cancel"]
    assert not slicer.ui.generateButton.enabled
    Process.last.end(130)
    assert "Cancelled" in slicer.ui.statusLabel.text
    assert slicer.ui.generateButton.enabled


def test_closing_the_module_ends_the_child_and_removes_the_report(panel: Any, slicer: Any, tmp_path: Path) -> None:
    slicer.ui.generateButton.click()
    assert len(list(tmp_path.rglob("report.txt"))) == 1
    panel.cleanup()
    assert Process.last.calls == ["abandon"]
    assert list(tmp_path.iterdir()) == []


def test_a_slicer_without_its_python_says_so(panel: Any, slicer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    slicer.ui.generateButton.click()
    assert "PythonSlicer" in slicer.ui.statusLabel.text
    assert slicer.ui.generateButton.enabled


def test_a_child_that_does_not_start_is_told(
        panel: Any, slicer: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Process, "can_start", False)
    slicer.ui.generateButton.click()
    assert "could not be started" in slicer.ui.statusLabel.text
    assert slicer.ui.generateButton.enabled
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named_and_installed_only_after_the_press_and_a_yes(
        panel: Any, slicer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "missing_packages", lambda: ["platformdirs>=3.10"])
    assert slicer.log == []
    slicer.answer = False
    slicer.ui.generateButton.click()
    assert [what for what, _ in slicer.log] == ["ask"]
    assert "platformdirs" in slicer.ui.statusLabel.text
    assert slicer.ui.generateButton.enabled
    slicer.answer = True
    slicer.ui.generateButton.click()
    assert slicer.log[-1] == ("install", ["platformdirs>=3.10"])
    assert slicer.ui.cancelButton.enabled


def test_a_failed_installation_is_told_and_starts_nothing(
        panel: Any, slicer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(names: list[str]) -> None:
        raise RuntimeError("no network")

    monkeypatch.setattr(backend, "missing_packages", lambda: ["platformdirs>=3.10"])
    monkeypatch.setattr(slicer.util, "pip_install", fail)
    slicer.ui.generateButton.click()
    assert "no network" in slicer.ui.statusLabel.text
    assert not slicer.ui.cancelButton.enabled


def test_a_broken_installation_still_opens_the_panel_and_says_what_is_wrong(
        slicer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> Path:
        raise RuntimeError("The package text2ct is not beside this module; install the extension again.")

    monkeypatch.setattr(backend, "folder", absent)
    module = importlib.import_module("Text2CTSlicer")
    try:
        module.Text2CTSlicerWidget().setup()
    finally:
        del sys.modules["Text2CTSlicer"]
    assert "install the extension again" in slicer.ui.statusLabel.text
    assert not slicer.ui.generateButton.enabled
