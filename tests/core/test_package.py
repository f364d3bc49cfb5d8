"""The house rules that a machine can check: light imports, short files, one list of engines."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import text2ct
from text2ct.engines import catalog
from text2ct.weights.manifest import load_manifest

PACKAGE = Path(text2ct.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "monai", "transformers", "huggingface_hub", "matplotlib", "highdicom", "fastapi", "qt", "slicer")


def imported_by(statement: str) -> set[str]:
    """Names of all modules that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_the_package_loads_nothing_but_itself() -> None:
    loaded = imported_by("import text2ct")
    assert not loaded & {*HEAVY, "numpy", "scipy", "pydicom", "requests"}


def test_importing_the_package_takes_under_a_third_of_a_second() -> None:
    runs = [subprocess.run([sys.executable, "-X", "importtime", "-c", "import text2ct"], capture_output=True, text=True,
                           check=True).stderr for _ in range(3)]
    microseconds = [int(re.findall(r"\| *(\d+) \| text2ct$", run, re.M)[0]) for run in runs]
    assert min(microseconds) < 300_000


@pytest.mark.parametrize("module", ["text2ct.requests", "text2ct.engines.catalog", "text2ct.engines.run",
                                    "text2ct.formats.files", "text2ct.verify", "text2ct.cli.main"])
def test_no_door_loads_heavy_packages(module: str) -> None:
    loaded = imported_by(f"import {module}")
    assert not {name.split(".")[0] for name in loaded} & set(HEAVY)


def test_generating_with_the_phantom_never_loads_torch() -> None:
    statement = ("from text2ct.engines.run import run; from text2ct.requests import GenerateCT; "
                 "run(GenerateCT('Normal chest.', shape=(40, 36, 32), spacing=(10, 10, 10)))")
    assert not {name.split(".")[0] for name in imported_by(statement)} & set(HEAVY)


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_is_short_and_says_why_it_exists(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text)), "no docstring on top"


@pytest.mark.parametrize("entry", catalog.ENGINES.values(), ids=lambda e: e.id)
def test_every_catalog_entry_resolves(entry: catalog.Engine) -> None:
    assert catalog.engine(entry.id) is entry
    assert entry.tasks
    if entry.runner:
        module, _, name = entry.runner.partition(":")
        assert callable(getattr(importlib.import_module(module), name)().run)
    for weights in entry.weight_sets:
        assert weights.licence.url.startswith("https://")
        for file in weights.files:
            assert weights.ships or load_manifest(file.manifest)
        assert weights.source != "hub" or weights.repo
    for weights_id in [weights.id for weights in entry.weight_sets] or [""]:
        for preset in entry.presets_of(weights_id).values():
            assert entry.limits_of(weights_id).problems(preset.shape, preset.spacing) == []


def test_no_other_list_of_engines_exists() -> None:
    """Outside the catalog (and an engine's own folder) no file names two engines."""
    learned = {e.id for e in catalog.ENGINES.values()} - {"text2ct"}
    for source in SOURCES:
        if source.name == "catalog.py" or source.parent.parent.name == "engines":
            continue
        strings = {node.value for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
                   if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        assert len(strings & learned) < 2, f"{source} names {strings & learned}"
