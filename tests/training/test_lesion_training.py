"""The lesion networks learn, go on to the bit, refuse wrong lists, and come out as the engine reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the tests of training are left out")

import tiny_lesions  # noqa: E402
from test_training_loop import assert_same  # noqa: E402
from tiny_lesions import recipe, run, written_lesions, written_lists  # noqa: E402
from tiny_runs import log  # noqa: E402

from text2ct.engines.lesiondiffusion import widths  # noqa: E402
from text2ct.engines.lesiondiffusion.networks import TensorFile  # noqa: E402
from text2ct.engines.lesiondiffusion.patch import insert  # noqa: E402
from text2ct.engines.lesiondiffusion.sampling import Sampler, context_of  # noqa: E402
from text2ct.engines.lesiondiffusion.unet import ResBlock  # noqa: E402
from text2ct.engines.lesiondiffusion.weight_files import mini_files  # noqa: E402
from text2ct.errors import BadInput, WeightsError  # noqa: E402
from text2ct.geometry import Box, Grid  # noqa: E402
from text2ct.requests import InsertLesion, Watch  # noqa: E402
from text2ct.volume import CTVolume  # noqa: E402
from text2ct_training import lesion_draw  # noqa: E402
from text2ct_training.lesion_linet import boxes, latent_masks  # noqa: E402
from text2ct_training.lesion_lists import listed_lesions  # noqa: E402
from text2ct_training.lesion_nets import denoiser, ids_of, pieces, reader, vocabulary, waves  # noqa: E402
from text2ct_training.lesion_pack import packed_set  # noqa: E402
from text2ct_training.lesion_settings import LesionCrops, LesionLists, LesionNet, LesionText  # noqa: E402
from text2ct_training.lesion_shards import lines_of  # noqa: E402
from text2ct_training.recipe import LINetRecipe, LMNetRecipe  # noqa: E402

TASKS = ("lesion-vq", "lesion-lmnet", "lesion-linet")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written_lesions(tmp_path_factory.mktemp("lesions"))


@pytest.fixture(scope="module")
def vq(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished VQ-GAN, for LINet to learn on."""
    out = tmp_path_factory.mktemp("vq") / "run"
    run(recipe("lesion-vq", out, shards))
    return out / "vq.safetensors"


@pytest.mark.parametrize("task", TASKS)
def test_the_loss_falls(task: str, shards: Path, vq: Path, tmp_path: Path) -> None:
    wanted = recipe(task, tmp_path / "run", shards, vq, steps=40, schedule="constant", learning_rate=3e-3)
    if task == "lesion-vq":
        wanted = replace(wanted, loss=replace(wanted.loss, adversarial=0.0))  # type: ignore[arg-type]
    run(wanted)
    name = {"lesion-vq": "vq/voxels", "lesion-lmnet": "lmnet/loss", "lesion-linet": "linet/loss"}[task]
    losses = [line[name] for line in log(tmp_path / "run") if name in line]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("task", TASKS)
def test_a_run_in_two_parts_is_bit_for_bit_the_run_in_one(task: str, shards: Path, vq: Path, tmp_path: Path) -> None:
    whole = recipe(task, tmp_path / "whole", shards, vq, schedule="constant", validate_every=2, validation=2)
    run(whole)
    parts = replace(whole, out=str(tmp_path / "parts"))
    run(replace(parts, run=replace(whole.run, steps=2)))
    run(parts, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_finished_weights_go_into_the_engine_and_make_a_lesion(shards: Path, vq: Path, tmp_path: Path) -> None:
    parts = [recipe(task, tmp_path / task, shards, vq, steps=1) for task in ("lesion-lmnet", "lesion-linet")]
    for one in parts:
        run(one)
    lmnet, linet = parts
    assert isinstance(lmnet, LMNetRecipe)
    assert isinstance(linet, LINetRecipe)
    packed_set(lmnet, linet, tmp_path / "set")
    weights = mini_files(tmp_path / "set", torch.device("cpu"), torch.float32)
    assert weights.settings.predicts == "data"
    assert weights.settings.mask_crop == tiny_lesions.MASK
    ct = CTVolume(np.full((24, 24, 24), 40, np.int16), Grid.centred((24, 24, 24), (3, 3, 3)).affine)
    box = Box((0.0, 0.0, 0.0), (30.0, 30.0, 30.0))
    done = insert(InsertLesion(ct, box, engine="lesiondiffusion", attributes=(
        ("size", "9 ml"), ("CT value", "120 HU"))), weights,
                  Sampler("dpm++2m", 3), Watch())
    assert done.ct is not None
    assert done.mask.sum() * ct.grid.voxel_ml == pytest.approx(9, rel=0.02)
    assert done.ct.voxels[done.mask].mean() == pytest.approx(120, abs=2)
    assert any("HU as a whole were then moved" in note for note in done.notes)
    low, high = box.voxels_in(ct.grid)
    outside = done.mask.copy()
    outside[tuple(map(slice, low, high))] = False
    assert not outside.any()


def test_a_set_of_two_settings_is_refused(shards: Path, vq: Path, tmp_path: Path) -> None:
    lmnet, linet = (recipe(task, tmp_path, shards, vq) for task in ("lesion-lmnet", "lesion-linet"))
    other = replace(linet, model=replace(linet.model, groups=2))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="differ in groups"):
        packed_set(lmnet, other, tmp_path / "set")  # type: ignore[arg-type]


def test_a_set_whose_config_is_broken_is_refused(shards: Path, vq: Path, tmp_path: Path) -> None:
    parts = [recipe(task, tmp_path / task, shards, vq, steps=1) for task in ("lesion-lmnet", "lesion-linet")]
    for one in parts:
        run(one)
    packed_set(*parts, tmp_path / "set")  # type: ignore[arg-type]
    (tmp_path / "set" / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="cannot be read"):
        mini_files(tmp_path / "set", torch.device("cpu"), torch.float32)


def test_the_defaults_are_the_published_widths() -> None:
    begun = denoiser(LesionNet(), widths.LMNET, "").state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in begun.items()}
    assert shapes == widths.unet_shapes(widths.LMNET)
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == 2_527_489


def test_fine_tuning_begins_with_the_numbers_of_the_file(shards: Path, vq: Path, tmp_path: Path) -> None:
    first = recipe("lesion-lmnet", tmp_path / "first", shards, steps=2)
    run(first)
    file = TensorFile.open(tmp_path / "first" / "lmnet.safetensors")
    begun = denoiser(LesionNet(head=16, groups=4), widths.LMNET, str(file.path))
    kept = file.read({"out.2.weight": "model.out.2.weight"})
    assert torch.equal(begun.state_dict()["out.2.weight"], kept["out.2.weight"])
    assert all(parameter.requires_grad for parameter in begun.parameters())


def test_the_reader_gives_the_context_that_the_engine_reads() -> None:
    read, pieces = reader(LesionText("", "", True, 16, 16, 1, 2, 16, 48), 12)
    samples = [["enhanced CT,", "-12.5 HU,", "liver"], ["round-like,", "350.0 HU,"]]
    ids = torch.stack([ids_of(texts, pieces, 5) for texts in samples])
    wanted = context_of([tuple(("", text) for text in texts) for texts in samples], read.tower, pieces)
    assert torch.allclose(read(ids), wanted, atol=1e-6)


def test_every_word_of_the_menus_is_one_piece_and_numbers_are_near_their_neighbours() -> None:
    tokens = vocabulary("")
    assert len(tokens) == len(set(tokens)) < 1400
    assert len(pieces(tokens).encode("low-density ground-glass opacity,")) == 2 + 8
    assert len(pieces(tokens).encode("-550.0 HU,")) == 2 + 6
    near, far = ((waves(a, 64) - waves(b, 64)).norm() for a, b in ((35, 36), (35, 350)))
    assert near < 0.5 * far


def test_a_norm_of_few_groups_lets_the_time_through() -> None:
    x, times = torch.randn(1, 8, 4, 4, 4), (torch.zeros(1, 16), torch.ones(1, 16))
    change = {}
    for groups in (2, 8):
        torch.manual_seed(0)
        block = ResBlock(8, 8, 16, groups)
        one, other = (block(x, time, None) for time in times)
        change[groups] = float((one - other).detach().abs().max())
    assert change[8] < 1e-4 < 1e-2 < change[2]


def test_masks_on_the_latent_are_never_empty_and_boxes_hold_them() -> None:
    mask = torch.zeros(2, 1, 8, 8, 8)
    mask[0, 0, 3, 3, 3] = 1
    mask[1, 0, 2:5, 2:7, 2:5] = 1
    small = latent_masks(mask, torch.zeros(2, 4, 4, 4, 4))
    assert small[0].sum() == 1
    assert small[1].nonzero()[:, 1:].min(0).values.tolist() == [1, 1, 1]
    box = boxes(mask)
    assert box[1].sum() == 3 * 5 * 3
    assert ((box - mask) >= 0).all()


def lists_of(lists: dict[str, Path]) -> LesionLists:
    return LesionLists(**{name: str(path) for name, path in lists.items()})


NEEDED = ("images", "labels", "types", "organs")


def test_listed_cases_become_crops_with_the_texts_of_the_published_program(tmp_path: Path) -> None:
    crops = LesionCrops((8, 8, 8), (16, 16, 16))
    found = listed_lesions(lists_of(written_lists(tmp_path)), crops, NEEDED)
    assert len(found) == 2
    shape = found.mask_case(1)
    assert shape.mask.shape == (1, 8, 8, 8)
    assert shape.condition[2].sum() >= shape.mask.sum() > 50
    assert shape.texts[1:3] == ["liver", "round-like,"]
    paint = found.paint_case(0)
    assert float(paint.image[paint.mask].mean()) < float(paint.image.max())
    assert "35.0 HU," in paint.texts


def test_lists_with_a_missing_file_are_refused_before_the_start(tmp_path: Path) -> None:
    lists = written_lists(tmp_path)
    lists["labels"].write_text("liver/cancer/case0/labels.nii.gz\nliver/cancer/case7/labels.nii.gz\n")
    with pytest.raises(BadInput, match=r"case7/labels.nii.gz of the lists cannot be found"):
        listed_lesions(lists_of(lists), LesionCrops(), NEEDED)


def test_lists_whose_rows_do_not_match_are_refused(tmp_path: Path) -> None:
    lists = written_lists(tmp_path)
    lists["types"].write_text("liver/cancer/case0/type.json\n")
    with pytest.raises(BadInput, match=r"not aligned.*types.txt 1"):
        listed_lesions(lists_of(lists), LesionCrops(), NEEDED)
    with pytest.raises(BadInput, match="lacks organs"):
        listed_lesions(replace(lists_of(written_lists(tmp_path / "other")), organs=""), LesionCrops(), NEEDED)


def test_a_drawn_lesion_says_what_was_painted(tmp_path: Path) -> None:
    hu = np.full((48, 48, 40), -90, np.int16)
    hu[6:42, 6:42, 4:36] = 60
    organs = np.where(hu == 60, 5, 0).astype(np.uint8)
    body = lesion_draw.body_of(CTVolume(hu, Grid.centred(hu.shape, (3, 3, 3)).affine), organs, True)
    crops = LesionCrops((8, 8, 8), (16, 16, 16), 2.5, 1.0)
    for seed in range(6):
        row = lesion_draw.drawn_lesion(body, crops, np.random.default_rng(seed))
        again = lesion_draw.drawn_lesion(body, crops, np.random.default_rng(seed))
        assert row is not None
        assert again is not None
        assert all(np.array_equal(row[name], again[name]) for name in row)
        lesion = np.unpackbits(row["lesion"]).reshape(crops.paint).astype(bool)
        texts = lines_of(row["linet"])
        said = next(float(text.split()[0]) for text in texts if text.endswith(" HU,"))
        assert abs(said - row["image"][lesion].mean()) <= 1
        assert texts[1] == "liver"
        window = row["window"]
        mask = np.unpackbits(row["mask"]).reshape(crops.mask).astype(bool)
        inside = mask[tuple(map(slice, window[:3], window[3:]))]
        assert mask.any()
        assert inside.sum() >= 0.9 * mask.sum()
