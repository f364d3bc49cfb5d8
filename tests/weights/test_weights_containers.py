"""What torch wrote is what we read: every container, every kind of number, bit for bit."""

from __future__ import annotations

import collections
import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from text2ct.engines.terms import WeightFile
from text2ct.errors import WeightsError
from text2ct.requests import CancelToken, Progress, Watch
from text2ct.weights.checkpoint import open_checkpoint
from text2ct.weights.convert import convert
from text2ct.weights.manifest import Manifest, check, select
from text2ct.weights.tensors import BY_NAME

CONTAINERS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def varied() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    whole = torch.randn(40, 30)
    attributed = torch.randn(3, 2)
    attributed._is_sharded = True
    return {
        "plain": torch.randn(5, 4, 3), "half": torch.randn(7).half(), "brain": torch.randn(9).bfloat16(),
        "double": torch.randn(2, 2, dtype=torch.float64), "long": torch.arange(6).reshape(2, 3),
        "int": torch.tensor([1, -5], dtype=torch.int32), "bool": torch.tensor([True, False, True]),
        "byte": torch.arange(5, dtype=torch.uint8), "wide": torch.arange(4).to(torch.uint16),
        "one": torch.tensor(1.5), "none": torch.zeros(8, 0, 32), "turned": whole.t(), "cut": whole[3:20:4, 5:9],
        "whole": whole, "parameter": torch.nn.Parameter(torch.ones(3, 2)), "attributed": attributed,
        "channels": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
    }


def expecting(tensors: dict[str, torch.Tensor]) -> Manifest:
    return Manifest("x.pt", {name: (tuple(t.shape), BY_NAME[str(t.dtype).removeprefix("torch.")])
                             for name, t in tensors.items()})


def converted(tensors: dict[str, torch.Tensor], source: Path, **entry: Any) -> dict[str, torch.Tensor]:
    target = source.with_name("converted.safetensors")
    convert(source, target, WeightFile("x", "x.pt", 0, "x", **entry), expecting(tensors), Watch())
    return safetensors.torch.load_file(target)


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(
        ours[n].dtype == t.dtype and torch.equal(ours[n], t.detach()) for n, t in theirs.items())


@CONTAINERS
def test_a_flat_state_dict_comes_out_with_the_same_numbers(tmp_path: Path, zipped: bool) -> None:
    tensors = varied()
    torch.save(tensors, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    assert same(converted(tensors, tmp_path / "x.pt"), tensors)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_pickle_protocol_is_read(tmp_path: Path, protocol: int) -> None:
    tensors = varied()
    torch.save(collections.OrderedDict(tensors), tmp_path / "x.pt", pickle_protocol=protocol)
    assert same(converted(tensors, tmp_path / "x.pt"), tensors)


@CONTAINERS
def test_a_model_and_its_optimiser_are_told_apart(tmp_path: Path, zipped: bool) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5))
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.randn(3, 4)).sum().backward()
    optimiser.step()
    saved = {"unet_state_dict": model.state_dict(), "optimizer": optimiser.state_dict(), "epoch": 12, "loss": 0.25,
             "scheduler": torch.optim.lr_scheduler.StepLR(optimiser, 3), "scale_factor": torch.tensor(0.9137),
             "grad_scaler": torch.amp.GradScaler("cpu")}
    torch.save(saved, tmp_path / "x.pt", _use_new_zipfile_serialization=zipped)
    entry = {"wrappers": ("unet_state_dict",), "scalars": ("scale_factor", "epoch")}
    state = dict(model.state_dict())
    assert same(converted(state, tmp_path / "x.pt", **entry), state)
    kept = select(open_checkpoint(tmp_path / "x.pt"), WeightFile("x", "x.pt", 0, "x", **entry), expecting(state))
    assert kept.scalars == {"epoch": 12.0, "scale_factor": pytest.approx(0.9137)}


@CONTAINERS
def test_a_lightning_checkpoint_with_foreign_objects_is_read_without_its_packages(
        tmp_path: Path, zipped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = {}
    for package in ("omegaconf", "pytorch_lightning", "pytorch_lightning.callbacks", "torchmetrics"):
        monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
    for module, name in (("omegaconf.dictconfig", "DictConfig"), ("pytorch_lightning.callbacks.checkpoint", "Best"),
                         ("torchmetrics.aggregation", "MeanMetric")):
        holder = types.ModuleType(module)
        foreign[name] = type(name, (), {"__module__": module})
        setattr(holder, name, foreign[name])
        monkeypatch.setitem(sys.modules, module, holder)
    config = foreign["DictConfig"]()
    config._content, config.path, config.numbers = {"lr": 1e-4}, Path("/data/x"), np.float64(2.5)
    tensors = {"module.a.weight": torch.randn(3, 3), "module.b": torch.arange(3)}
    saved = {"epoch": 4, "global_step": 100, "pytorch-lightning_version": "1.7.7",
             "state_dict": collections.OrderedDict(tensors), "hyper_parameters": config, "loops": {"n": [1, 2]},
             "callbacks": {foreign["Best"]: {"best_model_score": torch.tensor(0.5), "kept": foreign["Best"]()}},
             "optimizer_states": [{"state": {0: {"step": 1, "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1.0}]}],
             "lr_schedulers": [], "metric": foreign["MeanMetric"](), "seen": {1, 2}, "when": collections.Counter("aab")}
    torch.save(saved, tmp_path / "x.ckpt", _use_new_zipfile_serialization=zipped)
    for module in list(sys.modules):
        if module.split(".")[0] in ("omegaconf", "pytorch_lightning", "torchmetrics"):
            monkeypatch.delitem(sys.modules, module)
    plain = {"a.weight": tensors["module.a.weight"], "b": tensors["module.b"]}
    assert same(converted(plain, tmp_path / "x.ckpt", wrappers=("state_dict",)), plain)
    assert not {"omegaconf", "pytorch_lightning", "torchmetrics"} & {m.split(".")[0] for m in sys.modules}


def test_nested_dictionaries_get_flat_names(tmp_path: Path) -> None:
    torch.save({"ema": {"1.ema_model.x": torch.ones(2)}, "steps": torch.tensor([1, 2]), "list": [torch.zeros(1)]},
               tmp_path / "x.pt")
    assert set(open_checkpoint(tmp_path / "x.pt").tensors) == {"ema/1.ema_model.x", "steps", "list/0"}


def test_a_safetensors_file_is_as_good_as_a_checkpoint(tmp_path: Path) -> None:
    tensors = {n: t.detach().clone().contiguous() for n, t in varied().items() if n != "wide"}
    safetensors.torch.save_file(tensors, tmp_path / "x.safetensors", metadata={"scale": "0.5", "format": "pt"})
    entry = {"scalars": ("scale",)}
    assert same(converted(tensors, tmp_path / "x.safetensors", **entry), tensors)
    again = open_checkpoint(tmp_path / "converted.safetensors")
    assert again.scalars["scale"] == 0.5


def test_half_precision_fits_but_whole_numbers_do_not(tmp_path: Path) -> None:
    entry = WeightFile("x", "x.pt", 0, "x")
    manifest = expecting({"a": torch.zeros(2), "b": torch.zeros(3)})
    torch.save({"a": torch.zeros(2).half(), "b": torch.zeros(3).bfloat16()}, tmp_path / "x.pt")
    check(select(open_checkpoint(tmp_path / "x.pt"), entry, manifest), entry, manifest, tmp_path / "x.pt")
    torch.save({"a": torch.zeros(2).long(), "b": torch.zeros(3)}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"1 misshapen \(a is int64\[2\], not float32\[2\]\)"):
        check(select(open_checkpoint(tmp_path / "x.pt"), entry, manifest), entry, manifest, tmp_path / "x.pt")


def test_an_expanded_tensor_is_refused_before_it_grows(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1).expand(1000, 1000)}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="counts the same numbers several times"):
        open_checkpoint(tmp_path / "x.pt")


def test_tied_weights_are_written_twice(tmp_path: Path) -> None:
    shared = torch.randn(6, 6)
    torch.save({"encoder": shared, "decoder": shared}, tmp_path / "x.pt")
    assert same(converted({"encoder": shared, "decoder": shared}, tmp_path / "x.pt"),
                {"encoder": shared, "decoder": shared})


def test_a_whole_pickled_model_is_refused_by_name(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"torch\.nn\.modules\.linear\.Linear"):
        open_checkpoint(tmp_path / "x.pt")


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "x.pt"))
    with pytest.raises(WeightsError, match="TorchScript"):
        open_checkpoint(tmp_path / "x.pt")


def test_cancelling_leaves_nothing_behind(tmp_path: Path) -> None:
    from text2ct.errors import Cancelled

    tensors = varied()
    torch.save(tensors, tmp_path / "x.pt")
    token = CancelToken()

    def stop(progress: Progress) -> None:
        if progress.stage.startswith("converting"):
            token.cancel()

    with pytest.raises(Cancelled):
        convert(tmp_path / "x.pt", tmp_path / "y.safetensors", WeightFile("x", "x.pt", 0, "x"), expecting(tensors),
                Watch(stop, token))
    assert [p.name for p in tmp_path.iterdir()] == ["x.pt"]


def test_a_plain_pickle_and_a_web_page_are_no_checkpoints(tmp_path: Path) -> None:
    for content, sentence in ((pickle.dumps({"a": 1}, protocol=4), "a pickle, but not a checkpoint"),
                              (b"<!DOCTYPE html><html>sign in</html>", "is not a checkpoint"),
                              (b"", "is not a checkpoint"),
                              (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is not a checkpoint")):
        (tmp_path / "x.pt").write_bytes(content)
        with pytest.raises(WeightsError, match=sentence):
            open_checkpoint(tmp_path / "x.pt")
