"""What small weights may ask of the engine: say the data, hold a volume, keep a level."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from text2ct.engines.lesiondiffusion.attributes import Surroundings, asked, completed
from text2ct.engines.lesiondiffusion.drawing import of_volume
from text2ct.engines.lesiondiffusion.networks import Settings
from text2ct.engines.lesiondiffusion.organs import NUMBERS
from text2ct.engines.lesiondiffusion.painting import held, lost_level
from text2ct.engines.lesiondiffusion.sampling import Sampler, sample_mask, seeded
from text2ct.engines.lesiondiffusion.working import crop_around
from text2ct.errors import WeightsError
from text2ct.geometry import Box, Grid


class Knows(nn.Module):
    """A network that always says the same data, whatever noise it is shown."""

    def __init__(self, data: Tensor) -> None:
        super().__init__()
        self.data = data

    def forward(self, x: Tensor, t: Tensor, context: Tensor) -> Tensor:
        return self.data


@pytest.mark.parametrize("sampler", [Sampler("dpm++2m", 8), Sampler("ddim", 20, 0.0)])
def test_a_network_that_says_the_data_is_sampled_to_them(sampler: Sampler) -> None:
    data = torch.rand(1, 1, 4, 4, 4)
    found = sample_mask(Knows(data), torch.zeros(1, 3, 4, 4, 4), torch.zeros(1, 1, 2), sampler, seeded(1),
                        predicts="data")
    assert torch.allclose(found, data, atol=0.2 if sampler.kind == "ddim" else 1e-4)


def test_settings_that_cannot_be_are_refused() -> None:
    assert Settings.of({"predicts": "data", "groups": "8", "averaged": "1", "mask_spacing_mm": "0.25"}) == Settings(
        mask_spacing_mm=0.25, groups=8, predicts="data", averaged=True)
    with pytest.raises(WeightsError, match="predicts 'speed'"):
        Settings.of({"predicts": "speed"})


@pytest.mark.parametrize(("spacing", "wanted_ml"), [
    ((3.0, 3.0, 3.0), 3.0), ((0.8, 0.8, 2.5), 1.0), ((2.0, 2.0, 2.0), 0.3)])
def test_a_drawn_form_gets_the_wanted_volume_on_any_grid(spacing: tuple[float, float, float], wanted_ml: float) -> None:
    crop = Grid.centred((24, 24, 24), (1.0, 1.0, 1.0), "SAL")
    axes = np.meshgrid(*(np.arange(24) - 11.5,) * 3, indexing="ij")
    raw = (np.sqrt(axes[0] ** 2 + (axes[1] / 1.3) ** 2 + axes[2] ** 2) < 7).astype(np.float32)
    target = Grid.centred((30, 30, 14), spacing, "RPI")
    mask = of_volume([raw], crop, target, np.ones(target.shape, bool), wanted_ml)
    assert mask.sum() * target.voxel_ml == pytest.approx(wanted_ml, abs=0.6 * target.voxel_ml)
    middle = target.to_ras(np.argwhere(mask).mean(0))
    assert np.abs(middle).max() < max(spacing)


def test_a_candidate_without_a_lesion_still_gives_one_of_the_volume() -> None:
    crop = Grid.centred((16, 16, 16), (1.0, 1.0, 1.0), "SAL")
    raw = np.random.default_rng(0).normal(0, 0.1, (16, 16, 16)).astype(np.float32)
    mask = of_volume([raw], crop, crop, np.ones(crop.shape, bool), 0.2)
    assert mask.sum() == 200


def test_the_level_that_a_decoder_missed_is_told_from_the_tissue_around() -> None:
    grid = Grid.centred((24, 24, 24), (1.0, 1.0, 1.0), "SAL")
    mask = np.zeros(grid.shape, bool)
    mask[10:14, 10:14, 10:14] = True
    crop = crop_around(grid, Box((0.0, 0.0, 0.0), (6.0, 6.0, 6.0)), (24, 24, 24), 1.0)
    unit = torch.full((1, 1, 24, 24, 24), 0.5)
    made = unit - 0.07
    made[..., 10:14, 10:14, 10:14] = 0.9
    assert lost_level(unit, made, mask, grid, crop) == pytest.approx(0.07, abs=1e-6)


def seen(hu: float) -> Surroundings:
    lesion = np.zeros((4, 4, 4), bool)
    lesion[1:3, 1:3, 1:3] = True
    return Surroundings(np.full((4, 4, 4), hu, np.float32), lesion, ~lesion, None)


@pytest.mark.parametrize("organ", ["liver", "lung lower lobe right"])
def test_densities_rise_as_their_words_say_in_lung_and_in_soft_tissue(organ: str) -> None:
    words = ("ground glass", "hypodense", "isodense", "hyperdense", "calcified")
    hu = []
    for word in words:
        said, _ = asked((("density", word),), "")
        around = seen(-850.0 if organ.startswith("lung") else 60.0)
        hu.append(float(dict(completed(said, NUMBERS[organ], around))["CT value"].split()[0]))
    assert hu == sorted(hu)
    assert len(set(hu)) == len(hu)
    assert hu[-1] == 500


def test_a_stated_hu_stands_before_that_of_a_calcification() -> None:
    value, density = ("CT value", "300 HU"), ("density", "calcified")
    for attributes in ((value, density), (density, value)):
        said, _ = asked(attributes, "")
        assert dict(completed(said, 5, seen(60.0)))["CT value"] == "300.0 HU,"


def test_a_speck_of_another_tissue_is_held_and_the_rest_stays() -> None:
    hu = np.random.default_rng(0).normal(40, 12, (20, 20, 20)).astype(np.float32)
    inside = np.zeros(hu.shape, bool)
    inside[4:16, 4:16, 4:16] = True
    old = np.full(hu.shape, -800, np.int16)
    hu[8:10, 8:10, 8:10], hu[16, 8:10, 8:10], hu[:2] = 700, 700, -800
    steady = held(hu, old, inside)
    assert steady.max() < 100
    assert np.array_equal(steady[:2], hu[:2])
    rest = inside & (np.abs(hu - 40) < 36)
    assert np.array_equal(steady[rest], hu[rest])
