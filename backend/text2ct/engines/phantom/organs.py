"""The organs that the phantom labels: number, name as TotalSegmentator v2 has it, colour."""

from __future__ import annotations

from functools import cache

from ...geometry import Triple
from ...volume import Segment

_BONE, _MUSCLE, _VEIN, _ARTERY = (0.9, 0.85, 0.72), (0.75, 0.35, 0.3), (0.3, 0.45, 0.85), (0.85, 0.25, 0.2)
_SOFT: dict[str, Triple] = {
    "lung_upper_lobe_left": (0.55, 0.75, 0.95), "lung_lower_lobe_left": (0.35, 0.6, 0.85),
    "lung_upper_lobe_right": (0.6, 0.85, 0.75), "lung_middle_lobe_right": (0.45, 0.75, 0.6),
    "lung_lower_lobe_right": (0.3, 0.65, 0.5), "trachea": (0.7, 0.9, 0.95), "heart": (0.8, 0.3, 0.3),
    "aorta": _ARTERY, "pulmonary_vein": _VEIN, "pulmonary_artery": (0.45, 0.4, 0.85),
    "brachiocephalic_trunk": _ARTERY, "common_carotid_artery_left": _ARTERY, "subclavian_artery_left": _ARTERY,
    "brachiocephalic_vein_left": _VEIN, "brachiocephalic_vein_right": _VEIN, "superior_vena_cava": _VEIN,
    "inferior_vena_cava": _VEIN, "esophagus": (0.8, 0.6, 0.45), "thyroid_gland": (0.75, 0.5, 0.3),
    "liver": (0.65, 0.35, 0.25), "gallbladder": (0.4, 0.65, 0.35), "spleen": (0.6, 0.3, 0.45),
    "stomach": (0.85, 0.65, 0.55), "pancreas": (0.9, 0.75, 0.5), "colon": (0.7, 0.6, 0.4),
    "small_bowel": (0.8, 0.65, 0.5), "kidney_left": (0.75, 0.45, 0.3), "kidney_right": (0.75, 0.5, 0.35),
    "spinal_cord": (0.95, 0.9, 0.5), "autochthon_left": _MUSCLE, "autochthon_right": _MUSCLE,
}
VERTEBRAE = ("C6", "C7", *(f"T{n}" for n in range(1, 13)), "L1", "L2", "L3")
_BONES = ("sternum", "costal_cartilages", "clavicula_left", "clavicula_right", "scapula_left", "scapula_right",
          "humerus_left", "humerus_right", *(f"vertebrae_{v}" for v in VERTEBRAE),
          *(f"rib_{side}_{n}" for side in ("left", "right") for n in range(1, 13)))
SEGMENTS = tuple(Segment(n + 1, name, color, name) for n, (name, color) in enumerate(
    {**_SOFT, **dict.fromkeys(_BONES, _BONE)}.items()))

LOBE_NAMES = {"RUL": "lung_upper_lobe_right", "RML": "lung_middle_lobe_right", "RLL": "lung_lower_lobe_right",
              "LUL": "lung_upper_lobe_left", "LLL": "lung_lower_lobe_left"}


@cache
def number(name: str) -> int:
    """The label value of an organ."""
    return next(s.value for s in SEGMENTS if s.name == name)
