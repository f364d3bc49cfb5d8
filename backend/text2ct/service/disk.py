"""The few ways in which the service touches the disk, so that a full one is met in one place.

Bytes reach a file only through `write`, and are made to last by `sync`; a disk or a
quota that is full comes out as Refused("full") wherever `full_disk_refused` stands
around the work. What the service keeps may be patient data: folders and files are
for its own user only.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import Unavailable
from .refusal import Refused

NO_SPACE = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
FULL = "The server's disk or its quota is full; try again later, or ask who runs the server to free space."
RESERVE = 64 << 20  # taking in stops this early, so that jobs already accepted can still be finished
_HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)


class InUse(Unavailable):
    """Another live process has it."""


def write(handle: BinaryIO, data: bytes) -> None:
    """All of `data` into the file; an unbuffered one may take it in parts."""
    left = memoryview(data)
    while left:
        left = left[handle.write(left):]


def sync(handle: BinaryIO) -> None:
    """What was written stays, also when the power goes."""
    handle.flush()
    os.fsync(handle.fileno())


def sync_file(path: Path) -> None:
    """The same for a file that someone else wrote. Windows syncs only what is open for writing."""
    with path.open("r+b") as handle:
        os.fsync(handle.fileno())


def sync_folder(path: Path) -> None:
    """The names in a folder stay, where the system can promise that (Windows does so by itself)."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def full_disk_refused() -> Iterator[None]:
    """A full disk or quota becomes a refusal; other failures stay what they are."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise Refused("full", FULL) from error
        raise


def check_room(folder: Path, wanted: int) -> None:
    """Refuse before the first byte what could not be kept, and leave a reserve for what is under way."""
    if shutil.disk_usage(folder).free < wanted + RESERVE:
        raise Refused("full", FULL)


def private_folder(path: Path) -> Path:
    """The folder; when it is not there it is made, closed to other users. One that somebody made stays as it is."""
    try:
        with full_disk_refused():
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"The folder {path} can't be used: {error.strerror}; give another one.") from error
    return path


def replace_file(path: Path, data: bytes) -> None:
    """The file has this content, or still its old one."""
    with full_disk_refused():
        number, name = tempfile.mkstemp(prefix="." + path.name, dir=path.parent)
        try:
            with os.fdopen(number, "wb") as handle:
                write(handle, data)
                sync(handle)
            os.replace(name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(name)
            raise
        sync_folder(path.parent)


def files_in(folder: Path) -> list[os.DirEntry[str]]:
    """The plain files of a folder; none when it is not there."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.is_file(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def bytes_in(folder: Path) -> int:
    """How much the plain files of a folder hold; a file that goes meanwhile holds nothing."""
    total = 0
    for entry in files_in(folder):
        with suppress(FileNotFoundError):
            total += entry.stat(follow_symlinks=False).st_size
    return total


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Only one process at a time holds this file; the system lets go of it when the process ends, however."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _take(handle, path, wait)
        yield
    finally:
        os.close(handle)


def _take(handle: int, path: Path, wait: bool) -> None:
    try:
        if os.name == "nt":
            import msvcrt
            msvcrt.locking(handle, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno in _HELD:
            raise InUse(f"{path.parent} is in use by another text2ct server; stop that one or give another "
                        "folder.") from error
        raise Unavailable(f"{path.parent} can't be kept to one server ({error.strerror or error}); give a folder on "
                          "a disk of this machine.") from error
