"""What the tests of LesionDiffusion share: a home with tiny weights, and a body to put lesions into."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_weights
import torch
from scipy import ndimage

from text2ct.geometry import Box, Grid
from text2ct.volume import CTVolume, LabelVolume, Segment

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the tiny weight set, made once."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXT2CT_HOME", str(home))
        tiny_weights.install()
    return home


@pytest.fixture
def tiny_home(_installed: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TEXT2CT_HOME", str(_installed))
    return _installed


@pytest.fixture(scope="session")
def body() -> CTVolume:
    """A liver-like block in fat with noise, in an odd orientation, and a metal voxel far off the scale."""
    rng = np.random.default_rng(5)
    voxels = np.full((40, 36, 30), -90.0)
    voxels[6:34, 6:30, 4:26] = 60
    voxels = ndimage.gaussian_filter(voxels, 0.8) + ndimage.gaussian_filter(rng.normal(0, 18, voxels.shape), 0.5)
    voxels[20, 18, 15], voxels[21, 18, 15], voxels[2, 2, 2] = 2900, -1024, 3000
    return CTVolume(np.rint(voxels).astype(np.int16), Grid.centred((40, 36, 30), (2.5, 2.5, 3.0), "PIR").affine)


@pytest.fixture(scope="session")
def liver(body: CTVolume) -> LabelVolume:
    labels = np.zeros(body.shape, np.uint8)
    labels[6:34, 6:30, 4:26] = 5
    labels[0:5, 6:30, 4:26] = 3
    segments = (Segment(5, "liver", (0.6, 0.3, 0.2)), Segment(3, "left kidney", (0.7, 0.4, 0.3)))
    return LabelVolume(labels, body.affine, segments, "organs")


@pytest.fixture(scope="session")
def box(body: CTVolume) -> Box:
    """A box in the middle of the liver."""
    a, b, c = body.grid.to_ras([20, 18, 15]).tolist()
    return Box((a, b, c), (30.0, 26.0, 28.0))
