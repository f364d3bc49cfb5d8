"""What Slicer would only complain about on the user's screen, found by reading the module's source.

PythonQt does not raise for a misspelt signal and a failing import makes the module
vanish, so names in the code, names in the .ui file and the classes of a running
Slicer are compared here.
"""

from __future__ import annotations

import ast
import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

MODULE = Path(__file__).resolve().parents[2] / "Text2CTSlicer"
SOURCES = sorted([MODULE / "Text2CTSlicer.py", *(MODULE / "Text2CTSlicerLib").glob("*.py")])
BUNDLED = {"ctk", "numpy", "packaging", "qt", "slicer", "vtk", "Text2CTSlicerLib", "__future__"}
PROCESS = {"_process": "QProcess", "_patience": "QTimer"}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def panel() -> ElementTree.Element:
    return ElementTree.parse(MODULE / "Resources" / "UI" / "Text2CTSlicer.ui").getroot()


@pytest.fixture(scope="module")
def widgets(panel: ElementTree.Element) -> dict[str, str]:
    """Name and class of every widget of the panel."""
    return {w.attrib["name"]: w.attrib["class"] for w in panel.iter("widget")}


@pytest.fixture(scope="module")
def slicer_classes(shared: Path) -> dict[str, dict[str, Any]]:
    """Properties, signals and slots of Qt and Slicer classes, as a running Slicer told them."""
    path = shared / "slicer-widgets.json"
    if not path.is_file():
        pytest.skip("no list of Slicer's widget classes: signals and properties are not compared with it")
    return dict(json.loads(path.read_text()))


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
            assert node.level == 0 or node.module, "name the package in imports"
            found.append((node.module or "").split(".")[0])
        elif isinstance(node, ast.If) and ast.unparse(node.test) != "TYPE_CHECKING":
            found += imported(node.body)
    return found


def test_the_classes_that_slicer_looks_for_are_there() -> None:
    names = {node.name for node in tree(MODULE / "Text2CTSlicer.py").body if isinstance(node, ast.ClassDef)}
    assert names == {"Text2CTSlicer", "Text2CTSlicerWidget", "Text2CTSlicerLogic", "Text2CTSlicerTest"}


def ui_uses() -> list[ast.Attribute]:
    """Every `self.ui.NAME` of the module."""
    return [node for node in ast.walk(tree(MODULE / "Text2CTSlicer.py"))
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self.ui"]


def test_every_widget_that_the_code_uses_is_in_the_panel(widgets: dict[str, str]) -> None:
    used = {node.attr for node in ui_uses()}
    assert used
    assert used <= set(widgets)


def test_widget_names_are_given_once(panel: ElementTree.Element, widgets: dict[str, str]) -> None:
    assert len(list(panel.iter("widget"))) == len(widgets)


def test_every_class_of_slicer_in_the_panel_is_declared_with_its_header(
        panel: ElementTree.Element, widgets: dict[str, str]) -> None:
    declared = {c.findtext("class"): c.findtext("header") for c in panel.iter("customwidget")}
    assert set(declared) == {name for name in widgets.values() if not name.startswith("Q")}
    assert all(header == f"{name}.h" for name, header in declared.items())


def test_every_property_of_the_panel_exists_in_slicer(
        panel: ElementTree.Element, slicer_classes: dict[str, dict[str, Any]]) -> None:
    checked = 0
    for widget in panel.iter("widget"):
        known = properties(slicer_classes, widget.attrib["class"])
        for prop in widget.findall("property"):
            assert prop.attrib["name"] in known, f"{widget.attrib['name']}.{prop.attrib['name']}"
            assert known[prop.attrib["name"]][1], f"{widget.attrib['name']}.{prop.attrib['name']} is read-only"
            checked += 1
    assert checked > 10


def test_every_property_that_the_code_reads_or_sets_exists_in_slicer(
        widgets: dict[str, str], slicer_classes: dict[str, dict[str, Any]]) -> None:
    methods = {"connect", "addItem"}
    names = {node.attr for node in ui_uses()}
    checked = 0
    for node in ast.walk(tree(MODULE / "Text2CTSlicer.py")):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr in names \
                and ast.unparse(node.value.value) == "self.ui" and node.attr not in methods:
            found = properties(slicer_classes, widgets[node.value.attr]).get(node.attr)
            assert found, f"{node.value.attr} has no property {node.attr}"
            assert found[1] or isinstance(node.ctx, ast.Load), f"{node.value.attr}.{node.attr} is read-only"
            checked += 1
    assert checked > 8


def connections(path: Path) -> list[tuple[str, str]]:
    """Object and signal of every `OBJECT.connect("SIGNAL", ...)`."""
    return [(ast.unparse(call.func.value), str(call.args[0].value)) for call in ast.walk(tree(path))
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "connect"
            and isinstance(call.args[0], ast.Constant)]


def test_every_signal_that_is_connected_exists_in_slicer(
        widgets: dict[str, str], slicer_classes: dict[str, dict[str, Any]]) -> None:
    classes = {**{f"self.ui.{name}": kind for name, kind in widgets.items()},
               **{f"self.{name}": kind for name, kind in PROCESS.items()}}
    found = [pair for path in SOURCES for pair in connections(path)]
    assert len(found) >= 6
    for thing, signal in found:
        assert signal in slicer_classes[classes[thing]]["signals"], f"{thing}: {signal}"


def test_the_child_process_uses_only_properties_that_exist_in_slicer(
        slicer_classes: dict[str, dict[str, Any]]) -> None:
    source = tree(MODULE / "Text2CTSlicerLib" / "process.py")
    targets = [node.targets[0] for node in ast.walk(source) if isinstance(node, ast.Assign)]
    written = [ast.unparse(t) for t in targets if isinstance(t, ast.Attribute) and isinstance(t.value, ast.Attribute)]
    assert written == ["self._patience.singleShot"]
    assert slicer_classes[PROCESS["_patience"]]["properties"]["singleShot"][1]
