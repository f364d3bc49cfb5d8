"""A home of its own for each test, and the tiny catalog in place of the real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny

from text2ct.cli import weights as command
from text2ct.cli.console import Console, common_options
from text2ct.engines import catalog
from text2ct.weights import manifest

Run = Callable[..., Any]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("TEXT2CT_HOME", str(folder))
    return folder


@pytest.fixture
def tiny_catalog(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny catalog; gives the home."""
    manifests = tmp_path / "manifests"
    manifests.mkdir(exist_ok=True)
    tiny.write_manifests(manifests)
    monkeypatch.setattr(manifest, "FOLDER", manifests)
    monkeypatch.setattr(catalog, "ENGINES", tiny.engines())
    return home


@pytest.fixture
def weights(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `text2ct weights ... --json` in this process and gives its JSON."""
    import argparse

    def run(*arguments: str) -> Any:
        parser = argparse.ArgumentParser()
        command.add(parser.add_subparsers(required=True), common_options())
        args = parser.parse_args(["weights", *arguments, "--json"])
        capsys.readouterr()
        assert args.run(args, Console(quiet=args.quiet, json=args.json)) == 0
        return json.loads(capsys.readouterr().out)

    return run
