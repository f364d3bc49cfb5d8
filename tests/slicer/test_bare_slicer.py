"""On a Slicer that was only just installed the module opens, understands a report and makes a CT of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOT_IN_SLICER = {"fastapi", "highdicom", "huggingface_hub", "matplotlib", "nibabel", "platformdirs", "torch", "uvicorn"}


@pytest.fixture(scope="module")
def bare() -> dict[str, Any]:
    """What was seen in a process of its own, since this one has all packages."""
    from conftest import MODULE_FOLDER

    command = [sys.executable, Path(__file__).with_name("bare_slicer.py"), MODULE_FOLDER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_nothing_is_there_that_slicer_does_not_bring(bare: dict[str, Any]) -> None:
    import importlib.util

    installed_here = {name for name in NOT_IN_SLICER if importlib.util.find_spec(name) is not None}
    assert installed_here <= set(bare["gone"])
    assert not set(bare["gone"]) & set(bare["came"])


def test_the_panel_opens_and_understands_a_report(bare: dict[str, Any]) -> None:
    assert "cannot start" not in bare["banner"]
    assert "effusion" in bare["understood"].lower()
    assert bare["can_generate"]
    assert bare["errors"] == []
