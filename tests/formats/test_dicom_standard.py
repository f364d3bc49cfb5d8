"""What others make of our DICOM files: SimpleITK, dciodvfy, and the attributes that say synthetic."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_files import stamp_of

from text2ct.formats.dicom_codes import known_codes
from text2ct.formats.dicom_seg import write_seg
from text2ct.formats.dicom_write import write_series
from text2ct.geometry import LPS_TO_RAS, Grid
from text2ct.volume import CTVolume, LabelVolume

_TOO_NEW_FOR_OLD_VALIDATORS = "(0x0008,0x001c)"  # Synthetic Data, younger than the dciodvfy of some systems


@pytest.fixture
def series(tmp_path: Path, ct: CTVolume) -> Path:
    write_series(ct, tmp_path / "ct", stamp_of(ct))
    return tmp_path / "ct"


def test_simpleitk_sees_the_same_voxels_at_the_same_places(series: Path, ct: CTVolume) -> None:
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(series)))
    image = reader.Execute()
    seen = CTVolume(SimpleITK.GetArrayFromImage(image).astype(np.int16).transpose(2, 1, 0), itk_affine(image))
    expected = ct.reoriented("LPS")
    np.testing.assert_array_equal(seen.voxels, expected.voxels)
    np.testing.assert_allclose(seen.affine, expected.affine, atol=1e-4)


@pytest.mark.parametrize("code", ["RAS", "PIR"])
def test_simpleitk_agrees_on_straight_volumes_too(tmp_path: Path, code: str) -> None:
    grid = Grid.centred((4, 5, 6), (0.7, 0.8, 2.5), code)
    ct = CTVolume(np.arange(120, dtype=np.int16).reshape(4, 5, 6), grid.affine)
    write_series(ct, tmp_path / "ct", stamp_of(ct))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "ct")))
    image = reader.Execute()
    for ijk in [(0, 0, 0), (3, 4, 5), (1, 2, 3)]:
        place = (LPS_TO_RAS[:3, :3] @ grid.to_ras(ijk)).tolist()
        assert image.EvaluateAtPhysicalPoint(place, SimpleITK.sitkNearestNeighbor) == ct.voxels[ijk]


def itk_affine(image: SimpleITK.Image) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return LPS_TO_RAS @ affine


def test_every_file_says_that_it_is_synthetic_and_who_made_it(series: Path) -> None:
    for file in series.iterdir():
        dataset = pydicom.dcmread(file)
        assert dataset[0x0008001C].value == "YES"
        assert dataset.ImageType[0] == "DERIVED"
        assert dataset.SeriesDescription.startswith("SYNTHETIC")
        assert str(dataset.PatientName) == "SYNTHETIC^CT"
        assert dataset.PatientID.startswith("SYNTHETIC-")
        assert dataset.BurnedInAnnotation == dataset.PatientIdentityRemoved == "NO"
        assert "SYNTHETIC" in dataset.DerivationDescription
        [maker] = dataset.ContributingEquipmentSequence
        assert (maker.Manufacturer, maker.ManufacturerModelName) == ("Text2CTSlicer", "phantom")
        assert maker.SoftwareVersions.startswith("text2ct ")
        assert "ab" * 32 in maker.ContributionDescription
        assert maker.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert list(dataset.WindowCenter) == [-600, 40]


def test_dciodvfy_finds_no_error_in_a_ct(series: Path) -> None:
    for file in sorted(series.iterdir())[:2]:
        assert errors_of(file) == []


def test_dciodvfy_finds_no_error_in_a_segmentation(series: Path, labels: LabelVolume) -> None:
    write_seg(labels, series, series.parent / "seg.dcm", stamp_of(labels, "labels"))
    assert errors_of(series.parent / "seg.dcm") == []


def errors_of(file: Path) -> list[str]:
    """The errors that dciodvfy names, apart from an attribute that older versions of it do not know."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian: apt-get install dicom3tools): the check of the DICOM "
                    "objects against the standard is left out")
    said = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False).stderr
    assert "CTImage" in said or "Segmentation" in said
    return [line for line in said.splitlines() if "Error" in line and _TOO_NEW_FOR_OLD_VALIDATORS not in line]


def test_every_snomed_code_means_what_we_say() -> None:
    from pydicom.sr._concepts_dict import concepts

    meanings: dict[str, set[str]] = {}
    for codes in concepts["SCT"].values():
        for value, (meaning, *_) in codes.items():
            meanings.setdefault(value, set()).add(meaning)
    for code in known_codes():
        assert code.meaning in meanings[code.value]
