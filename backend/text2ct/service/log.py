"""The server's log: what went wrong, for the administrator alone.

People outside get one sentence and an error id such as e-0123456789; the id finds the
account here. Reports may be patient data, and an exception likes to quote what it
choked on. So every account of a job is made with that job's own words at hand, and
any word that stands in them is masked. Names and keys are never passed in at all.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import re
import secrets
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LOG = logging.getLogger("text2ct.service")
_MOST_BYTES = 10 << 20
_OLD_FILES = 4
_MOST_LINES = 200
_OURS = ("task", "engine", "weights", "preset", "parts")
_WORD = re.compile(r"\w+")
_FOLDERS = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:\\(?:[^\\\s'\"]+\\)+|/(?:[^/\s'\"]+/)+)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def open_log(folder: Path) -> None:
    """Write to `folder`/logs/server.log, which only this user may read."""
    close_log()
    logs = folder / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = _PrivateFiles(logs / "server.log", maxBytes=_MOST_BYTES, backupCount=_OLD_FILES, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False


def close_log() -> None:
    """Let go of the files."""
    for handler in [*LOG.handlers]:
        LOG.removeHandler(handler)
        handler.close()


def new_id() -> str:
    """An error id."""
    return f"e-{secrets.token_hex(5)}"


def report_defect(where: str, error: BaseException, private: str = "") -> str:
    """Log what happened without any word of `private`; the error id to tell outside."""
    return log_account(where, account_of(error, private))


def log_account(where: str, account: str) -> str:
    """Log an account made elsewhere, in a worker say; the error id to tell outside."""
    id_ = new_id()
    LOG.error("%s %s\n%s", id_, where, one_block(account))
    return id_


def account_of(error: BaseException, private: str = "") -> str:
    """The traceback of an error and of its causes; their messages are masked."""
    told: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        frames = "".join(traceback.format_tb(current.__traceback__))
        told.append(f"{frames}{type(current).__name__}: {masked(str(current), private)}")
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return "\nwhich came from\n".join(told)


def words_of(request: str) -> str:
    """All that a person wrote in a request as JSON, put one after the other: its `private` for the log."""
    try:
        plain = json.loads(request)
    except (ValueError, RecursionError):
        return request
    return "\n".join(_texts({name: value for name, value in plain.items() if name not in _OURS}))


def _texts(plain: Any) -> Iterator[str]:
    if isinstance(plain, str):
        yield plain
    elif isinstance(plain, dict):
        for name, value in plain.items():
            yield from () if name == "digest" else _texts(value)
    elif isinstance(plain, list):
        for value in plain:
            yield from _texts(value)


def masked(text: str, private: str) -> str:
    """`text` with every word or number that stands anywhere in `private` made unreadable."""
    hidden = private.casefold()
    return _WORD.sub(lambda word: "*" if word.group().casefold() in hidden else word.group(), text[:4000])


def without_folders(sentence: str) -> str:
    """A sentence for people outside: files keep their names, where they lie is not their business."""
    return _FOLDERS.sub("", sentence)


def one_block(text: str) -> str:
    """Indented, so that nothing inside can pass for an entry of its own."""
    return "\n".join(f"    {_CONTROL.sub('?', line)}" for line in text.splitlines()[-_MOST_LINES:])


class _PrivateFiles(logging.handlers.RotatingFileHandler):
    """Log files that only their owner may read."""

    def _open(self):  # type: ignore[no-untyped-def]
        handle = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return open(handle, "a", encoding=self.encoding, errors="backslashreplace")
