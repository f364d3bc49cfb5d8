"""CT files as a scanner writes them, made with pydicom alone, so that our reader is not tested on our writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from text2ct.provenance import Provenance, Stamp
from text2ct.volume import Volume

CT, ENHANCED = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"
SECONDARY_CAPTURE, REPORT = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.88.11"
ROWS, COLUMNS = 6, 8
Edit = Callable[[FileDataset, int], None]


def stamp_of(volume: Volume, part: str = "ct") -> Stamp:
    made = Provenance("phantom", "generate", 7, weights="mini", weights_sha256="ab" * 32,
                      created="2026-03-04T05:06:07+00:00")
    return Stamp.of(made, volume, part)


def hu_of_slice(k: int) -> np.ndarray[Any, Any]:
    """What slice k of a made scan shows: every pixel of the scan differs."""
    return np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) + 100 * k - 1000


def empty_file(sop_class: str, syntax: UID = ExplicitVRLittleEndian) -> FileDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = UID(sop_class), syntax
    meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
    meta.ImplementationClassUID = UID("1.2.3.4")
    dataset = FileDataset("", {}, preamble=b"\0" * 128, file_meta=meta, is_implicit_VR=syntax.is_implicit_VR,
                          is_little_endian=syntax.is_little_endian)
    dataset.SOPClassUID, dataset.SOPInstanceUID = UID(sop_class), meta.MediaStorageSOPInstanceUID
    return dataset


def scan_slice(k: int, series: str = "1.2.3.99", syntax: UID = ExplicitVRLittleEndian) -> FileDataset:
    """Slice k of an axial scan, 2.5 mm apart, 0.7 x 0.8 mm pixels, unsigned values with an intercept."""
    dataset = empty_file(CT, syntax)
    dataset.Modality, dataset.SeriesInstanceUID, dataset.SeriesDescription = "CT", series, "Thorax 2.5 mm"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.InstanceNumber = 100 - k
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = ROWS, COLUMNS, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelSpacing, dataset.SliceThickness = ["0.8", "0.7"], "2.5"
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.ImagePositionPatient = ["-20", "-30", f"{40 + 2.5 * k:g}"]
    dataset.RescaleSlope, dataset.RescaleIntercept = "1", "-1024"
    kind = "<u2" if syntax.is_little_endian else ">u2"
    dataset.PixelData = (hu_of_slice(k) + 1024).astype(kind).tobytes()
    return dataset


def write_scan(folder: Path, edit: Edit | None = None, slices: int = 5, names: str = "IM{k}.dcm",
               series: str = "1.2.3.99", syntax: UID = ExplicitVRLittleEndian) -> Path:
    """A scan in a folder; `edit` changes each slice before it is written."""
    folder.mkdir(exist_ok=True)
    for k in range(slices):
        dataset = scan_slice(k, series, syntax)
        if edit is not None:
            edit(dataset, k)
        dataset.save_as(folder / names.format(k=k))
    return folder


def item(**values: Any) -> Dataset:
    """One item of a sequence."""
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, DicomSequence(value) if keyword.endswith("Sequence") else value)
    return made


def enhanced_scan(slices: int = 5) -> FileDataset:
    """The same scan as one multi-frame file, its frames out of order."""
    dataset = empty_file(ENHANCED)
    dataset.Modality, dataset.SeriesInstanceUID, dataset.ImageType = "CT", "1.2.3.77", ["ORIGINAL", "PRIMARY", "VOLUME"]
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = slices, ROWS, COLUMNS, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    order = [(2 * n + 1) % slices for n in range(slices)]
    shared = item(PlaneOrientationSequence=[item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])],
                  PixelMeasuresSequence=[item(PixelSpacing=["0.8", "0.7"], SliceThickness="2.5")],
                  PixelValueTransformationSequence=[item(RescaleSlope="1", RescaleIntercept="0", RescaleType="HU")])
    dataset.SharedFunctionalGroupsSequence = DicomSequence([shared])
    dataset.PerFrameFunctionalGroupsSequence = DicomSequence(
        [item(PlanePositionSequence=[item(ImagePositionPatient=["-20", "-30", f"{40 + 2.5 * k:g}"])]) for k in order])
    dataset.PixelData = b"".join(hu_of_slice(k).astype("<i2").tobytes() for k in order)
    return dataset
