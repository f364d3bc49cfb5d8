"""Finds the package text2ct for the module, and what Slicer's Python lacks for each way of running.

Installed, text2ct lies beside the module; in a checkout it lies in `backend`. Whichever
is found goes first on the path, so that another text2ct on the machine never runs by
accident. Nothing is installed here without a question; torch comes only from Slicer's
own PyTorch extension, which knows the graphics card.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import slicer
from packaging.requirements import Requirement
from slicer.i18n import tr as _

MODULE_FOLDER = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Group:
    """Packages for one purpose; `size` is what is downloaded when none of them is there."""

    file: str
    title: str
    size: str


BASE = Group("requirements.txt", "Text2CT itself", "less than 3 MB")
SERVER = Group("requirements-server.txt", "the local process", "about 4 MB")
TRAINED = Group("requirements-torch.txt", "engines with trained weights", "about 5 MB")
WEIGHTS = Group("requirements-weights.txt", "downloading weights", "less than 10 MB")
SEG = Group("requirements-seg.txt", "labels as DICOM", "up to 11 MB")
_TORCH = "torch>=2.4"


def folder(module_folder: Path = MODULE_FOLDER) -> Path:
    """The folder that holds the package text2ct."""
    for place in (module_folder, module_folder.parent / "backend"):
        if (place / "text2ct" / "__init__.py").is_file():
            return place
    raise RuntimeError(_("The package text2ct is not beside this module; install the extension again."))


def make_importable() -> None:
    """Put the package first on Python's path."""
    place = str(folder())
    if sys.path[:1] != [place]:
        sys.path.insert(0, place)


def missing(groups: Sequence[Group], module_folder: Path = MODULE_FOLDER) -> list[str]:
    """What of these groups this Python lacks, as pip names it."""
    lines = [line.strip() for group in groups
             for line in (module_folder / "Resources" / group.file).read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not _is_installed(Requirement(line))]


def question(groups: Sequence[Group]) -> str:
    """What the user is asked before anything is installed."""
    names = ", ".join(Requirement(line).name for line in missing(groups))
    what = _(" and ").join(f"{_(group.title)} ({group.size})" for group in groups if missing([group]))
    said = []
    if names:
        said.append(_("Text2CT needs Python packages that Slicer does not have yet: {names}. They are for {what} and "
                      "come from the Python package index.").format(names=names, what=what))
    if TRAINED in groups and not has_torch():
        said.append(_("The engine needs PyTorch, which is some GB; Slicer's extension PyTorch installs it and asks "
                      "for itself."))
    return " ".join([*said, _("Download and install now?")])


def install(groups: Sequence[Group]) -> str:
    """Install what is missing, on the main thread; an empty text, or a sentence that says what went wrong."""
    problem = install_torch() if TRAINED in groups else ""
    if problem:
        return problem
    wanted = missing(groups)
    if not wanted:
        return ""
    try:
        _pip_install(wanted)
    except Exception as error:  # pip fails in many ways; each is told, none may break the panel
        return _("{names} could not be installed: {error}. Check the network connection and the proxy, and see the "
                 "Python console for the whole story.").format(names=", ".join(wanted), error=error)
    importlib.invalidate_caches()
    left = missing(groups)
    return _("{names} are still missing after the installation; see the Python console.").format(
        names=", ".join(left)) if left else ""


def _pip_install(wanted: list[str]) -> None:
    try:
        from slicer.packaging import pip_ensure
    except ImportError:  # not before Slicer 5.12
        slicer.util.pip_install(wanted)
    else:
        pip_ensure([Requirement(line) for line in wanted], prompt_install=False, requester="Text2CT")


def install_torch() -> str:
    """Torch comes before what needs it, else pip would choose one; the PyTorch extension asks for itself."""
    if has_torch():
        return ""
    try:
        import PyTorchUtils
    except ImportError:
        return torch_state()
    try:
        PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=True,
                                                      torchVersionRequirement=str(Requirement(_TORCH).specifier))
    except Exception as error:  # as with pip: each is told, none may break the panel
        return _("PyTorch could not be installed: {error}. See the module 'PyTorch' and the Python console.").format(
            error=error)
    importlib.invalidate_caches()
    return torch_state()


def has_torch() -> bool:
    return _is_installed(Requirement(_TORCH))


def torch_state() -> str:
    """Whether torch is there, and how to get it where it is not."""
    if has_torch():
        return ""
    return _("PyTorch 2.4 or newer is not installed. Install the extension 'PyTorch' from the Extension Manager, "
             "and choose 'Install PyTorch' in its module.")


def _is_installed(requirement: Requirement) -> bool:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)
