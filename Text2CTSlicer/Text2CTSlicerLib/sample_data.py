"""Sample data of our own: a chest that the phantom draws on this machine, so nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from . import nodes, packages

CATEGORY, NAME = "Text2CT", "SyntheticChest"
REPORT = ("Moderate right pleural effusion. 22 mm spiculated nodule in the left upper lobe. No pneumothorax. "
          "The heart is not enlarged.")


def register(icons: Path) -> None:
    """Offer the chest in Slicer's module Sample Data, which wants an address and a file name of every sample."""
    from SampleData import SampleDataLogic

    if hasattr(SampleDataLogic, "registerCustomSampleDataCategory"):  # not before Slicer 5.12
        SampleDataLogic.registerCustomSampleDataCategory(CATEGORY, title=CATEGORY)
    SampleDataLogic.registerCustomSampleDataSource(
        category=CATEGORY, sampleName=NAME, uris="", fileNames=NAME, nodeNames=NAME,
        customDownloader=lambda source: make(), thumbnailFileName=str(icons / "Text2CTSlicer.png"))


def make() -> slicer.vtkMRMLScalarVolumeNode | None:
    """Draw the chest, with its labels, into the scene; None where a package is missing, which the user is told."""
    lacking = packages.missing([packages.BASE])
    if lacking:
        slicer.util.errorDisplay(_("The sample cannot be drawn: Slicer's Python lacks {names}. Open the module Text2CT "
                                   "and press 'Set up...'.").format(names=", ".join(lacking)))
        return None
    packages.make_importable()
    from text2ct.engines.run import run
    from text2ct.requests import GenerateCT

    result = run(GenerateCT(REPORT, preset="draft", seed=7))
    return nodes.add_result(result, _("sample chest"), report=REPORT).ct
