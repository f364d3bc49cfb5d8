"""Training of the text tower: a report lies close to its own CT and far from those of others.

As published, the two towers learn together from the pairs of a batch: the right partner
among all, from the report to the CT and back. The batch is that of all processes, so that
their number does not change the lesson. A small tower trained on few pairs learns the words
faster when it is also asked what the report states, so there is a second loss for that;
with the first at 0 no CT is drawn at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from text2ct.engines.text2ct.config import TextSizes
from text2ct.engines.text2ct.intensity import HIGH_HU, LOW_HU
from text2ct.engines.text2ct.prompt import as_trained
from text2ct.engines.text2ct.standard_words import lexicon, word_ids
from text2ct.engines.text2ct.text import TextTower
from text2ct.engines.text2ct.tokenizer import tokens
from text2ct.engines.text2ct.vision import VisionModel, VisionSizes, VisionTower
from text2ct.errors import BadInput

from .data import FACTS, Batch, Examples, Studies, facts, studies
from .ranks import all_rows
from .recipe import Data, TextLoss, TextRecipe
from .turns import State, Task, Turn, Weights, part

_FIRST_TEMPERATURE = 0.07
_MOST = math.log(100.0)
_UNUSED = ("null_kv", "context_norm")  # in the published layout, but in no sum


class LearningVision(VisionModel):
    """The tower as it learns: patches become codebook entries but learn as if not, or stay as they are."""

    def __init__(self, sizes: VisionSizes, codebook: bool) -> None:
        super().__init__(sizes)
        self.with_codebook = codebook

    def quantised(self, tokens: Tensor) -> Tensor:
        if not self.with_codebook:
            return tokens
        return tokens + (super().quantised(tokens) - tokens).detach()


class TextTurn(Turn):
    """Both towers with the temperature between them, and the questions about findings."""

    def __init__(self, recipe: TextRecipe) -> None:
        super().__init__()
        self.weights_of_loss: TextLoss = recipe.loss
        self.text = TextTower(recipe.model)
        embeddings = self.text.text_model.embeddings
        nn.init.normal_(embeddings.token_embedding.weight, std=0.02)  # as CLIP began
        nn.init.normal_(embeddings.position_embedding.weight, std=0.01)
        self.vision = _vision(recipe) if recipe.loss.contrast else None
        if self.vision is not None:
            self.logit_scale = nn.Parameter(torch.tensor(-math.log(_FIRST_TEMPERATURE)))
        self.questions = nn.Linear(recipe.model.projection, FACTS) if recipe.loss.findings else None

    def forward(self, batch: Batch, step: int) -> dict[str, Tensor]:
        told = self.text(batch["ids"])[:, 0].float()
        parts: dict[str, Tensor] = {}
        loss = told.new_zeros(())
        if self.vision is not None:
            shown = self.vision(batch["hu"])[:, 0].float()
            parts["contrast"] = contrast(told, shown, self.logit_scale)
            loss = loss + self.weights_of_loss.contrast * parts["contrast"]
        if self.questions is not None:
            # the vector has length one; its numbers are brought to the size of one each
            answers = self.questions(told * math.sqrt(told.shape[1])).float()
            wrong = functional.binary_cross_entropy_with_logits(answers, batch["facts"], reduction="none")
            parts["findings"] = wrong.sum(dim=1).mean()
            loss = loss + self.weights_of_loss.findings * parts["findings"]
        return {"loss": loss, **parts}

    def after_step(self) -> None:
        if self.vision is not None:
            with torch.no_grad():
                self.logit_scale.clamp_(0.0, _MOST)

    def finished(self, state: State) -> list[Weights]:
        """The text tower as its published file names it; generation needs nothing else of this module."""
        return [Weights("clip3d", {f"model.{name}": tensor for name, tensor in part(state, "text.").items()})]


def contrast(told: Tensor, shown: Tensor, logit_scale: Tensor) -> Tensor:
    """How surprised this process's reports are by their CTs among all, and its CTs by their reports."""
    first = torch.distributed.get_rank() * len(told) if torch.distributed.is_initialized() else 0
    right = torch.arange(first, first + len(told), device=told.device)
    scale = logit_scale.exp()
    from_text = functional.cross_entropy(scale * told @ all_rows(shown).T, right)
    from_image = functional.cross_entropy(scale * shown @ all_rows(told).T, right)
    return (from_text + from_image) / 2


def _vision(recipe: TextRecipe) -> VisionTower:
    sizes = recipe.vision
    tower = VisionTower(sizes)
    tower.vision_model = LearningVision(sizes, recipe.loss.codebook == "fixed")
    nn.init.normal_(cast(Tensor, tower.vision_model.codebook))
    for name, parameter in tower.named_parameters():
        if any(unused in name for unused in _UNUSED):
            parameter.requires_grad_(False)
    return tower


class PairExamples(Examples):
    """Reports as token numbers with what they state, and their CTs in HU where these are wanted."""

    def __init__(self, source: Studies, recipe: TextRecipe) -> None:
        self.source, self.with_ct = source, bool(recipe.loss.contrast)
        self.ids = reader(recipe.data, recipe.model)

    def __getitem__(self, index: int) -> Batch:
        if not self.with_ct:
            report, findings = self.source.words(index)
            return {"ids": self.ids(report), "facts": facts(findings)}
        study = self.source.study(index)
        return {"ids": self.ids(study.report), "facts": facts(study.findings),
                "hu": study.image * (HIGH_HU - LOW_HU) + LOW_HU}


def reader(data: Data, sizes: TextSizes) -> Callable[[str], Tensor]:
    """What makes of a report the numbers that the text tower reads: standard words, or all under two headings."""
    words = lexicon(data.drawn)
    if data.words == "standard" and (sizes.vocabulary, sizes.end) != (len(words) + 3, len(words) + 2):
        raise BadInput(f"The standard words of these kinds are {len(words)}; set the text tower's vocabulary to "
                       f"{len(words) + 3} and its end to {len(words) + 2}.")

    def ids(report: str) -> Tensor:
        numbers = word_ids(report, words, sizes.length) if data.words == "standard" \
            else tokens(as_trained(report), sizes.length).ids
        return torch.tensor(numbers, dtype=torch.long)

    return ids


def text_task(recipe: TextRecipe) -> Task:
    _check(recipe)
    return Task({"towers": TextTurn(recipe)}, PairExamples(studies(recipe.data, "train"), recipe),
                PairExamples(studies(recipe.data, "held-out"), recipe))


def _check(recipe: TextRecipe) -> None:
    if not recipe.loss.contrast and not recipe.loss.findings:
        raise BadInput("The text tower has nothing to learn: give [loss] contrast or findings a weight above 0.")
    vision, (x, y, z) = recipe.vision, recipe.data.shape
    if recipe.loss.contrast and ((x, y) != (vision.image, vision.image) or z % vision.slab or x % vision.patch):
        raise BadInput(f"The vision tower sees {vision.image} x {vision.image} voxels and slabs of {vision.slab}; "
                       f"the CTs have {x} x {y} x {z}. Change [data] shape or [vision].")
    if recipe.loss.contrast and vision.projection != recipe.model.projection:
        raise BadInput("The two towers must end in vectors of one length; make the projection of [vision] and "
                       "[model] the same.")
