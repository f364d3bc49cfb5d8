"""Phantoms and real CTs that the tests of the ledger share: drawn or read once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import nibabel
import numpy as np
import pytest

from text2ct.engines.phantom.drawing import Drawing, draw
from text2ct.geometry import Grid
from text2ct.report.finding import Finding
from text2ct.volume import CTVolume

GRID = Grid.centred((128, 128, 64), (3.0, 3.0, 5.0))


@pytest.fixture(scope="session")
def phantom() -> Callable[..., Drawing]:
    """Draws findings into the patient of seed 7; the same findings are drawn once."""

    @lru_cache(maxsize=8)
    def drawn(*findings: Finding) -> Drawing:
        return draw(findings, 7, GRID)

    return drawn


@pytest.fixture(scope="session")
def patient() -> Callable[..., Drawing]:
    """Draws findings into the patient of a given seed."""
    return lambda seed, *findings: draw(findings, seed, GRID)


@pytest.fixture(scope="session")
def real_ct(shared: Path) -> Callable[[str], CTVolume]:
    """Reads one of the real CTs by the beginning of its name."""

    @lru_cache(maxsize=8)
    def read(name: str) -> CTVolume:
        files = sorted((shared / "data" / "real-ct").glob(f"{name}*.nii.gz"))
        if not files:
            pytest.skip(f"no real CT called {name} in the shared folder")
        image = nibabel.load(files[0])
        return CTVolume(np.asarray(image.dataobj).clip(-1024, 3071).astype(np.int16), image.affine)

    return read
