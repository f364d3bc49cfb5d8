"""One lesion at several times, and several lesions in one CT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from text2ct.digest import voxel_digest
from text2ct.engines.lesiondiffusion.growth import grown, volume_after
from text2ct.engines.lesiondiffusion.series import Law, at_days
from text2ct.engines.lesiondiffusion.sets import apart, insert_all, read_lesions
from text2ct.engines.lesiondiffusion.working import inside_ellipsoid
from text2ct.engines.run import run
from text2ct.errors import BadInput, BadRequest
from text2ct.geometry import Box, Grid
from text2ct.requests import InsertLesion
from text2ct.volume import CTVolume, LabelVolume


def test_a_volume_doubles_in_its_time_and_slows_down_towards_a_limit() -> None:
    assert volume_after(2.0, 100, 100) == pytest.approx(4.0)
    assert volume_after(2.0, 100, -100) == pytest.approx(1.0)
    limited = [volume_after(2.0, days, 100, 20.0) for days in (0, 100, 1000, 100_000)]
    assert limited[0] == pytest.approx(2.0)
    assert 2.0 < limited[1] < 4.0
    assert limited[1] < limited[2] < limited[3] <= 20.0
    with pytest.raises(BadRequest, match="limit above"):
        volume_after(2.0, 1, 100, 1.0)


@pytest.mark.parametrize("factor", [0.3, 1.0, 2.0, 5.0])
def test_a_lesion_grows_to_the_wanted_volume_about_its_centre(factor: float) -> None:
    grid = Grid.centred((60, 50, 30), (1.0, 1.2, 2.5))
    mask = inside_ellipsoid(Box((1.0, -2.0, 3.0), (20.0, 14.0, 16.0)), grid)
    larger = grown(mask, grid, factor)
    assert larger.sum() == pytest.approx(mask.sum() * factor, abs=1)
    assert grid.to_ras(np.argwhere(larger).mean(0)) == pytest.approx(grid.to_ras(np.argwhere(mask).mean(0)), abs=0.8)
    assert (larger & mask).sum() == min(larger.sum(), mask.sum()) or factor == 1.0
    spans = [np.ptp(np.argwhere(one)[:, 0]) for one in (mask, larger)]
    assert spans[1] / spans[0] == pytest.approx(factor ** (1 / 3), rel=0.2)


def test_growth_stays_where_it_may_and_says_when_it_cannot() -> None:
    grid = Grid.centred((30, 30, 30), (1, 1, 1))
    mask = inside_ellipsoid(Box((0.0, 0.0, 0.0), (10.0, 10.0, 10.0)), grid)
    may = np.zeros(grid.shape, bool)
    may[:, :, :16] = True
    assert not (grown(mask, grid, 2.0, may) & ~may).any()
    with pytest.raises(BadRequest, match="outgrow"):
        grown(mask, grid, 100.0, may)
    with pytest.raises(BadRequest, match="smaller than a voxel"):
        grown(mask, grid, 1e-5)


def like(ct: CTVolume) -> InsertLesion:
    """What all lesions of a table have in common; its box is never used."""
    return InsertLesion(ct, Box((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), engine="lesiondiffusion", steps=2)


def table(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(["r,a,s,x,y,z,seed,density", *rows]) + "\n")
    return path


def test_a_table_of_lesions_goes_into_one_ct(tmp_path: Path, tiny_home: Path, body: CTVolume) -> None:
    first, second = (body.grid.to_ras(place).tolist() for place in ([13, 18, 15], [28, 18, 15]))
    rows = [",".join(f"{v:.2f}" for v in (*place, 18, 18, 18)) + f",{n},hypodense" for n, place in enumerate(
        (first, second))]
    requests = read_lesions(table(tmp_path / "lesions.csv", rows), like(body))
    assert requests[1].attributes == (("density", "hypodense"),)
    results, ct, labels = insert_all(requests, run)
    assert ct is not None
    assert [segment.name for segment in labels.segments] == ["lesion 1", "lesion 2"]
    assert set(np.unique(labels.voxels)) == {0, 1, 2}
    assert results[0].ct is not None
    alone = labels.voxels == 1
    assert np.array_equal(ct.voxels[alone], results[0].ct.voxels[alone])
    assert (ct.voxels != body.voxels)[labels.voxels == 2].mean() > 0.9


def test_overlapping_boxes_are_refused_or_merged(tmp_path: Path, body: CTVolume) -> None:
    a, b, c = body.grid.to_ras([20, 18, 15]).tolist()
    rows = [f"{a + shift},{b},{c},20,20,20,0,hypodense" for shift in (0, 8, 16)]
    requests = read_lesions(table(tmp_path / "lesions.csv", rows), like(body))
    with pytest.raises(BadRequest, match="overlap"):
        apart(requests)
    (merged,) = apart(requests, "merge")
    assert merged.box.size == pytest.approx((36.0, 20.0, 20.0))
    assert merged.box.center[0] == pytest.approx(a + 8)


HEAD = "r,a,s,x,y,z\n"


@pytest.mark.parametrize(("text", "said"), [
    (HEAD, "has 0 lesions"), ("r,a,s,x,y,z,colour\n0,0,0,1,1,1,red\n", "column 'colour'"),
    ("r,a,s,x,y\n0,0,0,1,1\n", "no column 'z'"),
    (HEAD + "0,0,zero,1,1,1\n", r"Row 1 \(line 2\).*column 's' 'zero' is no number"),
    (HEAD + "0,0,0,9,9,9\n\n0,0,0,9,9\n", r"Row 2 \(line 4\).*column 'z' there is no number"),
    (HEAD + "0,0,0,9,9,9,7\n", "more values than there are columns"),
    (HEAD + "900,0,0,5,5,5\n", "Row 1.*outside the CT"), (HEAD + "0,0,nan,5,5,5\n", "not a number"),
    ("r,a,s,x,y,z,seed\n0,0,0,9,9,9,-1\n", "column 'seed' '-1' is no whole number"),
    ("r,a,s,x,y,z,lesion location\n0,0,0,9,9,9,soul\n", "Row 1.*'soul' is no organ"),
    ("r,a,s,x,y,z,CT value\n0,0,0,9,9,9,dark\n", "Row 1.*'dark' is not understood"),
    ("r,a,s,x,y,z\n1.25,1.25,0,0.4,0.4,0.4\n", "Row 1.*between the voxels")])
def test_a_wrong_table_is_refused_with_its_row(text: str, said: str, tmp_path: Path, body: CTVolume) -> None:
    (tmp_path / "lesions.csv").write_text(text)
    with pytest.raises(BadInput, match=said):
        read_lesions(tmp_path / "lesions.csv", like(body))


def test_a_row_whose_box_misses_its_organ_is_refused_before_any_is_painted(
        tmp_path: Path, body: CTVolume, liver: LabelVolume) -> None:
    places = [",".join(f"{v:.2f}" for v in body.grid.to_ras(at)) for at in ([20, 18, 15], [2, 18, 15])]
    (tmp_path / "t.csv").write_text("r,a,s,x,y,z,organ\n" + "".join(f"{place},8,8,8,liver\n" for place in places))
    with pytest.raises(BadInput, match=r"Row 2 .*does not touch the organ 'liver'.*Nothing was painted"):
        read_lesions(tmp_path / "t.csv", replace(like(body), organs=liver))


def test_tables_of_other_programs_are_read_too(tmp_path: Path, body: CTVolume) -> None:
    (tmp_path / "t.csv").write_text("\ufeffR;A;S;X;Y;Z;Seed\n1,5;0;0;9;9;9;\n-12;0;0;9;9;9;7\n", encoding="utf-8")
    first, second = read_lesions(tmp_path / "t.csv", replace(like(body), seed=3))
    assert first.box.center == (1.5, 0.0, 0.0)
    assert (first.seed, second.seed) == (3, 7)


def test_a_series_of_days_paints_the_same_lesion_larger_into_the_same_ct(
        tiny_home: Path, body: CTVolume, liver: LabelVolume, box: Box) -> None:
    asked = replace(like(body), box=Box(box.center, (16.0, 14.0, 15.0)), organs=liver, organ="liver")
    first = run(replace(asked, parts="mask")).labels[0]
    requests = at_days(asked, first, (0, 90, 180), Law(90))
    volumes = [int(np.count_nonzero(one.mask.voxels)) for one in requests if one.mask is not None]
    assert volumes[0] == np.count_nonzero(first.voxels)
    assert volumes == pytest.approx([volumes[0], 2 * volumes[0], 4 * volumes[0]], abs=1)
    results = [run(one) for one in requests]
    assert all(np.array_equal(made.labels[0].voxels, one.mask.voxels)
               for made, one in zip(results, requests, strict=True) if one.mask is not None)
    assert all(made.provenance.base_digest == voxel_digest(body) for made in results)
    with pytest.raises(BadRequest, match="outgrow"):
        at_days(asked, first, (0, 5000), Law(90))
