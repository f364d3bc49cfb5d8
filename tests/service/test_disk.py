"""The lowest layer: short writes, a lock that dies with its holder, folders that stay other people's."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from text2ct.errors import Unavailable
from text2ct.service.disk import bytes_in, locked, private_folder, replace_file, write

HOLDER = """
import sys, time
from pathlib import Path
from text2ct.service.disk import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


class Narrow(io.BytesIO):
    """A file that takes seven bytes at a time, as the system may."""

    def write(self, data: object) -> int:
        return super().write(bytes(data)[:7])  # type: ignore[call-overload]


def test_a_file_that_takes_only_some_bytes_gets_the_others_too() -> None:
    narrow = Narrow()
    write(narrow, bytes(range(100)))
    assert narrow.getvalue() == bytes(range(100))


def test_a_lock_keeps_others_out_until_its_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "server.lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Unavailable, match="in use by another"), locked(path):
        pytest.fail("two hold it")
    holder.kill()
    holder.communicate(timeout=60)
    with locked(path, wait=True), pytest.raises(Unavailable), locked(path):
        pytest.fail("two hold it")


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_new_folder_is_closed_and_one_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    theirs.chmod(0o755)
    assert stat.S_IMODE(private_folder(theirs).stat().st_mode) == 0o755
    assert stat.S_IMODE(private_folder(tmp_path / "ours").stat().st_mode) == 0o700


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(Unavailable, match="can't be used"):
        private_folder(tmp_path / "x")


def test_a_replaced_file_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for data in (b"one", b"three"):
        replace_file(tmp_path / "x", data)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert bytes_in(tmp_path) == 5
    assert bytes_in(tmp_path / "absent") == 0
