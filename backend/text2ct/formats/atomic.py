"""Outputs appear whole or not at all: write beside, sync, then rename.

A run that is cancelled, killed or out of disk must never leave half a file under the
name that the user asked for, nor cost the file that stood there before.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import BadInput, Unavailable


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` with the same suffix; becomes `path` when the block ends well."""
    path = path.resolve()
    folder = folder_for(path)
    if path.is_dir():
        raise BadInput(f"{path} is a folder; give the name of a file.")
    with _sentences_for(path):
        handle, name = tempfile.mkstemp(prefix=".", suffix="." + path.name, dir=folder)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.chmod(0o666 & ~_UMASK)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path`; becomes `path` when the block ends well.

    Only an empty folder is replaced, unless the caller says that it may be overwritten:
    then the old one stays until the new one is whole.
    """
    path = path.resolve()
    folder = folder_for(path)
    if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not overwrite)):
        raise BadInput(f"{path} already exists and is not an empty folder; name a new one or remove it first.")
    with _sentences_for(path):
        temporary = Path(tempfile.mkdtemp(prefix=".", suffix="." + path.name, dir=folder))
        old = temporary.with_name(temporary.name + ".old")
        try:
            yield temporary
            temporary.chmod(0o777 & ~_UMASK)
            _swap(temporary, path, old)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _swap(new: Path, path: Path, old: Path) -> None:
    """Put `new` at `path`; what stood there is gone only when that is done."""
    if path.exists():
        path.replace(old)
    try:
        new.replace(path)
    except OSError:
        if old.exists():
            old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def folder_for(path: Path) -> Path:
    """The folder that a result goes into, or a sentence when it is not there."""
    folder = path.resolve().parent
    if not folder.is_dir():
        raise BadInput(f"The folder {folder} does not exist; make it first or choose another place.")
    return folder


@contextmanager
def _sentences_for(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{path} could not be written: {error.strerror or error}; free space or "
                          "choose another place.") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()  # asked once: asking sets it for a moment, for every thread
