"""Weights that ship with us: they lie in the folder of their engine, engines/ENGINE/SET, and need no fetching.

Beside their files stands config.json. Whatever else an engine keeps there, its "files" name
each file with its size and its sha256, written when the weights were shipped
(`text2ct_training.ship`), so that a damaged file is noticed here as for any other weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import BadRequest, WeightsError
from ..plain import from_plain
from ..requests import Watch
from .convert import file_sha256

ENGINES = Path(__file__).parents[1] / "engines"
CONFIG = "config.json"
HOW_TO_GET = "installing text2ct again, as you installed it"


@dataclass(frozen=True)
class ShippedFile:
    """One file as config.json states it."""

    name: str
    bytes: int
    sha256: str


def folder(engine: str, weights: str) -> Path:
    """Where a set lies; the folder is absent from a copy that was made without its numbers."""
    return ENGINES / engine / weights


def shipped(engine: str, weights: str) -> Mapping[str, ShippedFile]:
    """The files of a set by name; none where there is no config.json that says so."""
    try:
        plain = json.loads((folder(engine, weights) / CONFIG).read_text(encoding="utf-8"))
        files = [from_plain(ShippedFile, one) for one in plain["files"]]
    except (OSError, ValueError, KeyError, TypeError, BadRequest):
        return {}
    return {one.name: one for one in files}


def check(path: Path, stated: ShippedFile, name: str) -> None:
    """Compare a file with what was shipped."""
    if path.stat().st_size != stated.bytes or file_sha256(path, Watch(), f"hashing {name}") != stated.sha256:
        raise WeightsError(f"The weights {name} are not those that shipped with text2ct; they are damaged or were "
                           "changed. Install text2ct again, as you installed it.")


@lru_cache(maxsize=64)
def check_once(path: Path, stated: ShippedFile, name: str, modified_ns: int) -> None:
    """Like `check`, but a file that was good is read again only when its time changes."""
    check(path, stated, name)


def absent(name: str) -> WeightsError:
    """The sentence for a copy of the package without these numbers."""
    return WeightsError(f"The weights {name} are not in this copy of text2ct; name other weights, or train them "
                        "(docs/training.md).")
