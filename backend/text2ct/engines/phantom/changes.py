"""What findings change in the anatomy before it is built: sizes and places of organs, not their texture."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Changes:
    """Factors of one and shifts of zero are a patient without such findings."""

    heart: float = 1.0
    pericardial_mm: float = 0.0
    ascending_aorta_mm: float = 0.0
    descending_aorta_mm: float = 0.0
    pulmonary_artery: float = 1.0
    shift_mm: float = 0.0
    liver_hu: float | None = None
    spleen: float = 1.0
    raised_right_mm: float = 0.0
    raised_left_mm: float = 0.0
    thyroid: float = 1.0
    oesophagus: float = 1.0


NONE = Changes()
