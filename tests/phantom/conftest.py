"""One small grid and one healthy patient on it, drawn once for all tests of the phantom."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from text2ct.engines.phantom.chest import Chest
from text2ct.engines.phantom.drawing import Drawing, draw, draw_on
from text2ct.engines.phantom.findings import CHANGERS
from text2ct.engines.phantom.patient import Patient
from text2ct.geometry import Grid
from text2ct.report.finding import Finding
from text2ct.requests import Watch
from text2ct.volume import CTVolume

SEED = 11
DrawFindings = Callable[[list[Finding], Grid], Drawing]


@pytest.fixture(scope="session")
def grid() -> Grid:
    return Grid.centred((96, 88, 64), (4.0, 4.0, 5.0), "LPS")


@pytest.fixture(scope="session")
def chest() -> Chest:
    return Chest.of(Patient.of(SEED))


@pytest.fixture(scope="session")
def with_findings(chest: Chest) -> DrawFindings:
    """Draws findings into the one patient, on a chest built only once where they leave the anatomy alone."""
    def draw_them(findings: list[Finding], grid: Grid) -> Drawing:
        if any(f.kind in CHANGERS for f in findings):
            return draw(findings, SEED, grid)
        return draw_on(chest, [f for f in findings if f.certainty == "present"], grid, Watch())

    return draw_them


@pytest.fixture(scope="session")
def healthy(grid: Grid) -> Drawing:
    return draw([], SEED, grid)


@pytest.fixture(scope="session")
def real_ct(shared: Path) -> CTVolume:
    """A small real chest CT."""
    import nibabel

    file = shared / "data" / "real-ct" / "cip_ct64_chest_4mm.nii.gz"
    if not file.exists():
        pytest.skip("the small real CT is not there")
    image = nibabel.load(str(file))
    return CTVolume(np.asarray(image.dataobj).astype(np.int16), image.affine)
