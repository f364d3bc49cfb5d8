"""The one place on disk where text2ct keeps what it was given: $TEXT2CT_HOME, else the system's folder for data."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from ..errors import Unavailable

VARIABLE = "TEXT2CT_HOME"


def home() -> Path:
    """The folder; it need not exist yet."""
    chosen = os.environ.get(VARIABLE, "").strip()
    return Path(chosen).expanduser() if chosen else _folder_for_data() / "text2ct"


def _folder_for_data() -> Path:
    """Where this system keeps what programs store for a user; own lines, as Slicer's Python has no package for it."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    chosen = Path(os.environ.get("XDG_DATA_HOME", ""))
    if chosen.is_absolute():
        return chosen
    return Path.home() / ("Library/Application Support" if sys.platform == "darwin" else ".local/share")


def set_folder(engine: str, weights: str) -> Path:
    """Where the converted files of a weight set stand."""
    return home() / "weights" / engine / weights


def download_folder(engine: str, weights: str) -> Path:
    """Where downloads of a weight set stand until they are converted."""
    return home() / "downloads" / engine / weights


def made(folder: Path) -> Path:
    """The folder, made when it was not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"The folder {folder} cannot be made ({error.strerror or error}); choose another place "
                          f"with the environment variable {VARIABLE}.") from error
    return folder


def free_bytes(folder: Path) -> int:
    """Room on the disk that `folder` is or will be on."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_room(folder: Path, needed: int, what: str) -> None:
    """Refuse before a disk is filled half-way."""
    free = free_bytes(folder)
    if needed > free:
        raise Unavailable(f"{what} needs {needed / 1e9:.1f} GB in {folder}, and {free / 1e9:.1f} GB are free; "
                          f"free space or choose another place with the environment variable {VARIABLE}.")
