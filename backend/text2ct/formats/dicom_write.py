"""A CT as a DICOM series that every toolkit opens and nobody takes for a patient's.

One CT Image file a slice, in the usual left-posterior-superior display, oblique
where the volume is. Every file says in the places made for it that its data are
synthetic, what made them and from which weights, and carries the stamp by which
`text2ct verify` knows it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID, ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from ..errors import BadInput
from ..geometry import LPS_TO_RAS, Grid
from ..provenance import Provenance, Stamp
from ..requests import Watch
from ..volume import CTVolume
from .atomic import replacing_folder
from .dicom_header import PRIVATE_CREATOR, PRIVATE_GROUP, STAMP_ELEMENT
from .dicom_planes import CT_IMAGE
from .dicom_stack import SHEAR, tilt_degrees
from .limits import check_shape

MAKER = "Text2CTSlicer"
_SYNTHETIC_DATA = 0x0008001C
_WINDOWS = (("LUNG", -600, 1500), ("MEDIASTINUM", 40, 400))


@dataclass(frozen=True)
class PatientInfo:
    """Whom a synthetic study shall be filed under; name and id are written with a prefix that says synthetic."""

    name: str = ""
    id: str = ""
    birth_date: str = ""
    sex: str = ""

    def problems(self) -> list[str]:
        """Sentences that say what DICOM cannot hold of it."""
        said = []
        texts = {"name": self.name, "id": self.id}
        for what, value in texts.items():
            if len(value) > 50 or "\\" in value or "=" in value or not value.isprintable():
                said.append(f"The patient's {what} is too long or holds a character that DICOM forbids; shorten it.")
        if self.birth_date and not (len(self.birth_date) == 8 and self.birth_date.isdecimal()):
            said.append(f"The birth date '{self.birth_date}' is none; write it as YYYYMMDD.")
        if self.sex not in ("", "F", "M", "O"):
            said.append(f"The sex '{self.sex}' is none that DICOM knows; write F, M, O or nothing.")
        return said


def write_series(ct: CTVolume, folder: Path, stamp: Stamp, *, patient: PatientInfo | None = None,
                 watch: Watch | None = None) -> None:
    """Write `ct` as IM0001.dcm, IM0002.dcm ... from the feet up into a new folder."""
    problems = patient.problems() if patient else []
    if problems:
        raise BadInput(" ".join(problems))
    check_shape(ct.shape, "The CT")
    volume = ct.reoriented("LPS")
    grid = volume.grid
    dataset = _series(grid, stamp, patient or PatientInfo())
    with replacing_folder(folder) as temporary:
        for k in range(volume.shape[2]):
            if watch is not None:
                watch.at("writing DICOM", k, volume.shape[2])
            _place(dataset, grid, k)
            dataset.PixelData = np.ascontiguousarray(volume.voxels[:, :, k].T, dtype="<i2").tobytes()
            dataset.save_as(temporary / f"IM{k + 1:04d}.dcm")


def mark_synthetic(dataset: Dataset, stamp: Stamp) -> None:
    """Say in the places that DICOM has for it that a data set is synthetic and who made it, and add our stamp."""
    made = stamp.provenance
    dataset.add_new(_SYNTHETIC_DATA, "CS", "YES")
    dataset.PatientIdentityRemoved = "NO"
    dataset.ContributingEquipmentSequence = [_contribution(made)]
    block = dataset.private_block(PRIVATE_GROUP, PRIVATE_CREATOR, create=True)
    block.add_new(STAMP_ELEMENT, "UT", stamp.to_json())


def versions(made: Provenance) -> str:
    return fit(f"text2ct {made.version}", 64)


def fit(text: str, limit: int) -> str:
    """A text that DICOM can hold in one short value."""
    return "".join(c if c.isprintable() and c != "\\" else " " for c in text).strip()[:limit]


def _contribution(made: Provenance) -> Dataset:
    item = Dataset()
    item.Manufacturer = MAKER
    item.ManufacturerModelName = fit(made.engine, 64)
    item.SoftwareVersions = versions(made)
    item.ContributionDateTime = _moment(made).strftime("%Y%m%d%H%M%S") + "+0000"
    weights = f"{made.weights}, sha256 {made.weights_sha256 or 'none'}"
    item.ContributionDescription = fit(f"{made.notice}. Weights {weights}, seed {made.seed}.", 1000)
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109102", "DCM"
    purpose.CodeMeaning = "Processing Equipment"
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def _moment(made: Provenance) -> datetime:
    """When it was made, in UTC."""
    try:
        moment = datetime.fromisoformat(made.created)
    except ValueError:
        return datetime.now(timezone.utc)
    return moment.astimezone(timezone.utc)


def _series(grid: Grid, stamp: Stamp, patient: PatientInfo) -> FileDataset:
    """Everything that all slices share."""
    meta = FileMetaDataset()
    meta.FileMetaInformationGroupLength = 0
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = UID(CT_IMAGE)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    dataset = FileDataset("", {}, preamble=b"\0" * 128, file_meta=meta, is_implicit_VR=False, is_little_endian=True)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = UID(CT_IMAGE)
    _describe(dataset, stamp, patient)
    _lay_out(dataset, grid)
    mark_synthetic(dataset, stamp)
    return dataset


def _describe(dataset: Dataset, stamp: Stamp, patient: PatientInfo) -> None:
    """Patient, study, series and equipment."""
    made, moment = stamp.provenance, _moment(stamp.provenance)
    dataset.PatientName = "^".join(["SYNTHETIC", *(patient.name or "CT").split("^")[:4]])
    dataset.PatientID = f"SYNTHETIC-{patient.id or stamp.voxels_sha256[:12]}"
    dataset.PatientBirthDate, dataset.PatientSex = patient.birth_date, patient.sex
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(prefix=None), generate_uid(prefix=None)
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = generate_uid(prefix=None), ""
    for date in ("StudyDate", "SeriesDate", "ContentDate", "InstanceCreationDate"):
        setattr(dataset, date, moment.strftime("%Y%m%d"))
    for time in ("StudyTime", "SeriesTime", "ContentTime", "InstanceCreationTime"):
        setattr(dataset, time, moment.strftime("%H%M%S"))
    dataset.TimezoneOffsetFromUTC = "+0000"
    dataset.ReferringPhysicianName, dataset.AccessionNumber, dataset.StudyID = "", "", "SYNTHETIC"
    dataset.StudyDescription = fit(made.notice, 64)
    dataset.SeriesDescription = fit(f"SYNTHETIC CT by {made.engine}", 64)
    dataset.Modality, dataset.SeriesNumber, dataset.PatientPosition, dataset.Laterality = "CT", 1, "HFS", ""
    dataset.Manufacturer, dataset.ManufacturerModelName = MAKER, fit(made.engine, 64)
    dataset.SoftwareVersions = versions(made)
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.DerivationDescription = fit(f"{made.notice}: {made.sentence()}", 1000)
    dataset.KVP, dataset.AcquisitionNumber = None, None
    dataset.BurnedInAnnotation, dataset.LossyImageCompression = "NO", "00"


def _lay_out(dataset: Dataset, grid: Grid) -> None:
    """The image plane and the pixels, as far as all slices share them."""
    directions = LPS_TO_RAS[:3, :3] @ grid.directions
    row, column, way = directions.T
    tilt = tilt_degrees(way * grid.spacing[2], np.cross(row, column), grid.shape[2])
    if abs(row @ column) > SHEAR or tilt:
        raise BadInput("The axes of the CT are not at right angles to each other, which DICOM slices cannot express; "
                       "resample it to a straight grid first.")
    dataset.Columns, dataset.Rows = grid.shape[0], grid.shape[1]
    dataset.PixelSpacing = _decimals([grid.spacing[1], grid.spacing[0]])
    dataset.SliceThickness = dataset.SpacingBetweenSlices = _decimals([grid.spacing[2]])[0]
    dataset.ImageOrientationPatient = _decimals([*row, *column])
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "HU"
    dataset.WindowCenter = [str(center) for _, center, _ in _WINDOWS]
    dataset.WindowWidth = [str(width) for _, _, width in _WINDOWS]
    dataset.WindowCenterWidthExplanation = [name for name, _, _ in _WINDOWS]


def _place(dataset: FileDataset, grid: Grid, k: int) -> None:
    """What only slice `k` says."""
    position = LPS_TO_RAS[:3, :3] @ grid.to_ras([0, 0, k])
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
    dataset.InstanceNumber = k + 1
    dataset.ImagePositionPatient = _decimals(position)
    dataset.SliceLocation = _decimals([k * grid.spacing[2]])[0]



def _decimals(values: Iterable[float]) -> list[DSfloat]:
    """Numbers as DICOM's decimal strings, as exact as sixteen characters allow."""
    return [DSfloat(float(value) + 0.0, auto_format=True) for value in values]
