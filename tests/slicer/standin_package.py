"""Brings the stand-in of Slicer into this Python, and the module's folder onto its path."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

STAND_IN = Path(__file__).resolve().parents[1] / "slicer_standin"


def start(module_folder: Path) -> Any:
    """The running stand-in; its package is loaded by its file, since `tests` may not be on the path."""
    spec = importlib.util.spec_from_file_location(
        STAND_IN.name, STAND_IN / "__init__.py", submodule_search_locations=[str(STAND_IN)])
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[STAND_IN.name] = package
    spec.loader.exec_module(package)
    sys.path.insert(0, str(module_folder))
    from slicer_standin import boot

    return boot.start()
