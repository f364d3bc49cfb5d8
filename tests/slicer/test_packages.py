"""What the module asks Slicer's Python for: the same as the package itself, no more, and nothing without a reason."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from flows import REPORT, run_in, small_ct, write
from slicer_standin import drive

ROOT = Path(__file__).resolve().parents[2]
TORCH = "torch>=2.4"


def resources() -> Path:
    from conftest import MODULE_FOLDER

    return MODULE_FOLDER / "Resources"


def listed(name: str) -> list[str]:
    return (resources() / name).read_text(encoding="utf-8").split()


def test_the_required_packages_are_those_of_the_python_package() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 reads no TOML")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert listed("requirements.txt") == project["dependencies"]
    for extra in ("server", "seg", "weights"):
        assert listed(f"requirements-{extra}.txt") == project["optional-dependencies"][extra]
    trained = project["optional-dependencies"]["torch"]
    assert listed("requirements-torch.txt") == [line for line in trained if not line.startswith("torch>")]
    assert [line for line in trained if line.startswith("torch>")] == [TORCH]


def test_torch_is_never_among_what_pip_is_asked_for() -> None:
    for path in resources().glob("requirements*.txt"):
        assert not any(line.startswith("torch") for line in listed(path.name))


def test_every_list_of_packages_belongs_to_a_group_of_the_module() -> None:
    from Text2CTSlicerLib import packages

    groups = (packages.BASE, packages.SERVER, packages.TRAINED, packages.WEIGHTS, packages.SEG)
    assert {group.file for group in groups} == {path.name for path in resources().glob("requirements*.txt")}


def test_absent_and_outdated_packages_are_missing_and_good_ones_are_not(tmp_path: Path) -> None:
    from Text2CTSlicerLib import packages

    (tmp_path / "Resources").mkdir()
    (tmp_path / "Resources" / "requirements.txt").write_text("numpy>=1.0\nnumpy>=999\nno-such-package-at-all>=1\n\n")
    assert packages.missing([packages.BASE], tmp_path) == ["numpy>=999", "no-such-package-at-all>=1"]


def test_the_question_names_what_is_missing_and_how_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from Text2CTSlicerLib import packages

    monkeypatch.setattr(packages, "_is_installed", lambda requirement: requirement.name != "uvicorn")
    asked = packages.question([packages.BASE, packages.SERVER])
    assert "uvicorn" in asked
    assert packages.SERVER.size in asked
    assert "fastapi" not in asked
    assert packages.BASE.size not in asked


def test_the_package_beside_the_module_wins_over_that_of_the_checkout(tmp_path: Path) -> None:
    from Text2CTSlicerLib import packages

    module = tmp_path / "module"
    for package in (module / "text2ct", tmp_path / "backend" / "text2ct"):
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
    assert packages.folder(module) == module
    (module / "text2ct" / "__init__.py").unlink()
    assert packages.folder(module) == tmp_path / "backend"
    (tmp_path / "backend" / "text2ct" / "__init__.py").unlink()
    with pytest.raises(RuntimeError, match="install the extension again"):
        packages.folder(module)


def test_the_package_that_the_module_found_is_the_one_that_runs() -> None:
    from Text2CTSlicerLib import packages

    packages.make_importable()
    import text2ct

    assert Path(text2ct.__file__).parent == packages.folder() / "text2ct"


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch, slicer_app: Any) -> Any:
    """Slicer's Python lacks torch and what comes with it until the PyTorch extension was asked."""
    import importlib.metadata

    known = importlib.metadata.version
    trained = {line.partition(">")[0] for line in listed("requirements-torch.txt")}
    slicer_app.packages.torch_is_there = False

    def version(name: str) -> str:
        if name == "torch":
            if not slicer_app.packages.torch_is_there:
                raise importlib.metadata.PackageNotFoundError(name)
            return "2.8.0"
        return "99.0" if name in trained else known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    return slicer_app.packages


def choose_a_trained_engine(slicer_app: Any, request: pytest.FixtureRequest) -> Any:
    run_in("here")
    panel = request.getfixturevalue("panel")
    write(panel, REPORT)
    box = panel.uis["Report"].engineBox
    box.setCurrentIndex(box.findData("text2ct"))
    if box.currentData != "text2ct":
        pytest.skip("no engine of this release needs torch")
    return panel


def test_torch_comes_from_its_extension_when_an_engine_needs_it_and_the_user_says_so(
        slicer_app: Any, without_torch: Any, request: pytest.FixtureRequest, flavour: str) -> None:
    panel = choose_a_trained_engine(slicer_app, request)
    slicer_app.dialogs.answer = True
    assert panel.backend.ready("text2ct")
    assert without_torch.torch == [{"askConfirmation": True, "requirement": ">=2.4"}]
    assert without_torch.installed == []
    assert "PyTorch" in slicer_app.dialogs.texts[0]


def test_when_torch_was_all_that_was_missing_nothing_else_is_installed(
        without_torch: Any, module: Any, flavour: str) -> None:
    module("Text2CTSlicer")
    from Text2CTSlicerLib import packages

    assert packages.install([packages.BASE, packages.TRAINED]) == ""
    assert (len(without_torch.torch), without_torch.installed) == (1, [])


def test_what_is_missing_is_installed_in_either_version(
        slicer_app: Any, module: Any, flavour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module("Text2CTSlicer")
    from Text2CTSlicerLib import packages

    lacking = iter([["uvicorn>=999"], []])
    monkeypatch.setattr(packages, "missing", lambda groups: next(lacking))
    assert packages.install([packages.SERVER]) == ""
    assert slicer_app.packages.installed == ["uvicorn>=999"]
    assert slicer_app.dialogs.texts == []


def test_the_phantom_asks_for_no_torch(
        slicer_app: Any, without_torch: Any, request: pytest.FixtureRequest) -> None:
    panel = choose_a_trained_engine(slicer_app, request)
    assert panel.backend.ready("phantom")
    assert slicer_app.dialogs.texts == []


def test_without_the_pytorch_extension_the_panel_says_where_to_get_it(
        slicer_app: Any, without_torch: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    panel = choose_a_trained_engine(slicer_app, request)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    drive.click(panel.uis["Report"].generateButton)
    assert "Extension Manager" in panel.uis["Backend"].backendLabel.text
    assert not panel.uis["Backend"].backendSection.collapsed
    assert panel.logic.jobs.rows() == []


def test_measuring_asks_for_what_is_missing_too(
        slicer_app: Any, request: pytest.FixtureRequest) -> None:
    run_in("http://no-such-server:1")
    panel = request.getfixturevalue("panel")
    panel.uis["Backend"].placeBox.setCurrentIndex(panel.uis["Backend"].placeBox.findData("new"))
    panel.backend._choose(panel.uis["Backend"].placeBox.currentIndex)
    write(panel, REPORT)
    panel.result.choose(small_ct())
    panel.result.measure()
    assert "address of the server" in panel.uis["Backend"].backendLabel.text
    assert panel.logic.jobs.rows() == []
