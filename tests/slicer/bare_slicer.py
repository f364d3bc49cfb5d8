"""A Slicer as it is downloaded: a Python with what Slicer brings and no other package. Run by test_bare_slicer.py.

Tells as JSON what the panel shows there, and how the module's own test of a report ended.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import standin_package

SLICERS_OWN = {"numpy", "scipy", "pydicom", "pillow", "simpleitk", "packaging", "pip", "setuptools",
               "requests", "certifi", "charset-normalizer", "idna", "urllib3"}
STAND_IN = {"slicer-core", "vtk", "pyside6-essentials", "shiboken6"}


def has(distribution: str) -> bool:
    return re.sub(r"[-_.]+", "-", distribution).lower() in SLICERS_OWN | STAND_IN


class Bare:
    """A finder of modules and of packages' data that leaves out what Slicer does not bring."""

    def __init__(self, finder: Any, absent: set[str]) -> None:
        self._finder, self._absent = finder, absent

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.partition(".")[0] in self._absent else self._finder.find_spec(name, path, target)

    def find_distributions(self, *context: Any) -> Iterable[Any]:
        find = getattr(self._finder, "find_distributions", lambda *context: ())
        return (found for found in find(*context) if has(found.metadata["Name"]))

    def invalidate_caches(self) -> None:
        getattr(self._finder, "invalidate_caches", lambda: None)()


def strip() -> set[str]:
    """Take away everything else; the names of the modules that are gone."""
    absent = {module for module, distributions in importlib.metadata.packages_distributions().items()
              if not any(map(has, distributions))} - {"text2ct"}   # which lies beside the module
    sys.meta_path[:] = [Bare(finder, absent) for finder in sys.meta_path]
    return absent


def look(module_folder: Path) -> dict[str, Any]:
    stand_in = standin_package.start(module_folder)
    from slicer_standin import drive

    loaded = stand_in.load(module_folder / "Text2CTSlicer.py")
    loaded.open()
    panel = loaded.widget
    drive.type_text(panel.uis["Report"].reportEdit, "Moderate right pleural effusion.")
    panel.report.read()
    seen = {"banner": panel.banner.text, "understood": panel.uis["Report"].understoodLabel.text,
            "can_generate": panel.uis["Report"].generateButton.enabled}
    loaded.source.Text2CTSlicerTest("test_a_report_becomes_a_ct").debug()
    return seen | {"errors": [repr(error) for error in stand_in.reset()]}


if __name__ == "__main__":
    gone = strip()
    try:
        told = look(Path(sys.argv[1]))
    except Exception:   # the stand-in only notes what is not caught
        traceback.print_exc()
        sys.exit(1)
    print(json.dumps(told | {"gone": sorted(gone), "came": sorted({name.partition(".")[0] for name in sys.modules})}))
