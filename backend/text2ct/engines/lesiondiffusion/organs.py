"""The 104 organs that the networks know, by number and name, and how other names and numbers map to them.

The networks see an organ's number as an intensity and its name as a word, both in the
order of TotalSegmentator v1. Segmentations of today carry the names of v2, or bare
numbers; both are turned into v1 here and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import BadRequest
from ...volume import LabelVolume, Segment

_SPINE = tuple(f"{part}{n}" for part, count in (("L", 5), ("T", 12), ("C", 7)) for n in range(count, 0, -1))


def _both(*names: str) -> Iterator[str]:
    for name in names:
        yield f"{name} left"
        yield f"{name} right"


V1 = (
    "spleen", "kidney right", "kidney left", "gallbladder", "liver", "stomach", "aorta", "inferior vena cava",
    "portal vein and splenic vein", "pancreas", "adrenal gland right", "adrenal gland left",
    "lung upper lobe left", "lung lower lobe left", "lung upper lobe right", "lung middle lobe right",
    "lung lower lobe right", *(f"vertebrae {v}" for v in _SPINE), "esophagus", "trachea", "heart myocardium",
    "heart atrium left", "heart ventricle left", "heart atrium right", "heart ventricle right", "pulmonary artery",
    "brain", *_both("iliac artery", "iliac vena"), "small bowel", "duodenum", "colon",
    *(f"rib left {n}" for n in range(1, 13)), *(f"rib right {n}" for n in range(1, 13)),
    *_both("humerus", "scapula", "clavicula", "femur", "hip"), "sacrum", "face",
    *_both("gluteus maximus", "gluteus medius", "gluteus minimus", "autochthon", "iliopsoas"), "urinary bladder")

V2 = (
    "spleen", "kidney right", "kidney left", "gallbladder", "liver", "stomach", "pancreas", "adrenal gland right",
    "adrenal gland left", "lung upper lobe left", "lung lower lobe left", "lung upper lobe right",
    "lung middle lobe right", "lung lower lobe right", "esophagus", "trachea", "thyroid gland", "small bowel",
    "duodenum", "colon", "urinary bladder", "prostate", "kidney cyst left", "kidney cyst right", "sacrum",
    "vertebrae S1", *(f"vertebrae {v}" for v in _SPINE), "heart", "aorta", "pulmonary vein", "brachiocephalic trunk",
    "subclavian artery right", "subclavian artery left", "common carotid artery right", "common carotid artery left",
    "brachiocephalic vein left", "brachiocephalic vein right", "atrial appendage left", "superior vena cava",
    "inferior vena cava", "portal vein and splenic vein",
    *_both("iliac artery", "iliac vena", "humerus", "scapula", "clavicula", "femur", "hip"), "spinal cord",
    *_both("gluteus maximus", "gluteus medius", "gluteus minimus", "autochthon", "iliopsoas"), "brain", "skull",
    *(f"rib left {n}" for n in range(1, 13)), *(f"rib right {n}" for n in range(1, 13)), "sternum",
    "costal cartilages")

NUMBERS = {name.lower(): number for number, name in enumerate(V1, 1)}
_NEAREST = {"heart": "heart myocardium", "kidney cyst left": "kidney left", "kidney cyst right": "kidney right",
            "vertebrae s1": "sacrum", "bladder": "urinary bladder", "oesophagus": "esophagus",
            "gall bladder": "gallbladder", "lingula": "lung upper lobe left", "bowel": "small bowel",
            "inferior lung lobe left": "lung lower lobe left", "inferior lung lobe right": "lung lower lobe right",
            "superior lung lobe left": "lung upper lobe left", "superior lung lobe right": "lung upper lobe right",
            "middle lung lobe right": "lung middle lobe right",
            "lung left": "lung lower lobe left", "lung right": "lung lower lobe right"}  # whole: its largest lobe
HOLLOW = ("colon", "urinary bladder", "esophagus", "gallbladder", "stomach", "small bowel", "duodenum", "trachea")


def number_of(name: str) -> int | None:
    """The v1 number of an organ by its name in v1, in v2 or in plain words; None when there is none."""
    plain = " ".join(re.sub(r"[_\-.]+", " ", name).lower().split())
    parts = plain.split()
    moved = " ".join(sorted(parts, key=lambda word: word in ("left", "right")))
    for known in (plain, moved):
        number = NUMBERS.get(_NEAREST.get(known, known))
        if number is not None:
            return number
    return None


def number_in(labels: LabelVolume | None, name: str) -> int:
    """The v1 number of the segment that a request names; labels without names are read as numbers."""
    number = number_of(name)
    if labels is not None and _numbered(labels):
        number = next((_bare(one, labels.segments) for one in labels.segments if one.name == name), number)
    if number is None:
        raise BadRequest(f"The networks do not know the organ '{name}'; give labels named as "
                         "TotalSegmentator names them, or leave the organ out.")
    return number


def name_of(number: int) -> str:
    return V1[number - 1]


def is_lung(number: int) -> bool:
    return V1[number - 1].startswith("lung")


def as_v1(labels: LabelVolume) -> tuple[NDArray[np.uint8], list[str]]:
    """The voxels with v1 numbers, and sentences on what could not be turned into them."""
    table = np.zeros(int(labels.voxels.max(initial=0)) + 1, np.uint8)
    numbered = _numbered(labels)
    said, lost = [], []
    for segment in labels.segments:
        number = _bare(segment, labels.segments) if numbered else number_of(segment.name)
        if number is None:
            lost.append(segment.name)
        elif segment.value < len(table):
            table[segment.value] = number
    if numbered and labels.segments:
        version = "v2" if _is_v2(labels.segments) else "v1"
        said.append(f"The organ labels carry no names; they were read as numbers of TotalSegmentator {version}.")
    if lost:
        said.append(f"The networks do not know these organs and saw nothing there: {', '.join(lost[:5])}"
                    + (f" and {len(lost) - 5} more." if len(lost) > 5 else "."))
    return table[labels.voxels], said


def _numbered(labels: LabelVolume) -> bool:
    return all(segment.name == f"label {segment.value}" for segment in labels.segments)


def _is_v2(segments: Sequence[Segment]) -> bool:
    return max(segment.value for segment in segments) > len(V1)


def _bare(segment: Segment, segments: Sequence[Segment]) -> int | None:
    if _is_v2(segments):
        return number_of(V2[segment.value - 1]) if segment.value <= len(V2) else None
    return segment.value
