"""Sizes and CT values as people write them: a number with a comma or a point, any minus sign, and a unit.

What cannot be understood is refused in a sentence. A number that is read wrongly would
paint another lesion than the one that was asked for, and nobody would see why.
"""

from __future__ import annotations

import math
import re

from ...errors import BadRequest
from .vocabulary import SIZES

_NUMBER = r"\d+(?:[.,]\d+)?"
_MINUS = {ord(sign): "-" for sign in "\u2212\u2013\u2012\ufe63\uff0d"}
_ML = {"ml": 1.0, "cc": 1.0, "cm3": 1.0, "cm³": 1.0, "mm3": 1e-3, "mm³": 1e-3}
_MM = {"mm": 1.0, "cm": 10.0}


def size_share(text: str) -> float | None:
    """How much of the box's edges a lesion of this size fills; None when the size is a volume or a length."""
    word = text.strip(" ,").lower()
    return SIZES.get(word) if word else 1.0


def size_ml(text: str) -> float | None:
    """The volume of "2.5 ml", "20 mm" (a ball), "20 x 15 x 10 mm" or "[[23 18 24]] pixel" (ellipsoids); None for a
    share of the box."""
    if size_share(text) is not None:
        return None
    plain = " ".join(text.lower().strip(" ,").split())
    volume = re.fullmatch(rf"({_NUMBER}) ?({'|'.join(_ML)})", plain)
    lengths = re.fullmatch(rf"({_NUMBER}(?: ?[x×] ?{_NUMBER}){{0,2}}) ?({'|'.join(_MM)})", plain)
    pixels = re.fullmatch(r"\[\[? ?(\d+(?:\.\d+)?(?:[ ,]+\d+(?:\.\d+)?){2}) ?\]?\] ?pixels?", plain)
    if volume:
        found = _number(volume[1]) * _ML[volume[2]]
    elif lengths:
        found = _ellipsoid([_number(n) * _MM[lengths[2]] for n in re.split(r" ?[x×] ?", lengths[1])])
    elif pixels:
        found = _ellipsoid([float(n) for n in re.split("[ ,]+", pixels[1])])
    else:
        found = 0.0
    if found <= 0:
        raise BadRequest(f"The size '{text}' is not understood; write {', '.join(SIZES)}, a volume such as 2.5 ml, or "
                         "lengths such as 20 mm or 20 x 15 x 10 mm.")
    return found


def stated_hu(text: str) -> float | None:
    """The HU that a CT value states, alone or in a sentence with no other number; None for an empty one."""
    plain = text.translate(_MINUS).strip(" ,").lower()
    if not plain:
        return None
    found = re.fullmatch(rf"([-+]?) ?({_NUMBER})", plain) or re.search(rf"(?<![\w.,])([-+]?) ?({_NUMBER}) ?hu\b", plain)
    if found is None or len(re.findall(_NUMBER, plain)) > 1:
        raise BadRequest(f"The CT value '{text}' is not understood; write for example 35 HU or -600 HU.")
    return -_number(found[2]) if found[1] == "-" else _number(found[2])


def _ellipsoid(edges: list[float]) -> float:
    """Millilitres of an ellipsoid with these edges in mm; one that is missing is as the last."""
    whole = (edges + edges[-1:] * 2)[:3]
    return math.pi / 6 * math.prod(whole) / 1000


def _number(text: str) -> float:
    return float(text.replace(",", "."))
