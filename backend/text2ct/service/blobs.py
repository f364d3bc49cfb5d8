"""Inputs as files named by the sha256 of their bytes, one folder an owner.

A blob arrives in pieces, in order, in `<sha256>.part`, whose size is how far it is:
so an upload goes on after either side was restarted. (When all bytes are here but were
not judged before one side died, the last byte is to be sent again.) When the last byte is there the
file is synced, its sha256 is taken from the disk, and only then does it get its name.
A piece is synced before it is acknowledged. One owner never sees another's blobs, not
even by asking for a sha256: that would tell who else has this image.

The modification time of a blob says when it was last asked for; what no unfinished
job needs goes some hours after that.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from .disk import (
    bytes_in,
    check_room,
    files_in,
    full_disk_refused,
    private_folder,
    replace_file,
    sync,
    sync_folder,
    write,
)
from .options import Limits
from .refusal import Refused

PART = ".part"
OWNER_FILE = "owner"  # whose folder this is: its own name is a hash
_CHUNK = 1 << 20


class Blobs:
    """All blobs of a server, in `folder`. Any thread may call; one process does the receiving."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = private_folder(folder), limits
        self._lock = threading.Lock()
        self._open: dict[Path, int] = {}  # final path of each blob that is being received, and its size

    def complete(self, owner: str, sha: str) -> int | None:
        """The size of a blob that is wholly here; asking counts as using it."""
        path = self._place(owner, sha)
        with self._lock:
            try:
                os.utime(path)
                return path.stat().st_size
            except FileNotFoundError:
                return None

    def offset(self, owner: str, sha: str) -> int:
        """How many bytes of it are here, complete or not."""
        size = self.complete(owner, sha)
        return _size(_part(self._place(owner, sha))) if size is None else size

    def path(self, owner: str, sha: str) -> Path:
        """The file of a complete blob."""
        path = self._place(owner, sha)
        if not path.is_file():
            raise Refused("not_found", f"The blob {sha[:12]} is not here, or not wholly; send it first.")
        return path

    def receive(self, owner: str, sha: str, start: int, total: int, most: int) -> Receiving:
        """Take in bytes from `start` (the offset so far, or 0 to begin anew) of a blob of `total` bytes.

        No more than `most` bytes come in this time. Use it in a `with`.
        """
        path = self._place(owner, sha)
        with self._lock:
            if path in self._open:
                raise Refused("conflict", "This blob is being sent already; wait for that, or try again.")
            self._judge(path, start, total)
            self._found(path.parent, owner)
            self._open[path] = total
        return Receiving(path, sha, start, total, most, lambda: self._close(path))

    def bytes_of(self, owner: str) -> int:
        """How much disk an owner's blobs take, the incomplete ones too."""
        return bytes_in(self._home(owner))

    def drop_unused(self, in_use: Callable[[str], set[str]], older_than_s: float, now: float | None = None) -> int:
        """Remove blobs that no job needs and that nobody asked for so long. How many bytes that freed."""
        freed = 0
        for home in sorted(path for path in self._folder.iterdir() if path.is_dir()):
            try:
                owner = (home / OWNER_FILE).read_text("utf-8")
            except FileNotFoundError:
                continue
            with self._lock:
                needed = in_use(owner)
                freed += sum(self._drop(entry, needed, older_than_s, time.time() if now is None else now)
                             for entry in files_in(home) if entry.name != OWNER_FILE)
        return freed

    def _drop(self, entry: os.DirEntry[str], needed: set[str], older_than_s: float, now: float) -> int:
        path, sha = Path(entry.path), entry.name.removesuffix(PART)
        if sha in needed or path.with_name(sha) in self._open:
            return 0
        with suppress(OSError):  # an upload may just have ended, and its piece be gone
            status = entry.stat(follow_symlinks=False)
            if max(0.0, now - status.st_mtime) >= older_than_s:
                path.unlink()
                return status.st_size
        return 0

    def _judge(self, path: Path, start: int, total: int) -> None:
        """Refuse what does not fit, before a byte is taken. When all bytes are here unjudged, the last comes again."""
        size, home = _size(_part(path)), path.parent
        have = min(size, max(0, total - 1))
        limit, share = self._limits.blob_bytes, self._limits.blob_bytes_a_key
        if total > limit:
            raise Refused("too_large", f"This blob has {total} bytes; the limit is {limit}.")
        if total < 0 or start not in (0, have):
            raise Refused("conflict", f"A piece from byte {start} of {total} does not fit; {have} bytes are here, "
                          "send the rest or begin anew.")
        arriving = {other: most for other, most in self._open.items() if other.parent == home}
        kept = bytes_in(home) - size - sum(_size(_part(other)) for other in arriving)
        if kept + sum(arriving.values()) + total > share:
            raise Refused("full", f"Your images would take more than {share} bytes here; wait until some jobs have "
                          "ended and their images are dropped.")
        check_room(self._folder, total - start)

    def _found(self, home: Path, owner: str) -> None:
        if not (home / OWNER_FILE).exists():
            private_folder(home)
            replace_file(home / OWNER_FILE, owner.encode())
            sync_folder(home.parent)

    def _close(self, path: Path) -> None:
        with self._lock:
            self._open.pop(path, None)

    def _home(self, owner: str) -> Path:
        return self._folder / hashlib.sha256(owner.encode()).hexdigest()[:16]

    def _place(self, owner: str, sha: str) -> Path:
        if not re.fullmatch("[0-9a-f]{64}", sha):
            raise Refused("bad_request", "A blob is named by its sha256: 64 digits of 0-9 and a-f.")
        return self._home(owner) / sha


class Receiving:
    """Bytes on their way into a blob. Leaving the block by an exception keeps what came, for the next try."""

    def __init__(self, path: Path, sha: str, start: int, total: int, most: int, close: Callable[[], None]) -> None:
        self._path, self._sha, self._start, self._total = path, sha, start, total
        self._most, self._close = min(most, total - start), close
        self._taken = 0
        self._handle: BinaryIO | None = None

    def __enter__(self) -> Receiving:
        try:
            with full_disk_refused():
                number = os.open(_part(self._path), os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
                self._handle = os.fdopen(number, "r+b", buffering=0)
                self._handle.truncate(self._start)
                self._handle.seek(self._start)
        except BaseException:
            self._release()
            raise
        return self

    @property
    def offset(self) -> int:
        """How many bytes of the blob are here now."""
        return self._start + self._taken

    def write(self, data: bytes) -> None:
        """The next bytes. When the disk is full this piece is given back, and the earlier ones stay."""
        if self._taken + len(data) > self._most:
            raise Refused("too_large", f"More bytes came than the {self._most} announced or allowed for this piece.")
        assert self._handle is not None
        with self._given_back(self._handle), full_disk_refused():
            write(self._handle, data)
        self._taken += len(data)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        assert self._handle is not None
        try:
            with self._given_back(self._handle), full_disk_refused():
                sync(self._handle)
            if kind is None and self.offset == self._total:
                self._complete(self._handle)
        finally:
            self._release()

    def _complete(self, handle: BinaryIO) -> None:
        handle.seek(0)
        sha = hashlib.sha256()
        while chunk := handle.read(_CHUNK):
            sha.update(chunk)
        part = _part(self._path)
        handle.close()
        if sha.hexdigest() != self._sha:
            part.unlink()
            raise Refused("bad_request", "The bytes are not those that the sha256 names; they were dropped, "
                          "send them again from the start.")
        with full_disk_refused():
            if self._path.exists():
                part.unlink()  # these very bytes; a worker may be reading them
            else:
                os.replace(part, self._path)
            sync_folder(self._path.parent)

    @contextmanager
    def _given_back(self, handle: BinaryIO) -> Iterator[None]:
        """When this fails, the piece leaves no byte behind."""
        try:
            yield
        except BaseException:
            handle.seek(self._start)
            handle.truncate()
            self._taken = 0
            raise

    def _release(self) -> None:
        if self._handle is not None:
            self._handle.close()
        self._close()


def _part(path: Path) -> Path:
    return path.with_name(path.name + PART)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
