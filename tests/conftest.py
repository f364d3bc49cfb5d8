"""Fixtures that many tests need: small volumes with a shape of their own, and real CTs where there are any."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from text2ct.geometry import Grid
from text2ct.volume import CTVolume, LabelVolume, Segment

REPOSITORY = Path(__file__).resolve().parent.parent

# slicer-core takes every folder called slicer on the path for a part of itself, and would import the tests in ours.
sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != REPOSITORY / "tests"]


@pytest.fixture(scope="session")
def shared() -> Path:
    """A folder with real CTs and reference cases beside the checkout; it is not part of the repository."""
    folder = Path(os.environ.get("TEXT2CT_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("no folder 'shared' beside the checkout: the tests on real CTs and reference cases are left out")
    return folder


def oblique_grid(shape: tuple[int, int, int] = (7, 6, 5)) -> Grid:
    """A rotated, anisotropic grid away from the origin; no axis is a patient axis."""
    a, b = np.deg2rad(12), np.deg2rad(-7)
    turn_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn_z @ turn_x @ np.diag([-0.8, -0.9, 2.5])
    affine[:3, 3] = [31.5, -12.25, 400.125]
    return Grid(shape, affine)


@pytest.fixture
def ct() -> CTVolume:
    """A small oblique CT in which every voxel differs."""
    grid = oblique_grid()
    voxels = np.arange(np.prod(grid.shape), dtype=np.int16).reshape(grid.shape) * 9 - 1000
    return CTVolume(voxels, grid.affine)


@pytest.fixture
def labels(ct: CTVolume) -> LabelVolume:
    """Three labels on the grid of `ct`, one of them with a name that is not ASCII."""
    voxels = np.zeros(ct.shape, np.uint8)
    voxels[1:4, 1:3, 1:4] = 1
    voxels[4:6, 3:5, 0:2] = 2
    voxels[0, 5, 4] = 7
    segments = (Segment(1, "lung_upper_lobe_left", (0.2, 0.6, 0.9), "lung_ul_l"),
                Segment(2, "heart", (0.9, 0.1, 0.1), "heart"), Segment(7, "Knötchen", (1.0, 1.0, 0.0), "n1"))
    return LabelVolume(voxels, ct.affine, segments, "organs")
