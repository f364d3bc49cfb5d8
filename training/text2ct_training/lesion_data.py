"""The examples of the lesion networks: a case, its texts as ids, and the time and noise of its number."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from text2ct.engines.lesiondiffusion.sampling import SCHEDULE
from text2ct.engines.lesiondiffusion.wordpiece import WordPiece
from text2ct.errors import BadInput
from text2ct.report.grammar import Split

from .data import Batch, Examples, dice, noise, turn
from .lesion_lists import listed_lesions
from .lesion_nets import ids_of
from .lesion_settings import LesionCrops, LesionData, LesionLists
from .lesion_shards import DrawnCases, Lesions

Part = Literal["vq", "lmnet", "linet"]
TEXTS = {"lmnet": 7, "linet": 10}
FACTOR = 2  # voxels that one latent of the VQ-GAN spans
_LISTS = {"vq": ("images", "labels"), "lmnet": ("images", "labels", "types", "organs"),
          "linet": ("images", "labels", "types", "organs")}


class LesionExamples(Examples):
    """Examples of one of the networks, in a new order each time round."""

    def __init__(self, lesions: Lesions, part: Part, reads: WordPiece | None, seed: int, split: Split,
                 channels: int = 4) -> None:
        self.lesions, self.part, self.reads, self.seed, self.split = lesions, part, reads, seed, split
        self.channels = channels

    def __getitem__(self, index: int) -> Batch:
        number = self.number(index)
        rng = dice(self.seed, self.split, index)
        if self.part == "lmnet":
            drawn = self.lesions.mask_case(number)
            return {"mask": drawn.mask.float(), "condition": drawn.condition, "ids": self._ids(drawn.texts),
                    "time": torch.tensor(int(rng.integers(len(SCHEDULE)))), "noise": noise(rng, drawn.mask.shape)}
        case = self.lesions.paint_case(number)
        batch = {"image": case.image, "mask": case.mask.float()}
        if self.part == "vq":
            return {**batch, "slice": torch.tensor(int(rng.integers(case.image.shape[1])))}
        return {**batch, "ids": self._ids(case.texts), "time": torch.tensor(int(rng.integers(len(SCHEDULE)))),
                "noise": noise(rng, [self.channels, *(n // FACTOR for n in case.image.shape[1:])])}

    def number(self, index: int) -> int:
        """Which case stands at a place of the endless row."""
        return turn(index, len(self.lesions), self.seed if self.split == "train" else None)

    def _ids(self, texts: list[str]) -> Tensor:
        assert self.reads is not None
        return ids_of(texts, self.reads, TEXTS[self.part])


def lesion_examples(data: LesionData, crops: LesionCrops, part: Part, reads: WordPiece | None, seed: int,
                    channels: int = 4) -> tuple[LesionExamples, LesionExamples]:
    """What to learn from and what is held out (the same, where nothing is)."""
    train = _lesions(data.place, data.lists, crops, part)
    held_out = train
    if data.held_out or data.held_out_lists.images:
        held_out = _lesions(data.held_out, data.held_out_lists, crops, part)
    return (LesionExamples(train, part, reads, seed, "train", channels),
            LesionExamples(held_out, part, reads, seed, "held-out", channels))


def _lesions(place: str, lists: LesionLists, crops: LesionCrops, part: Part) -> Lesions:
    if bool(place) == bool(lists.images):
        raise BadInput("[data] must say where lesions come from: either place, a folder of shards, or [data.lists].")
    return DrawnCases(Path(place), crops) if place else listed_lesions(lists, crops, _LISTS[part])
