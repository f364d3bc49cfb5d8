"""What Slicer would only complain about on the user's screen, found by reading the module's source.

A failing import makes the module vanish and a misspelt name in a .ui file is a line in a
log, so names in the code, names in the panels and the classes of a running Slicer are
compared here. Signals and properties are also tried in tests/slicer.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "Text2CTSlicer"
SOURCES = sorted([MODULE / "Text2CTSlicer.py", *(MODULE / "Text2CTSlicerLib").glob("*.py")])
PANELS = sorted((MODULE / "Resources" / "UI").glob("*.ui"))
BUNDLED = {"ctk", "numpy", "packaging", "qt", "slicer", "vtk", "Text2CTSlicerLib", "__future__"}
NO_QT = ("accounts", "boxes", "display", "lesions", "marks", "nodes", "packages", "reading", "terms", "weights")
CHOOSERS = ("NodeComboBox", "SelectorWidget")
FACTS = ROOT / "tests" / "slicer_standin" / "facts" / "widgets.json"


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def panel(path: Path) -> ElementTree.Element:
    return ElementTree.parse(path).getroot()


def widgets(path: Path) -> dict[str, str]:
    """Name and class of every widget of a panel."""
    return {w.attrib["name"]: w.attrib["class"] for w in panel(path).iter("widget")}


@pytest.fixture(scope="module")
def slicer_classes() -> dict[str, dict[str, Any]]:
    """Properties, signals and slots of Qt and Slicer classes, as a running Slicer told them."""
    return dict(json.loads(FACTS.read_text(encoding="utf-8")))


def properties(classes: dict[str, dict[str, Any]], name: str) -> dict[str, list[Any]]:
    return {**classes["QWidget"]["properties"], **classes[name]["properties"]}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
@pytest.mark.parametrize("minor", [10, 11, 12, 13])
def test_the_source_is_valid_for_every_supported_python(path: Path, minor: int) -> None:
    ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, minor))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_nothing_is_imported_at_file_scope_that_slicer_does_not_bring(path: Path) -> None:
    for name in imported(tree(path).body):
        assert name in BUNDLED or name in sys.stdlib_module_names, f"{path.name} imports {name} at file scope"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.name)
def test_nothing_is_done_at_file_scope(path: Path) -> None:
    for node in tree(path).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_guard = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'")
        named = isinstance(node, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign))
        assert is_docstring or is_guard or named, f"{path.name}:{node.lineno}"


def imported(body: list[ast.stmt]) -> list[str]:
    """Top-level packages that these statements import, not counting those for type checkers only."""
    found: list[str] = []
    for node in body:
        if isinstance(node, ast.Import):
            found += [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append("Text2CTSlicerLib" if node.level else (node.module or "").split(".")[0])
        elif isinstance(node, ast.If) and ast.unparse(node.test) != "TYPE_CHECKING":
            found += imported(node.body)
    return found


@pytest.mark.parametrize("name", NO_QT)
def test_what_works_on_the_scene_needs_no_qt(name: str) -> None:
    found = imported(tree(MODULE / "Text2CTSlicerLib" / f"{name}.py").body)
    assert not {"qt", "ctk"} & set(found)


def test_the_module_file_is_thin() -> None:
    assert len((MODULE / "Text2CTSlicer.py").read_text(encoding="utf-8").splitlines()) < 300


def test_the_classes_that_slicer_looks_for_are_there() -> None:
    names = {node.name for node in tree(MODULE / "Text2CTSlicer.py").body if isinstance(node, ast.ClassDef)}
    assert names == {"Text2CTSlicer", "Text2CTSlicerWidget", "Text2CTSlicerLogic", "Text2CTSlicerTest"}


def test_every_widget_that_the_code_uses_is_in_its_panel() -> None:
    """`self._ui.NAME` and `ui.NAME` of panel_x.py against X.ui."""
    for path in PANELS:
        source = (MODULE / "Text2CTSlicerLib" / f"panel_{path.stem.lower()}.py").read_text(encoding="utf-8")
        used = set(re.findall(r"\bui\.(\w+)", source.replace("self._ui", "ui")))
        assert len(used) > 4
        assert used <= set(widgets(path)), path.name


def test_widget_names_are_given_once() -> None:
    names = [w.attrib["name"] for path in PANELS for w in panel(path).iter("widget")]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", PANELS, ids=lambda p: p.name)
def test_every_class_of_slicer_in_a_panel_is_declared_with_its_header(path: Path) -> None:
    declared = {c.findtext("class"): c.findtext("header") for c in panel(path).iter("customwidget")}
    bases = {c.findtext("extends") for c in panel(path).iter("customwidget")}
    used = {name for name in widgets(path).values() if not name.startswith("Q")}
    assert used <= set(declared) <= used | bases
    assert all(header == f"{name}.h" for name, header in declared.items())


@pytest.mark.parametrize("path", PANELS, ids=lambda p: p.name)
def test_every_property_of_a_panel_exists_in_slicer(path: Path, slicer_classes: dict[str, dict[str, Any]]) -> None:
    checked = 0
    for widget in panel(path).iter("widget"):
        known = properties(slicer_classes, widget.attrib["class"])
        for prop in widget.findall("property"):
            if prop.attrib.get("stdset") == "0":
                continue
            assert prop.attrib["name"] in known, f"{widget.attrib['name']}.{prop.attrib['name']}"
            assert known[prop.attrib["name"]][1], f"{widget.attrib['name']}.{prop.attrib['name']} is read-only"
            checked += 1
    assert checked > 10


@pytest.mark.parametrize("path", PANELS, ids=lambda p: p.name)
def test_every_signal_that_is_connected_exists_in_slicer(
        path: Path, slicer_classes: dict[str, dict[str, Any]]) -> None:
    kinds, source = widgets(path), tree(MODULE / "Text2CTSlicerLib" / f"panel_{path.stem.lower()}.py")
    found = [(ast.unparse(call.func.value).removeprefix("self._").removeprefix("ui."), str(call.args[0].value))
             for call in ast.walk(source) if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
             and call.func.attr == "connect" and isinstance(call.args[0], ast.Constant)]
    of_widgets = [(name, signal) for name, signal in found if name in kinds]
    assert of_widgets
    for name, signal in of_widgets:
        known = slicer_classes[kinds[name]]["signals"] + slicer_classes["QWidget"]["signals"]
        assert signal in known, f"{name}: {signal}"


@pytest.mark.parametrize("path", PANELS, ids=lambda p: p.name)
def test_every_widget_that_shows_nodes_hears_of_the_scene(path: Path) -> None:
    wired = {wire.findtext("receiver") for wire in panel(path).iter("connection")
             if wire.findtext("slot") == "setMRMLScene(vtkMRMLScene*)" and wire.findtext("sender") == path.stem}
    shows = {name for name, kind in widgets(path).items() if kind.startswith("qMRML") and kind.endswith(CHOOSERS)}
    assert wired == shows
