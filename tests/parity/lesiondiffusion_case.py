"""A recorded case of LesionDiffusion: every stage of it computed with our code.

A folder may hold only some of the files (an excerpt); the stages of the others are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Row, compare
from lesiondiffusion_files import VOCABULARY, Arrays, Folder, Replay
from lesiondiffusion_judging import FORMULA, HU, NETWORK, TRAJECTORY, near, same, unlike
from lesiondiffusion_whole import masks_rows, painting_rows
from numpy.typing import NDArray
from torch import Tensor

from text2ct.diffusion import gaussian
from text2ct.engines.lesiondiffusion import losses, networks, preprocess, published, sampling, tokens
from text2ct.engines.lesiondiffusion.crops import largest_component, training_crop
from text2ct.engines.lesiondiffusion.hounsfield import to_hu, to_unit
from text2ct.engines.lesiondiffusion.report_file import parsed
from text2ct.engines.lesiondiffusion.sampling import SCHEDULE, Sampler


def rows(case: Path) -> Iterable[Row]:
    """All stages of the case that its files allow."""
    folder = Folder(case)
    for stage, files in STAGES:
        if folder.has(*files):
            with torch.no_grad():
                found = list(stage(folder))
            yield from found


def text_rows(folder: Folder) -> Iterator[Row]:
    arrays, texts = folder.arrays("text.npz"), folder.json("text.json")
    if folder.vocabulary is None:
        yield same("text: token ids", 0, f"left out: no vocab.txt at hand; name it in {VOCABULARY}")
    else:
        wrong = sum(folder.vocabulary.encode(text) != _unpadded(row)
                    for text, row in zip(texts["texts"], arrays["ids"], strict=True))
        yield same("text: token ids", wrong)
    ours = torch.stack([folder.tower(torch.tensor([_unpadded(row)]))[0] for row in arrays["ids"]])
    yield near("text: embeddings", ours, arrays["emb"], NETWORK)
    vectors = dict(zip(texts["texts"], ours, strict=True))
    rows = [[vectors[value] for value in one.values()] for one in texts["batched_dicts"]]
    longest = max(map(len, rows))
    batched = torch.stack([torch.stack(row + [vectors[""]] * (longest - len(row))) for row in rows])
    yield near("text: context of a batch", batched, arrays["batched"], NETWORK)


def schedules_rows(folder: Folder) -> Iterator[Row]:
    arrays = folder.arrays("schedules.npz")
    for name in sorted({key.split("_")[0] for key in arrays}, key=lambda n: int(n[1:])):
        yield from _plan_rows(f"schedule {name}", gaussian.ddim_plan(SCHEDULE, int(name[1:])),
                              arrays.below(f"{name}_f32_"), "timesteps")


def _plan_rows(stage: str, plan: list[gaussian.Step], arrays: Arrays, times: str) -> Iterator[Row]:
    rising = plan[::-1]
    yield same(f"{stage}: times", int(np.sum(np.sort(arrays[times]) != [step.t for step in rising])))
    yield near(f"{stage}: a", [step.a for step in rising], arrays["a"], 1e-6)
    yield near(f"{stage}: a_prev", [step.a_next for step in rising], arrays["a_prev"], 1e-6)
    yield compare(f"{stage}: sigma", [step.sigma for step in rising], arrays["sigma"], 2e-5)
    yield near(f"{stage}: sqrt(1 - a)", np.sqrt([1 - step.a for step in rising]), arrays["sqrt_1ma"], 1e-6)


def prompts_rows(folder: Folder) -> Iterator[Row]:
    arrays = folder.arrays("prompts_records.npz")
    for record in folder.json("prompts_records.json"):
        name = record["name"]
        label, organs, coarse = (arrays[f"{name}.{part}"].astype(np.uint8) for part in ("lab", "seg", "coarse"))
        case = published.Case(label, organs, parsed(record["type"]), tokens.folders_of(record["image_path"]), coarse)
        trained, target = losses.lmnet_prompt(case)
        yield same(f"prompt {name}: LMNet, training", unlike(trained, record["lmnet_train"]))
        yield same(f"prompt {name}: LINet, training", unlike(losses.linet_prompt(case), record["linet_train"]))
        yield same(f"prompt {name}: target, training", int(np.sum(target != arrays[f"{name}.lmnet_train_target"])))
        crop = arrays[f"{name}.lmnet_infer_target"].shape
        call = published.call_for(case, largest_component(label == 2), crop)
        yield same(f"prompt {name}: LMNet, inference", unlike(call.tokens, record["lmnet_infer"]))
        wanted = [arrays[f"{name}.lmnet_infer_{part}"] for part in ("seg", "target", "bbox")]
        yield compare(f"prompt {name}: channels", call.condition, np.stack(wanted), 1e-6)


def lmnet_rows(folder: Folder) -> Iterator[Row]:
    arrays = folder.arrays("lmnet.npz")
    ema, raw = folder.unet("lmnet"), folder.unet("lmnet", raw=True)
    x, condition, context = (arrays.tensor(name) for name in ("x", "cond", "context"))
    seen = torch.cat([x, condition], 1)
    yield from _act_rows("LMNet", ema, arrays.below("ema_act."), seen, arrays.tensor("t"), context)
    yield near("LMNet: eps, averages", ema(seen, arrays.tensor("t"), context), arrays["eps_ema"], NETWORK)
    yield near("LMNet: eps, raw", raw(seen, arrays.tensor("t"), context), arrays["eps_raw"], NETWORK)
    yield from _posterior_rows(arrays)
    ours = losses.lmnet_losses(raw, arrays.tensor("m0"), condition, context, int(arrays["t"][0]),
                               arrays.tensor("loss_noise"))
    yield from _loss_rows("LMNet", ours, arrays)
    for eta in (1, 0):
        def run(sampler: Sampler, noise: sampling.Noise, told: sampling.Told) -> Tensor:
            return sampling.sample_mask(ema, condition, context, sampler, noise, told)

        yield from _trajectory_rows(f"LMNet: DDIM eta {eta}", run, arrays, "ddim", eta)


def _posterior_rows(arrays: Arrays) -> Iterator[Row]:
    m0 = arrays.tensor("m0")
    for name in sorted(key for key in arrays if key.endswith("_xt")):
        t = int(name[1:-3])
        xt = gaussian.noised(SCHEDULE, m0, arrays.tensor("q_noise"), t)
        yield near(f"LMNet: x at time {t}", xt, arrays[name], FORMULA)
        mean, variance, log_variance = gaussian.posterior(SCHEDULE, m0, arrays.tensor(name), t)
        yield near(f"LMNet: posterior mean at time {t}", mean, arrays[f"q{t}_post_mean"], FORMULA)
        yield compare(f"LMNet: posterior variance at time {t}", [variance], arrays[f"q{t}_post_var"], FORMULA)
        yield near(f"LMNet: its log at time {t}", [log_variance], arrays[f"q{t}_post_logvar"], FORMULA)


def _act_rows(stage: str, net: networks.UNet, wanted: Arrays, x: Tensor, t: Tensor, context: Tensor | None,
              ) -> Iterator[Row]:
    """Activations on the way, as hooks see them."""
    seen: dict[str, Tensor] = {}

    def keeper(name: str) -> Any:
        return lambda module, given, out: seen.__setitem__(name, out.detach().clone())

    hooks = []
    for name in wanted:
        module = net.get_submodule(name)
        last = module[-1] if isinstance(module, torch.nn.ModuleList) else module
        hooks.append(last.register_forward_hook(keeper(name)))
    net(x, t, context)
    for hook in hooks:
        hook.remove()
    for name, array in wanted.items():
        yield near(f"{stage}: {name}", seen[name], array, NETWORK)


def _loss_rows(stage: str, ours: losses.Losses, arrays: Arrays) -> Iterator[Row]:
    yield near(f"{stage}: loss", [float(ours.total)], [arrays["loss"]], FORMULA)
    yield near(f"{stage}: loss, simple", [float(ours.simple)], [arrays["loss_simple"]], FORMULA)
    yield near(f"{stage}: loss, bound", [float(ours.bound)], [arrays["loss_vlb"]], FORMULA)
    if ours.dice is not None:
        yield near(f"{stage}: loss, Dice", [float(ours.dice)], [arrays["mask_dice_loss"]], FORMULA)


def _trajectory_rows(stage: str, run: Any, arrays: Arrays, prefix: str, eta: int) -> Iterator[Row]:
    """The whole way of a sampler. The recorded states stand before an inpainting resets its surroundings."""
    one, noisy = arrays.below(f"{prefix}_eta{eta}."), arrays.below(f"{prefix}_eta1.")
    sampler = Sampler("ddim", len(one["t"]), float(eta))
    yield from _plan_rows(stage, sampler.plan, one, "t")
    states, guesses = [], []
    start = one.tensor("x")[:1]

    def told(step: int, steps: int, x: Tensor, x0: Tensor) -> None:
        states.append(x[0].clone())
        guesses.append(x0[0].clone())

    final = run(sampler, Replay(start, *noisy.tensor("noise")), told)
    yield near(f"{stage}: states", torch.stack(states), one["x"][1:], TRAJECTORY)
    yield near(f"{stage}: guesses of x0", torch.stack(guesses), one["pred_x0"], TRAJECTORY)
    yield near(f"{stage}: final", final[0], one["final"][:final.shape[1]], TRAJECTORY)


def vq_gan_rows(folder: Folder) -> Iterator[Row]:
    arrays = folder.arrays("vq.npz")
    sources = {"in LINet": folder.vq}
    if folder.has("VQ"):
        sources["alone"] = networks.vqgan(folder.checkpoint("VQ"))
    for source, vq in sources.items():
        for size in sorted({key.split(".")[0] for key in arrays}):
            yield from _vq_rows(f"VQ {source}, {size}", vq, arrays.below(f"{size}."))


def _vq_rows(stage: str, vq: networks.VQGAN, arrays: Arrays) -> Iterator[Row]:
    latent = vq.encode(arrays.tensor("x"))
    yield near(f"{stage}: latent", latent, arrays["h"], NETWORK)
    chosen = vq.quantize.nearest(latent)[0].numpy()
    clear = arrays["gap"].reshape(chosen.shape) > 1e-4
    yield same(f"{stage}: codes", int(np.sum((chosen != arrays["indices"]) & clear)))
    recorded = arrays.tensor("h")
    yield near(f"{stage}: quantised", vq.quantize(recorded), arrays["zq"], NETWORK)
    yield near(f"{stage}: decoded", vq.decode(recorded), arrays["recon"], NETWORK)
    yield near(f"{stage}: decoded unquantised", vq.decode(recorded, quantised=False), arrays["recon_noquant"], NETWORK)
    error, perplexity = losses.codebook_losses(vq, recorded)
    yield near(f"{stage}: codebook loss", [float(error)], [arrays["quant_loss"]], FORMULA)
    yield near(f"{stage}: perplexity", [float(perplexity)], [arrays["perplexity"]], FORMULA)


def linet_rows(folder: Folder) -> Iterator[Row]:
    arrays = folder.arrays("linet.npz")
    ema, raw = folder.unet("linet"), folder.unet("linet", raw=True)
    x0, mask, t = arrays.tensor("x0"), arrays.tensor("mask"), arrays.tensor("t")
    seen = torch.cat([arrays.tensor("x"), mask], 1)
    for mode in ("text", "notext"):
        own, context = arrays.below(f"{mode}."), arrays.tensor("context") if mode == "text" else None
        yield from _act_rows(f"LINet {mode}", ema, own.below("ema_act."), seen, t, context)
        yield near(f"LINet {mode}: out, averages", ema(seen, t, context), own["out_ema"], NETWORK)
        yield near(f"LINet {mode}: out, raw", raw(seen, t, context), own["out_raw"], NETWORK)
        for eta in (1, 0):
            def run(sampler: Sampler, noise: sampling.Noise, told: sampling.Told, context: Tensor | None = context,
                    ) -> Tensor:
                return sampling.sample_latent(ema, x0, mask, context, sampler, noise, told)

            yield from _trajectory_rows(f"LINet {mode}: DDIM eta {eta}", run, own, "ddim", eta)
    ours = losses.linet_losses(raw, x0, mask, arrays.tensor("coarse_mask"), arrays.tensor("context"), int(t[0]),
                               arrays.tensor("loss_noise"))
    yield from _loss_rows("LINet", ours, arrays)


def small_rows(folder: Folder) -> Iterator[Row]:
    """HU to 0..1 and back, the training crop, the 1 mm grid, the boxes."""
    arrays = folder.arrays("preprocess.npz")
    yield compare("HU to 0..1", to_unit(arrays["hu"]), arrays["norm_f32"], 1e-6)
    yield compare("HU to 0..1, from half precision", to_unit(arrays["hu"].astype(np.float16)), arrays["norm_from_half"],
                  1e-3)
    yield compare("0..1 to HU", to_hu(arrays["norm"]), arrays["hu_from_norm"], HU)
    for name in sorted({key.split(".")[0] for key in arrays if key.startswith("crop")}):
        own = arrays.below(f"{name}.")
        image, label, window = training_crop(own["image"], own["label"], own["image_out"].shape)
        yield compare(f"training crop {name}: image", image, own["image_out"], 0)
        yield compare(f"training crop {name}: label", label, own["label_out"], 0)
        yield compare(f"training crop {name}: start", window.low, own["start"], 0)
    spacing = arrays["std.spacing"]
    for name in ("ct", "mask"):
        turned = arrays[f"std.{name}.in_xyz_RAS"][::-1, ::-1]
        tolerance = 1e-3 if name == "ct" else 0.0
        yield compare(f"1 mm grid: {name}", preprocess.standardised(turned, spacing), arrays[f"std.{name}.out_xyz"],
                      tolerance)
    yield from _box_rows(arrays.below("bbox."))


def _box_rows(arrays: Arrays) -> Iterator[Row]:
    organ = arrays["organ_mask"] > 0
    for name in sorted(key for key in arrays if key.startswith("centers.")):
        rule = name.removeprefix("centers.").replace("_", " ") + ","
        hollow = rule in (tokens.IN_LUMEN, tokens.IN_WALL)
        allowed = preprocess.allowed_centres(organ, tuple(arrays["make0.size"].tolist()), rule, hollow)
        centres = arrays[name]
        outside = int(np.sum(~allowed[centres[:, 0], centres[:, 1], centres[:, 2]]))
        yield same(f"box centres: {rule}", outside, f"{allowed.sum()} of {organ.sum()} voxels allowed")
    for name in sorted(key.removesuffix(".center") for key in arrays if key.endswith(".center")):
        own = arrays.below(f"{name}.")
        window = preprocess.box_window(tuple(own["center"].tolist()), tuple(own["size"].tolist()), organ.shape)
        empty = any(a >= b for a, b in zip(window.low, window.high, strict=True))
        ours = np.zeros((2, 3)) if empty else [window.low, window.high]
        yield compare(f"box {name}", ours, own["lo_hi"], 0)


def _unpadded(row: NDArray[Any]) -> list[int]:
    return [int(n) for n in row[:int(np.flatnonzero(row)[-1]) + 1]]


STAGES = (
    (text_rows, ("text.npz", "text.json", "LMNet")), (schedules_rows, ("schedules.npz",)),
    (prompts_rows, ("prompts_records.json", "prompts_records.npz")), (lmnet_rows, ("lmnet.npz", "LMNet")),
    (vq_gan_rows, ("vq.npz", "LINet")), (linet_rows, ("linet.npz", "LINet")),
    (masks_rows, ("pipeline.npz", "volume/type.json", "LMNet")),
    (painting_rows, ("pipeline.npz", "volume/type.json", "LINet")), (small_rows, ("preprocess.npz",)))
