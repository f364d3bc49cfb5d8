"""A weight set on this disk: its three files, and all that the engine must know to use them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ...geometry import Triple
from ...requests import Watch
from ...weights.store import find, meant
from .. import catalog
from .config import PUBLISHED, ModelSizes
from .finishing import Finish
from .pipeline import Sampler
from .preparation import SHAPE, SPACING
from .settings import read_settings
from .weights import ENGINE


@dataclass(frozen=True)
class Files:
    """A weight set, and the one grid that it was trained on. The other fields are as for the published set.

    `stretched`: in training every CT was stretched to that grid, so that lengths are not true. `words`, `kinds`,
    `by_rule` and `finish` are those of `settings.Settings`. `about` is a sentence that every result must carry.
    """

    sizes: ModelSizes
    text: Path
    unet: Path
    vae: Path
    sha256: str
    shape: tuple[int, int, int] = SHAPE
    spacing: Triple = SPACING
    id: str = "published"
    sampler: Sampler = field(default_factory=Sampler)
    stretched: bool = True
    words: Literal["report", "standard"] = "report"
    kinds: tuple[str, ...] = ()
    by_rule: tuple[str, ...] = ()
    about: str = ""
    finish: Finish = field(default_factory=Finish)


def found_files(weights: str, watch: Watch) -> Files:
    """The files of a weight set, or a sentence with the command that brings them here."""
    entry = catalog.engine(ENGINE)
    chosen = entry.weight_set(meant(entry, weights))
    found = {name: find(entry, chosen.id, name, watch) for name in ("clip3d", "unet", "autoencoder")}
    together = hashlib.sha256(" ".join(record.sha256 for _, record in found.values()).encode()).hexdigest()
    text, unet, vae = (path for path, _ in found.values())
    if not chosen.ships:
        return Files(PUBLISHED, text, unet, vae, together, id=chosen.id)
    own = read_settings(unet.parent)
    return Files(own.sizes, text, unet, vae, together, own.shape, own.spacing, chosen.id, own.sampler, False,
                 own.words, own.kinds, own.by_rule, chosen.notes, own.finish)
