"""The account that nodes carry: a stamp in their attributes, the ledger as a table, the story as a text.

The stamp ties an account to the voxels and the place of one node; `verify` says what
was changed since. It survives saving and loading the scene.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .reading import affine_of, ct_from, mask_array

if TYPE_CHECKING:
    from text2ct.provenance import Provenance, Stamp
    from text2ct.report.finding import LedgerEntry
    from text2ct.requests import Result
    from text2ct.volume import LabelVolume, Volume

SYNTHETIC = "Text2CT.Synthetic"
STAMP = "Text2CT.Stamp"
NOTICE = "Text2CT.Notice"
LAYERS = "Text2CT.Layers"
ROLES = ("Text2CT.Labels", "Text2CT.Ledger", "Text2CT.Account")
NOT_AS_ASKED, UNKNOWN = "NO", "-"
SOURCE = "Text2CT.Source"
_COLUMNS = ("Finding", "Asked", "Shown", "As asked", "Measured", "Method", "R", "A", "S")


@dataclass(frozen=True)
class Row:
    """One line of the ledger, with the point worth looking at."""

    finding: str
    asked: str
    shown: str
    as_asked: str
    measured: str
    method: str
    place: tuple[float, float, float] | None


def stamp(node: slicer.vtkMRMLNode, provenance: Provenance, volumes: Sequence[Volume], part: str) -> None:
    """Mark a node as synthetic and tie it to its account."""
    from text2ct.provenance import Stamp

    node.SetAttribute(SYNTHETIC, "true")
    node.SetAttribute(NOTICE, provenance.notice)
    node.SetAttribute(STAMP, Stamp.of(provenance, volumes, part).to_json())


def remember_layers(node: slicer.vtkMRMLSegmentationNode,
                    layers: Sequence[tuple[str, Sequence[tuple[str, int]]]]) -> None:
    """Which segment belongs to which layer with which number: what `verify` needs to put them together again."""
    node.SetAttribute(LAYERS, json.dumps(layers))


def tie(ct: slicer.vtkMRMLVolumeNode, *others: slicer.vtkMRMLNode | None) -> None:
    """Let a CT know its labels, its ledger and its account; the references are saved with the scene."""
    for role, other in zip(ROLES, others, strict=True):
        ct.SetNodeReferenceID(role, other.GetID() if other is not None else None)


def tied(ct: slicer.vtkMRMLVolumeNode | None) -> list[slicer.vtkMRMLNode | None]:
    """The labels, the ledger and the account of a CT, each None where it has none."""
    return [ct.GetNodeReference(role) if ct is not None else None for role in ROLES]


def remember_source(ct: slicer.vtkMRMLVolumeNode, source: slicer.vtkMRMLVolumeNode) -> None:
    """Let a CT know the one that it was painted from."""
    ct.SetNodeReferenceID(SOURCE, source.GetID())


def source_of(ct: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLVolumeNode | None:
    return ct.GetNodeReference(SOURCE)


def stamp_of(node: slicer.vtkMRMLNode | None) -> Stamp | None:
    """The stamp of a node, or None when it was not made by us."""
    from text2ct.provenance import read_stamp

    return read_stamp(node.GetAttribute(STAMP) or "") if node is not None else None


def verify(node: slicer.vtkMRMLNode) -> list[str]:
    """What is no longer as it was made, in sentences; none when all is. NotOurs without an account."""
    from text2ct.errors import BadInput, NotOurs

    found = stamp_of(node)
    if found is None:
        raise NotOurs(_("'{name}' carries no account of Text2CT; it was not made here.").format(name=node.GetName()))
    try:
        return found.changes([ct_from(node)] if found.part == "ct" else layers_of(node))
    except BadInput as error:
        return [str(error)]


def layers_of(node: slicer.vtkMRMLSegmentationNode) -> list[LabelVolume]:
    """The layers of a segmentation that we made, put together again from its segments."""
    from text2ct.errors import BadInput
    from text2ct.volume import LabelVolume, Segment

    geometry = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
    if geometry is None:
        raise BadInput(_("The CT of the segmentation '{name}' is no longer in the scene.").format(name=node.GetName()))
    layers = []
    for title, rows in json.loads(node.GetAttribute(LAYERS) or "[]"):
        voxels, segments = np.zeros(geometry.GetImageData().GetDimensions(), np.uint16), []
        for segment_id, value in rows:
            voxels[mask_array(node, segment_id, geometry)] = value
            part = node.GetSegmentation().GetSegment(segment_id)
            segments.append(Segment(value, part.GetName(), tuple(part.GetColor()), segment_id))
        layers.append(LabelVolume(voxels, affine_of(geometry), tuple(segments), title))
    return layers


def add_ledger(ledger: Sequence[LedgerEntry], name: str) -> slicer.vtkMRMLTableNode:
    """What was asked and what the CT shows, as a table."""
    table = vtk.vtkTable()
    rows = [_row(entry) for entry in ledger]
    for number, title in enumerate(_COLUMNS):
        column = vtk.vtkStringArray()
        column.SetName(title)
        for row in rows:
            column.InsertNextValue(row[number])
        table.AddColumn(column)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", name)
    node.SetAndObserveTable(table)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetLocked(True)
    node.SetAttribute(SYNTHETIC, "true")
    return node


def ledger_rows(node: slicer.vtkMRMLTableNode | None) -> list[Row]:
    """The lines of a ledger node."""
    if node is None:
        return []
    lines = [[node.GetCellText(row, column) for column in range(len(_COLUMNS))]
             for row in range(node.GetNumberOfRows())]
    return [Row(*line[:6], tuple(map(float, line[6:])) if line[6] else None) for line in lines]


def add_account(result: Result, report: str, name: str) -> slicer.vtkMRMLTextNode:
    """Who made a result, from what, and what could not be done, as a text that is saved in the scene."""
    made = result.provenance
    lines = [made.notice, "", _("Made by {who} on {when}.").format(who=made.sentence(), when=made.created),
             *result.notes]
    if report:
        lines += ["", _("Report:"), report]
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", name)
    node.SetForceCreateStorageNode(True)
    node.SetText("\n".join(lines))
    node.SetAttribute(SYNTHETIC, "true")
    node.SetAttribute(NOTICE, made.notice)
    return node


def _row(entry: LedgerEntry) -> list[str]:
    finding = entry.finding
    where = " ".join(filter(None, [finding.side, "/".join(finding.lobe)]))
    size = f"{finding.size_mm:g} mm" if finding.size_mm else ""
    what = " ".join(filter(None, [finding.kind.replace("_", " "), where, size]))
    verdict = {True: _("yes"), False: NOT_AS_ASKED, None: UNKNOWN}[entry.agrees]
    number = f"{entry.value:.3g} {entry.unit}".strip() if entry.value is not None else ""
    place = [repr(x) for x in entry.place] if entry.place is not None else ["", "", ""]
    return [what, finding.certainty, entry.answer, verdict, number, entry.method, *place]
