"""Run by a Slicer build: the package that was built beside the module is the one that Slicer's Python finds."""

import unittest
from pathlib import Path

from Text2CTSlicerLib import packages


class Text2CTSlicerBackendTest(unittest.TestCase):
    """The backend as it lies in the build tree."""

    def test_the_package_beside_the_module_is_used(self) -> None:
        packages.make_importable()
        import text2ct

        assert Path(text2ct.__file__).parent == packages.folder() / "text2ct"
