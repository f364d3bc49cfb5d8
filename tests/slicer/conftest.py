"""The module runs in a stand-in of Slicer: these tests have a process of their own, `pytest tests/slicer`.

The stand-in changes PySide6 for the whole process, so these tests are left out when
pytest is asked for anything else as well.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import standin_package

HERE = Path(__file__).resolve().parent
MODULE_FOLDER = Path(os.environ.get("TEXT2CT_MODULE", HERE.parents[1] / "Text2CTSlicer"))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")


def _alone(config: pytest.Config) -> bool:
    """Whether pytest was asked for these tests and no others."""
    places = [Path(config.invocation_params.dir, a.split("::")[0]).resolve() for a in config.args]
    return bool(places) and all(HERE in (place, *place.parents) for place in places)


def _missing() -> list[str]:
    return [name for name in ("PySide6", "slicer_core", "vtk") if importlib.util.find_spec(name) is None]


def pytest_configure(config: pytest.Config) -> None:
    if _alone(config) and not _missing():
        standin_package.start(MODULE_FOLDER)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if not _alone(config) or _missing() else None


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if _alone(config) and _missing():
        terminalreporter.write_line(f"tests/slicer needs {', '.join(_missing())}: nothing of it was run")


@pytest.fixture(autouse=True)
def slicer_app() -> Iterator[Any]:
    """The stand-in with an empty scene; exceptions that Slicer would only print fail the test."""
    from slicer_standin import boot

    stand_in = boot.start()
    stand_in.reset()
    yield stand_in
    left = stand_in.reset()
    if left:
        raise AssertionError(f"{len(left)} exceptions in slots or handlers; the first is here") from left[0]


@pytest.fixture
def here(slicer_app: Any, request: pytest.FixtureRequest) -> Any:
    """The panel, running requests inside Slicer: nothing to start."""
    from flows import run_in

    run_in("here")
    return request.getfixturevalue("panel")


@pytest.fixture(params=["5.10", "5.12"])
def flavour(request: pytest.FixtureRequest, slicer_app: Any) -> str:
    """Runs the test in both versions: without and with slicer.packaging."""
    slicer_app.flavour(request.param)
    return str(request.param)


@pytest.fixture
def module(slicer_app: Any) -> Callable[[str], Any]:
    """Loads a module's file as Slicer does, with its Lib package fresh."""
    return lambda name: slicer_app.load(MODULE_FOLDER / f"{name}.py")


@pytest.fixture
def panel(module: Callable[[str], Any]) -> Any:
    """The widget object of Text2CTSlicer, set up and shown; `panel.ui` has its widgets."""
    from slicer_standin.drive import settle

    loaded = module("Text2CTSlicer")
    loaded.open()
    settle()
    return loaded.widget


@pytest.fixture
def turn_until() -> Callable[..., Any]:
    """Turns the event loop until a condition holds; tells how often it turned each second."""
    from slicer_standin.drive import turn_until

    return turn_until
