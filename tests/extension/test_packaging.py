"""A file that is not listed works from a checkout and is absent on the user's disk.

So the CMake lists are configured, built and installed for real, with a stand-in for
Slicer's CMake package, and what arrives is compared with the source tree.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).parent / "fake_slicer"
MODULES = "lib/Slicer-5.12/qt-scripted-modules"


@dataclass(frozen=True)
class Trees:
    """Where the extension was built and where it was installed."""

    build: Path
    install: Path

    @property
    def built(self) -> Path:
        return self.build / MODULES

    @property
    def installed(self) -> Path:
        return self.install / "bundle" / MODULES


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    if not shutil.which("cmake") or not (shutil.which("ninja") or shutil.which("make")):
        pytest.skip("no cmake with make or ninja on the PATH: the packaging of the extension is not tested")
    if not shutil.which("c++") and not shutil.which("cl"):
        pytest.skip("no C++ compiler on the PATH: CMake cannot configure a Slicer extension without one")
    folder = tmp_path_factory.mktemp("extension")
    trees = Trees(folder / "build", folder / "install")
    cmake("-S", ROOT, "-B", trees.build, f"-DSlicer_DIR={STAND_IN}", f"-DCMAKE_INSTALL_PREFIX={trees.install}")
    cmake("--build", trees.build)
    cmake("--install", trees.build, "--component", "RuntimeLibraries")
    return trees


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


def cmake(*arguments: object) -> None:
    done = run("cmake", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def files(folder: Path) -> set[PurePosixPath]:
    """Every file under `folder` that is source, by its path inside."""
    found = (p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return {PurePosixPath(p.as_posix()) for p in found
            if "__pycache__" not in p.parts and p.suffix != ".pyc" and not any(q.startswith(".") for q in p.parts)}


def expected_files() -> set[PurePosixPath]:
    module = {p for p in files(ROOT / "Text2CTSlicer") if p.parts[0] not in ("Testing", "CMakeLists.txt")}
    return module | {PurePosixPath("text2ct") / p for p in files(ROOT / "backend" / "text2ct")}


def everything(folder: Path) -> set[PurePosixPath]:
    return {PurePosixPath(p.relative_to(folder).as_posix()) for p in folder.rglob("*") if p.is_file()}


def test_the_expected_files_include_the_module_its_panel_and_the_package() -> None:
    names = {str(p) for p in expected_files()}
    assert {"Text2CTSlicer.py", "Text2CTSlicerLib/nodes.py", "Resources/UI/Lesion.ui", "Resources/requirements.txt",
            "Resources/Templates/Normal-chest.txt", "text2ct/requests.py", "text2ct/engines/catalog.py"} <= names


def test_every_file_of_module_and_package_is_installed_and_nothing_else(trees: Trees) -> None:
    assert everything(trees.installed) == expected_files()
    assert everything(trees.install) == {PurePosixPath("bundle", MODULES) / p for p in expected_files()}


def test_every_file_of_module_and_package_is_in_the_build_tree(trees: Trees) -> None:
    assert everything(trees.built) == expected_files()


def test_installed_files_are_those_of_the_source(trees: Trees) -> None:
    for path in expected_files():
        source = ROOT / "backend" / path if path.parts[0] == "text2ct" else ROOT / "Text2CTSlicer" / path
        assert (trees.installed / path).read_bytes() == source.read_bytes(), path


def test_a_file_added_to_the_package_is_packaged_without_touching_cmake(trees: Trees, tmp_path: Path) -> None:
    copy = tmp_path / "checkout"
    for name in ("CMakeLists.txt", "Text2CTSlicer", "backend"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            copy.mkdir()
            shutil.copy(source, copy / name)
    built = Trees(tmp_path / "build", tmp_path / "install")
    cmake("-S", copy, "-B", built.build, f"-DSlicer_DIR={STAND_IN}", f"-DCMAKE_INSTALL_PREFIX={built.install}")
    added = copy / "backend" / "text2ct" / "brand new"
    (added / "__pycache__").mkdir(parents=True)
    (added / "numbers.bin").write_bytes(b"1")
    (added / "__pycache__" / "x.pyc").write_bytes(b"2")
    cmake("--build", built.build)
    cmake("--install", built.build)
    assert (built.installed / "text2ct" / "brand new" / "numbers.bin").read_bytes() == b"1"
    assert (built.built / "text2ct" / "brand new" / "numbers.bin").read_bytes() == b"1"
    assert not list(built.install.rglob("__pycache__"))


def test_a_script_that_is_listed_but_gone_stops_the_build(tmp_path: Path) -> None:
    if not shutil.which("cmake") or not shutil.which("c++"):
        pytest.skip("no cmake or no C++ compiler on the PATH")
    copy = tmp_path / "checkout"
    copy.mkdir()
    shutil.copy(ROOT / "CMakeLists.txt", copy)
    shutil.copytree(ROOT / "Text2CTSlicer", copy / "Text2CTSlicer")
    (copy / "Text2CTSlicer" / "Text2CTSlicerLib" / "nodes.py").unlink()
    done = run("cmake", "-S", copy, "-B", tmp_path / "build", f"-DSlicer_DIR={STAND_IN}")
    assert done.returncode != 0
    assert "Text2CTSlicerLib/nodes.py" in done.stderr


def test_the_package_runs_from_the_installed_place_alone(trees: Trees) -> None:
    code = ("import sys; sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True; import text2ct.requests; "
            "from text2ct.engines import catalog; print(text2ct.__file__, text2ct.__version__, len(catalog.ENGINES))")
    done = run(sys.executable, "-I", "-c", code, trees.installed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(trees.installed / "text2ct"))


def test_the_command_line_answers_from_the_installed_place(trees: Trees) -> None:
    code = ("import sys; sys.path.insert(0, sys.argv[1]); sys.dont_write_bytecode = True; "
            "from text2ct.cli.main import main; sys.exit(main(['--version']))")
    done = run(sys.executable, "-I", "-c", code, trees.installed)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


FLOWS = ("test_packages.py::test_the_package_that_the_module_found_is_the_one_that_runs",
         "test_flows.py::test_a_report_becomes_a_ct_in_a_local_process_while_slicer_stays_usable",
         "test_flows.py::test_a_lesion_is_masked_edited_and_painted_into_a_copy")


def test_the_installed_module_runs_both_flows_with_the_package_installed_beside_it(trees: Trees) -> None:
    """In a process of its own, on the stand-in of Slicer, from the installed folder: nothing of the checkout runs."""
    pytest.importorskip("slicer_core", reason="no slicer-core: the installed module is not run")
    pytest.importorskip("PySide6", reason="no PySide6: the installed module is not run")
    before = everything(trees.install)
    environment = {**os.environ, "TEXT2CT_MODULE": str(trees.installed), "PYTHONDONTWRITEBYTECODE": "1",
                   "PYTHONPATH": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
               f"--confcutdir={ROOT / 'tests' / 'slicer'}",  # the conftest above imports the package of the checkout
               *(str(ROOT / "tests" / "slicer" / name) for name in FLOWS)]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout
    assert everything(trees.install) == before
