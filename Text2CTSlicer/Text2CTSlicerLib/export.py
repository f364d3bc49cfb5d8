"""A synthetic CT of the scene as a DICOM series, and each layer of its labels as DICOM SEG, all marked synthetic.

Only what carries our account and is unchanged is written: a DICOM file travels far from
the scene that explains it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
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
class Layer:
    """Labels to write, and where."""

    path: Path
    labels: LabelVolume
    stamp: Stamp


@dataclass(frozen=True)
class Parcel:
    """What is written, and where: values, so that the writing may be done off the main thread."""

    series: Path
    ct: CTVolume
    stamp: Stamp
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class Written:
    """What was written, and why labels were not."""

    paths: tuple[Path, ...]
    problem: str = ""


def prepare(ct: slicer.vtkMRMLScalarVolumeNode, segmentation: slicer.vtkMRMLSegmentationNode | None,
            folder: Path) -> Parcel:
    """Take the values out of the scene; refuse what is not ours or was changed, and a folder that is in use."""
    from text2ct.errors import BadInput, ChangedSinceMade
    from text2ct.provenance import Stamp

    for node in filter(None, (ct, segmentation)):
        changes = verify(node)
        if changes:
            raise ChangedSinceMade(_("'{name}' was changed since it was made: {what}. Export it as any other volume, "
                                     "or generate it again.").format(name=node.GetName(), what="; ".join(changes)))
    found = [layer for layer in layers_of(segmentation) if layer.segments] if segmentation is not None else []
    layers = tuple(Layer(folder / name, labels, Stamp.of(stamp_of(segmentation).provenance, labels, "labels"))
                   for name, labels in zip(_names([layer.title for layer in found]), found, strict=True))
    parcel = Parcel(folder / "dicom", ct_from(ct), stamp_of(ct), layers)
    for place in (parcel.series, *(layer.path for layer in layers)):
        if place.exists():
            raise BadInput(_("{place} already exists; choose another folder.").format(place=place))
    return parcel


def write(parcel: Parcel, watch: Watch | None = None) -> Written:
    """Write the series, and beside it the labels, which need the package highdicom."""
    from text2ct.errors import Text2CTError
    from text2ct.formats.dicom_seg import write_seg
    from text2ct.formats.dicom_write import write_series

    write_series(parcel.ct, parcel.series, parcel.stamp, watch=watch)
    paths = [parcel.series]
    try:
        for layer in parcel.layers:
            write_seg(layer.labels, parcel.series, layer.path, layer.stamp)
            paths.append(layer.path)
    except Text2CTError as error:
        return Written(tuple(paths), str(error))
    return Written(tuple(paths))


def _names(titles: Sequence[str]) -> list[str]:
    """A file name for each layer: organs.dcm, findings.dcm; the same title twice gets a number."""
    stems = [re.sub(r"\W+", "-", title).strip("-") or "labels" for title in titles]
    return [f"{stem}-{n + 1}.dcm" if stem in stems[:n] else f"{stem}.dcm" for n, stem in enumerate(stems)]
