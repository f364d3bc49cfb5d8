"""A run learns, goes on exactly where it was, and does not care how many processes share its batch."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the tests of training are left out")

import tiny_runs  # noqa: E402
from tiny_runs import recipe, run, written_cts, written_latents  # noqa: E402

from text2ct.engines.text2ct import weights  # noqa: E402
from text2ct.engines.text2ct.config import ModelSizes  # noqa: E402
from text2ct.errors import BadInput, Text2CTError  # noqa: E402
from text2ct_training import checkpoint, loop  # noqa: E402
from text2ct_training.__main__ import task_of  # noqa: E402
from text2ct_training.ranks import joined  # noqa: E402
from text2ct_training.recipe import VAERecipe  # noqa: E402

# A softmax ignores these, so that their gradient is rounding alone, which Adam then blows up to a whole step.
WITHOUT_EFFECT = ("k_proj.bias", "spatial_rel_pos_bias.net.2.bias")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("data")
    cts = written_cts(folder / "cts")
    return {"unet": written_latents(folder / "latents"), "vae": cts, "text": cts}


def newest(out: Path) -> checkpoint.Kept:
    return checkpoint.load(checkpoint.states(out)[-1])


def tensors(state: Any, name: str = "") -> dict[str, torch.Tensor]:
    """Every tensor in a state, by its place in it."""
    if isinstance(state, torch.Tensor):
        return {name: state}
    inner = state.items() if isinstance(state, dict) else enumerate(state) if isinstance(state, list) else ()
    return {key: value for part, each in inner for key, value in tensors(each, f"{name}/{part}").items()}


def assert_same(first: Path, second: Path) -> None:
    one, two = newest(first), newest(second)
    assert (one.step, one.seen) == (two.step, two.seen)
    a, b = tensors(one.players), tensors(two.players)
    assert a.keys() == b.keys()
    assert len(a) > 20
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_the_loss_falls(data: dict[str, Path], tmp_path: Path) -> None:
    run(recipe("unet", tmp_path, data["unet"], steps=60, batch=4, learning_rate=1e-2, schedule="constant",
               validate_every=20, validation=8))
    losses = [line["unet/loss"] for line in tiny_runs.log(tmp_path) if "unet/loss" in line]
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])
    held_out = [line["held-out unet/loss"] for line in tiny_runs.log(tmp_path) if "held-out unet/loss" in line]
    assert len(held_out) == 3
    assert held_out[-1] < held_out[0]


def test_a_run_that_is_validated_on_what_it_learns_from_says_so(
        data: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = recipe("unet", tmp_path / "seen", data["unet"], steps=1, validate_every=1)
    for wanted, said in ((seen, 1), (replace(seen, data=replace(seen.data, held_out=str(data["unet"]))), 0),
                         (replace(seen, run=replace(seen.run, validate_every=0)), 0)):
        run(replace(wanted, out=str(tmp_path / str(len(list(tmp_path.iterdir()))))))
        assert capsys.readouterr().err.count("examples that the run learns from") == said


@pytest.mark.parametrize("task", ["unet", "vae", "text"])
def test_a_run_in_two_parts_is_bit_for_bit_the_run_in_one(task: str, data: dict[str, Path], tmp_path: Path) -> None:
    whole = recipe(task, tmp_path / "whole", data[task], schedule="constant", accumulate=2)
    run(whole)
    parts = replace(whole, out=str(tmp_path / "parts"))
    run(replace(parts, run=replace(whole.run, steps=1)))
    run(replace(parts, run=replace(whole.run, steps=3)), resume=True)
    run(parts, resume=True)
    assert_same(tmp_path / "whole", tmp_path / "parts")


def test_two_processes_equal_one_with_a_double_batch(data: dict[str, Path], tmp_path: Path) -> None:
    alone = [recipe(task, tmp_path / f"{task}-alone", data[task], batch=4) for task in data]
    shared = [recipe(task, tmp_path / f"{task}-shared", data[task], batch=2) for task in data]
    for one in alone:
        run(one)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(tiny_runs.run_as_one_of_two, (port, shared), nprocs=2)
    for one, two in zip(alone, shared, strict=True):
        a, b = newest(Path(one.out)), newest(Path(two.out))
        assert a.seen == b.seen == 16
        for player in a.players:
            numbers, others = a.players[player]["network"], b.players[player]["network"]
            worst = max(float((numbers[name].float() - others[name].float()).abs().max())
                        for name in numbers if numbers[name].numel() and not name.endswith(WITHOUT_EFFECT))
            assert worst < 2e-5, f"{one.task} {player} differs by {worst}"
        assert [line.keys() for line in tiny_runs.log(Path(one.out))] == [
            line.keys() for line in tiny_runs.log(Path(two.out))]


def test_accumulated_batches_equal_one_large_batch(data: dict[str, Path], tmp_path: Path) -> None:
    large = recipe("unet", tmp_path / "large", data["unet"], batch=4)
    small = recipe("unet", tmp_path / "small", data["unet"], batch=2, accumulate=2)
    run(large)
    run(small)
    a, b = (newest(Path(one.out)).players["unet"]["network"] for one in (large, small))
    assert max(float((a[name] - b[name]).abs().max()) for name in a) < 2e-5


def test_an_interrupt_saves_and_the_run_goes_on(data: dict[str, Path], tmp_path: Path) -> None:
    whole = recipe("unet", tmp_path / "whole", data["unet"], steps=5)
    run(whole)
    stopped = replace(whole, out=str(tmp_path / "stopped"))
    task = task_of(stopped)
    task.turns["unet"].after_step = lambda: os.kill(os.getpid(), signal.SIGTERM)  # type: ignore[method-assign]
    with joined("cpu") as place:
        outcome = loop.train(task, stopped, place)
    assert outcome == loop.Outcome(1, True)
    assert not (tmp_path / "stopped" / "unet.safetensors").exists()
    assert run(stopped, resume=True) == loop.Outcome(5, False)
    assert_same(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="recipes are TOML, which Python reads itself from 3.11 on")
def test_a_killed_run_resumes_from_its_last_state(data: dict[str, Path], tmp_path: Path) -> None:
    toml = tmp_path / "tiny.toml"
    toml.write_text(f"""
        task = "unet"
        out = "{tmp_path / 'killed'}"
        run = {{steps = 1000000, batch = 2, schedule = "constant", average = 0.9, save_every = 3, log_every = 1000}}
        data = {{source = "shards", place = "{data['unet']}"}}
        [model]
        """ + "\n".join(f"{name} = {str(value).lower()}" for name, value in tiny_runs.UNET.items()))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    victim = subprocess.Popen([sys.executable, "-m", "text2ct_training", str(toml)], env=environment)
    deadline = time.monotonic() + 60
    while len(checkpoint.states(tmp_path / "killed")) < 2 and victim.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    victim.kill()
    victim.wait()
    from text2ct_training.recipe import UNetRecipe, read_recipe

    wanted = read_recipe(toml)
    assert isinstance(wanted, UNetRecipe)
    step = newest(tmp_path / "killed").step
    assert step >= 6
    assert step % 3 == 0
    wanted = replace(wanted, run=replace(wanted.run, steps=step + 2))
    run(wanted, resume=True)
    run(replace(wanted, out=str(tmp_path / "whole")))
    assert_same(tmp_path / "whole", tmp_path / "killed")


def test_a_run_is_not_overwritten_and_not_continued_with_another_recipe(data: dict[str, Path], tmp_path: Path) -> None:
    first = recipe("unet", tmp_path, data["unet"], steps=1)
    run(first)
    with pytest.raises(BadInput, match="go on with --resume"):
        run(first)
    with pytest.raises(BadInput, match=r"run.batch was 2, is 3"):
        run(replace(first, run=replace(first.run, batch=3)), resume=True)


def test_a_loss_that_is_no_number_ends_the_run_with_a_sentence(data: dict[str, Path], tmp_path: Path) -> None:
    wild = recipe("unet", tmp_path, data["unet"], steps=20, learning_rate=1e30, clip=0.0)
    with pytest.raises(Text2CTError, match="no longer a number"):
        run(wild)


def test_bfloat16_trains_and_keeps_float32_weights(data: dict[str, Path], tmp_path: Path) -> None:
    run(recipe("unet", tmp_path, data["unet"], precision="bfloat16", steps=2))
    network = newest(tmp_path).players["unet"]["network"]
    assert {tensor.dtype for tensor in network.values()} == {torch.float32}


def test_only_the_newest_states_are_kept(data: dict[str, Path], tmp_path: Path) -> None:
    run(recipe("unet", tmp_path, data["unet"], steps=5, save_every=1, keep=2))
    assert [path.name for path in checkpoint.states(tmp_path)] == ["step-00000004.pt", "step-00000005.pt"]


def test_the_rate_warms_up_and_falls(tmp_path: Path) -> None:
    published = recipe("unet", tmp_path, tmp_path, steps=100, learning_rate=1.0).run
    assert loop.learning_rate(published, 0) == 1.0
    assert loop.learning_rate(published, 50) == pytest.approx(0.25)
    cosine = replace(published, schedule="cosine", warm_up=10)
    assert loop.learning_rate(cosine, 4) == pytest.approx(0.5)
    assert loop.learning_rate(cosine, 55) == pytest.approx(0.5)


def test_a_decoder_that_learns_alone_leaves_the_encoder_and_its_latents(tmp_path: Path) -> None:
    first = recipe("vae", tmp_path / "whole", written_cts(tmp_path / "cts"), steps=1)
    run(first)
    file = tmp_path / "whole" / "autoencoder.safetensors"
    assert isinstance(first, VAERecipe)
    again = replace(first, out=str(tmp_path / "decoder"), begin=str(file), learns="decoder")
    run(again)
    before, after = (weights.load_vae(ModelSizes(vae=first.model), folder / file.name).state_dict()
                     for folder in (file.parent, tmp_path / "decoder"))
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}
    with pytest.raises(BadInput, match="name its file with begin"):
        run(replace(again, begin=""))
