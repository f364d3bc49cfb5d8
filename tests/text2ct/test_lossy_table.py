"""The tables of benchmarks: what shortcuts cost beside the full way, and what small weights draw of themselves."""

from __future__ import annotations

import importlib.util
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from small_networks import SHAPE, SPACING

from text2ct.engines.text2ct.engine import Files, Text2CTEngine
from text2ct.provenance import Provenance
from text2ct.requests import GenerateCT, Result
from text2ct.volume import CTVolume

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def lossy() -> ModuleType:
    return loaded("lossy")


@pytest.fixture
def mini(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The table of the small weights, whose reports become empty CTs in this process."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    module = loaded("mini")

    def run(request: GenerateCT) -> Result:
        means = "1 finding drawn by rule" if request.by_rule else ""
        account = Provenance("text2ct", "generate", request.seed, sampler=means)
        return Result(account, CTVolume(np.zeros((16, 16, 16), np.int16), np.diag([20.0, 20.0, 20.0, 1.0])))

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    return module


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_table", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_full_way_is_like_itself_and_a_shortcut_is_not(lossy: ModuleType, files: Files) -> None:
    engine = Text2CTEngine(files=lambda weights, watch: files)
    request = GenerateCT(lossy.REPORTS[0], "text2ct", seed=3, steps=4, shape=SHAPE, spacing=SPACING)
    full, fewer = lossy.costs(engine, [request], [(), ("fewer",)], "cpu")
    assert (full.psnr, full.share, full.same) == (math.inf, 1.0, 1.0)
    assert 0 < fewer.psnr < 60
    assert fewer.share > 0


def test_psnr_is_over_the_range_that_the_weights_know(lossy: ModuleType) -> None:
    flat = CTVolume(np.zeros((4, 4, 4), np.int16), np.eye(4))
    other = CTVolume(np.full((4, 4, 4), 200, np.int16), np.eye(4))
    assert lossy.psnr(flat, other) == pytest.approx(20.0)


def test_what_is_drawn_by_rule_is_told_apart_from_what_the_weights_draw(
        mini: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "card.md"
    document.write_text(f"before\n{mini.START}\nold\n{mini.END}\nafter\n")
    assert mini.main(["--count", "2", "--write", str(document)]) == 0
    assert mini.MASSES in capsys.readouterr().out
    written = document.read_text()
    assert mini.MASSES in written
    assert "old" not in written
    assert written.endswith("after\n")
    assert mini.main(["--count", "2", "--weights-only"]) == 0
    bare = capsys.readouterr().out
    assert mini.MASSES not in bare
    assert "weights only" in bare


@pytest.mark.parametrize("text", [None, "no table here"])
def test_a_table_without_a_place_is_refused_before_the_work(
        mini: ModuleType, tmp_path: Path, text: str | None, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    document, worked = tmp_path / "card.md", []
    if text is not None:
        document.write_text(text)
    monkeypatch.setattr(mini, "run", worked.append)
    with pytest.raises(SystemExit):
        mini.main(["--count", "1", "--write", str(document)])
    assert "has no table to be replaced" in capsys.readouterr().err
    assert not worked
