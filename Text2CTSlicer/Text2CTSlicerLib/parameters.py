"""What the panel's fields hold, kept in the scene so that a saved scene comes back as it was left."""

from __future__ import annotations

import slicer
from slicer.parameterNodeWrapper import parameterNodeWrapper


@parameterNodeWrapper
class Parameters:
    """Connected to the widgets by their SlicerParameterName. Keys and servers are in the settings, not here."""

    report: str
    seed: int
    variants: int = 1
    inputVolume: slicer.vtkMRMLScalarVolumeNode
    box: slicer.vtkMRMLMarkupsROINode
    lesionText: str
    lesionSeed: int
    lesionCandidates: int = 1
    lesionPublished: bool = False
