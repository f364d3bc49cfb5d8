"""From attributes to the texts that each network reads, one text a token.

LMNet reads what shapes a lesion, LINet what colours it. Names of fields never reach
the networks, only values. The rules here are those that the weights were trained
with; the `published_` ones read folder names, as the authors' program does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .organs import name_of
from .report_file import Attributes
from .vocabulary import CAVITY, CT_VALUE, DENSITY, FEATURES, LOCATION, SIZE, VARIATIONS

IN_LUMEN, IN_WALL = "within the lumen of a hollow organ,", "wall thickening,"
INSIDE, PROTRUDING = "within the parenchymal organ,", "protruding from the parenchymal organ,"
_ROOM = 100  # voxels of organ outside the target, above which a lesion counts as inside
_HOLLOW_FOLDERS = ("colon", "bladder", "esophagus", "gall", "stomach")
_LUNG_FOLDERS = ("lung", "pneumon")
Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]


def lmnet_tokens(attributes: Attributes, organ: int, cavity: str) -> Attributes:
    """What LMNet reads, in order."""
    left_out = (SIZE, DENSITY, VARIATIONS, CT_VALUE)
    kept = {field: value for field, value in _located(attributes, organ).items() if field not in left_out}
    if not kept.get(FEATURES, "-"):
        del kept[FEATURES]
    return tuple({**kept, CAVITY: cavity}.items())


def linet_tokens(attributes: Attributes, organ: int, shortened: bool = True) -> Attributes:
    """What LINet reads, in order; `shortened` writes the CT value as in training ("35.0 HU,")."""
    kept = {field: value for field, value in _located(attributes, organ).items() if field != SIZE}
    if shortened and CT_VALUE in kept:
        kept[CT_VALUE] = short_ct_value(kept[CT_VALUE])
    return tuple(kept.items())


def short_ct_value(text: str) -> str:
    """The mean HU of a sentence as the training data have it; a sentence without a number stays."""
    found = re.search(r"[-+]?\d+(?:\.\d+)?", text)
    return f"{float(found[0])} HU," if found else text


def overlapping_organ(organs: Sequence[int], labels: Labels | None, lesion: NDArray[np.generic],
                      present: Labels | None = None) -> int:
    """Of the organs that a report speaks of, the one that the lesion lies in most.

    `lesion` weighs the voxels. Organs that do not occur in `present` are passed over, unless none does.
    """
    if len(organs) == 1 or labels is None:
        return organs[0]
    seen = labels if present is None else present
    able = [organ for organ in organs if (seen == organ).any()] or list(organs)
    return max(able, key=lambda organ: int(lesion[labels == organ].sum(dtype=np.int64)))


def published_target(labels: Labels, organ: int, organs: Sequence[int], folders: tuple[str, str]) -> Mask:
    """The organ's voxels; for lungs, those of all organs that the report speaks of."""
    if any(word in folders[0].lower() for word in _LUNG_FOLDERS):
        return np.isin(labels, organs)
    return np.equal(labels, organ)


def published_cavity(folders: tuple[str, str], organ_voxels: int, target_voxels: int) -> str:
    """Where in the organ, told by the folders' names (organ, disease) and two counts of voxels."""
    organ, disease = (name.lower() for name in folders)
    if any(word in organ for word in _HOLLOW_FOLDERS):
        return IN_LUMEN if "stone" in disease else IN_WALL
    return INSIDE if organ_voxels - target_voxels > _ROOM else PROTRUDING


def folders_of(image_path: str) -> tuple[str, str]:
    """The folders that the published rules read: fourth and third part from the end of a path."""
    parts = ["", "", "", "", *image_path.split("/")]
    return parts[-4], parts[-3]


def _located(attributes: Attributes, organ: int) -> dict[str, str]:
    return {field: name_of(organ) if field == LOCATION else value for field, value in attributes}
