"""Finds the package text2ct for the module, and what Slicer's Python lacks to run it.

Installed, the package lies beside the module; in a checkout it lies in `backend`.
Whichever is found goes first on the path, so that another text2ct on the machine
never runs by accident. Nothing is installed here: the panel asks first.
"""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

from packaging.requirements import Requirement

MODULE_FOLDER = Path(__file__).resolve().parent.parent


def folder(module_folder: Path = MODULE_FOLDER) -> Path:
    """The folder that holds the package text2ct."""
    for place in (module_folder, module_folder.parent / "backend"):
        if (place / "text2ct" / "__init__.py").is_file():
            return place
    raise RuntimeError("The package text2ct is not beside this module; install the extension again.")


def make_importable() -> None:
    """Put the package first on Python's path."""
    place = str(folder())
    if sys.path[:1] != [place]:
        sys.path.insert(0, place)


def missing_packages(module_folder: Path = MODULE_FOLDER) -> list[str]:
    """What text2ct needs and this Python lacks, as pip names it."""
    lines = (module_folder / "Resources" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not _is_installed(Requirement(line))]


def _is_installed(requirement: Requirement) -> bool:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)
