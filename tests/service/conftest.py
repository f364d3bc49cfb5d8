"""What tests with real worker processes share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def acting_folder(tmp_path, monkeypatch):
    """Workers find the acting engines, and these a place for their marks."""
    folder = tmp_path / "marks"
    folder.mkdir()
    monkeypatch.setenv("ACTING_FOLDER", str(folder))
    here = str(Path(__file__).resolve().parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]))
    return folder
