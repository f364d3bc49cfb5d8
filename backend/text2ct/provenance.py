"""The account that every output carries: what made it, from what, and whether it is still that.

A Provenance says which engine, weights and seed made a result. A Stamp ties it to
one volume by the digest of its voxels and by its geometry; the stamp is what goes
into file headers. The report itself may be patient data: only its hash is stamped,
its text stands in the sidecar beside the user's own files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TypeAlias

import numpy as np

from . import __version__
from .digest import layers_digest
from .errors import BadInput, BadRequest
from .geometry import Grid, checked_affine
from .plain import from_plain, to_plain
from .volume import Volume

SYNTHETIC = "SYNTHETIC - not a real patient, not for diagnosis"
ALTERED = "SYNTHETIC findings drawn into a real CT - not for diagnosis, may show a real patient"
MEASURED = "A measurement of a given CT - not for diagnosis"
STAMP_KEY = "text2ct_provenance"
_GEOMETRY_TOLERANCE_MM = 1e-2
Row: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class Provenance:
    """What made a result. Hashes stand for weights, report and base image."""

    engine: str
    task: str
    seed: int
    weights: str = "none"
    weights_sha256: str = ""
    sampler: str = ""
    preset: str = ""
    report_sha256: str = ""
    base_digest: str = ""
    version: str = __version__
    created: str = ""
    synthetic: bool = True
    notice: str = SYNTHETIC

    def sentence(self) -> str:
        """One line for people."""
        weights = self.weights + (f" ({self.weights_sha256[:12]})" if self.weights_sha256 else "")
        return f"{self.engine} (text2ct {self.version}), weights {weights}, seed {self.seed}"


@dataclass(frozen=True)
class Stamp:
    """A Provenance tied to the voxels and the geometry of one volume, or of layers on one grid."""

    provenance: Provenance
    part: str
    voxels_sha256: str
    affine_ras: tuple[Row, Row, Row, Row]
    seal: str = ""

    @classmethod
    def of(cls, provenance: Provenance, volume: Volume | Sequence[Volume], part: str) -> Stamp:
        layers = _layers(volume)
        return cls(provenance, part, layers_digest(layers), _ras_affine(layers[0])).sealed()

    def to_json(self) -> str:
        """One line of plain ASCII, fit for any header."""
        return json.dumps(to_plain(self), ensure_ascii=True, separators=(",", ":"), allow_nan=False)

    def changes(self, volume: Volume | Sequence[Volume]) -> list[str]:
        """What is no longer as it was written, in sentences; none when all is."""
        said, layers = [], _layers(volume)
        if layers_digest(layers) != self.voxels_sha256:
            said.append("its voxels are not those that were written")
        grid = layers[0].grid.reoriented("RAS")
        if not grid.same_as(Grid(grid.shape, np.array(self.affine_ras)), _GEOMETRY_TOLERANCE_MM):
            said.append("its geometry is not the one that was written")
        if self.seal != self.sealed().seal:
            said.append("its account is not the one that was written")
        return said

    def sealed(self) -> Stamp:
        """The stamp with the hash of all that it says, so that a changed word is noticed."""
        said = {name: value for name, value in to_plain(self).items() if name != "seal"}
        return replace(self, seal=text_sha256(json.dumps(said, sort_keys=True)))


def read_stamp(text: str) -> Stamp | None:
    """The stamp that `to_json` wrote, or None when the text is not one."""
    try:
        stamp = from_plain(Stamp, json.loads(text))
        checked_affine(stamp.affine_ras)
    except (ValueError, RecursionError, BadRequest, BadInput):
        return None
    return stamp


def text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest() if text else ""


def now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _layers(volume: Volume | Sequence[Volume]) -> Sequence[Volume]:
    return [volume] if isinstance(volume, Volume) else volume


def _ras_affine(volume: Volume) -> tuple[Row, Row, Row, Row]:
    a, b, c, d = (_row(row) for row in volume.grid.reoriented("RAS").affine.tolist())
    return a, b, c, d


def _row(values: Sequence[float]) -> Row:
    a, b, c, d = values
    return a, b, c, d
