"""The engine with tiny random networks on real CTs: whatever is painted, the rest of the patient stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from text2ct.engines.lesiondiffusion.blending import within_reach
from text2ct.engines.lesiondiffusion.organs import V2
from text2ct.engines.run import run
from text2ct.formats.files import read_ct, read_labels
from text2ct.geometry import Box
from text2ct.requests import InsertLesion
from text2ct.resample import resample_labels
from text2ct.volume import CTVolume, LabelVolume, Segment


def oblique(ct: CTVolume) -> CTVolume:
    a = np.deg2rad(17)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]
    return CTVolume(ct.voxels, turn @ ct.affine)


@pytest.mark.parametrize("way", ["as it is", "flipped and permuted", "oblique", "cropped"])
def test_boxes_anywhere_change_only_what_they_hold(way: str, shared: Path, tiny_home: Path) -> None:
    ct = read_ct(shared / "data" / "real-ct" / "cip_ct64_chest_4mm.nii.gz")
    ct = {"as it is": ct, "flipped and permuted": ct.reoriented("SAR"), "oblique": oblique(ct),
          "cropped": ct.window((20, 20, 20), (45, 41, 39))}[way]
    rng = np.random.default_rng(2)
    for seed in range(3):
        a, b, c = ct.grid.to_ras(rng.uniform(0, np.array(ct.shape) - 1)).tolist()
        x, y, z = rng.uniform(8, 60, 3).tolist()
        box = Box((a, b, c), (x, y, z))
        result = run(InsertLesion(ct, box, engine="lesiondiffusion", steps=2, seed=seed))
        assert result.ct is not None
        lesion = result.labels[0].mask("lesion")
        far = ~within_reach(lesion, ct.spacing)
        assert np.array_equal(result.ct.voxels[far], ct.voxels[far])
        assert np.array_equal(result.ct.affine, ct.affine)
        low, high = box.voxels_in(ct.grid)
        held = np.zeros(ct.shape, bool)
        held[tuple(map(slice, low, high))] = True
        assert lesion.any()
        assert not (lesion & ~held).any()


@pytest.mark.parametrize("organ", ["liver", "spleen", "kidney_left", "urinary_bladder"])
def test_a_lesion_stays_in_the_organ_of_a_real_segmentation(organ: str, shared: Path, tiny_home: Path) -> None:
    folder = shared / "data" / "real-ct"
    ct = read_ct(folder / "totalseg_example_ct_abdomen_3mm.nii.gz")
    plain = resample_labels(read_labels(folder / "totalseg_example_ct_abdomen_3mm_labels117.nii.gz"), ct.grid)
    number = V2.index(organ.replace("_", " ")) + 1
    names = tuple(Segment(n + 1, name.replace(" ", "_"), (0.5, 0.5, 0.5)) for n, name in enumerate(V2))
    organs = LabelVolume(plain.voxels, plain.affine, names, "organs")
    inside = np.argwhere(plain.voxels == number)
    a, b, c = ct.grid.to_ras(inside[len(inside) // 2]).tolist()
    result = run(InsertLesion(ct, Box((a, b, c), (40.0, 40.0, 40.0)), engine="lesiondiffusion", steps=2, parts="mask",
                              organs=organs, organ=organ))
    lesion = result.labels[0].mask("lesion")
    assert lesion.any()
    assert (plain.voxels[lesion] == number).all()
