"""What installs Python packages in Slicer: recorded, and never done.

Slicer 5.12 has slicer.packaging, 5.10 has only slicer.util.pip_install.
"""

from __future__ import annotations

import importlib.metadata
import sys
from types import ModuleType
from typing import Any

import slicer.util

from .errors import require_main_thread


def _names(requirements: Any) -> list[str]:
    """One requirement or several, as text or as objects of the package packaging."""
    return [str(r) for r in requirements] if isinstance(requirements, (list, tuple)) else [str(requirements)]


class Packages:
    """`installed` is what was asked for; `failure` is raised instead when it is set; `torch` is the same of torch."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self.installed: list[str] = []
        self.failure: Exception | None = None
        self.torch: list[dict[str, Any]] = []
        self.torch_is_there = True

    def pip_install(self, requirements: Any, constraints: Any = None, no_deps_requirements: Any = None,
                    skip_packages: Any = None, blocking: bool = True, show_progress: bool = True,
                    requester: str | None = None, parent: Any = None, logCallback: Any = None,
                    completedCallback: Any = None) -> None:
        """As in 5.12."""
        require_main_thread("pip_install")
        if not _names(requirements):
            raise RuntimeError("pip: you must give at least one requirement to install")
        self.installed += _names(requirements)
        if self.failure is not None:
            raise self.failure
        if completedCallback is not None:
            completedCallback(0)

    def pip_install_of_5_10(self, requirements: Any) -> None:
        self.pip_install(requirements)

    def pip_uninstall(self, requirements: Any) -> None:
        require_main_thread("pip_uninstall")

    @staticmethod
    def pip_check(requirements: Any, **options: Any) -> bool:
        """Whether all requirements are met, as slicer.packaging tells."""
        from packaging.requirements import Requirement

        for requirement in map(Requirement, _names(requirements)):
            try:
                version = importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                return False
            if not requirement.specifier.contains(version, prereleases=True):
                return False
        return True

    def pip_ensure(self, requirements: Any, constraints: Any = None, skip_packages: Any = None,
                   prompt_install: bool = True, prompt_restart: bool = True, requester: str | None = None,
                   skip_in_testing: bool = True, show_progress: bool = True) -> None:
        """Asks, unless told not to, and installs what is missing."""
        missing = [name for name in _names(requirements) if not self.pip_check(name)]
        if not missing:
            return
        if prompt_install and not slicer.util.confirmOkCancelDisplay(f"{requester} needs {', '.join(missing)}"):
            raise RuntimeError("the user did not want the packages")
        self.pip_install(missing)

    def install(self, flavour: str) -> None:
        slicer.util.pip_install = self.pip_install_of_5_10 if flavour == "5.10" else self.pip_install
        slicer.util.pip_uninstall = self.pip_uninstall
        if flavour == "5.10":
            sys.modules["slicer.packaging"] = None  # type: ignore[assignment]
            if "packaging" in vars(slicer):
                del slicer.packaging
        else:
            packaging = ModuleType("slicer.packaging")
            packaging.__dict__.update(pip_install=self.pip_install, pip_uninstall=self.pip_uninstall,
                                      pip_check=self.pip_check, pip_ensure=self.pip_ensure)
            sys.modules["slicer.packaging"] = slicer.packaging = packaging
        sys.modules["PyTorchUtils"] = self._pytorch()

    def _pytorch(self) -> ModuleType:
        """The module of the PyTorch extension; `torch_is_there` says what it finds."""
        packages = self

        class PyTorchUtilsLogic:
            def torchInstalled(self) -> bool:
                return packages.torch_is_there

            def installTorch(self, askConfirmation: bool = False, forceComputationBackend: str | None = None,
                             torchVersionRequirement: str | None = None,
                             torchvisionVersionRequirement: str | None = None) -> Any:
                require_main_thread("PyTorchUtilsLogic.installTorch")
                packages.torch.append({"askConfirmation": askConfirmation, "requirement": torchVersionRequirement})
                if packages.failure is not None:
                    raise packages.failure
                packages.torch_is_there = True
                return packages.torch_module

            @property
            def torch(self) -> Any:
                return packages.torch_module if packages.torch_is_there else self.installTorch()

        module = ModuleType("PyTorchUtils")
        module.__dict__["PyTorchUtilsLogic"] = PyTorchUtilsLogic
        return module

    torch_module = ModuleType("torch_of_the_stand_in")
