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
from numpy.typing import NDArray
from torch import Tensor

from text2ct.diffusion import gaussian
from text2ct.engines.lesiondiffusion import losses, networks, preprocess, published, sampling, tokens
from text2ct.engines.lesiondiffusion.crops import Window, bounds, largest_component, training_crop, window_around
from text2ct.engines.lesiondiffusion.hounsfield import to_hu, to_unit
from text2ct.engines.lesiondiffusion.report_file import parsed, read_structured
from text2ct.engines.lesiondiffusion.sampling import SCHEDULE, Sampler
from text2ct.formats.files import read_ct, read_labels

NETWORK, TRAJECTORY, FORMULA, HU = 1e-4, 5e-4, 1e-5, 0.05


STAGES = (
    ("text", ("text.npz", "text.json", "LMNet")), ("schedules", ("schedules.npz",)),
    ("prompts", ("prompts_records.json", "prompts_records.npz")), ("lmnet", ("lmnet.npz", "LMNet")),
    ("vq_gan", ("vq.npz", "LINet")), ("linet", ("linet.npz", "LINet")),
    ("masks", ("pipeline.npz", "volume/type.json", "LMNet")),
    ("painting", ("pipeline.npz", "volume/type.json", "LINet")), ("small", ("preprocess.npz",)))


def rows(case: Path) -> Iterable[Row]:
    """All stages of the case that its files allow."""
    folder = Folder(case)
    for stage, files in STAGES:
        if folder.has(*files):
            with torch.no_grad():
                found = list(globals()[f"{stage}_rows"](folder))
            yield from found


def near(stage: str, ours: Any, theirs: Any, tolerance: float) -> Row:
    return compare(stage, ours, theirs, tolerance, relative=True)


def same(stage: str, differing: int, note: str = "") -> Row:
    """A stage that must be exact, as its number of differences."""
    return Row(stage, float(differing), 0.0, note)


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
        yield same(f"prompt {name}: LMNet, training", _unlike(trained, record["lmnet_train"]))
        yield same(f"prompt {name}: LINet, training", _unlike(losses.linet_prompt(case), record["linet_train"]))
        yield same(f"prompt {name}: target, training", int(np.sum(target != arrays[f"{name}.lmnet_train_target"])))
        crop = arrays[f"{name}.lmnet_infer_target"].shape
        call = published.call_for(case, largest_component(label == 2), crop)
        yield same(f"prompt {name}: LMNet, inference", _unlike(call.tokens, record["lmnet_infer"]))
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


def masks_rows(folder: Folder) -> Iterator[Row]:
    """The published mask step, from files to file."""
    arrays = folder.arrays("pipeline.npz")
    net = folder.unet("lmnet")
    said = folder.json("prompts_pipeline.json")["lmnet_infer"]
    found: list[Row] = []

    def draw(condition: Tensor, texts: Any) -> NDArray[np.float32]:
        call = len(found) // 3
        if call >= int(arrays["lm.n_calls"]):
            found.append(same("masks: calls beyond the recorded ones", 1))
            return np.zeros(condition.shape[1:], np.float32)
        own = arrays.below(f"lm.call{call}.")
        context = own.tensor("context")[None]
        found.append(same(f"masks: prompt of call {call}", _unlike(texts, said[call])))
        found.append(compare(f"masks: channels of call {call}", condition, own["cond"], 1e-6))
        raw = sampling.sample_mask(net, condition[None], context, folder.sampler,
                                   Replay(own.tensor("x_T"), *own.tensor("noise")))[0, 0]
        found.append(near(f"masks: sample of call {call}", raw, own["sample"], TRAJECTORY))
        return raw.numpy()

    case = published.Case(arrays["lm.label_zyx"], arrays["lm.seg_zyx"], read_structured(
        folder.path / "volume" / "type.json"), _folders(folder))
    result = published.place_masks(case, folder.settings().mask_crop, draw, folder.config["max_mask_num"])
    yield from found
    yield same("masks: number of calls", abs(len(found) // 3 - int(arrays["lm.n_calls"])))
    yield Row("masks: share of voxels that differ", float(np.mean(result != arrays["lm.result_zyx"])), 0.002)
    yield from _volume_rows(folder, arrays)
    if folder.vocabulary is not None:
        ours = sampling.context_of([_pairs(one) for one in said], folder.tower, folder.vocabulary)
        theirs = np.stack([arrays[f"lm.call{n}.context"] for n in range(len(said))])
        yield near("masks: contexts", ours, theirs, NETWORK)


def _volume_rows(folder: Folder, arrays: Arrays) -> Iterator[Row]:
    """The files of the volume, read by our readers into the networks' orientation."""
    label = read_labels(folder.path / "volume" / "bbox.nii.gz").reoriented("SAL")
    organs = read_labels(folder.path / "volume" / "seg.nii.gz").reoriented("SAL")
    image = read_ct(folder.path / "volume" / "img.nii.gz").reoriented("SAL")
    for name, ours, key in (("boxes", label, "lm.label_zyx"), ("organs", organs, "lm.seg_zyx"),
                            ("CT", image, "li.image_hu_zyx")):
        yield same(f"files: {name}", int(np.sum(ours.voxels != arrays[key])))
    written = read_labels(folder.path / "volume" / "expected_samples_0.nii.gz")
    ours = published.file_array(arrays["lm.result_zyx"])
    yield same("files: the mask as written", int(np.sum(written.voxels != ours)))


def painting_rows(folder: Folder) -> Iterator[Row]:
    """The published painting of the whole volume, and of a patch."""
    arrays = folder.arrays("pipeline.npz")
    li, net, vq = arrays.below("li."), folder.unet("linet"), folder.vq
    said = folder.json("prompts_pipeline.json")["linet_infer"]
    case = published.Case(li["label_zyx"], arrays["lm.seg_zyx"], read_structured(
        folder.path / "volume" / "type.json"), _folders(folder))
    yield compare("painting: image in 0..1", to_unit(li["image_hu_zyx"]), li["image_norm_zyx"], 1e-3)
    windows = [[*sum(zip(w.low, w.high, strict=True), ())] for w in _latent_windows(case, folder)]
    yield same("painting: windows", int(np.sum(np.array(windows) != li["crops"])))
    for mode in ("notext", "text"):
        found: list[Row] = []

        def paint(latent: Tensor, mask: Tensor, texts: Any, mode: str = mode, found: list[Row] = found) -> Tensor:
            lesion = len(found) // 2
            own = li.below(f"lesion{lesion}.")
            context = li.tensor("context")[lesion:lesion + 1] if mode == "text" else None
            found.append(same(f"painting {mode}: prompt of lesion {lesion}", _unlike(texts, said[lesion])))
            done = sampling.sample_latent(net, latent, mask, context, folder.sampler,
                                          Replay(own.tensor("x_T"), *own.tensor("noise")))
            found.append(near(f"painting {mode}: latent of lesion {lesion}", torch.cat([done, mask], 1)[0],
                              li[f"{mode}.lesion{lesion}.latent_final"], TRAJECTORY))
            return done

        latent, decoded = published.paint_volume(li["image_norm_zyx"], case, folder.settings().paint_crop, vq, paint,
                                                 at_most=folder.config["max_mask_num"])
        yield from found
        yield from _decoded_rows(f"painting {mode}", latent, decoded, li.below(f"{mode}."))
    yield near("painting: latent of the CT", vq.encode(li.tensor("image_norm_zyx")[None, None])[0], li["z"], NETWORK)
    mask = published.latent_mask(case.label == 2, latent)[0, 0]
    yield compare("painting: latent mask", mask, li["latent_mask"], 0)
    around = np.zeros(mask.shape)
    around[bounds(mask.numpy()).cut] = 1
    yield compare("painting: box of the latent mask", around, li["latent_coarse_mask"], 0)
    if folder.vocabulary is not None:
        ours = sampling.context_of([_pairs(one) for one in said], folder.tower, folder.vocabulary)
        yield near("painting: contexts", ours, li["context"], NETWORK)
    yield from _patch_rows(folder, arrays, net)


def _latent_windows(case: published.Case, folder: Folder) -> list[Window]:
    windows = [window_around(bounds(lesion), folder.settings().paint_crop, case.size)
               for lesion in published.lesions(case.label, folder.config["max_mask_num"])]
    return [Window(published.scaled(w.low, folder.vq.factor), published.scaled(w.high, folder.vq.factor))
            for w in windows]


def _decoded_rows(stage: str, latent: Tensor, decoded: Tensor, own: Arrays) -> Iterator[Row]:
    yield near(f"{stage}: whole latent", latent[0], own["z_pasted"], TRAJECTORY)
    if "decoded" in own:
        yield near(f"{stage}: decoded", decoded[0, 0], own["decoded"], TRAJECTORY)
        yield compare(f"{stage}: HU of the recorded decoding", published.file_array(to_hu(own["decoded"])),
                      own["hu_file_xyz"], HU)
    off = np.abs(published.file_array(published.decoded_hu(decoded)) - own["hu_file_xyz"])
    yield Row(f"{stage}: HU of the file, 99.9 % of voxels", float(np.quantile(off, 0.999)), 1.0)


def _patch_rows(folder: Folder, arrays: Arrays, net: networks.UNet) -> Iterator[Row]:
    own = arrays.below("v1.")
    lesion = largest_component(own["label_zyx"] == 2)
    window = window_around(bounds(lesion), folder.settings().paint_crop, lesion.shape)
    image = arrays["li.image_norm_zyx"]
    yield compare("patch: what goes in", image[window.cut], own["image_patch_in"], 1e-6)
    yield same("patch: its label", int(np.sum(own["label_zyx"][window.cut] != own["label_patch_in"])))
    latent = folder.vq.encode(torch.from_numpy(image[window.cut].copy())[None, None])
    mask = published.latent_mask(own["label_patch_in"] == 2, latent)
    if folder.vocabulary is not None:
        said = [_pairs(one) for one in folder.json("prompts_pipeline.json")["linet_v1_infer"]]
        context = sampling.context_of(said, folder.tower, folder.vocabulary)
        done = sampling.sample_latent(net, latent, mask, context, folder.sampler,
                                      Replay(own.tensor("x_T"), *own.tensor("noise")))
        yield near("patch: latent", torch.cat([done, mask], 1)[0], own["latent_final"], TRAJECTORY)
        yield near("patch: decoded", folder.vq.decode(done)[0, 0], own["patch_decoded"], TRAJECTORY)
    back = np.kron(mask[0, 0].numpy(), np.ones((folder.vq.factor,) * 3))
    yield compare("patch: mask that comes back", back, own["predicted_mask_returned"], 0)
    pasted = published.paste_patch(to_hu(image), to_hu(own["patch_decoded"]), window)
    yield compare("patch: pasted HU", pasted, own["hu_result_zyx"], HU)


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


def _folders(folder: Folder) -> tuple[str, str]:
    parts = folder.config["path_parts"]
    return parts[0], parts[1]


def _pairs(listed: Any) -> tuple[tuple[str, str], ...]:
    return tuple((field, value) for field, value in listed)


def _unlike(ours: Any, theirs: Any) -> int:
    """How many pairs of field and text differ."""
    a, b = list(ours), list(_pairs(theirs))
    return abs(len(a) - len(b)) + sum(one != other for one, other in zip(a, b, strict=False))


def _unpadded(row: NDArray[Any]) -> list[int]:
    return [int(n) for n in row[:int(np.flatnonzero(row)[-1]) + 1]]
