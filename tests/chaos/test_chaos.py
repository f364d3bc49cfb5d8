"""A short run of chaos.py; the long one is for the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from chaos import run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds its victims in /proc")


def test_nothing_is_lost_twice_or_half_when_workers_and_servers_are_killed(tmp_path: Path) -> None:
    done = run(tmp_path / "chaos", jobs=9, seed=3, every=8, minutes=5)
    assert done["jobs"] == 9
    assert done["worker"] + done["server"] >= 3
