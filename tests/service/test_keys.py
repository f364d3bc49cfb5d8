"""Keys are shown once, kept as hashes, found at once and gone at once."""

from __future__ import annotations

import errno
import hmac
import os
import stat
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from text2ct.errors import BadInput, Unavailable
from text2ct.service import disk
from text2ct.service.keys import Keys
from text2ct.service.refusal import Refused


def test_a_key_opens_for_its_owner_and_nothing_else_does(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    assert not keys.any()
    ann, bob = keys.add("ann"), keys.add("bob", most_queued=3)
    assert keys.any()
    assert ann.startswith("t2ct_")
    assert len(ann) > 40
    assert (keys.owner(ann), keys.owner(bob)) == ("ann", "bob")
    for wrong in ("", ann[:-1], ann + "x", ann.upper(), "t2ct_", "ann", "\ud800", "x" * 100_000):
        assert keys.owner(wrong) is None
    assert (keys.most_queued("ann"), keys.most_queued("bob"), keys.most_queued("local")) == (None, 3, None)
    assert [(view.name, view.most_queued) for view in keys.names()] == [("ann", None), ("bob", 3)]


def test_the_file_holds_no_key_and_is_for_its_own_user_only(tmp_path: Path) -> None:
    key = Keys(tmp_path).add("ann")
    path = tmp_path / "keys.json"
    assert key not in path.read_text()
    assert key.removeprefix("t2ct_") not in path.read_text()
    if os.name != "nt":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_server_that_runs_sees_keys_come_and_go(tmp_path: Path) -> None:
    server, admin = Keys(tmp_path), Keys(tmp_path)
    key = admin.add("ann")
    assert server.owner(key) == "ann"
    admin.revoke("ann")
    assert server.owner(key) is None
    again = admin.add("ann")
    assert (server.owner(key), server.owner(again)) == (None, "ann")
    (tmp_path / "keys.json").unlink()
    assert server.owner(again) is None


def test_every_key_is_compared_whichever_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, compared, real = Keys(tmp_path), [], hmac.compare_digest
    made = [keys.add(name) for name in ("a", "b", "c")]

    def compare(one: str, other: str) -> bool:
        compared.append(one)
        return real(one, other)
    monkeypatch.setattr(hmac, "compare_digest", compare)
    for key in (*made, "wrong"):
        compared.clear()
        keys.owner(key)
        assert len(compared) == 3


@pytest.mark.parametrize("name", ["", "local", "../x", "a b", "-x", "x" * 65, "a\n", "ünsal"])
def test_names_that_would_mislead_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="can't be the name"):
        Keys(tmp_path).add(name)


def test_mistakes_are_named(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    keys.add("ann")
    with pytest.raises(BadInput, match="already"):
        keys.add("ann")
    with pytest.raises(BadInput, match="no key named 'bob'"):
        keys.revoke("bob")
    with pytest.raises(BadInput, match="above 0"):
        keys.add("cyd", most_queued=0)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keys": [{"sha256": 1}]}', "[" * 100_000])
def test_a_damaged_file_opens_for_nobody(tmp_path: Path, text: str) -> None:
    keys = Keys(tmp_path)
    key = keys.add("ann")
    (tmp_path / "keys.json").write_text(text)
    for call in (lambda: keys.owner(key), keys.any, lambda: keys.add("bob")):
        with pytest.raises(Unavailable, match="can't be read"):
            call()


def test_a_full_disk_keeps_the_keys_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(handle: BinaryIO, data: bytes) -> None:
        handle.write(data[:5])
        raise OSError(errno.ENOSPC, "no room")
    keys = Keys(tmp_path)
    key = keys.add("ann")
    monkeypatch.setattr(disk, "write", write)
    with pytest.raises(Refused) as said:
        keys.add("bob")
    assert said.value.code == "full"
    assert keys.owner(key) == "ann"
    assert {path.name for path in tmp_path.iterdir()} == {"keys.json", "keys.lock"}


def test_a_key_is_synced_before_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced, real = [], os.fsync

    def fsync(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        real(handle)
    keys = Keys(tmp_path)
    monkeypatch.setattr(os, "fsync", fsync)
    keys.add("ann")
    assert synced[0] == (tmp_path / "keys.json").stat().st_ino
    assert os.name == "nt" or synced[1] == tmp_path.stat().st_ino


def test_keys_added_at_the_same_time_are_all_there(tmp_path: Path) -> None:
    made: dict[str, str] = {}
    threads = [threading.Thread(target=lambda name=f"n{n}": made.update({name: Keys(tmp_path).add(name)}))
               for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = Keys(tmp_path)
    assert {name: keys.owner(key) for name, key in made.items()} == {f"n{n}": f"n{n}" for n in range(8)}
