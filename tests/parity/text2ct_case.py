"""The stages of a recorded Text2CT case, computed by our engine from the case's own configuration.

Nothing is tuned to a case: sizes, spacing, steps, guidance, modality and containers are read
from its files. Checkpoints are rebuilt as the authors save them (torch.save) and opened by our
loader. The stages follow the data: text, times, one evaluation, the trajectory, the volume.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Row, compare, compare_share
from torch import Tensor

from text2ct.diffusion import rectified_flow
from text2ct.diffusion.guidance import guided
from text2ct.diffusion.solvers import euler
from text2ct.engines.text2ct import preparation, weights, windows
from text2ct.engines.text2ct.config import ModelSizes, from_model_def
from text2ct.engines.text2ct.intensity import SPACING_SCALE, spacing_input, to_hu
from text2ct.engines.text2ct.text import TextTower, as_ids
from text2ct.engines.text2ct.tokenizer import tokens
from text2ct.engines.text2ct.unet import UNet
from text2ct.engines.text2ct.vae import VAE
from text2ct.engines.text2ct.vision import VisionSizes, VisionTower, vision_tensors
from text2ct.volume import CTVolume
from text2ct.weights.checkpoint import open_checkpoint
from text2ct_training.text2ct_unet import flow_step

TEXT, FIELD, GIVEN, CODER, TIGHT = 2e-5, 5e-5, 2e-4, 1e-4, 1e-9
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Case:
    """A folder, its configuration, and its networks, each loaded when a stage needs it."""

    folder: Path
    config: Mapping[str, Any]
    sizes: ModelSizes
    files: Mapping[str, Path]

    def file(self, kind: str) -> Path:
        """The rebuilt checkpoint whose name begins with `kind`."""
        return next(path for name, path in self.files.items() if name.lower().startswith(kind))

    @cached_property
    def text(self) -> TextTower:
        return weights.load_text(self.sizes, self.file("clip"))

    @cached_property
    def vae(self) -> VAE:
        return weights.load_vae(self.sizes, self.file("autoencoder"))

    @cached_property
    def flow(self) -> tuple[UNet, float]:
        return weights.load_unet(self.sizes, self.file("unet"))

    @property
    def unet(self) -> UNet:
        return self.flow[0]

    @property
    def scale_factor(self) -> float:
        return self.flow[1]

    def arrays(self, name: str) -> Arrays | None:
        """The arrays of a stage, or None when the case does not have it."""
        path = self.folder / f"{name}.npz"
        return dict(np.load(path)) if path.is_file() else None

    @property
    def guidance(self) -> float:
        return float(self.config["guidance_scale"])

    @property
    def inference(self) -> Mapping[str, Any]:
        return dict(self.config["model_config"]["diffusion_unet_inference"])

    def velocity(self, x: Tensor, time: Tensor, context: Tensor) -> Tensor:
        """The plain network with the case's own spacing and modality."""
        batch = len(x)
        spacing = spacing_input(self.inference["spacing"], batch)
        labels = torch.full((batch,), int(self.inference["modality"]))
        return self.unet(x, time, context, spacing, labels)

    def guided_velocity(self, x: Tensor, time: float, context: Tensor) -> Tensor:
        at = torch.tensor([time])
        known = self.velocity(x, at, context)
        if not self.config.get("use_cfg", True):
            return known
        return guided(known, self.velocity(x, at, torch.zeros_like(context)), self.guidance)


def rows(folder: Path) -> Iterator[Row]:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        case = opened(folder, Path(scratch))
        for stage in (_text, _times, _evaluations, _sampling, _volume, _sliding, _encode, _from_text, _training,
                      _preparation, _vision):
            yield from stage(case)


def opened(folder: Path, scratch: Path) -> Case:
    """The case with its networks, loaded through the containers that it prescribes."""
    config = json.loads((folder / "config.json").read_text())
    sizes = from_model_def(config["model_def"], config["text_encoder"])
    files = {}
    for name, container in json.loads((folder / "containers.json").read_text()).items():
        files[name] = scratch / name
        torch.save(_nested(container["layout"], _tensors(folder / container["tensors"])), files[name])
    return Case(folder, config, sizes, files)


def _tensors(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a case, from safetensors or, in an excerpt, from a packed archive."""
    if path.suffix == ".npz":
        return {name: _t(array) for name, array in np.load(path).items()}
    held = open_checkpoint(path)
    return weights.mapped(held, held.tensors)


def _nested(layout: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The object that the published program saved, as the case describes it."""
    if layout == "<tensors>":
        return {name: tensor.clone() for name, tensor in tensors.items()}
    if isinstance(layout, dict) and len(layout) == 1:
        kind, value = next(iter(layout.items()))
        if kind in ("int", "float"):
            return {"int": int, "float": float}[kind](value)
        if kind == "float32_scalar_tensor":
            return torch.tensor(value, dtype=torch.float32)
    return {name: _nested(inner, tensors) for name, inner in layout.items()}


def _t(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.copy(order="C"))


def _text(case: Case) -> Iterator[Row]:
    data = case.arrays("text")
    if data is None:
        return
    tower = case.text
    reports = json.loads((case.folder / "reports.json").read_text())["reports"]
    for cleaning, suffix in (("ftfy", ""), ("basic", "_basic")):
        found = [tokens(report, tower.sizes.length, cleaning) for report in reports]
        ids = [one.ids for one in found]
        yield compare(f"token numbers, {cleaning}", ids, data[f"input_ids{suffix}"], 0)
        yield compare(f"embedding, {cleaning}", tower(as_ids(ids)), data[f"embedding{suffix}"], TEXT)
        if not suffix:
            yield compare("place of the end mark", [one.end for one in found], data["eos_position"], 0)
            yield compare("pooled state", tower.pooled(as_ids(ids)), data["pooled"], TEXT)
            first = tower.text_model(as_ids(ids[:1]))[:, :data["last_hidden_first8"].shape[1]]
            yield compare("first states", first, data["last_hidden_first8"], TEXT)
    if "random_ids" in data:
        given = tower(_t(data["random_ids"]).long())
        yield compare("embedding of given numbers", given, data["random_embedding"], TEXT)


def _times(case: Case) -> Iterator[Row]:
    data = case.arrays("scheduler") or {}
    for name in data:
        if not name.endswith("_timesteps_f16"):
            continue
        key = name.removesuffix("_timesteps_f16")
        count, shape = key[1:].split("_")
        grid = rectified_flow.published_grid(int(count), [int(n) for n in shape.split("x")])
        yield compare(f"times {key}", [step.time for step in grid], data[name], 0)
        yield compare(f"step lengths {key}", [step.length for step in grid], data[f"{key}_dt"], TIGHT)


def _evaluations(case: Case) -> Iterator[Row]:
    data = case.arrays("unet_forward")
    if data is not None:
        x, t, context = _t(data["x"]), _t(data["timesteps"]), _t(data["context"])
        yield compare("spacing input", spacing_input(case.inference["spacing"]), data["spacing_tensor"], 0)
        spacing, labels = _t(data["spacing_tensor"]), _t(data["class_labels"])
        unet = case.unet
        yield compare("UNet with the report", unet(x, t, context, spacing, labels), data["out_cond"], FIELD)
        nothing = torch.zeros_like(context)
        yield compare("UNet without the report", unet(x, t, nothing, spacing, labels), data["out_uncond"], FIELD)
    data = case.arrays("unet_batch")
    if data is not None:
        out = case.unet(*(_t(data[key]) for key in (
            "x", "timesteps", "context", "spacing_tensor", "class_labels")))
        yield compare("UNet on a mixed batch", out, data["out"], FIELD)


def _sampling(case: Case) -> Iterator[Row]:
    data = case.arrays("sampling")
    if data is None:
        return
    yield compare("scale factor", case.scale_factor, data["scale_factor"], 1e-6)
    x, context = _t(data["noise"]), _t(data["context"])
    grid = rectified_flow.published_grid(len(data["latents"]), x.shape[2:])
    yield compare("times of the trajectory", [step.time for step in grid], data["timesteps_f16"], 0)
    for i, step in enumerate(grid):
        move = euler(lambda sample, time: case.guided_velocity(sample, time, context), x, step, None)
        yield compare(f"guided velocity, step {i + 1}", move.velocity, data["v_guided"][i][None], GIVEN)
        yield compare(f"latent, step {i + 1}", move.sample, data["latents"][i][None], GIVEN)
        if i == len(grid) - 1:
            clean = rectified_flow.clean_estimate(x, move.velocity, step.time)
            yield compare("clean estimate at the last step", clean, data["x0_estimate_last"], GIVEN)
        x = move.sample


def _decoded(case: Case, latent: Tensor) -> Tensor:
    vae = case.vae
    return windows.decoded_as_published(lambda part, *_: vae.decode(part), latent / case.scale_factor)


def _volume(case: Case) -> Iterator[Row]:
    data = case.arrays("volume")
    if data is None:
        return
    decoded = _decoded(case, _t(data["latent"]))[0, 0]
    yield compare("decoded", decoded[::2, ::2, ::2], data["decoded_stride2"], CODER)
    yield from compare_share("HU from the given latent", to_hu(decoded), data["hu_int16"], 0.001, 1)
    spacing = case.inference["spacing"]
    yield compare("affine of the file", np.diag([*spacing, 1.0]), data["affine"], 1e-6)


def _sliding(case: Case) -> Iterator[Row]:
    data = case.arrays("decode_sliding")
    if data is None:
        return
    latent, decode = _t(data["latent"]) / case.scale_factor, case.vae.decode
    yield compare("decoded at once", decode(latent)[0, 0, ::2, ::2, ::2], data["decoded_plain_stride2"], CODER)
    parts = windows.windowed(lambda part, *_: decode(part), latent, [int(n) for n in data["roi"]],
                             float(data["overlap"]))
    yield compare("decoded in windows", parts[0, 0], data["decoded_sliding"], CODER)


def _encode(case: Case) -> Iterator[Row]:
    data = case.arrays("encode")
    if data is None:
        return
    mean, deviation = case.vae.encode(_t(data["image"]))
    yield compare("encoder mean", mean, data["z_mu"], CODER)
    yield compare("encoder deviation", deviation, data["z_sigma"], CODER)
    yield compare("latent of training", mean + _t(data["eps"]) * deviation, data["z"], CODER)


def _from_text(case: Case) -> Iterator[Row]:
    """The whole way, from the words of report 0 to HU."""
    start, wanted = case.arrays("sampling"), case.arrays("volume")
    if start is None or wanted is None:
        return
    report = json.loads((case.folder / "reports.json").read_text())["reports"][0]
    context = case.text(as_ids([tokens(report, case.sizes.text.length).ids]))
    x = _t(start["noise"])
    for step in rectified_flow.published_grid(int(case.inference["num_inference_steps"]), x.shape[2:]):
        x = euler(lambda sample, time: case.guided_velocity(sample, time, context), x, step, None).sample
    yield compare("final latent from text", x, start["latents"][-1][None], GIVEN)
    yield from compare_share("HU from text", to_hu(_decoded(case, x))[0, 0], wanted["hu_int16"], 0.01, 2)


def _training(case: Case) -> Iterator[Row]:
    data = case.arrays("training_step")
    if data is None:
        return
    latents = _t(data["latents"])
    factor = 1 / latents.std()
    yield compare("scale factor of a batch", factor, data["scale_factor"], 1e-5)
    clean, noise = latents * factor, _t(data["noise"])
    unet = case.unet
    for parameter in unet.parameters():
        parameter.requires_grad_(True)
    optimiser = torch.optim.Adam(unet.parameters(), lr=float(data["lr_initial"]))
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimiser, int(data["lr_total_iters"]), power=2.0)
    with torch.enable_grad():
        step = flow_step(unet, clean, _t(data["cond"]), _t(data["spacing_tensor"]) / SPACING_SCALE,
                         _t(data["uniform_u"]), noise, _t(data["drop_mask"]), modality=_t(data["class_labels"]))
        step.loss.backward()
    yield compare("training times", step.times, data["timesteps"], 1e-3)
    yield compare("noised latents", step.noisy[..., ::2, ::2, ::2], data["noisy_stride2"], 1e-4)
    yield compare("output in training", step.output.detach()[..., ::2, ::2, ::2], data["model_output_stride2"], FIELD)
    yield compare("loss", step.loss.detach(), data["loss"], 1e-5)
    # the published key and query of the report never get a gradient that matters; None counts as zero
    squares = [p.grad.double().square().sum() for p in unet.parameters() if p.grad is not None]
    yield compare("gradient norm (relative)", torch.stack(squares).sum().sqrt(), data["grad_norm"], 1e-4, relative=True)
    last = unet.out[2].conv.weight
    before = last.detach().clone()
    optimiser.step()
    schedule.step()
    yield compare("change of the last layer", last.detach() - before, data["out_conv_weight_delta"], 2e-6)
    yield compare("learning rate after a step", schedule.get_last_lr()[0], data["lr_after_one_step"], 1e-12)


def _preparation(case: Case) -> Iterator[Row]:
    data = case.arrays("preprocess")
    if data is None:
        return
    hu = preparation.as_published(CTVolume(data["volume"], data["affine"]))
    yield compare("shape of the prepared CT", hu.shape, data["out_shape"], 0)
    yield compare("affine of the prepared CT", preparation.published_affine(), data["out_affine"], 1e-6)
    if "out_stride16_16_4" in data:
        yield from compare_share("prepared CT, every 16th", hu[::16, ::16, ::4], data["out_stride16_16_4"], 0.005, 1)
    i, j, k = data["out_corner"].shape
    yield from compare_share("prepared CT, corner", hu[:i, :j, :k], data["out_corner"], 0.005, 1)
    yield compare("prepared CT, mean", hu.mean(), data["out_mean"], 0.05)
    yield compare("prepared CT, deviation", hu.std(), data["out_std"], 0.05)


def _vision(case: Case) -> Iterator[Row]:
    data, entry = case.arrays("vision"), case.config.get("vision_tower_in_checkpoint")
    if data is None or not entry:
        return
    sizes = VisionSizes(entry["dim"], entry["codebook_size"], entry["image_size"], entry["patch_size"],
                        entry["temporal_patch_size"], entry["spatial_depth"], entry["temporal_depth"],
                        entry["dim_head"], entry["heads"], case.sizes.text.projection)
    checkpoint = open_checkpoint(case.file("clip"))
    tensors = weights.mapped(checkpoint, checkpoint.tensors)
    tower = weights.filled(lambda: VisionTower(sizes), vision_tensors(tensors), case.file("clip"))
    yield compare("vision embedding", tower(_t(data["volume"])), data["embedding"], 1e-4)
    yield compare("logit scale", tensors["model.logit_scale"], data["logit_scale"], 1e-7)


