"""Sample data of our own: a chest that the phantom draws on this machine, so nothing is downloaded."""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from . import nodes, packages

NAME = "SyntheticChest"
REPORT = ("Moderate right pleural effusion. 22 mm spiculated nodule in the left upper lobe. No pneumothorax. "
          "The heart is not enlarged.")


def register(icons: Path) -> None:
    """Offer the chest in Slicer's module Sample Data."""
    from SampleData import SampleDataLogic

    SampleDataLogic.registerCustomSampleDataSource(
        category="Text2CT", sampleName=NAME, nodeNames=NAME, customDownloader=lambda source: make(),
        thumbnailFileName=str(icons / "Text2CTSlicer.png"))


def make() -> slicer.vtkMRMLScalarVolumeNode:
    """Draw the chest, with its labels, into the scene."""
    packages.make_importable()
    from text2ct.engines.run import run
    from text2ct.requests import GenerateCT

    result = run(GenerateCT(REPORT, preset="draft", seed=7))
    return nodes.add_result(result, _("sample chest"), report=REPORT).ct
