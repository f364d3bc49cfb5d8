"""What Slicer's terminology calls our segments, so that Segment Editor and DICOM export know them."""

from __future__ import annotations

_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_NOWHERE = "Anatomic codes - DICOM master list~^^~^^"


def terminology_of(name: str) -> str:
    """The terminology entry of a segment called for example `lung_upper_lobe_left`, as Slicer stores it in a tag."""
    from text2ct.formats.dicom_codes import codes_for

    codes = codes_for(name)
    parts = [codes.category, codes.type, codes.side]
    return "~".join([_CONTEXT, *(_triple(part) for part in parts), _NOWHERE])


def _triple(code) -> str:
    return f"{code.scheme}^{code.value}^{code.meaning}" if code is not None else "^^"
