"""A synthetic CT of the scene as a DICOM series, and its labels as DICOM SEG, marked synthetic in every file.

Only what carries our account and is unchanged is written: a DICOM file travels far from
the scene that explains it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import slicer
from slicer.i18n import tr as _

from .accounts import layers_of, stamp_of, verify
from .reading import ct_from

if TYPE_CHECKING:
    from text2ct.provenance import Stamp
    from text2ct.requests import Watch
    from text2ct.volume import CTVolume, LabelVolume


@dataclass(frozen=True)
class Parcel:
    """What is written: values, so that the writing may be done off the main thread."""

    ct: CTVolume
    stamp: Stamp
    organs: LabelVolume | None
    organs_stamp: Stamp | None


def prepare(ct: slicer.vtkMRMLScalarVolumeNode, segmentation: slicer.vtkMRMLSegmentationNode | None = None) -> Parcel:
    """Take the values out of the scene; refuse what is not ours or was changed."""
    from text2ct.errors import ChangedSinceMade
    from text2ct.provenance import Stamp

    for node in filter(None, (ct, segmentation)):
        changes = verify(node)
        if changes:
            raise ChangedSinceMade(_("'{name}' was changed since it was made: {what}. Export it as any other volume, "
                                     "or generate it again.").format(name=node.GetName(), what="; ".join(changes)))
    layers = layers_of(segmentation) if segmentation is not None else []
    organs_stamp = Stamp.of(stamp_of(segmentation).provenance, layers[0], "labels") if layers else None
    return Parcel(ct_from(ct), stamp_of(ct), layers[0] if layers else None, organs_stamp)


def write(parcel: Parcel, folder: Path, watch: Watch | None = None) -> list[Path]:
    """Write the parcel into new places of `folder`: `dicom` and, where highdicom is installed, `organs.dcm`."""
    from text2ct.errors import BadInput, Unavailable
    from text2ct.formats.dicom_write import write_series

    series = folder / "dicom"
    if series.exists():
        raise BadInput(_("{folder} already exists; choose another folder.").format(folder=series))
    write_series(parcel.ct, series, parcel.stamp, watch=watch)
    written = [series]
    if parcel.organs is not None:
        from text2ct.formats.dicom_seg import write_seg
        try:
            write_seg(parcel.organs, series, folder / "organs.dcm", parcel.organs_stamp)
            written.append(folder / "organs.dcm")
        except Unavailable:
            pass
    return written
