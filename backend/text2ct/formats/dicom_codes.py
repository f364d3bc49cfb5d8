"""What segments are called in SNOMED CT, for the names that are certain.

DICOM segmentations name what they show by codes. Left and right are modifiers, so
one table serves both. A name that is not in the table gets a code of our own: a
wrong code would be worse than a private one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..geometry import Triple

_WHITE = (0.9505, 1.0, 1.089)
_XYZ_TO_RGB = ((3.2406, -1.5372, -0.4986), (-0.9689, 1.8758, 0.0415), (0.0557, -0.2040, 1.0570))
OWN_SCHEME = "99TEXT2CT"


@dataclass(frozen=True)
class Coded:
    """A code, the scheme it is from, and what it means."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class SegmentCodes:
    """What DICOM wants to know of a segment: its category, its type and, where it has one, its side."""

    category: Coded
    type: Coded
    side: Coded | None = None


ANATOMY = Coded("91723000", "SCT", "Anatomical Structure")
MORPHOLOGY = Coded("49755003", "SCT", "Morphologically Abnormal Structure")
LEFT, RIGHT = Coded("7771000", "SCT", "Left"), Coded("24028007", "SCT", "Right")

_ANATOMY: Mapping[str, tuple[str, str]] = MappingProxyType({
    "aorta": ("15825003", "Aorta"), "bone": ("272673000", "Bone"), "bronchus": ("955009", "Bronchus"),
    "clavicle": ("51299004", "Clavicle"), "clavicula": ("51299004", "Clavicle"),
    "diaphragm": ("5798000", "Diaphragm"), "esophagus": ("32849002", "Esophagus"),
    "oesophagus": ("32849002", "Esophagus"), "gallbladder": ("28231008", "Gallbladder"),
    "heart": ("80891009", "Heart"), "inferior vena cava": ("64131007", "Inferior vena cava"),
    "kidney": ("64033007", "Kidney"), "liver": ("10200004", "Liver"), "lung": ("39607008", "Lung"),
    "lung lower lobe": ("90572001", "Lower lobe of lung"), "lung upper lobe": ("45653009", "Upper lobe of lung"),
    "lung middle lobe": ("72481006", "Middle lobe of right lung"), "lymph node": ("59441001", "Lymph Node"),
    "pancreas": ("15776009", "Pancreas"), "pericardium": ("76848001", "Pericardium"), "pleura": ("3120008", "Pleura"),
    "pulmonary artery": ("81040000", "Pulmonary artery"), "rib": ("113197003", "Rib"),
    "scapula": ("79601000", "Scapula"), "skin": ("39937001", "Skin"), "spinal cord": ("2748008", "Spinal cord"),
    "spleen": ("78961009", "Spleen"), "sternum": ("56873002", "Sternum"), "stomach": ("69695003", "Stomach"),
    "superior vena cava": ("48345005", "Superior vena cava"), "thyroid": ("69748006", "Thyroid"),
    "thyroid gland": ("69748006", "Thyroid"), "trachea": ("44567001", "Trachea"),
    "urinary bladder": ("89837001", "Bladder"), "vertebra": ("51282000", "Vertebra"),
})
_MORPHOLOGY: Mapping[str, tuple[str, str]] = MappingProxyType({
    "cyst": ("367643001", "Cyst"), "lesion": ("52988006", "Lesion"), "mass": ("4147007", "Mass"),
    "neoplasm": ("108369006", "Neoplasm"), "tumor": ("108369006", "Neoplasm"), "nodule": ("27925004", "Nodule"),
    "lung nodule": ("27925004", "Nodule"), "pleural effusion": ("60046008", "Pleural effusion"),
    "pneumothorax": ("36118008", "Pneumothorax"), "scar": ("12402003", "Scar tissue"),
})


def codes_for(name: str) -> SegmentCodes:
    """The codes of a segment called for example `lung_upper_lobe_left` or `rib_right_5`."""
    words = [w for w in re.split(r"[^a-z]+", name.lower()) if w]
    side = RIGHT if "right" in words else LEFT if "left" in words else None
    plain = " ".join(w for w in words if w not in ("left", "right"))
    for table, category in ((_ANATOMY, ANATOMY), (_MORPHOLOGY, MORPHOLOGY)):
        if plain in table:
            value, meaning = table[plain]
            return SegmentCodes(category, Coded(value, "SCT", meaning), side)
    own = "S" + hashlib.sha256(name.encode()).hexdigest()[:12]
    return SegmentCodes(ANATOMY, Coded(own, OWN_SCHEME, name), None)


def known_codes() -> list[Coded]:
    """Every SNOMED CT code that we write."""
    pairs = [*_ANATOMY.values(), *_MORPHOLOGY.values()]
    return [ANATOMY, MORPHOLOGY, LEFT, RIGHT, *(Coded(value, "SCT", meaning) for value, meaning in pairs)]


def rgb_of_cielab(stored: tuple[float, ...] | None) -> Triple:
    """A colour from DICOM's recommended display value, three whole numbers up to 65535; grey where there is none."""
    if stored is None or max(stored) > 65535 or min(stored) < 0:
        return (0.6, 0.6, 0.6)
    light, a, b = stored[0] / 65535 * 100, stored[1] / 257 - 128, stored[2] / 257 - 128
    height = (light + 16) / 116
    x, y, z = (white * (t**3 if t > 6 / 29 else (t - 4 / 29) * 3 * (6 / 29) ** 2)
               for white, t in zip(_WHITE, (height + a / 500, height, height - b / 200), strict=True))
    linear = [row[0] * x + row[1] * y + row[2] * z for row in _XYZ_TO_RGB]
    red, green, blue = (min(1.0, max(0.0, 12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055))
                        for c in linear)
    return (round(red, 3), round(green, 3), round(blue, 3))
