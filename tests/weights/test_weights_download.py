"""Fetching weights from a hub on loopback that cuts connections, lies and refuses."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import tiny
import torch
from hub_server import Hub, serving

from text2ct.engines import catalog
from text2ct.errors import Cancelled
from text2ct.requests import CancelToken, Progress, Watch
from text2ct.weights import hub
from text2ct.weights.download import download_set


@dataclass
class Desk:
    """A machine with its own home and its own hub cache."""

    folder: Path
    hub: Hub

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TINY_")) and "proxy" not in k.lower()}
        return subprocess.run(
            [sys.executable, str(Path(tiny.__file__)), *arguments], capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL, check=False, env={
                **kept, "PYTHONPATH": os.pathsep.join(sys.path), "TEXT2CT_HOME": str(self.home),
                "HF_HOME": str(self.folder / "hf"), "HF_ENDPOINT": self.hub.url, "HF_HUB_DISABLE_XET": "1",
                "TINY_MANIFESTS": str(self.folder / "manifests"), **environment})

    def fetch(self, what: str = "tiny/published", *more: str, **environment: str) -> Any:
        run = self.run("download", what, "--accept-licence", "--json", *more, **environment)
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout)

    def refused(self, what: str = "tiny/published", *more: str, code: int = 5, **environment: str) -> str:
        run = self.run("download", what, "--accept-licence", "-q", *more, **environment)
        assert run.returncode == code, run.stderr
        assert "Traceback" not in run.stderr
        assert len(run.stderr.strip().splitlines()) == 1, run.stderr
        assert not list(self.home.rglob("*.safetensors"))
        return run.stderr

    def left(self) -> set[str]:
        return {path.name for path in (self.home / "downloads").rglob("*") if path.is_file()}


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


NET = saved({"state": tiny.weights_of(), "scale": torch.tensor(0.5), "epoch": 3})
OTHER = saved({"state_dict": {f"o.{name}": value for name, value in tiny.weights_of(1).items()}})


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "manifests").mkdir()
    tiny.write_manifests(tmp_path / "manifests")
    with serving(Hub({"someone/tiny/folder/net.pt": NET, "someone/tiny/models/other.ckpt": OTHER,
                      "datasets/someone/gated/folder/net.pt": NET})) as running:
        yield Desk(tmp_path, running)


def test_a_set_is_fetched_checked_converted_and_cleaned_up(desk: Desk) -> None:
    rows = desk.fetch()
    assert [row["name"] for row in rows] == ["tiny/published/net", "tiny/published/other"]
    loaded = safetensors.torch.load_file(rows[0]["path"])
    assert all(torch.equal(loaded[name], value) for name, value in tiny.weights_of().items())
    assert rows[0]["source_sha256"] == hashlib.sha256(NET).hexdigest()
    assert desk.left() == set()
    asked = len(desk.hub.log)
    desk.fetch()
    assert len(desk.hub.log) == asked


def test_originals_are_kept_on_the_users_word(desk: Desk) -> None:
    desk.fetch("tiny/published", "--keep")
    assert desk.left() == {"net.pt", "other.ckpt"}
    assert (desk.home / "downloads" / "tiny" / "published" / "net.pt").read_bytes() == NET


def test_without_the_licence_nothing_is_asked_of_the_hub(desk: Desk) -> None:
    run = desk.run("download", "tiny")
    assert run.returncode == 5
    assert "CC-BY-NC-SA-4.0" in run.stderr
    assert "Not for commercial use" in run.stderr
    assert "--accept-licence" in run.stderr
    assert desk.hub.log == []


def test_a_cut_connection_is_continued_where_it_ended(desk: Desk) -> None:
    desk.hub.cuts = 2
    desk.fetch()
    assert desk.hub.ranges()[0] == ""
    starts = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in desk.hub.ranges()[1:2]]
    assert 0 < starts[0] <= len(NET) // 2


def test_a_second_run_continues_what_the_first_could_not_finish(desk: Desk) -> None:
    desk.hub.dies_after = 40_000
    said = desk.refused(code=6)
    assert "broke off" in said
    assert "continue from there" in said
    (part,) = desk.left()
    assert part.startswith("net.pt.")
    assert part.endswith(".part")
    here = next(desk.home.rglob(part)).stat().st_size
    assert 0 < here <= 40_000
    desk.hub.log.clear()
    desk.hub.dies_after = None
    desk.fetch()
    assert desk.hub.ranges()[0] == f"bytes={here}-"
    assert desk.left() == set()


def test_a_cancelled_download_keeps_its_part_and_goes_on_later(
        desk: Desk, tiny_catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = saved({**tiny.weights_of(), "loss.a": torch.randn(1_000_000)})
    desk.hub.files["x"] = content
    remote = hub.HubFile(f"{desk.hub.url}/store/x", "", "e" * 40, "", len(content), "")
    monkeypatch.setattr(hub, "offline", lambda: False)
    monkeypatch.setattr(hub, "cached", lambda *ignored: None)
    monkeypatch.setattr(hub, "locate", lambda *ignored: remote)
    engine, token = catalog.ENGINES["tiny"], CancelToken()

    def stop_early(progress: Progress) -> None:
        if progress.step >= 2:
            token.cancel()

    with pytest.raises(Cancelled):
        download_set(engine, engine.weight_set("gated"), "now", Watch(stop_early, token))
    (part,) = tiny_catalog.rglob("*.part")
    here = part.stat().st_size
    assert 2_000_000 <= here < len(content)
    (record,) = download_set(engine, engine.weight_set("gated"), "now", Watch())
    assert desk.hub.ranges() == ["", f"bytes={here}-"]
    assert record.source_sha256 == hashlib.sha256(content).hexdigest()


def test_a_server_that_ignores_ranges_begins_anew(desk: Desk) -> None:
    desk.hub.cuts, desk.hub.ignore_range = 1, True
    assert desk.fetch()[0]["source_sha256"] == hashlib.sha256(NET).hexdigest()


LIES: dict[str, tuple[dict[str, Any], str]] = {
    "far too large": ({"announced_size": 1 << 45}, "were published"),
    "far too small": ({"announced_size": 100}, "were published"),
    "another length is sent": ({"announced_size": len(NET) + 1000}, "announced"),
    "another hash": ({"announced_hash": "0" * 64}, "hash is not the one"),
    "spoiled bytes": ({"spoil": True}, "hash is not the one"),
    "more than announced": ({"surplus": b"x" * 50_000}, "more of net.pt than it announced"),
    "another range": ({"cuts": 1, "shift_range": 7}, "another part of net.pt"),
    "no size": ({"without_size": True}, "how large"),
}


@pytest.mark.parametrize("lie", list(LIES))
def test_a_server_that_lies_is_not_believed(desk: Desk, lie: str) -> None:
    changes, sentence = LIES[lie]
    for name, value in changes.items():
        setattr(desk.hub, name, value)
    assert sentence in desk.refused()
    assert "net.pt" not in desk.left()


def test_another_file_than_the_published_one_is_not_fetched(desk: Desk) -> None:
    assert "another folder/net.pt than" in desk.refused(TINY_SHA256="1" * 64)
    assert desk.hub.ranges() == []


def test_a_hub_without_hashes_is_checked_against_the_catalog(desk: Desk) -> None:
    desk.hub.announced_hash = "abcdef"
    assert "is not the file that was published" in desk.refused(TINY_SHA256="1" * 64)
    assert desk.left() == set()


def test_a_wrong_structure_is_refused_and_the_download_thrown_away(desk: Desk) -> None:
    wrong = tiny.weights_of()
    del wrong["net.bias"]
    desk.hub.files["someone/tiny/folder/net.pt"] = saved(wrong)
    assert "1 missing (net.bias)" in desk.refused()
    assert desk.left() == set()


REFUSALS: dict[str, tuple[int, str, str, int]] = {
    "a gate": (403, "GatedRepo", "is gated: accept its terms", 5),
    "an unknown repository": (401, "RepoNotFound", "no repository someone/gated", 5),
    "a forbidden repository": (403, "", "gated", 5), "a missing revision": (404, "RevisionNotFound", "no revision", 5),
    "a missing file": (404, "EntryNotFound", "has no file folder/net.pt (nor models/net.pt)", 5),
    "a broken server": (500, "", "error (500)", 6),
}


@pytest.mark.parametrize("why", list(REFUSALS))
def test_each_refusal_of_the_hub_is_one_sentence(desk: Desk, why: str) -> None:
    status, header, sentence, code = REFUSALS[why]
    desk.hub.refuse["datasets/someone/gated"] = (status, header)
    assert sentence in desk.refused("tiny/gated", code=code)


def test_a_token_goes_to_the_hub_and_to_nobody_else(desk: Desk) -> None:
    desk.hub.refuse["datasets/someone/gated"] = (401, "token")
    desk.fetch("tiny/gated", HF_TOKEN="hf_secret")
    to_hub = [asked.authorised for asked in desk.hub.log if "/resolve/" in asked.path]
    to_store = [asked.authorised for asked in desk.hub.log if asked.path.startswith("/store/")]
    assert all(to_hub)
    assert to_store
    assert not any(to_store)


def test_offline_nothing_is_asked_and_the_hubs_own_cache_is_used(desk: Desk) -> None:
    assert "HF_HUB_OFFLINE" in desk.refused("tiny/gated", code=6, HF_HUB_OFFLINE="1")
    assert desk.hub.log == []
    snapshot = desk.folder / "hf" / "hub" / "datasets--someone--gated"
    (snapshot / "refs").mkdir(parents=True)
    (snapshot / "refs" / "main").write_text("a" * 40)
    cached = snapshot / "snapshots" / ("a" * 40) / "folder" / "net.pt"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(NET)
    desk.fetch("tiny/gated", HF_HUB_OFFLINE="1")
    assert cached.read_bytes() == NET
    assert desk.hub.log == []


def test_no_network_is_one_sentence(desk: Desk) -> None:
    assert "could not be reached" in desk.refused(code=6, HF_ENDPOINT="http://127.0.0.1:9")


def test_without_huggingface_hub_the_sentence_says_what_to_install(desk: Desk, tmp_path: Path) -> None:
    block = tmp_path / "block"
    block.mkdir()
    (block / "huggingface_hub.py").write_text("raise ModuleNotFoundError('no', name='huggingface_hub')")
    path = os.pathsep.join([str(block), *sys.path])
    assert "pip install 'text2ct[weights]'" in desk.refused(code=6, PYTHONPATH=path)
