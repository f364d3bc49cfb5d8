"""The training loop: batches to steps to files, the same for every task.

Read it from `train`. A step takes `accumulate` batches; each turn of the task computes its
loss on them, gradients are averaged over the processes (DistributedDataParallel), clipped
if the recipe says so, and the optimiser moves at a rate that is a function of the step.
Then the moving average follows. Between steps a run may save, look at held-out examples, or
be asked to stop: an interrupt is noted, the step ends, the state is saved.

A run that goes on from a state takes the very steps that it would have taken, because all
that a step depends on is the state and the number of its first example.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import default_collate

from text2ct.errors import BadInput, Text2CTError

from . import checkpoint, ranks
from .data import Batch, Turns, batches, moved
from .diary import Diary
from .ranks import Place
from .recipe import Run, TrainingRecipe, differences, settings, validates_on_unseen
from .turns import Task, Turn


@dataclass
class Player:
    """A turn at work: as it is, wrapped for several processes, with its optimiser and its moving average."""

    turn: Turn
    wrapped: nn.Module
    optimiser: torch.optim.Optimizer
    average: dict[str, Tensor]


@dataclass(frozen=True)
class Outcome:
    """How far a run came, and whether it was asked to stop before its end."""

    step: int
    interrupted: bool


def train(task: Task, recipe: TrainingRecipe, place: Place, resume: bool = False) -> Outcome:
    """Run the recipe to its last step, or until an interrupt; its folder then holds what to go on with."""
    run, folder = recipe.run, Path(recipe.out)
    kept = _start(folder, recipe, resume, place)
    players = {name: _player(turn, run, place) for name, turn in task.turns.items()}
    step, seen = (kept.step, kept.seen) if kept else (0, 0)
    if kept:
        _put_back(players, kept)
    with (closing(batches(task.train, run.batch, place, seen, recipe.data.workers)) as stream,
          Diary(folder, place.first) as diary, _interrupts() as asked):
        if run.validate_every and not validates_on_unseen(recipe.data):
            diary.say("No held_out is named in [data]: held-out losses will be of examples that the run learns from.")
        while step < run.steps:
            torch.manual_seed(run.seed + step)  # nothing here draws from it; a network with dropout would
            said = _step(players, list(islice(stream, run.accumulate)), run, place, step)
            step, seen = step + 1, seen + run.batch * run.accumulate * place.count
            last, stop = step == run.steps, ranks.any_of(bool(asked), place)
            save = step % run.save_every == 0 or last or stop
            if save or step % run.log_every == 0:
                diary.write(step, {**_judged(said, step, place), "rate": learning_rate(run, step - 1)})
            if run.validate_every and (step % run.validate_every == 0 or last):
                diary.write(step, _validated(players, task, run, place, step))
            if save:
                _save(folder, players, recipe, place, step, seen)
            if stop and not last:
                return Outcome(step, True)
    if place.first:
        _finish(folder, players, run)
    ranks.all_wait(place)
    return Outcome(step, False)


def learning_rate(run: Run, step: int) -> float:
    """The rate of a step: a linear start, then constant, or down to zero at the end of the run."""
    if step < run.warm_up:
        return run.learning_rate * (step + 1) / run.warm_up
    done = min(1.0, (step - run.warm_up) / max(1, run.steps - run.warm_up))
    factors = {"constant": 1.0, "polynomial": (1 - done) ** 2, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return run.learning_rate * factors[run.schedule]


def _start(folder: Path, recipe: TrainingRecipe, resume: bool, place: Place) -> checkpoint.Kept | None:
    """The state to go on from, if there is one and it is this recipe's."""
    folder.mkdir(parents=True, exist_ok=True)
    ranks.all_wait(place)
    found = checkpoint.states(folder)
    if not found:
        return None
    if not resume:
        raise BadInput(f"{folder} already holds a run; go on with --resume, or give another place as out.")
    kept = checkpoint.load(found[-1])
    changed = differences(kept.settings, settings(recipe))
    if changed:
        raise BadInput(f"The recipe is not the one that {found[-1].name} was made with: {'; '.join(changed[:3])}. "
                       "Undo that, or start a new run in another place.")
    return kept


def _player(turn: Turn, run: Run, place: Place) -> Player:
    turn.to(place.device).train()
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[run.optimiser]
    learned = [parameter for parameter in turn.parameters() if parameter.requires_grad]
    optimiser = kind(learned, lr=run.learning_rate, weight_decay=run.weight_decay)
    average = {name: tensor.detach().clone() for name, tensor in turn.state_dict().items()} \
        if run.average and turn.averaged else {}
    wrapped: nn.Module = turn
    if place.count > 1:
        ids = [place.device.index] if place.device.type == "cuda" else None
        wrapped = DistributedDataParallel(turn, device_ids=ids)
    return Player(turn, wrapped, optimiser, average)


def _step(players: Mapping[str, Player], made: Sequence[Batch], run: Run, place: Place, step: int) -> dict[str, Tensor]:
    """One step of every player whose turn it is; what their losses were."""
    said: dict[str, Tensor] = {}
    for name, player in players.items():
        if not player.turn.active(step):
            continue
        player.optimiser.zero_grad(set_to_none=True)
        for number, batch in enumerate(made):
            with _alone(player.wrapped, number < len(made) - 1):
                with autocast(run, place):
                    losses = player.wrapped(batch, step)
                (losses["loss"] / len(made)).backward()
            for key, value in losses.items():
                total = said.get(f"{name}/{key}")
                share = value.detach() / len(made)
                said[f"{name}/{key}"] = share if total is None else total + share
        if run.clip:
            said[f"{name}/gradient norm"] = nn.utils.clip_grad_norm_(player.turn.parameters(), run.clip)
        _move(player, run, step)
    return said


def _move(player: Player, run: Run, step: int) -> None:
    """The optimiser's step, and the moving average after it; early averages forget faster."""
    for group in player.optimiser.param_groups:
        group["lr"] = learning_rate(run, step) * (player.turn.learning_rate or run.learning_rate) / run.learning_rate
    player.optimiser.step()
    player.turn.after_step()
    decay = min(run.average, (1 + step) / (10 + step))
    with torch.no_grad():
        for name, tensor in player.turn.state_dict().items():
            if name in player.average:
                mean = player.average[name]
                mean.lerp_(tensor, 1 - decay) if mean.is_floating_point() else mean.copy_(tensor)


def autocast(run: Run, place: Place) -> torch.autocast:
    """bfloat16 where it serves, if the recipe says so; the losses are computed in float32."""
    return torch.autocast(place.device.type, torch.bfloat16, enabled=run.precision == "bfloat16")


@contextmanager
def _alone(wrapped: nn.Module, wanted: bool) -> Iterator[None]:
    """No averaging over processes before the last batch of a step."""
    with wrapped.no_sync() if wanted and isinstance(wrapped, DistributedDataParallel) else nullcontext():
        yield


def _judged(said: Mapping[str, Tensor], step: int, place: Place) -> dict[str, float]:
    """The losses over all processes; a loss that is no number ends the run."""
    numbers = ranks.mean({name: float(value) for name, value in said.items()}, place)
    lost = [name for name, value in numbers.items() if not math.isfinite(value)]
    if lost:
        raise Text2CTError(f"{lost[0]} is no longer a number at step {step}; lower the learning rate or clip the "
                           "gradients, and go on from the last state with --resume.")
    return numbers


def _validated(players: Mapping[str, Player], task: Task, run: Run, place: Place, step: int) -> dict[str, float]:
    """The losses on held-out examples, the same ones each time, with the averaged networks where there are."""
    rounds = max(1, run.validation // (run.batch * place.count))
    turns = islice(Turns(0, run.batch, place.rank, place.count), rounds)
    sums: dict[str, float] = {}
    for numbers in turns:
        batch = moved(default_collate([task.held_out[number] for number in numbers]), place.device)
        for name, player in players.items():
            if not player.turn.averaged:
                continue
            with torch.no_grad(), autocast(run, place):
                losses = functional_call(player.turn, player.average, (batch, step))
            for key, value in losses.items():
                sums[f"held-out {name}/{key}"] = sums.get(f"held-out {name}/{key}", 0.0) + float(value) / rounds
    return ranks.mean(sums, place)


def _save(folder: Path, players: Mapping[str, Player], recipe: TrainingRecipe, place: Place, step: int,
          seen: int) -> None:
    if place.first:
        state = {name: {"network": player.turn.state_dict(), "average": player.average,
                        "optimiser": player.optimiser.state_dict()} for name, player in players.items()}
        checkpoint.save(folder, checkpoint.Kept(step, seen, settings(recipe), state), recipe.run.keep)
    ranks.all_wait(place)


def _put_back(players: Mapping[str, Player], kept: checkpoint.Kept) -> None:
    for name, player in players.items():
        state: Mapping[str, Any] = kept.players[name]
        player.turn.load_state_dict(state["network"])
        player.optimiser.load_state_dict(state["optimiser"])
        for key, tensor in player.average.items():
            tensor.copy_(state["average"][key])


def _finish(folder: Path, players: Mapping[str, Player], run: Run) -> None:
    """The finished networks as files that the engine reads."""
    for player in players.values():
        for weights in player.turn.finished(player.average or player.turn.state_dict()):
            metadata = {name: repr(value) for name, value in weights.values.items()}
            checkpoint.export(folder / f"{weights.name}.safetensors", weights.tensors, metadata, run.export)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that is empty until someone asks this process to stop."""
    asked: list[int] = []
    old = {number: signal.signal(number, lambda got, _: asked.append(got))
           for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
