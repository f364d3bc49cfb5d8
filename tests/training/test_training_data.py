"""Examples have numbers, shards keep them, and a prepared CT keeps its millimetres."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the tests of training are left out")

import tiny_runs  # noqa: E402

from text2ct.engines.text2ct import weights  # noqa: E402
from text2ct.engines.text2ct.config import ModelSizes, TextSizes  # noqa: E402
from text2ct.engines.text2ct.standard_words import lexicon  # noqa: E402
from text2ct.errors import BadInput  # noqa: E402
from text2ct.formats import nifti  # noqa: E402
from text2ct.geometry import Grid  # noqa: E402
from text2ct.report.grammar import DRAWABLE  # noqa: E402
from text2ct.volume import CTVolume  # noqa: E402
from text2ct_training import ct_rate, data, text2ct_clip, text2ct_unet  # noqa: E402
from text2ct_training.encode import encode  # noqa: E402
from text2ct_training.ranks import Place  # noqa: E402
from text2ct_training.recipe import Data, FlowLoss, LatentsRecipe, UNetRecipe, VAERecipe  # noqa: E402
from text2ct_training.shards import Shards, write_shards  # noqa: E402

ALONE = Place(0, 1, torch.device("cpu"))


def test_rows_come_back_from_shards_by_number(tmp_path: Path) -> None:
    rows = [{"a": np.full((2, 3), n, np.float16), "b": np.array([n, -n], np.float32)} for n in range(7)]
    assert write_shards(tmp_path, rows[:5], 2) == 5
    assert write_shards(tmp_path, rows[5:], 2) == 7
    assert len(list(tmp_path.iterdir())) == 4
    shards = Shards(tmp_path)
    for n in range(7):
        assert {name: array.tolist() for name, array in shards[n].items()} == {
            name: array.tolist() for name, array in rows[n].items()}
    with pytest.raises(IndexError):
        shards[7]
    assert len(Shards(tmp_path / "nothing")) == 0


def test_processes_share_out_the_numbers_that_one_would_have_taken() -> None:
    alone = [n for numbers in islice(data.Turns(8, 4, 0, 1), 3) for n in numbers]
    two = [islice(data.Turns(8, 2, rank, 2), 3) for rank in range(2)]
    assert [n for pair in zip(*two, strict=True) for numbers in pair for n in numbers] == alone == list(range(8, 20))


def test_other_processes_that_fetch_change_nothing(tmp_path: Path) -> None:
    examples = text2ct_unet.LatentExamples(tiny_runs.written_latents(tmp_path), 1, "train", 0.1)
    for one, two in zip(*(islice(data.batches(examples, 2, ALONE, 6, workers), 3) for workers in (0, 2)), strict=True):
        assert one.keys() == two.keys()
        assert all(torch.equal(one[name], two[name]) for name in one)


def test_each_round_has_every_example_once_in_an_order_of_its_own() -> None:
    rounds = [[data.turn(r * 9 + n, 9, seed=3) for n in range(9)] for r in range(3)]
    assert all(sorted(one) == list(range(9)) for one in rounds)
    assert rounds[0] != rounds[1] != rounds[2]
    assert [data.turn(n, 9, None) for n in range(11)] == [*range(9), 0, 1]


def test_a_kept_phantom_is_the_one_that_was_drawn(tmp_path: Path) -> None:
    small = Data(shape=(32, 24, 16), spacing=(12.0, 12.0, 20.0), count=2, kinds=("pleural_effusion", "emphysema"))
    kept = data.studies(replace(small, kept=str(tmp_path)), "train")
    drawn = data.studies(small, "train").study(1)
    first, second, round_again = kept.study(1), kept.study(1), kept.study(3)
    assert [path.name[-11:] for path in tmp_path.iterdir()] == ["-000001.npz"]
    others = data.studies(replace(small, kept=str(tmp_path), kinds=("cardiomegaly",)), "train")
    assert others.study(1).report != drawn.report
    assert not torch.equal(others.study(1).image, drawn.image)
    for one in (first, second, round_again):
        for name in ("image", "lungs", "marked"):
            assert torch.equal(getattr(one, name), getattr(drawn, name))
        assert one.report == drawn.report
    assert {f.kind for n in range(40) for f in kept.words(n)[1]} <= {"pleural_effusion", "emphysema"}


def test_standard_words_are_numbers_of_a_lexicon_that_fits_the_tower() -> None:
    spoken = Data(kinds=("pneumothorax", "cardiomegaly"), words="standard")
    sizes = TextSizes(vocabulary=len(lexicon(spoken.kinds)) + 3, end=len(lexicon(spoken.kinds)) + 2, length=12)
    ids = text2ct_clip.reader(spoken, sizes)("large left pneumothorax . cardiomegaly .")
    words = dict(enumerate(lexicon(spoken.kinds), 1))
    assert [words[int(n)] for n in ids[1:7]] == ["large", "left", "pneumothorax", ".", "cardiomegaly", "."]
    assert [int(n) for n in (ids[0], *ids[7:])] == [sizes.end - 1, sizes.end, 0, 0, 0, 0]
    with pytest.raises(BadInput, match="vocabulary"):
        text2ct_clip.reader(spoken, TextSizes())


def test_without_named_kinds_every_standard_word_of_a_phantom_is_known() -> None:
    spoken = Data(words="standard")
    known = lexicon(DRAWABLE)
    ids = text2ct_clip.reader(spoken, TextSizes(vocabulary=len(known) + 3, end=len(known) + 2, length=96))
    source = data.studies(spoken, "train")
    assert len({tuple(ids(source.words(number)[0]).tolist()) for number in range(20)}) > 10


def test_a_phantom_study_has_its_axes_lungs_and_findings_in_place() -> None:
    source = data.studies(Data(shape=(32, 24, 16), spacing=(12.0, 12.0, 20.0)), "train")
    index = next(n for n in range(20) if source.words(n)[1])
    study = source.study(index)
    assert study.image.shape == study.lungs.shape == study.marked.shape == (1, 32, 24, 16)
    assert 0 <= float(study.image.min()) < float(study.image.max()) <= 1
    assert isinstance(source, data.PhantomStudies)
    drawn = source.tap.case(index).ct.reoriented("RAS").voxels
    assert np.allclose(study.image[0] * 2000 - 1000, np.clip(drawn, -1000, 1000), atol=1e-3)
    assert float(study.image[study.lungs].mean()) < 0.3
    bones = (study.image > 0.65).nonzero().float().mean(0)
    assert float(bones[2]) < float(study.lungs.nonzero().float().mean(0)[2])  # the spine is behind the lungs
    assert study.report == source.words(index)[0]


def test_a_ct_of_another_size_is_named(tmp_path: Path) -> None:
    place = tiny_runs.written_cts(tmp_path, 1)
    source = data.studies(Data(source="files", place=str(place), shape=(16, 16, 16)), "train")
    with pytest.raises(BadInput, match="prepare it first"):
        source.study(0)
    with pytest.raises(BadInput, match="is no list of CTs"):
        data.studies(Data(source="files", place=str(tmp_path / "none.jsonl")), "train").words(0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> LatentsRecipe:
    """A tiny autoencoder and text tower, trained for a step, and the recipe that encodes with them."""
    folder = tmp_path_factory.mktemp("trained")
    cts = tiny_runs.written_cts(folder / "cts")
    vae = tiny_runs.recipe("vae", folder / "vae", cts, steps=1, export="float16")
    text = tiny_runs.recipe("text", folder / "text", cts, steps=1)
    for recipe in (vae, text):
        tiny_runs.run(recipe)
    assert isinstance(vae, VAERecipe)
    return LatentsRecipe("latents", str(folder / "latents"), str(folder / "vae" / "autoencoder.safetensors"),
                         str(folder / "text" / "clip3d.safetensors"), count=5, held_out=2, batch=2, per_shard=2,
                         data=replace(vae.data, held_out=str(cts)), sizes=ModelSizes(vae=vae.model, text=text.model))


def test_encoding_in_two_parts_is_encoding_at_once(trained: LatentsRecipe, tmp_path: Path) -> None:
    whole, parts = replace(trained, out=str(tmp_path / "whole")), replace(trained, out=str(tmp_path / "parts"))
    assert encode(whole, ALONE) == 7
    encode(replace(parts, count=2), ALONE)
    assert encode(parts, ALONE) == 7
    for split, count in (("train", 5), ("held-out", 2)):
        one, two = (Shards(Path(recipe.out) / split) for recipe in (whole, parts))
        assert len(one) == len(two) == count
        for n in range(count):
            assert all(np.array_equal(one[n][name], two[n][name]) for name in one[n])
    assert one[0]["latent"].shape == (2, 16, 16, 8)
    assert np.linalg.norm(one[0]["context"]) == pytest.approx(1, abs=1e-5)
    with pytest.raises(BadInput, match="names 5 CTs, the recipe wants 6"):
        encode(replace(parts, count=6), ALONE)
    with pytest.raises(BadInput, match="made with another precision; delete that folder"):
        encode(replace(parts, precision="bfloat16"), ALONE)


def test_latents_say_what_share_of_their_voxels_is_of_a_finding(trained: LatentsRecipe, tmp_path: Path) -> None:
    drawn = Data(shape=(32, 32, 16), spacing=(10.0, 10.0, 20.0), kinds=("pleural_effusion",))
    encode(replace(trained, out=str(tmp_path), count=5, held_out=0, data=drawn), ALONE)
    studies = data.studies(drawn, "train")
    for n in range(5):
        marked = studies.study(n).marked.float()
        row = Shards(tmp_path / "train")[n]["marked"]
        assert row.shape == (1, 16, 16, 8)
        assert row.astype(float).sum() * 8 == pytest.approx(float(marked.sum()), rel=1e-3)
        assert (row > 0).any() == bool(studies.words(n)[1])
    unmarked = tiny_runs.recipe("unet", tmp_path / "unet", tiny_runs.written_latents(tmp_path / "plain"))
    with pytest.raises(BadInput, match="where findings were drawn"):
        tiny_runs.run(replace(unmarked, loss=FlowLoss(finding=8.0)))  # type: ignore[arg-type]


def test_a_trained_unet_opens_in_the_engine_with_its_scale_factor(trained: LatentsRecipe, tmp_path: Path) -> None:
    latents = replace(trained, out=str(tmp_path / "latents"))
    encode(latents, ALONE)
    recipe = tiny_runs.recipe("unet", tmp_path / "unet", tmp_path / "latents" / "train", steps=2, export="float16")
    assert isinstance(recipe, UNetRecipe)
    tiny_runs.run(recipe)
    unet, factor = weights.load_unet(ModelSizes(recipe.model), tmp_path / "unet" / "unet.safetensors")
    rows = Shards(tmp_path / "latents" / "train")
    first = np.stack([rows[data.turn(n, 5, 0)]["latent"] for n in range(recipe.loss.measured)])
    assert factor == pytest.approx(1 / first.std(ddof=1), rel=1e-5)
    assert next(unet.parameters()).dtype == torch.float16


def test_the_geometry_true_preparation_keeps_millimetres() -> None:
    grid = Grid.centred((60, 50, 20), (1.0, 1.0, 4.0), "LPS")
    voxels = np.full(grid.shape, -900, np.int16)
    voxels[10:30, 5:15, 8:12] = 2000
    ct = CTVolume(voxels, grid.affine)
    made = ct_rate.prepared(ct, "geometry-true", (64, 64, 16), (1.0, 1.0, 4.0))
    assert (made.orientation, made.shape) == ("RAS", (64, 64, 16))
    inside = np.argwhere(made.voxels > 500)
    before = grid.to_ras(np.argwhere(voxels > 500)).mean(0)
    assert np.allclose(made.grid.to_ras(inside).mean(0), before, atol=0.6)
    assert len(inside) == 20 * 10 * 4
    assert (made.voxels.min(), made.voxels.max()) == (-1000, 1000)
    assert made.voxels[0, 0, 0] == -1000


def test_a_folder_is_prepared_once_and_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    tiny_runs.written_cts(tmp_path / "cts", 2)
    (tmp_path / "cts" / "broken.nii.gz").write_bytes(b"nothing")
    with (tmp_path / "reports.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["VolumeName", "Findings_EN", "Impressions_EN"])
        table.writerows([["0.nii.gz", "Effusion.", ""], ["broken.nii.gz", "a", "b"]])
    said = ct_rate.reports(tmp_path / "reports.csv")
    assert said["0"] == "Findings: Effusion. Impression: nan"
    target = tmp_path / "ready"
    for _ in range(2):
        assert ct_rate.prepare(tmp_path / "cts", said, target, "geometry-true", (16, 16, 8), (6, 6, 10)) == (1, 2)
    assert data.listed(target / "list.jsonl") == (("0.nii.gz", said["0"]),)
    assert nifti.read_ct(target / "0.nii.gz").shape == (16, 16, 8)
    refused = [json.loads(line) for line in (target / "refused.jsonl").read_text().splitlines()]
    assert [Path(one["image"]).name for one in refused] == ["1.nii.gz", "broken.nii.gz"]
    assert (tmp_path / "cts" / "0.nii.gz").exists()
    with pytest.raises(BadInput, match="choose geometry-true for other grids"):
        ct_rate.prepared(nifti.read_ct(tmp_path / "cts" / "0.nii.gz"), "published", (16, 16, 8))
    with pytest.raises(BadInput, match="needs the columns"):
        ct_rate.reports(target / "list.jsonl")
