"""Every kind of output says who made it, and one changed voxel is noticed."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from text2ct.account import account_is_unchanged, account_of, read_account, write_account
from text2ct.errors import BadInput, NotOurs
from text2ct.formats import nifti, png
from text2ct.formats.files import read_ct, read_layers, stamp_of, write_ct, write_labels
from text2ct.picture import contact_sheet
from text2ct.provenance import Provenance, Stamp, now, read_stamp, text_sha256
from text2ct.requests import GenerateCT, Result
from text2ct.verify import verify
from text2ct.volume import CTVolume, LabelVolume

MADE = Provenance("phantom", "generate", seed=42, report_sha256=text_sha256("Secret effusion."), created=now())


@pytest.mark.parametrize("name", ["ct.nii", "ct.nii.gz", "ct.nrrd", "ct.nhdr", "dicom"])
def test_a_ct_is_recognised_in_every_format(ct: CTVolume, tmp_path: Path, name: str) -> None:
    write_ct(ct, tmp_path / name, MADE)
    verdict = verify(tmp_path / name)
    assert verdict.unchanged, verdict.sentence()
    assert verdict.provenance == MADE
    assert verdict.part == "ct"
    assert "phantom" in verdict.sentence()
    assert "seed 42" in verdict.sentence()


@pytest.mark.parametrize("name", ["l.nii.gz", "l.nrrd", "l.seg.nrrd"])
def test_labels_are_recognised_and_one_changed_voxel_is_noticed(labels: LabelVolume, tmp_path: Path, name: str) -> None:
    write_labels([labels], tmp_path / name, MADE)
    assert verify(tmp_path / name).unchanged
    changed = labels.voxels.copy()
    changed[0, 0, 0] = 2
    stamp = stamp_of(tmp_path / name)
    assert stamp is not None
    assert stamp.changes(LabelVolume(changed, labels.affine, labels.segments))


def test_a_voxel_changed_in_the_second_layer_is_noticed(labels: LabelVolume) -> None:
    stamp = Stamp.of(MADE, [labels, labels], "labels")
    changed = labels.voxels.copy()
    changed[0, 0, 0] = 2
    assert stamp.changes([labels, labels]) == []
    assert stamp.changes([labels, LabelVolume(changed, labels.affine)])


def test_one_changed_voxel_in_a_nifti_file_is_noticed(ct: CTVolume, tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    write_ct(ct, path, MADE)
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[-1] ^= 1
    path.write_bytes(gzip.compress(data))
    assert verify(path).changes == ("its voxels are not those that were written",)


def test_a_flipped_affine_is_noticed(ct: CTVolume, tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    write_ct(ct, path, MADE)
    image = nibabel.load(path)
    flipped = image.affine @ np.diag([-1, 1, 1, 1])
    copy = nibabel.Nifti1Image(np.asarray(image.dataobj), flipped, image.header)
    nibabel.save(copy, path)
    assert not verify(path).unchanged


def test_a_file_saved_again_by_nibabel_in_another_orientation_is_still_ours(ct: CTVolume, tmp_path: Path) -> None:
    write_ct(ct, tmp_path / "ct.nii.gz", MADE)
    turned = nibabel.as_closest_canonical(nibabel.load(tmp_path / "ct.nii.gz"))
    nibabel.save(turned, tmp_path / "turned.nii.gz")
    assert verify(tmp_path / "turned.nii.gz").unchanged


def test_converting_to_dicom_and_back_keeps_the_voxels(ct: CTVolume, tmp_path: Path) -> None:
    write_ct(ct, tmp_path / "dicom", MADE)
    back = read_ct(tmp_path / "dicom")
    stamp = stamp_of(tmp_path / "dicom")
    assert stamp is not None
    assert stamp.changes(back) == []
    assert np.array_equal(back.reoriented(ct.orientation).voxels, ct.voxels)


def test_dicom_is_not_written_without_an_account(ct: CTVolume, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="only for synthetic"):
        write_ct(ct, tmp_path / "dicom")
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_are_not_ours(ct: CTVolume, tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Image(ct.voxels, ct.affine), tmp_path / "theirs.nii.gz")
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(ct.voxels), str(tmp_path / "theirs.nrrd"))
    png.write(np.zeros((4, 4, 3), np.uint8), tmp_path / "theirs.png", {})
    (tmp_path / "theirs.txt").write_text("a letter")
    (tmp_path / "theirs.json").write_text('{"files": 3}')
    for name in ("theirs.nii.gz", "theirs.nrrd", "theirs.png", "theirs.txt", "theirs.json"):
        with pytest.raises(NotOurs, match="no account"):
            verify(tmp_path / name)
    with pytest.raises(BadInput, match="no file"):
        verify(tmp_path / "absent.nii.gz")


def test_a_forged_stamp_of_the_wrong_shape_is_no_stamp() -> None:
    for text in ("", "{}", "null", '{"part": "ct"}', "[" * 5000):
        assert read_stamp(text) is None


def test_no_header_holds_the_report(ct: CTVolume, tmp_path: Path) -> None:
    write_ct(ct, tmp_path / "ct.nii", MADE)
    write_ct(ct, tmp_path / "ct.nrrd", MADE)
    for name in ("ct.nii", "ct.nrrd"):
        assert b"Secret" not in (tmp_path / name).read_bytes()


def test_a_picture_is_recognised_and_a_changed_pixel_noticed(ct: CTVolume, labels: LabelVolume, tmp_path: Path) -> None:
    contact_sheet(ct, tmp_path / "sheet.png", [labels], provenance=MADE)
    assert verify(tmp_path / "sheet.png").unchanged
    texts = png.read(tmp_path / "sheet.png").texts
    pixels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "sheet.png")))
    assert pixels.shape[2] == 3
    assert pixels.std() > 10
    changed = pixels.copy()
    changed[5, 5, 0] ^= 1
    png.write(changed, tmp_path / "sheet.png", texts)
    assert not verify(tmp_path / "sheet.png").unchanged


def test_an_account_notices_a_changed_word(ct: CTVolume, tmp_path: Path) -> None:
    request = GenerateCT("Kleiner Erguss.", seed=42)
    files = {"ct.nii.gz": Stamp.of(MADE, ct, "ct")}
    write_account(account_of(request, Result(MADE, ct), files), tmp_path / "account.json")
    account = read_account(tmp_path / "account.json")
    assert account is not None
    assert account["request"]["report"] == "Kleiner Erguss."
    assert verify(tmp_path / "account.json").unchanged
    account["request"]["seed"] = 43
    assert not account_is_unchanged(account)
    (tmp_path / "account.json").write_text(json.dumps(account))
    assert not verify(tmp_path / "account.json").unchanged


def test_a_stamp_of_a_cropped_copy_says_changed(ct: CTVolume, tmp_path: Path) -> None:
    stamp = Stamp.of(MADE, ct, "ct").to_json()
    nifti.write(ct.window((0, 0, 0), (4, 4, 4)), tmp_path / "crop.nii.gz", comment=f"text2ct_provenance:{stamp}")
    assert not verify(tmp_path / "crop.nii.gz").unchanged


def test_layers_survive_with_their_stamp(labels: LabelVolume, tmp_path: Path) -> None:
    write_labels([labels, labels], tmp_path / "two.seg.nrrd", MADE)
    assert len(read_layers(tmp_path / "two.seg.nrrd")) == 2
    assert verify(tmp_path / "two.seg.nrrd").unchanged


def test_a_seed_edited_in_the_stamp_is_noticed(ct: CTVolume, tmp_path: Path) -> None:
    write_ct(ct, tmp_path / "ct.nii", MADE)
    data = (tmp_path / "ct.nii").read_bytes()
    assert b'"seed":42' in data
    (tmp_path / "ct.nii").write_bytes(data.replace(b'"seed":42', b'"seed":43'))
    assert verify(tmp_path / "ct.nii").changes == ("its account is not the one that was written",)


def test_a_spacing_changed_by_a_little_is_noticed_at_the_far_corner(ct: CTVolume) -> None:
    stamp = Stamp.of(MADE, ct, "ct")
    stretched = ct.affine.copy()
    stretched[:3, :3] *= 1.004
    assert stamp.changes(CTVolume(ct.voxels, stretched)) == ["its geometry is not the one that was written"]
    assert stamp.changes(CTVolume(ct.voxels, ct.affine.astype(np.float32).astype(float))) == []


def test_a_picture_with_its_sides_swapped_is_noticed(ct: CTVolume, tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    contact_sheet(ct, path, provenance=MADE)
    data = bytearray(path.read_bytes())
    data[16:24] = data[20:24] + data[16:20]
    path.write_bytes(data)
    assert not verify(path).unchanged


def test_a_damaged_file_of_ours_is_changed_or_damaged_but_not_somebody_elses(ct: CTVolume, tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    write_ct(ct, path, MADE)
    whole = path.read_bytes()
    for size in (len(whole) - 4, len(whole) // 2, 40):
        path.write_bytes(whole[:size])
        try:
            assert not verify(path).unchanged
        except BadInput as error:
            assert "fetch it again" in str(error)
