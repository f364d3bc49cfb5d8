"""The published program's own numbers: the whole recorded case where it is at hand, its excerpt always."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from text2ct.diffusion.gaussian import ddim_plan, ddim_step
from text2ct.engines.lesiondiffusion import published
from text2ct.engines.lesiondiffusion.networks import Settings, TensorFile, vqgan
from text2ct.engines.lesiondiffusion.report_file import read_structured
from text2ct.engines.lesiondiffusion.sampling import SCHEDULE
from text2ct.engines.lesiondiffusion.shapes import below
from text2ct.engines.lesiondiffusion.unet import UNet, time_features
from text2ct.engines.lesiondiffusion.widths import UNetWidths, unet_shapes

EXCERPT = Path(__file__).resolve().parents[1] / "data" / "parity-lesiondiffusion"


def failed(rows: Iterable[Any]) -> tuple[int, list[str]]:
    """How many rows there were, and those that do not hold."""
    listed = list(rows)
    return len(listed), [f"{row.stage}: {row.deviation} > {row.tolerance} {row.note}" for row in listed if not row.ok]


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterable[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def excerpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The excerpt as a folder of the case's layout."""
    folder = tmp_path_factory.mktemp("excerpt")
    for source in EXCERPT.iterdir():
        (folder / source.name).write_bytes(source.read_bytes())
    with np.load(EXCERPT / "lmnet_part.npz") as part:
        save_file({name: torch.from_numpy(part[name]) for name in part}, folder / "LMNet.safetensors")
    return folder


def test_every_stage_of_the_whole_case_is_within_tolerance(shared: Path) -> None:
    import lesiondiffusion_case

    case = shared / "parity" / "lesiondiffusion"
    if not case.is_dir():
        pytest.skip("the folder 'shared' holds no recorded case of LesionDiffusion")
    count, said = failed(lesiondiffusion_case.rows(case))
    assert said == []
    assert count > 200


def test_the_case_reads_the_same_from_lightning_checkpoints(shared: Path, tmp_path: Path) -> None:
    import lesiondiffusion_case

    case = shared / "parity" / "lesiondiffusion"
    if not case.is_dir():
        pytest.skip("the folder 'shared' holds no recorded case of LesionDiffusion")
    for name in ("config.json", "vq.npz", "text.npz", "text.json", "lmnet.npz"):
        (tmp_path / name).symlink_to(case / name)
    parameter = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.AdamW([parameter])
    with torch.enable_grad():
        parameter.sum().backward()
    optimiser.step()
    for name in ("LMNet", "LINet", "VQ"):
        torch.save({"epoch": 3, "global_step": 7, "pytorch-lightning_version": "1.7.7",
                    "state_dict": load_file(case / f"{name}.safetensors"), "loops": {"fit_loop": {}},
                    "callbacks": {"best": torch.tensor(1.0)}, "optimizer_states": [optimiser.state_dict()],
                    "lr_schedulers": []}, tmp_path / f"{name}.ckpt")
    count, said = failed(lesiondiffusion_case.rows(tmp_path))
    assert said == []
    assert count > 60


def test_every_stage_of_the_excerpt_is_within_tolerance(excerpt: Path) -> None:
    import lesiondiffusion_case

    count, said = failed(lesiondiffusion_case.rows(excerpt))
    assert said == []
    assert count > 50


def test_lmnet_down_to_its_first_transformer_is_the_published_one(excerpt: Path) -> None:
    config = json.loads((excerpt / "config.json").read_text())["lmnet"]["unet"]
    with np.load(excerpt / "lmnet_part_arrays.npz") as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file}
    net = front_of_lmnet(excerpt, config["num_head_channels"])
    emb = net.time_embed(time_features(arrays["t"], net.width))
    context = net.context_linear_projection(arrays["context"])
    x = torch.cat([arrays["x"], arrays["cond"]], 1)
    for block in net.input_blocks:
        for layer in block:  # type: ignore[attr-defined]
            x = layer(x, emb, context)
    for ours, name in ((emb, "time_embed"), (context, "context_linear_projection"), (x, "input_blocks.5")):
        theirs = arrays[f"ema_act.{name}"]
        assert float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-4, name


def front_of_lmnet(excerpt: Path, head: int) -> UNet:
    """The part of LMNet that the excerpt holds, in a network whose other parts are never asked."""
    file = TensorFile.open(excerpt / "LMNet.safetensors")
    config = json.loads((excerpt / "config.json").read_text())["lmnet"]["unet"]
    widths = UNetWidths(config["in_channels"], config["out_channels"], config["model_channels"],
                        tuple(config["channel_mult"]), config["num_res_blocks"], config["context_dim"])
    network = UNet(unet_shapes(widths), head).eval()
    held = {name.replace(".", ""): name for name in network.state_dict()}
    tensors = below(file.shapes, "model_ema.")
    read = file.read({held[name]: f"model_ema.{name}" for name in tensors})
    network.load_state_dict(read, strict=False)
    return network


def test_the_sampler_takes_the_recorded_steps() -> None:
    with np.load(EXCERPT / "lmnet_part_arrays.npz") as file:
        x, x0, noise = (file[f"corner.{name}"].astype(np.float64) for name in ("x", "pred_x0", "noise"))
    for n, step in enumerate(ddim_plan(SCHEDULE, 4)):
        predicted = (x[n] - np.sqrt(step.a) * x0[n]) / np.sqrt(1 - step.a)
        after, guess = ddim_step(x[n], predicted, step, noise[n])
        assert np.abs(guess - x0[n]).max() < 1e-5 * np.abs(x0[n]).max()
        assert np.abs(after - x[n + 1]).max() < 5e-4 * np.abs(x).max()


def test_the_recorded_samples_become_the_recorded_masks() -> None:
    config, said = (json.loads((EXCERPT / name).read_text()) for name in ("config.json", "prompts_pipeline.json"))
    with np.load(EXCERPT / "masks.npz") as file:
        arrays = {name: file[name] for name in file}
    levels = np.array([0.0, *sorted(published.THRESHOLDS)]) + 0.05
    calls: list[Any] = []

    def draw(condition: Tensor, tokens: Any) -> Any:
        n = len(calls)
        calls.append([list(pair) for pair in tokens])
        assert np.abs(condition.numpy() - arrays[f"lm.call{n}.cond"]).max() < 1e-6
        return levels[arrays[f"lm.call{n}.sample"]]

    parts = config["path_parts"]
    case = published.Case(arrays["lm.label_zyx"], arrays["lm.seg_zyx"], read_structured(EXCERPT / "type.json"),
                          (parts[0], parts[1]))
    result = published.place_masks(case, tuple(config["lmnet"]["crop"]), draw, config["max_mask_num"])
    assert calls == said["lmnet_infer"]
    assert len(calls) == int(arrays["lm.n_calls"])
    assert np.array_equal(result, arrays["lm.result_zyx"])


def test_the_vq_gan_is_the_same_inside_linet_and_alone(shared: Path) -> None:
    case = shared / "parity" / "lesiondiffusion"
    inside, alone = (vqgan(TensorFile.open(case / f"{name}.safetensors")).state_dict() for name in ("LINet", "VQ"))
    assert all(torch.equal(inside[name], alone[name]) for name in alone)


def test_the_settings_of_a_file_without_metadata_are_the_published_ones(excerpt: Path) -> None:
    assert Settings.of(TensorFile.open(excerpt / "LMNet.safetensors").metadata) == Settings()
