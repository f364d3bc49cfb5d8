"""Who may ask: keys, of which only the sha256 is kept.

A key is random and long, so one sha256 at rest is enough (there is nothing to guess).
It is shown once, when it is made. Each key has a name, and the name owns the jobs:
revoke a key and add one of the same name, and the jobs are found again. The file is
looked at afresh whenever it changed, so keys may come and go while a server runs.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from ..errors import BadInput, BadRequest, Unavailable
from ..plain import from_plain, to_plain
from ..provenance import now
from .disk import locked, private_folder, replace_file

LOCAL = "local"  # owns what is asked without a key, or by the program that started the server
PREFIX = "t2ct_"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"


@dataclass(frozen=True)
class KeyView:
    """A key as its keeper may see it. `most_queued` is how many of its jobs may wait (None: the server's limit)."""

    name: str
    created: str
    most_queued: int | None = None


@dataclass(frozen=True)
class _Key:
    view: KeyView
    sha256: str


@dataclass(frozen=True)
class _File:
    keys: tuple[_Key, ...] = ()


class Keys:
    """The keys of a server, in `folder`/keys.json."""

    def __init__(self, folder: Path) -> None:
        self._path = private_folder(folder) / "keys.json"
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] = ()
        self._keys: tuple[_Key, ...] = ()

    def add(self, name: str, most_queued: int | None = None) -> str:
        """A new key, told this once."""
        if not re.fullmatch(_NAME, name) or name == LOCAL:
            raise BadInput(f"'{name[:64]}' can't be the name of a key; use letters, digits, dots, dashes and @, "
                           f"64 at most, and not '{LOCAL}'.")
        if most_queued is not None and most_queued < 1:
            raise BadInput("At least one job of a key must be allowed to wait; give a number above 0.")
        key = PREFIX + secrets.token_urlsafe(32)
        with locked(self._path.with_suffix(".lock"), wait=True):
            keys = self._now()
            if any(known.view.name == name for known in keys):
                raise BadInput(f"There is a key named '{name}' already; revoke it first, or choose another name.")
            self._write((*keys, _Key(KeyView(name, now(), most_queued), _hash(key))))
        return key

    def revoke(self, name: str) -> None:
        """From now on this key opens nothing."""
        with locked(self._path.with_suffix(".lock"), wait=True):
            keys = self._now()
            left = tuple(known for known in keys if known.view.name != name)
            if len(left) == len(keys):
                raise BadInput(f"There is no key named '{name[:64]}'; see: text2ct serve keys list.")
            self._write(left)

    def owner(self, key: str) -> str | None:
        """Whose key this is. It takes as long for a wrong one as for a right one."""
        given, name = _hash(key), None
        for known in self._now():
            if hmac.compare_digest(known.sha256, given):
                name = known.view.name
        return name

    def most_queued(self, owner: str) -> int | None:
        """How many of this owner's jobs may wait, where that was said for his key."""
        return next((known.view.most_queued for known in self._now() if known.view.name == owner), None)

    def names(self) -> list[KeyView]:
        """All keys, in the order in which they were made."""
        return [known.view for known in self._now()]

    def any(self) -> bool:
        """Whether there is any key."""
        return bool(self._now())

    def _now(self) -> tuple[_Key, ...]:
        with self._lock:
            try:
                status = self._path.stat()
                seen = (status.st_mtime_ns, status.st_size, status.st_ino)
                if seen != self._seen:
                    self._keys = from_plain(_File, json.loads(self._path.read_text("utf-8"))).keys
                    self._seen = seen
            except FileNotFoundError:
                self._keys, self._seen = (), ()
            except (OSError, ValueError, RecursionError, BadRequest) as error:
                raise Unavailable(f"The keys in {self._path} can't be read; restore the file, or remove it and "
                                  "make new keys.") from error
            return self._keys

    def _write(self, keys: tuple[_Key, ...]) -> None:
        replace_file(self._path, json.dumps(to_plain(_File(keys)), indent=1).encode())


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
