"""The losses are those that were published, or what their words say."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the tests of training are left out")

import tiny_runs  # noqa: E402

from text2ct.engines.text2ct.config import ModelSizes, UNetSizes, VAESizes, from_model_def  # noqa: E402
from text2ct.engines.text2ct.unet import UNet  # noqa: E402
from text2ct.engines.text2ct.vae import VAE  # noqa: E402
from text2ct.engines.text2ct.weights import load_unet  # noqa: E402
from text2ct.errors import BadInput  # noqa: E402
from text2ct.report.finding import Finding  # noqa: E402
from text2ct_training import data, text2ct_clip, text2ct_unet, text2ct_vae  # noqa: E402
from text2ct_training.__main__ import task_of  # noqa: E402
from text2ct_training.loop import learning_rate  # noqa: E402
from text2ct_training.recipe import CoderLoss, FlowLoss, Run, UNetRecipe, checked  # noqa: E402
from text2ct_training.shards import write_shards  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))


def test_one_step_is_the_recorded_step_of_the_published_training(shared: Path, tmp_path: Path) -> None:
    import text2ct_case

    folder = shared / "parity" / "text2ct"
    torch.set_num_threads(1)
    case = text2ct_case.opened(folder, tmp_path)
    wanted = np.load(folder / "training_step.npz")
    given = {name: torch.from_numpy(np.array(wanted[name])) for name in wanted.files if wanted[name].ndim}
    factor = text2ct_unet.scale_of(given["latents"])
    assert factor == pytest.approx(float(wanted["scale_factor"]), abs=1e-5)
    unet = case.unet.requires_grad_(True)
    assert {int(label) for label in given["class_labels"]} == {text2ct_unet.CT_MODALITY}
    done = text2ct_unet.flow_step(unet, given["latents"] * factor, given["cond"], given["spacing_tensor"] / 100,
                                  given["uniform_u"], given["noise"], given["drop_mask"])
    done.loss.backward()
    assert torch.allclose(done.times, given["timesteps"], atol=1e-3, rtol=0)
    assert torch.allclose(done.noisy[..., ::2, ::2, ::2], given["noisy_stride2"], atol=1e-4, rtol=0)
    assert torch.allclose(done.output[..., ::2, ::2, ::2], given["model_output_stride2"], atol=5e-5, rtol=0)
    assert float(done.loss.detach()) == pytest.approx(float(wanted["loss"]), abs=1e-5)
    norm = torch.nn.utils.clip_grad_norm_(unet.parameters(), 1e9)
    assert float(norm) == pytest.approx(float(wanted["grad_norm"]), rel=1e-4)
    run = Run(steps=int(wanted["lr_total_iters"]), learning_rate=float(wanted["lr_initial"]))
    optimiser = torch.optim.Adam(unet.parameters(), lr=learning_rate(run, 0))
    before = unet.out[2].conv.weight.detach().clone()
    optimiser.step()
    assert torch.allclose(unet.out[2].conv.weight - before, given["out_conv_weight_delta"], atol=2e-6, rtol=0)
    assert learning_rate(run, 1) == pytest.approx(float(wanted["lr_after_one_step"]), abs=1e-12)
    assert from_model_def(case.config["model_def"], case.config["text_encoder"]) == case.sizes


def test_a_dropped_report_is_zeros_and_the_others_stay() -> None:
    sizes = checked(UNetSizes, tiny_runs.UNET, "tiny")
    torch.manual_seed(0)
    unet = UNet(sizes)
    clean, noise = torch.randn(2, 2, 8, 8, 4), torch.randn(2, 2, 8, 8, 4)
    context, spacing, uniform = torch.randn(2, 1, 6), torch.ones(2, 3), torch.tensor([0.3, 0.6])

    def output(told: torch.Tensor, dropped: list[bool]) -> torch.Tensor:
        return text2ct_unet.flow_step(unet, clean, told, spacing, uniform, noise, torch.tensor(dropped)).output

    both, one = output(context, [False, False]), output(context, [True, False])
    assert not torch.allclose(both[0], one[0])
    assert torch.equal(both[1], one[1])
    assert torch.equal(one[0], output(torch.stack([torch.zeros(1, 6), context[1]]), [False, False])[0])


def test_finished_weights_hear_a_plain_report_as_loudly_as_they_learned_it() -> None:
    sizes = checked(UNetSizes, tiny_runs.UNET, "tiny")
    learning = text2ct_unet.UNetTurn(UNet(sizes), 1.0, FlowLoss(loud=True))
    (weights,) = learning.finished(learning.state_dict())
    finished = UNet(sizes)
    finished.load_state_dict(weights.tensors)
    x, report = torch.randn(2, *tiny_runs.LATENT), torch.randn(2, 1, 6)
    others = (torch.ones(2, 3), torch.ones(2, dtype=torch.long))
    learned = learning.unet(x, torch.full((2,), 300.0), report * 6 ** 0.5, *others)
    assert torch.allclose(finished(x, torch.full((2,), 300.0), report, *others), learned, atol=1e-5)
    assert not torch.allclose(learning.unet(x, torch.full((2,), 300.0), report, *others), learned, atol=1e-3)


def test_a_finding_counts_more_where_it_was_drawn_and_its_report_is_told() -> None:
    unet = UNet(checked(UNetSizes, tiny_runs.UNET, "tiny"))
    batch = {"latent": torch.randn(2, *tiny_runs.LATENT), "noise": torch.randn(2, *tiny_runs.LATENT),
             "context": torch.randn(2, 1, 6), "spacing": torch.ones(2, 3), "uniform": torch.tensor([0.3, 0.6]),
             "dropped": torch.tensor([False, True]), "marked": torch.zeros(2, 1, *tiny_runs.LATENT[1:])}
    batch["marked"][:, :, :2] = 0.5

    def loss(finding: float) -> float:
        return float(text2ct_unet.UNetTurn(unet, 1.0, FlowLoss(finding=finding))(batch, 0)["loss"].detach())

    told = {name: tensor[:1] for name, tensor in batch.items()}
    step = text2ct_unet.flow_step(unet, *(told[name] for name in ("latent", "context", "spacing", "uniform", "noise",
                                                                  "dropped")))
    off = (step.output - (told["latent"] - told["noise"])).abs().detach()
    there, mirrored = float(off[:, :, :2].mean()), float(off[:, :, -2:].mean())
    assert loss(8.0) - loss(0.0) == pytest.approx(8 * 0.5 * (there + mirrored) / 2 / 4, rel=1e-4)


def test_usual_places_count_more_in_every_example_and_on_both_sides(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    marked = np.zeros((1, *tiny_runs.LATENT[1:]), np.float32)
    marked[:, 0] = 0.25
    rows = [{"latent": np.ones(tiny_runs.LATENT, np.float32), "context": np.ones((1, 6), np.float32),
             "spacing": np.ones(3, np.float32), "marked": marked * (n % 2)} for n in range(4)]
    write_shards(folder, rows, 4)
    places = text2ct_unet.usual_places(text2ct_unet.LatentExamples(folder, 0, "train", 0.0), 4)
    assert places[:, [0, -1]].unique().tolist() == [1.0]
    assert places[:, 1:-1].unique().tolist() == [0.0]
    unet = UNet(checked(UNetSizes, tiny_runs.UNET, "tiny"))
    batch = {"latent": torch.randn(1, *tiny_runs.LATENT), "noise": torch.randn(1, *tiny_runs.LATENT),
             "context": torch.randn(1, 1, 6), "spacing": torch.ones(1, 3), "uniform": torch.tensor([0.3]),
             "dropped": torch.tensor([True]), "marked": torch.zeros(1, 1, *tiny_runs.LATENT[1:])}
    plain, weighted = (float(text2ct_unet.UNetTurn(unet, 1.0, FlowLoss(usual=usual), places)(batch, 0)["loss"].detach())
                       for usual in (0.0, 8.0))
    step = text2ct_unet.flow_step(unet, *(batch[name] for name in ("latent", "context", "spacing", "uniform", "noise",
                                                                   "dropped")))
    off = (step.output - (batch["latent"] - batch["noise"])).abs().detach()
    assert weighted - plain == pytest.approx(8 * float((off * places).mean()), rel=1e-4)


def test_a_unet_that_begins_with_a_file_says_what_that_file_says(tmp_path: Path) -> None:
    first = tiny_runs.recipe("unet", tmp_path / "first", tiny_runs.written_latents(tmp_path / "latents"), steps=2)
    assert isinstance(first, UNetRecipe)
    loud = replace(first, loss=FlowLoss(loud=True))
    tiny_runs.run(loud)
    file = tmp_path / "first" / "unet.safetensors"
    finished = load_unet(ModelSizes(unet=first.model), file)[0].float()
    again = text2ct_unet.UNetTurn(text2ct_unet.begun(replace(loud, begin=str(file))), 1.0, loud.loss)
    (exported,) = again.finished(again.state_dict())
    for name, tensor in finished.state_dict().items():
        assert torch.allclose(exported.tensors[name], tensor, atol=1e-6)


def test_every_tenth_report_is_dropped_and_never_a_held_out_one(tmp_path: Path) -> None:
    folder = tiny_runs.written_latents(tmp_path)
    train = text2ct_unet.LatentExamples(folder, 0, "train", 0.1)
    assert 60 < sum(bool(train[n]["dropped"]) for n in range(1000)) < 140
    assert not any(text2ct_unet.LatentExamples(folder, 0, "held-out", 0.0)[n]["dropped"] for n in range(100))


def test_the_kl_term_is_that_of_two_normal_distributions() -> None:
    from torch.distributions import Normal, kl_divergence

    mean, deviation = torch.randn(4, 5), torch.rand(4, 5) + 0.1
    wanted = kl_divergence(Normal(mean, deviation), Normal(torch.zeros(4, 5), torch.ones(4, 5))).mean()
    assert float(text2ct_vae.kl(mean, deviation)) == pytest.approx(float(wanted), rel=1e-5)


def test_an_error_in_a_finding_costs_what_the_recipe_says() -> None:
    image = torch.zeros(1, 1, 8, 8, 8)
    lungs, marked = torch.zeros_like(image, dtype=torch.bool), torch.zeros_like(image, dtype=torch.bool)
    batch = {"image": image, "noise": torch.zeros(1, 2, 4, 4, 4), "lungs": lungs, "marked": marked}
    torch.manual_seed(0)
    turn = text2ct_vae.CoderTurn(VAE(checked(VAESizes, tiny_runs.VAE, "tiny")), None, CoderLoss(lung=3.0, finding=8.0))
    plain = float(turn(batch, 0)["voxels"].detach())
    assert float(turn({**batch, "lungs": ~lungs}, 0)["voxels"].detach()) == pytest.approx(4 * plain, rel=1e-5)
    both = turn({**batch, "lungs": ~lungs, "marked": ~marked}, 0)
    assert float(both["voxels"].detach()) == pytest.approx(12 * plain, rel=1e-5)


def test_a_window_sees_what_lies_between_its_ends() -> None:
    image = (torch.tensor([-1000.0, -20.0, 30.0, 80.0, 900.0]) + 1000) / 2000
    seen = text2ct_vae.windowed(image.reshape(1, 1, 5, 1, 1), [(-20.0, 80.0), (-1000.0, -800.0)])
    assert seen[0, :, :, 0, 0].tolist() == [pytest.approx([0, 0, 0.5, 1, 1], abs=1e-5),
                                            pytest.approx([0, 1, 1, 1, 1], abs=1e-5)]


def test_shares_are_the_means_of_cells_and_levels_draw_the_first_channels_to_them() -> None:
    torch.manual_seed(0)
    vae = VAE(checked(VAESizes, tiny_runs.VAE, "tiny"))
    image = torch.rand(1, 1, 8, 8, 8)
    batch = {"image": image, "noise": torch.zeros(1, 2, 4, 4, 4),
             "lungs": torch.zeros_like(image), "marked": torch.zeros_like(image)}
    windows = ((-1000.0, 1000.0), (-200.0, 200.0))
    vae.requires_grad_(False)
    parts = text2ct_vae.CoderTurn(vae, None, CoderLoss(windows=windows, windowed=0.5, shares=2.0, levels=3.0))(batch, 0)
    plain = text2ct_vae.CoderTurn(vae, None, CoderLoss())(batch, 0)
    assert float(parts["loss"]) == pytest.approx(float(
        plain["loss"] + 0.5 * parts["windowed"] + 2 * parts["shares"] + 3 * parts["levels"]), rel=1e-5)
    cells = text2ct_vae.windowed(image, windows).reshape(1, 2, 4, 2, 4, 2, 4, 2).mean((3, 5, 7))
    off = vae.encode(image)[0] - text2ct_vae.LEVEL_REACH * (2 * cells - 1)
    assert float(parts["levels"]) == pytest.approx(float(off.square().mean()), rel=1e-4)


def test_the_coder_moves_against_the_critic_without_changing_it() -> None:
    torch.manual_seed(0)
    vae, critic = VAE(checked(VAESizes, tiny_runs.VAE, "tiny")), text2ct_vae.Critic(2)
    batch = {"image": torch.rand(1, 1, 16, 16, 16), "noise": torch.zeros(1, 2, 8, 8, 8),
             "lungs": torch.zeros(1, 1, 16, 16, 16), "marked": torch.zeros(1, 1, 16, 16, 16)}
    coder = text2ct_vae.CoderTurn(vae, critic, CoderLoss(adversarial=1.0, adversarial_from=5))
    assert "fooled" not in coder(batch, 4)
    coder(batch, 5)["fooled"].backward()
    assert all(p.grad is None for p in critic.parameters())
    assert sum(float(p.grad.abs().sum()) for p in vae.decoder.parameters()) > 0
    vae.zero_grad()
    text2ct_vae.CriticTurn(critic, vae, CoderLoss())(batch, 5)["loss"].backward()
    assert all(p.grad is None for p in vae.parameters())
    assert any(float(p.grad.abs().sum()) > 0 for p in critic.parameters())


def test_matching_pairs_are_the_cheapest() -> None:
    told = torch.nn.functional.normalize(torch.randn(5, 8), dim=1)
    scale = torch.tensor(3.0)
    right, wrong = (float(text2ct_clip.contrast(told, shown, scale)) for shown in (told, told.roll(1, 0)))
    assert right < 0.5 < wrong
    logits = scale.exp() * told @ told.roll(1, 0).T
    by_hand = -(logits.log_softmax(1).diag().mean() + logits.log_softmax(0).diag().mean()) / 2
    assert wrong == pytest.approx(float(by_hand), rel=1e-5)


def test_facts_name_kind_side_lobe_and_size() -> None:
    told = data.facts([Finding("pleural_effusion", side="bilateral", severity="large"),
                       Finding("lung_nodule", lobe=("RUL",), size_mm=18.0)])
    assert told.shape == (data.FACTS,)
    assert int(told.sum()) == 8
    assert int(data.facts([]).sum()) == 0


def test_what_does_not_fit_together_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    shards, cts = tiny_runs.written_latents(tmp_path / "shards", 4), tiny_runs.written_cts(tmp_path / "cts", 2)

    def changed(task: str, place: Path, **tables: dict[str, Any]) -> Any:
        recipe = tiny_runs.recipe(task, tmp_path / "out", place)
        from dataclasses import replace
        return replace(recipe, **{name: replace(getattr(recipe, name), **table) for name, table in tables.items()})

    with pytest.raises(BadInput, match="the model wants 3 channels"):
        task_of(changed("unet", shards, model={"in_channels": 3}))
    with pytest.raises(BadInput, match="holds no shards"):
        task_of(tiny_runs.recipe("unet", tmp_path / "out", tmp_path / "cts"))
    with pytest.raises(BadInput, match="The crop"):
        task_of(changed("vae", cts, data={"crop": (64, 16, 16)}))
    with pytest.raises(BadInput, match="nothing to learn"):
        task_of(changed("text", cts, loss={"contrast": 0.0, "findings": 0.0}))
    with pytest.raises(BadInput, match="vision tower sees"):
        task_of(changed("text", cts, data={"shape": (32, 16, 16)}))
    with pytest.raises(BadInput, match="only the task 'unet'"):
        task_of(changed("vae", cts, data={"source": "shards"}))
    assert isinstance(tiny_runs.recipe("unet", tmp_path, shards), UNetRecipe)
    assert json.loads((cts.parent / "list.jsonl").read_text().splitlines()[0])["image"] == "0.nii.gz"
