"""Uploads that break off, go on, lie, or meet a full disk; the blob is there whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kept_files import PLENTY, put, sha

from text2ct.service import blobs as blobs_module
from text2ct.service import disk
from text2ct.service.blobs import Blobs
from text2ct.service.options import Limits
from text2ct.service.refusal import Refused

DATA = bytes(range(256)) * 40


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs", Limits(blob_bytes=50_000, blob_bytes_a_key=60_000))


def send(blobs: Blobs, start: int, end: int, data: bytes = DATA, owner: str = "ann", name: str = "") -> None:
    with blobs.receive(owner, name or sha(data), start, len(data), PLENTY) as receiving:
        receiving.write(data[start:end])


def refusal(call: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as said:
        call()
    return said.value


def test_a_blob_sent_whole_is_there_for_its_owner_only(blobs: Blobs) -> None:
    name = put(blobs, "ann", DATA)
    assert blobs.complete("ann", name) == blobs.offset("ann", name) == len(DATA)
    assert blobs.path("ann", name).read_bytes() == DATA
    assert blobs.complete("bob", name) is None
    assert blobs.offset("bob", name) == 0
    assert refusal(lambda: blobs.path("bob", name)).code == "not_found"


def test_an_upload_in_pieces_goes_on_after_the_server_was_restarted(blobs: Blobs, tmp_path: Path) -> None:
    send(blobs, 0, 4000)
    assert blobs.complete("ann", sha(DATA)) is None
    again = Blobs(tmp_path / "blobs", Limits())
    assert again.offset("ann", sha(DATA)) == 4000
    send(again, 4000, 9000)
    send(again, 9000, len(DATA))
    assert again.path("ann", sha(DATA)).read_bytes() == DATA


def test_what_came_before_the_sender_died_is_kept(blobs: Blobs) -> None:
    with pytest.raises(ConnectionResetError), blobs.receive("ann", sha(DATA), 0, len(DATA), PLENTY) as receiving:
        receiving.write(DATA[:3000])
        raise ConnectionResetError
    assert blobs.offset("ann", sha(DATA)) == 3000
    send(blobs, 3000, len(DATA))
    assert blobs.complete("ann", sha(DATA)) == len(DATA)


def test_a_sender_who_dies_with_the_last_byte_sends_it_again(blobs: Blobs) -> None:
    with pytest.raises(ConnectionResetError), blobs.receive("ann", sha(DATA), 0, len(DATA), PLENTY) as receiving:
        receiving.write(DATA)
        raise ConnectionResetError
    assert blobs.complete("ann", sha(DATA)) is None
    assert blobs.offset("ann", sha(DATA)) == len(DATA)
    send(blobs, len(DATA) - 1, len(DATA))
    assert blobs.complete("ann", sha(DATA)) == len(DATA)


def test_a_piece_that_does_not_fit_is_refused_and_beginning_anew_is_not(blobs: Blobs) -> None:
    send(blobs, 0, 4000)
    said = refusal(lambda: send(blobs, 5000, 6000))
    assert said.code == "conflict"
    assert "4000 bytes are here" in str(said)
    assert refusal(lambda: send(blobs, 3000, 6000)).code == "conflict"
    assert refusal(lambda: send(blobs, -1, 6000)).code == "conflict"
    send(blobs, 0, 100)
    assert blobs.offset("ann", sha(DATA)) == 100


def test_bytes_with_another_sha256_are_dropped(blobs: Blobs, tmp_path: Path) -> None:
    wrong = sha(b"something else")
    assert refusal(lambda: send(blobs, 0, len(DATA), name=wrong)).code == "bad_request"
    assert blobs.offset("ann", wrong) == 0
    assert blobs.complete("ann", wrong) is None
    assert not [path for path in (tmp_path / "blobs").rglob("*") if wrong in path.name]


def test_more_bytes_than_announced_or_allowed_are_refused(blobs: Blobs) -> None:
    assert refusal(lambda: put(blobs, "ann", bytes(50_001))).code == "too_large"
    with blobs.receive("ann", sha(DATA), 0, len(DATA), 10) as receiving:
        receiving.write(DATA[:10])
        assert refusal(lambda: receiving.write(b"x")).code == "too_large"
    assert blobs.offset("ann", sha(DATA)) == 10


def test_a_share_of_the_disk_counts_parts_and_what_is_under_way(blobs: Blobs) -> None:
    put(blobs, "ann", bytes(30_000))
    send(blobs, 0, 5_000)
    nearly = b"4" * 24_000
    send(blobs, 0, 23_000, nearly)
    send(blobs, 23_000, 24_000, nearly)
    os.unlink(blobs.path("ann", sha(nearly)))
    with blobs.receive("ann", sha(b"1" * 20_000), 0, 20_000, PLENTY) as receiving:
        receiving.write(b"1" * 20_000)
        assert refusal(lambda: put(blobs, "ann", b"2" * 10_000)).code == "full"
        put(blobs, "bob", b"2" * 10_000)
    assert 55_000 <= blobs.bytes_of("ann") < 55_100
    assert refusal(lambda: put(blobs, "ann", b"3" * 10_000)).code == "full"


def test_one_sender_at_a_time(blobs: Blobs) -> None:
    with blobs.receive("ann", sha(DATA), 0, len(DATA), PLENTY) as receiving:
        receiving.write(DATA[:50])
        assert refusal(lambda: send(blobs, 0, 100)).code == "conflict"
        send(blobs, 0, 100, owner="bob")
    send(blobs, 50, 100)
    assert blobs.offset("ann", sha(DATA)) == 100


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 64 + "\n", "a" * 64 + ".part",
                                  "\ud800"])
def test_only_a_sha256_names_a_blob(blobs: Blobs, name: str) -> None:
    for call in (blobs.complete, blobs.offset, blobs.path):
        assert refusal(lambda call=call: call("ann", name)).code == "bad_request"
    assert refusal(lambda: blobs.receive("ann", name, 0, 1, 1)).code == "bad_request"


@pytest.mark.parametrize("owner", ["../..", "a/b", "ünsal", "x" * 500])
def test_an_owner_is_never_a_path(blobs: Blobs, tmp_path: Path, owner: str) -> None:
    name = put(blobs, owner, DATA)
    assert blobs.path(owner, name).parent.parent == tmp_path / "blobs"


def failing_after(monkeypatch: pytest.MonkeyPatch, allowed: int, number: int = errno.ENOSPC) -> None:
    """From now on the disk takes so many bytes more, and some of the piece that is one too many."""
    left = [allowed]

    def write(handle: BinaryIO, data: bytes) -> None:
        handle.write(data[:left[0]])
        left[0] -= len(data)
        if left[0] < 0:
            left[0] = 0
            raise OSError(number, os.strerror(number))
    monkeypatch.setattr(disk, "write", write)
    monkeypatch.setattr(blobs_module, "write", write)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_takes_back_the_piece_and_the_earlier_ones_stay(
        blobs: Blobs, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    send(blobs, 0, 4000)
    with monkeypatch.context() as broken:
        failing_after(broken, 300, number)
        assert refusal(lambda: send(blobs, 4000, len(DATA))).code == "full"
    assert blobs.offset("ann", sha(DATA)) == 4000
    send(blobs, 4000, len(DATA))
    assert blobs.path("ann", sha(DATA)).read_bytes() == DATA


def test_a_disk_that_turns_out_full_when_synced_takes_back_the_piece(
        blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "no room")
    send(blobs, 0, 4000)
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        assert refusal(lambda: send(blobs, 4000, len(DATA))).code == "full"
    assert blobs.offset("ann", sha(DATA)) == 4000


def test_a_full_disk_at_the_first_byte_of_an_owner_leaves_nothing(
        blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:
        failing_after(broken, 0)
        assert refusal(lambda: send(blobs, 0, 10)).code == "full"
    assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
    assert put(blobs, "ann", DATA) == sha(DATA)


def test_other_failures_of_the_disk_are_not_called_full(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    failing_after(monkeypatch, 0, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        send(blobs, 0, 10)


def test_room_is_looked_for_before_the_first_byte(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=disk.RESERVE + len(DATA) - 1))
    assert refusal(lambda: put(blobs, "ann", DATA)).code == "full"
    assert put(blobs, "ann", DATA[1:]) == sha(DATA[1:])


def test_unused_blobs_and_parts_go_when_nobody_asked_for_them(blobs: Blobs) -> None:
    names = [put(blobs, "ann", data) for data in (b"one", b"two", b"three")]
    send(blobs, 0, 10)
    now = blobs.path("ann", names[0]).stat().st_mtime + 1000.0
    asked: list[str] = []

    def in_use(owner: str) -> set[str]:
        asked.append(owner)
        return {names[0]}
    os.utime(blobs.path("ann", names[1]), (now, now))
    assert blobs.drop_unused(in_use, 500.0, now) == len(b"three") + 10
    assert asked == ["ann"]
    assert [blobs.complete("ann", name) is None for name in names] == [False, False, True]
    assert blobs.offset("ann", sha(DATA)) == 0


def test_a_blob_just_asked_for_or_under_way_or_of_the_future_is_not_unused(blobs: Blobs) -> None:
    asked, future = put(blobs, "ann", b"asked"), put(blobs, "ann", b"future")
    os.utime(blobs.path("ann", asked), (1.0, 1.0))
    os.utime(blobs.path("ann", future), (9e9, 9e9))
    assert blobs.complete("ann", asked) == 5
    with blobs.receive("ann", sha(DATA), 0, len(DATA), PLENTY) as receiving:
        receiving.write(DATA[:10])
        assert blobs.drop_unused(lambda owner: set(), 60.0) == 0
        assert blobs.drop_unused(lambda owner: set(), 60.0, now=8e9) == len(b"asked")
    assert blobs.complete("ann", future) == 6


def test_an_upload_that_ends_while_the_unused_are_looked_for_disturbs_nothing(
        blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    put(blobs, "ann", b"old")
    send(blobs, 0, 10)

    def listed_before_it_ended(home: Path) -> list[os.DirEntry[str]]:
        entries = disk.files_in(home)
        (home / f"{sha(DATA)}.part").replace(home / sha(DATA))
        return entries

    monkeypatch.setattr(blobs_module, "files_in", listed_before_it_ended)
    assert blobs.drop_unused(lambda owner: set(), 60.0, now=8e9) == len(b"old")
    assert blobs.complete("ann", sha(DATA)) == 10


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_blobs_are_for_the_servers_user_only(blobs: Blobs, tmp_path: Path) -> None:
    path = blobs.path("ann", put(blobs, "ann", DATA))
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "blobs", path.parent, path)]
    assert modes == [0o700, 0o700, 0o600]


STEPS = st.lists(st.tuples(st.integers(-1, 600), st.integers(0, 600), st.sampled_from(["whole", "dies", "restart"])),
                 max_size=12)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=500), STEPS)
def test_however_the_pieces_come_the_blob_is_whole_or_absent(data: bytes, steps: list[tuple[int, int, str]]) -> None:
    folder, name, here, done = Path(tempfile.mkdtemp()), sha(data), 0, False
    blobs = Blobs(folder, Limits())
    for start, count, how in steps:
        piece = data[max(0, start):max(0, start) + count]
        fits = start in (0, 0 if done else min(here, max(0, len(data) - 1)))
        try:
            with blobs.receive("ann", name, start, len(data), PLENTY) as receiving:
                assert fits
                receiving.write(piece)
                here = start + len(piece)
                if how == "dies":
                    raise ConnectionResetError
            done = done or here == len(data)
        except ConnectionResetError:
            pass
        except Refused as error:
            assert error.code == "conflict"
            assert not fits
        if here == len(data) and done:
            here = 0
        if how == "restart":
            blobs = Blobs(folder, Limits())
        assert blobs.complete("ann", name) == (len(data) if done else None)
        assert blobs.offset("ann", name) == (len(data) if done else here)
        assert not done or blobs.path("ann", name).read_bytes() == data
    shutil.rmtree(folder)
