"""A lesion's request and result as a structured report of the published format, for data sets made for that program.

Its boxes count voxels of 1 mm on the patient's own axes, (up, front, left), from the
first voxel of the CT. Of a report with several organs or boxes the first is taken, unless
an organ is named.
"""

from __future__ import annotations

import numpy as np

from ...errors import BadInput
from ...geometry import Box, Grid
from ...lesion import box_around
from ...volume import LabelVolume
from .organs import name_of, number_of
from .report_file import Attributes, Entry, StructuredReport
from .vocabulary import LOCATION, SIZE
from .working import AXES


def entry_for(report: StructuredReport, organ: str) -> Entry:
    """What a report says of an organ, or of its first one."""
    number = number_of(organ) if organ else report.entries[0].organ
    for entry in report.entries:
        if entry.organ == number:
            return entry
    known = ", ".join(name_of(entry.organ) for entry in report.entries)
    raise BadInput(f"The structured report says nothing of the organ '{organ}'; it has {known}.")


def asked_in(entry: Entry) -> Attributes:
    """The attributes of an entry; a box brings its own size, so the one in words is left out beside it."""
    return tuple((name, value) for name, value in entry.attributes
                 if value and not (name == SIZE and entry.sizes) and name != LOCATION) + (
                     (LOCATION, name_of(entry.organ)),)


def box_in(entry: Entry, grid: Grid) -> Box | None:
    """The first box of an entry in a CT; None where it has none."""
    if not (entry.centres and entry.sizes):
        return None
    fine = _millimetres(grid)
    low = np.array(entry.centres[0]) - np.array(entry.sizes[0]) // 2
    r, a, s = fine.to_ras(low + (np.array(entry.sizes[0]) - 1) / 2).tolist()
    x, y, z = (float(n) for n in entry.sizes[0])
    first, second, third = ((float(row[0]), float(row[1]), float(row[2])) for row in fine.affine[:3, :3].T)
    return Box((r, a, s), (x, y, z), (first, second, third))


def report_of(attributes: Attributes, lesion: LabelVolume) -> StructuredReport:
    """What the networks were told of a lesion, and where it lies."""
    low, high = box_around(lesion).voxels_in(_millimetres(lesion.grid), clip=False)
    size = np.subtract(high, low)
    centre = np.array(low) + size // 2
    a, b, c = (int(n) for n in centre)
    x, y, z = (int(n) for n in size)
    organ = number_of(dict(attributes)[LOCATION]) or 1
    told = {**dict(attributes), LOCATION: str(organ), SIZE: f"[[{x} {y} {z}]] pixel"}
    return StructuredReport((Entry(organ, tuple(told.items()), ((a, b, c),), ((x, y, z),)),))


def _millimetres(grid: Grid) -> Grid:
    return grid.reoriented(AXES).with_spacing((1.0, 1.0, 1.0))
