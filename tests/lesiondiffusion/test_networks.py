"""Networks out of files: full-size checkpoints load strictly, wrong ones are named, other programs agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_weights
import torch

from text2ct.engines import catalog
from text2ct.engines.lesiondiffusion import networks, widths
from text2ct.engines.lesiondiffusion.networks import Settings, TensorFile
from text2ct.engines.lesiondiffusion.unet import UNet, fused_attention, plain_attention
from text2ct.errors import WeightsError
from text2ct.speed.lesion import quickened
from text2ct.weights.checkpoint import open_checkpoint
from text2ct.weights.manifest import check, load_manifest, select

SETTINGS = Settings(head=16, text_heads=2)


def sparse(path: Path, name: str, extra: dict[str, tuple[int, ...]]) -> Path:
    """A Lightning checkpoint of the published structure, of zeros, with what training leaves beside it."""
    manifest = load_manifest(f"lesiondiffusion-{name}")
    kinds = {"float32": torch.float32, "int64": torch.int64, "int32": torch.int32}
    state = {key: torch.zeros((), dtype=kinds[kind.name]).expand(shape) for key, (shape, kind) in
             manifest.tensors.items()}
    state |= {key: torch.zeros(()).expand(shape) for key, shape in extra.items()}
    small = {key: value for key, value in state.items() if value.numel() < 1_000_000}
    marks = {key: torch.full(value.shape, float(n + 1)) for n, (key, value) in enumerate(small.items())
             if value.dtype == torch.float32}
    whole = {key: marks.get(key, torch.zeros(value.shape, dtype=value.dtype)) for key, value in state.items()}
    parameter = torch.nn.Parameter(torch.ones(3))
    optimiser = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimiser.step()
    torch.save({"epoch": 9, "global_step": 9, "state_dict": whole, "optimizer_states": [optimiser.state_dict()],
                "lr_schedulers": [], "loops": {}, "callbacks": {"best_score": torch.tensor(0.5)}}, path)
    return path


@pytest.mark.parametrize("name", ["lmnet", "vq"])
def test_a_full_size_checkpoint_is_judged_and_loaded_strictly(name: str, tmp_path: Path) -> None:
    path = sparse(tmp_path / f"{name}.ckpt", name, {"loss.extra": (3,), "lvlb_weights": (1000,)} if name == "lmnet"
                  else {"loss.other": (5,)})
    entry = next(file for file in catalog.engine("lesiondiffusion").weight_set("").files if file.name == name)
    manifest = load_manifest(entry.manifest)
    selection = select(open_checkpoint(path), entry, manifest)
    check(selection, entry, manifest, path)
    assert not any("lvlb" in kept or kept.startswith("loss.") for kept in selection.tensors)
    file = TensorFile.open(path)
    if name == "vq":
        assert sum(p.numel() for p in networks.vqgan(file).parameters()) == 7_009_709
        return
    net = networks.unet(file, Settings())
    assert sum(p.numel() for p in net.parameters()) == 2_527_489
    state, held = net.state_dict(), file.read({"a": "model_ema.time_embed0bias", "b": "model.time_embed.0.bias"})
    assert torch.equal(state["time_embed.0.bias"], held["a"])
    assert not torch.equal(held["a"], held["b"])
    assert sum(p.numel() for p in networks.text_tower(file, Settings()).parameters()) == 109_710_848


def test_linet_of_full_size_has_the_published_structure() -> None:
    """Built without numbers: its file takes two gigabytes."""
    published = {key: shape for key, (shape, _) in load_manifest("lesiondiffusion-linet").tensors.items()
                 if "." in key and key not in ("model_ema.decay", "model_ema.num_updates")}
    tower, vq = widths.tower_shapes(widths.TowerWidths()), widths.vq_shapes(widths.VQWidths())
    assert widths.checkpoint_shapes(widths.unet_shapes(widths.LINET), tower, vq) == published
    with torch.device("meta"):
        built = {name: tuple(p.shape) for name, p in UNet(widths.unet_shapes(widths.LINET)).state_dict().items()}
    assert built == widths.unet_shapes(widths.LINET)


@pytest.mark.parametrize(("change", "said"), [
    ("drop", "lacks 1 tensors .model_ema.time_embed0bias."), ("shape", "size mismatch|copying"),
    ("network", "no checkpoint of this network|lacks")])
def test_a_wrong_checkpoint_is_refused_with_the_tensor_that_is_wrong(change: str, said: str, tmp_path: Path) -> None:
    shapes = widths.checkpoint_shapes(widths.unet_shapes(tiny_weights.LMNET), widths.tower_shapes(tiny_weights.TOWER))
    tensors = tiny_weights.numbers(shapes, 1)
    if change == "drop":
        del tensors["model_ema.time_embed0bias"]
    if change == "shape":
        tensors["model_ema.out2bias"] = np.zeros(7, np.float32)
    if change == "network":
        tensors = {"model.something.weight": np.zeros((3, 3), np.float32)}
    tiny_weights.write(tmp_path / "bad.safetensors", tensors, {})
    with pytest.raises(WeightsError, match=said):
        networks.unet(TensorFile.open(tmp_path / "bad.safetensors"), SETTINGS)


def test_half_precision_and_a_parallel_prefix_are_read(tmp_path: Path) -> None:
    shapes = widths.checkpoint_shapes(widths.unet_shapes(tiny_weights.LMNET), widths.tower_shapes(tiny_weights.TOWER))
    tensors = {f"module.{name}": torch.from_numpy(a).half() for name, a in tiny_weights.numbers(shapes, 1).items()}
    torch.save(tensors, tmp_path / "half.pt")
    net = networks.unet(TensorFile.open(tmp_path / "half.pt"), SETTINGS)
    wanted = tensors["module.model_ema.time_embed0weight"].float()
    assert torch.equal(net.state_dict()["time_embed.0.weight"], wanted)


def test_the_text_tower_is_bert(tmp_path: Path) -> None:
    """Judged by the library that the weights were trained with."""
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=4,
                                     intermediate_size=24, max_position_embeddings=40)
    torch.manual_seed(3)
    judge = transformers.BertModel(config, add_pooling_layer=False).eval()
    shapes = widths.tower_shapes(widths.TowerWidths(16, 24, 3, 50, 40, 10, 8))
    tensors = {f"cond_stage_model.model.transformer.{name}": value.numpy() for name, value in
               judge.state_dict().items() if not name.endswith("position_ids")}
    tensors |= {f"cond_stage_model.model.{name}": np.ones(shape, np.float32) * 0.1 for name, shape in shapes.items()
                if name.startswith("proj")}
    tiny_weights.write(tmp_path / "tower.safetensors", tensors, {})
    tower = networks.text_tower(TensorFile.open(tmp_path / "tower.safetensors"), Settings(text_heads=4))
    ids = torch.tensor([[2, 7, 9, 11, 3]])
    padded, mask = torch.nn.functional.pad(ids, (0, 6)), torch.tensor([[1] * 5 + [0] * 6])
    with torch.no_grad():
        theirs = tower.proj(judge(padded, attention_mask=mask).last_hidden_state[:, 0])
        assert float((tower(ids) - theirs).abs().max()) < 1e-5


def some_unet(attend: object = fused_attention) -> UNet:
    shapes = widths.unet_shapes(tiny_weights.LMNET)
    net = UNet(shapes, 16, attend)  # type: ignore[arg-type]
    net.load_state_dict({name: torch.from_numpy(a) for name, a in tiny_weights.numbers(shapes, 4).items()})
    return net.eval().requires_grad_(False)


def test_the_fused_attention_equals_the_plain_one() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, 2400, 32) for _ in range(3))
    assert q.shape[2] * k.shape[2] * 2 > 1 << 22
    assert float((fused_attention(q, k, v) - plain_attention(q, k, v)).abs().max()) < 2e-5


def test_the_short_numbers_stay_near_the_exact_ones() -> None:
    torch.manual_seed(1)
    x, context = torch.randn(1, 4, 16, 16, 16), torch.randn(1, 5, tiny_weights.CONTEXT)
    with torch.no_grad():
        exact = some_unet()(x, torch.tensor([400]), context)
        short = quickened(some_unet(), torch.bfloat16)(x, torch.tensor([400]), context)
        same = quickened(some_unet(), torch.float32)(x, torch.tensor([400]), context)
    assert short.dtype == torch.float32
    assert torch.equal(same, exact)
    assert float((short - exact).norm() / exact.norm()) < 0.03


def test_a_batch_is_its_members_one_by_one() -> None:
    torch.manual_seed(2)
    x, context = torch.randn(3, 4, 16, 16, 16), torch.randn(3, 5, tiny_weights.CONTEXT)
    net, t = some_unet(), torch.tensor([400])
    with torch.no_grad():
        together = net(x, t.expand(3), context)
        apart = torch.cat([net(x[n:n + 1], t, context[n:n + 1]) for n in range(3)])
    assert float((together - apart).abs().max()) < 1e-4
