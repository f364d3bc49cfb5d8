"""The step cache: a UNet asked with what its lower levels said an evaluation ago. It changes the picture.

From one step to the next the deep features, which say what is where, change little, and the
shallow ones, which say where edges lie, change much. So in some evaluations only the first
levels are computed, on the way down and on the way up, and between them stands what the deeper
levels gave the last time. What is kept is one tensor for each kind of question (with the
report, without it, both in one batch): the way up as it enters the shallow levels.

Evaluations are counted. At every `every`-th all that is kept is forgotten, so that a run can be
taken up there from the sample alone and ends in the same voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from ..engines.text2ct.unet import UNet


class DeepFeatures:
    """The velocity of `unet`, its levels from `shallow` on computed in one of `every` evaluations."""

    def __init__(self, unet: UNet, every: int, shallow: int = 1) -> None:
        if every < 1 or not 1 <= shallow < len(unet.down_blocks):
            raise ValueError(f"every {every} and shallow {shallow} do not fit a UNet of {len(unet.down_blocks)} levels")
        self._unet, self._every, self._shallow = unet, every, shallow
        self._evaluation = 0
        self._kept: dict[tuple[int, ...], Tensor] = {}

    def next_evaluation(self) -> None:
        """To be called before each evaluation, which may ask the network once or twice."""
        if self._evaluation % self._every == 0:
            self._kept.clear()
        self._evaluation += 1

    def __call__(self, about: Sequence[Tensor], x: Tensor, times: Tensor, context: Tensor, spacing: Tensor,
                 labels: Tensor) -> Tensor:
        """`about` are the contexts that this question is about; each question has features of its own."""
        unet, shallow = self._unet, self._shallow
        signal = unet.signal(times, spacing, labels)
        h = unet.conv_in(x)
        kept = [h]
        for down in unet.down_blocks[:shallow]:
            h, more = down(h, signal, context)
            kept += more
        question = tuple(id(one) for one in about)
        if question in self._kept:
            kept.pop()  # what was to go down
        else:
            self._kept[question] = self._deep(h, kept, signal, context)
        h = self._kept[question]
        for up in unet.up_blocks[-shallow:]:
            h = up(h, kept, signal, context)
        return cast(Tensor, unet.out(h))

    def _deep(self, h: Tensor, kept: list[Tensor], signal: Tensor, context: Tensor) -> Tensor:
        """The deeper levels; of `kept` they leave what the shallow ones need."""
        for down in self._unet.down_blocks[self._shallow:]:
            h, more = down(h, signal, context)
            kept += more
        h = self._unet.middle_block(h, signal, context)
        for up in self._unet.up_blocks[:-self._shallow]:
            h = up(h, kept, signal, context)
        return h
