"""What the catalog reads: both descriptors, the CMake variables and the icon, and that they agree.

The rules are those of Slicer's extension index; a file that breaks one is sent back.
"""

from __future__ import annotations

import json
import re
import runpy
import struct
from pathlib import Path
from typing import Any

import pytest

from text2ct.engines import catalog
from text2ct.formats import png

ROOT = Path(__file__).resolve().parents[2]
NAME = "Text2CTSlicer"
S4EXT_KEYS = {"scm", "scmurl", "scmrevision", "depends", "build_subdirectory", "homepage", "contributors", "category",
              "iconurl", "status", "tier", "description", "screenshoturls", "enabled"}
JSON_KEYS = {"$schema", "build_dependencies", "build_subdirectory", "category", "enabled", "scm_revision", "scm_type",
             "scm_url", "tier"}
RAW = "https://raw.githubusercontent.com/"


@pytest.fixture(scope="module")
def s4ext() -> dict[str, str]:
    lines = (ROOT / f"{NAME}.s4ext").read_text(encoding="ascii").splitlines()
    pairs = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    assert len({key for key, _, _ in pairs}) == len(pairs)
    return {key: value for key, _, value in pairs}


@pytest.fixture(scope="module")
def entry() -> dict[str, Any]:
    return dict(json.loads((ROOT / f"{NAME}.json").read_text(encoding="ascii")))


@pytest.fixture(scope="module")
def cmake() -> dict[str, str]:
    """The EXTENSION_ variables as the index reads them: one quoted string on one line."""
    text = (ROOT / "CMakeLists.txt").read_text(encoding="ascii")
    found = re.findall(r'^set\(EXTENSION_(\w+) "([^"\n]*)"\)$', text, re.MULTILINE)
    return {"PROJECT": re.findall(r"^project\((\w+)\)$", text, re.MULTILINE)[0], **dict(found)}


def test_the_cmake_variables_are_all_there(cmake: dict[str, str]) -> None:
    assert cmake["PROJECT"] == NAME
    for name in ("HOMEPAGE", "CATEGORY", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        assert cmake[name].strip(), name


def test_the_s4ext_has_the_known_keys_each_with_a_value(s4ext: dict[str, str]) -> None:
    assert set(s4ext) == S4EXT_KEYS
    assert all(value.strip() for value in s4ext.values())


def test_the_json_has_the_keys_of_the_schema_in_order(entry: dict[str, Any]) -> None:
    assert {"$schema", "category", "scm_url"} <= set(entry) <= JSON_KEYS
    assert list(entry) == sorted(entry)
    assert entry["tier"] in (1, 3, 5)
    assert all(isinstance(name, str) for name in entry["build_dependencies"])


@pytest.mark.parametrize("name", [f"{NAME}.json", f"{NAME}.s4ext", "CMakeLists.txt"])
def test_descriptors_have_unix_line_ends_and_one_at_the_end(name: str) -> None:
    data = (ROOT / name).read_bytes()
    assert b"\r" not in data
    assert data.endswith(b"\n")
    assert not data.endswith(b"\n\n")


def test_the_json_is_formatted_as_the_index_wants_it(entry: dict[str, Any]) -> None:
    one_line_lists = re.sub(r"\[\s+([^\]]*?)\s+\]", r"[\1]", json.dumps(entry, indent=2))
    assert (ROOT / f"{NAME}.json").read_text(encoding="ascii") == one_line_lists + "\n"


def test_cmake_and_both_descriptors_say_the_same(
        cmake: dict[str, str], s4ext: dict[str, str], entry: dict[str, Any]) -> None:
    for key in ("homepage", "contributors", "category", "iconurl", "description", "screenshoturls", "depends"):
        assert s4ext[key] == cmake[key.upper()], key
    assert (entry["category"], entry["scm_url"], entry["scm_revision"], str(entry["tier"])) == (
        s4ext["category"], s4ext["scmurl"], s4ext["scmrevision"], s4ext["tier"])
    assert entry["scm_url"] == cmake["HOMEPAGE"] + ".git"
    assert (" ".join(entry["build_dependencies"]) or "NA") == cmake["DEPENDS"]


def test_pytorch_is_asked_for_exactly_when_an_engine_of_this_release_needs_it(cmake: dict[str, str]) -> None:
    needed = any(engine.ready and engine.extra == "torch" for engine in catalog.ENGINES.values())
    assert ("PyTorch" in cmake["DEPENDS"]) == needed


def test_every_picture_of_the_catalog_is_a_file_of_this_repository(cmake: dict[str, str]) -> None:
    owner_and_name = cmake["HOMEPAGE"].removeprefix("https://github.com/")
    for url in (cmake["ICONURL"], *cmake["SCREENSHOTURLS"].split()):
        start = f"{RAW}{owner_and_name}/main/"
        assert url.startswith(start)
        assert (ROOT / url.removeprefix(start)).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize("place", [f"{NAME}.png", f"{NAME}/Resources/Icons/{NAME}.png"])
def test_the_icon_is_a_png_of_128_by_128(place: str) -> None:
    data = (ROOT / place).read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (128, 128)


def test_the_icon_is_the_one_that_its_script_draws() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_icon.py"))
    drawn = png.digest_of(script["draw"]())
    assert [png.read(place).sha256 for place in script["PLACES"]] == [drawn, drawn]
