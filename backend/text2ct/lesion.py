"""Boxes drawn elsewhere: the Markups ROI that Slicer saves becomes a Box.

Slicer writes its markups in left-posterior-superior millimetres; ours are RAS.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BadInput
from .geometry import LPS_TO_RAS, Box, Triple
from .volume import LabelVolume

_MAX_BYTES = 10_000_000


def read_roi(path: Path) -> Box:
    """The box of a Slicer markups file (.mrk.json)."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise BadInput(f"{path} is too large for a markups file; give the .mrk.json of one ROI.")
        markup = json.loads(path.read_text(encoding="utf-8"))["markups"][0]
        center, size = np.array(markup["center"], float), np.array(markup["size"], float)
        axes = np.array(markup.get("orientation", np.eye(3).ravel()), float).reshape(3, 3).T
    except FileNotFoundError:
        raise BadInput(f"There is no file {path}; check its name.") from None
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise BadInput(f"{path} is no Slicer ROI; save the ROI node as .mrk.json and give that file.") from None
    if center.shape != (3,) or size.shape != (3,):
        raise BadInput(f"{path} holds an ROI without a centre or size; draw it again.")
    turn = LPS_TO_RAS[:3, :3] if str(markup.get("coordinateSystem", "LPS")).upper() == "LPS" else np.eye(3)
    return Box(_triple(turn @ center), _triple(size), tuple(_triple(turn @ axis) for axis in axes))  # type: ignore[arg-type]


def box_around(mask: LabelVolume) -> Box:
    """The smallest box along the patient's axes that holds all voxels of a mask."""
    inside = np.argwhere(mask.voxels)
    corners = mask.grid.to_ras(np.array(list(itertools.product(*zip(inside.min(0) - 0.5, inside.max(0) + 0.5,
                                                                    strict=True)))))
    return Box.between(corners.min(0), corners.max(0))


def _triple(values: Any) -> Triple:
    a, b, c = (float(v) for v in values)
    return (a, b, c)
