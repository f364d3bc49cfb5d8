"""Reading and writing by what a file is, not by what it is called.

The first bytes decide which reader is used; the name decides only how a new file is
written. Every synthetic file gets its stamp here: NIfTI as a header comment, NRRD as
a key, DICOM in each instance.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..errors import BadInput, UnknownFormat
from ..provenance import STAMP_KEY, Provenance, Stamp, read_stamp
from ..volume import CTVolume, LabelVolume
from . import nifti, nrrd, seg_nrrd

Format = Literal["nifti", "nrrd", "dicom"]
WRITABLE = ".nii.gz, .nii, .nrrd, .nhdr, .seg.nrrd (labels), or a folder name for DICOM"


def format_of(path: Path) -> Format:
    """What a file or folder holds, by its first bytes."""
    if path.is_dir():
        return "dicom"
    if not path.exists():
        raise BadInput(f"There is no file {path}; check its name.")
    try:
        with path.open("rb") as stream:
            head = stream.read(600)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}; check its permissions.") from error
    if head[:4] == b"NRRD":
        return "nrrd"
    if head[128:132] == b"DICM":
        return "dicom"
    if head[:2] == b"\x1f\x8b":
        head = _unzipped_start(path)
    if head[344:347] in (b"n+1", b"ni1") or head[4:7] in (b"n+2", b"ni2"):
        return "nifti"
    raise UnknownFormat(f"{path} is none of the formats known here (NIfTI, NRRD, DICOM); convert it to one of them.")


def read_ct(path: Path, round_values: bool = False) -> CTVolume:
    """A CT from NIfTI, NRRD, a DICOM folder or one file of a DICOM series."""
    kind = format_of(path)
    if kind == "nifti":
        return nifti.read_ct(path, round_values)
    if kind == "nrrd":
        if seg_nrrd.is_segmentation(nrrd.read_header(path)[1]):
            raise BadInput(f"{path} is a segmentation, not a CT; give the CT itself.")
        return nrrd.read_ct(path, round_values)
    from . import dicom_read
    return dicom_read.read_series(path, round_values=round_values)


def read_layers(path: Path) -> tuple[LabelVolume, ...]:
    """Labels as layers; only a .seg.nrrd can have more than one."""
    kind = format_of(path)
    if kind == "nifti":
        return (nifti.read_labels(path),)
    if kind == "nrrd":
        if seg_nrrd.is_segmentation(nrrd.read_header(path)[1]):
            return seg_nrrd.read_layers(path)
        return (nrrd.read_labels(path),)
    from . import dicom_seg
    return (dicom_seg.read_seg(path),)


def read_labels(path: Path) -> LabelVolume:
    """Labels as one volume; refused where segments overlap."""
    return seg_nrrd.merged(read_layers(path), str(path))


def write_ct(ct: CTVolume, path: Path, provenance: Provenance | None = None) -> Stamp | None:
    """A CT in the format that the name asks for; synthetic ones are stamped, and the stamp returned."""
    stamp = Stamp.of(provenance, ct, "ct") if provenance else None
    name = path.name.lower()
    if name.endswith((".nii", ".nii.gz")):
        nifti.write(ct, path, *_nifti_texts(stamp))
    elif name.endswith((".nrrd", ".nhdr")) and not name.endswith(".seg.nrrd"):
        nrrd.write(ct, path, _keys(stamp))
    elif path.suffix == "" or path.is_dir():
        if stamp is None:
            raise BadInput("DICOM is written only for synthetic CT made here, so that it can be marked as such; "
                           "give a file that 'text2ct verify' recognises, or write NIfTI or NRRD.")
        from . import dicom_write
        dicom_write.write_series(ct, path, stamp)
    else:
        raise BadInput(f"{path.name} names no format that can be written; use {WRITABLE}.")
    return stamp


def write_labels(layers: Sequence[LabelVolume], path: Path, provenance: Provenance | None = None) -> Stamp | None:
    """Labels in the format that the name asks for, stamped as `write_ct` does."""
    name = path.name.lower()
    if name.endswith(".seg.nrrd"):
        stamp = Stamp.of(provenance, layers, "labels") if provenance else None
        seg_nrrd.write(layers, path, _keys(stamp))
        return stamp
    labels = seg_nrrd.merged(layers, path.name)
    stamp = Stamp.of(provenance, labels, "labels") if provenance else None
    if name.endswith((".nii", ".nii.gz")):
        nifti.write(labels, path, *_nifti_texts(stamp))
    elif name.endswith((".nrrd", ".nhdr")):
        nrrd.write(labels, path, _keys(stamp))
    else:
        raise BadInput(f"{path.name} names no format that labels can be written in; "
                       "use .seg.nrrd, .nii.gz, .nii, .nrrd or .nhdr.")
    return stamp


def holds_labels(path: Path, stamp: Stamp | None) -> bool:
    """Whether a file is a segmentation by its name, or labels by its stamp."""
    return path.name.lower().endswith(".seg.nrrd") or (stamp is not None and stamp.part == "labels")


def stamp_of(path: Path) -> Stamp | None:
    """The stamp that a volume file or a DICOM series carries, if any."""
    kind = format_of(path)
    if kind == "nifti":
        stamps = (read_stamp(text.partition(":")[2]) for text in nifti.read_comments(path)
                  if text.startswith(STAMP_KEY + ":"))
        return next((stamp for stamp in stamps if stamp), None)
    if kind == "nrrd":
        return read_stamp(nrrd.read_header(path)[1].get(STAMP_KEY, ""))
    from . import dicom_read
    return dicom_read.read_stamp_of_series(path)


def _nifti_texts(stamp: Stamp | None) -> tuple[str, str]:
    if stamp is None:
        return "", ""
    made = stamp.provenance
    return f"{STAMP_KEY}:{stamp.to_json()}", f"SYNTHETIC text2ct {made.engine} seed {made.seed}"


def _keys(stamp: Stamp | None) -> dict[str, str]:
    if stamp is None:
        return {}
    return {"synthetic": stamp.provenance.notice, STAMP_KEY: stamp.to_json()}


def _unzipped_start(path: Path) -> bytes:
    try:
        with gzip.open(path) as stream:
            return stream.read(600)
    except (OSError, EOFError, zlib.error):
        raise BadInput(f"{path} is compressed but damaged at its very start; fetch it again.") from None
