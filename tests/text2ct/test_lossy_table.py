"""The table of what shortcuts cost compares each with the full way, from the same seeds."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from small_networks import SHAPE, SPACING

from text2ct.engines.text2ct.engine import Files, Text2CTEngine
from text2ct.requests import GenerateCT
from text2ct.volume import CTVolume


@pytest.fixture(scope="module")
def lossy() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "benchmarks" / "lossy.py"
    spec = importlib.util.spec_from_file_location("lossy_table", path)
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
