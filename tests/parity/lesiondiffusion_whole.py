"""The published run of LesionDiffusion from a volume to its mask and its painted CT, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from harness import Row, compare
from lesiondiffusion_files import Arrays, Folder, Replay
from lesiondiffusion_judging import HU, NETWORK, TRAJECTORY, near, pairs, same, unlike
from numpy.typing import NDArray
from torch import Tensor

from text2ct.engines.lesiondiffusion import networks, published, sampling
from text2ct.engines.lesiondiffusion.crops import Window, bounds, largest_component, window_around
from text2ct.engines.lesiondiffusion.hounsfield import to_hu, to_unit
from text2ct.engines.lesiondiffusion.report_file import read_structured
from text2ct.formats.files import read_ct, read_labels


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
        found.append(same(f"masks: prompt of call {call}", unlike(texts, said[call])))
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
        ours = sampling.context_of([pairs(one) for one in said], folder.tower, folder.vocabulary)
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
            found.append(same(f"painting {mode}: prompt of lesion {lesion}", unlike(texts, said[lesion])))
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
        ours = sampling.context_of([pairs(one) for one in said], folder.tower, folder.vocabulary)
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
        said = [pairs(one) for one in folder.json("prompts_pipeline.json")["linet_v1_infer"]]
        context = sampling.context_of(said, folder.tower, folder.vocabulary)
        done = sampling.sample_latent(net, latent, mask, context, folder.sampler,
                                      Replay(own.tensor("x_T"), *own.tensor("noise")))
        yield near("patch: latent", torch.cat([done, mask], 1)[0], own["latent_final"], TRAJECTORY)
        yield near("patch: decoded", folder.vq.decode(done)[0, 0], own["patch_decoded"], TRAJECTORY)
    back = np.kron(mask[0, 0].numpy(), np.ones((folder.vq.factor,) * 3))
    yield compare("patch: mask that comes back", back, own["predicted_mask_returned"], 0)
    pasted = published.paste_patch(to_hu(image), to_hu(own["patch_decoded"]), window)
    yield compare("patch: pasted HU", pasted, own["hu_result_zyx"], HU)


def _folders(folder: Folder) -> tuple[str, str]:
    parts = folder.config["path_parts"]
    return parts[0], parts[1]
