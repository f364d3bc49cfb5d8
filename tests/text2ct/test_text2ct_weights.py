"""The published lists of tensors fit our networks, in both containers, and what does not fit is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from small_networks import SIZES, networks, written

from text2ct.engines import catalog
from text2ct.engines.text2ct import weights
from text2ct.engines.text2ct.config import DEFAULT_SCALE_FACTOR, PUBLISHED, from_model_def
from text2ct.engines.text2ct.text import TextTower
from text2ct.engines.text2ct.unet import UNet
from text2ct.engines.text2ct.vae import VAE
from text2ct.engines.text2ct.vision import VisionSizes, VisionTower
from text2ct.errors import WeightsError
from text2ct.weights.manifest import load_manifest

EXCERPT = Path(__file__).resolve().parents[1] / "data" / "parity-text2ct"


def shapes(network: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def published(name: str) -> dict[str, tuple[int, ...]]:
    return {key: shape for key, (shape, _) in load_manifest(name).tensors.items()}


def test_the_full_size_networks_have_exactly_the_published_tensors() -> None:
    with torch.device("meta"):
        unet, vae, text, vision = (UNet(PUBLISHED.unet), VAE(PUBLISHED.vae), TextTower(PUBLISHED.text),
                                   VisionTower(VisionSizes()))
    assert shapes(unet) == published("text2ct-unet")
    assert shapes(vae) == published("text2ct-autoencoder")
    listed = {name.removeprefix("model."): shape for name, shape in published("text2ct-clip3d").items()}
    wanted = {name: shape for name, shape in listed.items()
              if name.startswith(("text_model.", "text_projection.")) and not name.endswith("position_ids")}
    assert shapes(text) == wanted
    assert len(wanted) == 197  # and the position numbers, which are counted anew
    seen = {name: shape for name, shape in shapes(vision).items() if name != "vision_model.codebook"}
    assert seen.items() <= listed.items()
    assert shapes(vision)["vision_model.codebook"] == listed["vision_model.vq._codebook.embed"][1:]


def test_a_full_size_checkpoint_loads_strictly(tmp_path: Path) -> None:
    listed = load_manifest("text2ct-autoencoder").tensors
    tensors = {name: torch.full(shape, float(i)) for i, (name, (shape, _)) in enumerate(listed.items())}
    torch.save(tensors, tmp_path / "autoencoder_epoch273.pt")
    loaded = weights.load_vae(PUBLISHED, tmp_path / "autoencoder_epoch273.pt").state_dict()
    assert all(torch.equal(loaded[name].flatten()[-1:], tensor.flatten()[:1]) for name, tensor in tensors.items())


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_unet_loads_from_both_containers_with_its_scale_factor(tmp_path: Path, wrapped: bool) -> None:
    unet = networks()[1].state_dict()
    held: dict[str, Any] = {"epoch": 1, "loss": 0.1, "num_train_timesteps": 1000, "scale_factor": torch.tensor(0.75),
                            "unet_state_dict": unet}
    torch.save(held if wrapped else unet, tmp_path / "unet.pt")
    loaded, factor = weights.load_unet(SIZES, tmp_path / "unet.pt")
    assert factor == (0.75 if wrapped else DEFAULT_SCALE_FACTOR)
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in unet.items())


def test_of_the_text_file_only_the_text_tower_is_read(tmp_path: Path) -> None:
    tower = networks()[0].state_dict()
    others = {"model.visual_projection.weight": torch.zeros(3, 5), "model.logit_scale": torch.tensor(2.0),
              "model.text_model.embeddings.position_ids": torch.arange(64)[None],
              "model.vision_model.layers.0.null_kv": torch.zeros(2, 0, 4)}
    torch.save({**{f"model.{name}": tensor for name, tensor in tower.items()}, **others}, tmp_path / "clip.pt")
    loaded = weights.load_text(SIZES, tmp_path / "clip.pt").state_dict()
    assert loaded.keys() == tower.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tower.items())


def test_changing_a_loaded_network_never_reaches_its_file(tmp_path: Path) -> None:
    files = written(tmp_path)
    before = files.vae.read_bytes()
    vae = weights.load_vae(SIZES, files.vae)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
    assert files.vae.read_bytes() == before


@pytest.mark.parametrize(("change", "said"), [
    ("missing", r"1 missing \(post_quant_conv.conv.bias\)"), ("unexpected", r"1 unexpected \(more\)"),
    ("misshapen", r"post_quant_conv.conv.bias is \[5\], not \[4\]")])
def test_a_checkpoint_that_does_not_fit_is_named(tmp_path: Path, change: str, said: str) -> None:
    tensors = dict(networks()[2].state_dict())
    if change == "missing":
        del tensors["post_quant_conv.conv.bias"]
    else:
        tensors["more" if change == "unexpected" else "post_quant_conv.conv.bias"] = torch.zeros(5)
    torch.save(tensors, tmp_path / "vae.pt")
    with pytest.raises(WeightsError, match=said):
        weights.load_vae(SIZES, tmp_path / "vae.pt")


def test_sizes_are_read_from_a_configuration_of_the_published_form() -> None:
    config = json.loads((EXCERPT / "config.json").read_text())
    sizes = from_model_def(config["model_def"], config["text_encoder"])
    assert (sizes.unet.channels, sizes.unet.head_channels, sizes.unet.norm_groups) == ((8, 8, 16, 16), (0, 0, 8, 4), 4)
    assert (sizes.vae.channels, sizes.vae.latent_channels, sizes.text.layers) == ((8, 16, 24), 4, 3)
    config["model_def"]["autoencoder_def"]["use_convtranspose"] = True
    with pytest.raises(WeightsError, match="use_convtranspose"):
        from_model_def(config["model_def"])


def test_the_catalog_names_the_files_that_the_engine_loads() -> None:
    entry = catalog.engine("text2ct").weight_set("published")
    assert {file.name for file in entry.files} == {"clip3d", "unet", "autoencoder"}
