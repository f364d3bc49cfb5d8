"""A result as files in a workspace: result.json with all but the voxels, and a parcel for each volume.

Only the worker writes here, and only the supervisor makes it public. Each file reaches
the disk before the worker says that it has saved. A part called "ct" is ct.nrrd, one
called "labels-0" is labels-0.seg.nrrd.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from ..plain import to_plain
from ..requests import Result
from ..volume import CTVolume
from . import parcels
from .disk import sync_file, sync_folder
from .wire import CT_MEDIA, LABELS_MEDIA, PartView, ResultView

RESULT_FILE = "result.json"
_PREVIEW_VOXELS = 4 << 20


def save(result: Result, workspace: Path) -> None:
    """Write all parts and then result.json, each synced."""
    parts = []
    if result.ct is not None:
        path = workspace / "ct.nrrd"
        parcels.write_ct(result.ct, path)
        parts.append(_part("ct", CT_MEDIA, path))
    for number, layer in enumerate(result.labels):
        path = workspace / f"labels-{number}.seg.nrrd"
        parcels.write_labels(layer, path)
        parts.append(_part(f"labels-{number}", LABELS_MEDIA, path, layer.title))
    view = ResultView(result.provenance, result.ledger, result.score, result.notes, tuple(parts),
                      result.attributes)
    text = json.dumps(to_plain(view), ensure_ascii=False, allow_nan=False)
    (workspace / RESULT_FILE).write_text(text, encoding="utf-8")
    sync_file(workspace / RESULT_FILE)
    sync_folder(workspace)


def save_preview(ct: CTVolume, workspace: Path, number: int) -> str:
    """The image as it forms, thinned so that it costs little; its part's name. The file appears when it is whole."""
    name = f"preview-{number}"
    unfinished = workspace / f".{name}.nrrd"
    parcels.write_ct(thinned(ct, _PREVIEW_VOXELS), unfinished)
    unfinished.replace(workspace / f"{name}.nrrd")
    (workspace / f"preview-{number - 2}.nrrd").unlink(missing_ok=True)
    return name


def drop_previews(workspace: Path) -> None:
    """Previews are no part of a result."""
    for path in workspace.glob("*preview-*"):
        path.unlink(missing_ok=True)


def thinned(ct: CTVolume, most_voxels: int) -> CTVolume:
    """Every n-th voxel along each axis, where it was; the CT itself when it is small enough."""
    every = max(1, math.ceil((math.prod(ct.shape) / most_voxels) ** (1 / 3)))
    affine = ct.affine @ np.diag([every, every, every, 1.0])
    return CTVolume(np.ascontiguousarray(ct.voxels[::every, ::every, ::every]), affine)


def _part(name: str, media: str, path: Path, title: str = "") -> PartView:
    sync_file(path)
    return PartView(name, media, path.stat().st_size, parcels.file_sha256(path), title)
