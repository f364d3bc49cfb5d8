"""CUDA graphs: a UNet evaluation recorded once and then replayed, without Python between its kernels.

A recording reads and writes the same memory each time. So the inputs are copied into tensors
of its own, it is replayed, and its output is copied out. There is one recording for each set
of shapes and kinds of number (a guided step asks about twice as many samples as another), and
only the last few are kept, for each holds the memory of a whole evaluation.

Only `recorded_on_cuda` knows of CUDA; `Replayed` is plain bookkeeping and is tested with a
recorder of another kind. Hooks of modules run while recording and not while replaying, so that
a run is then stopped between steps, not within one; on a GPU a step takes a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

_KEPT = 4
_WARM_UPS = 2  # kernels are chosen and workspaces taken in the first calls, which a recording must not contain


@dataclass(frozen=True)
class Recording:
    """Write into `inputs`, call `replay`, read from `output`."""

    inputs: Sequence[Tensor]
    output: Tensor
    replay: Callable[[], Any]


Function: TypeAlias = Callable[..., Tensor]
Recorder: TypeAlias = Callable[[Function, Sequence[Tensor]], Recording]


def recorded_on_cuda(function: Function, inputs: Sequence[Tensor]) -> Recording:
    """The kernels that the function starts for these inputs, which become the recording's own."""
    with torch.cuda.device(inputs[0].device):
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                function(*inputs)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = function(*inputs)
    return Recording(inputs, output, graph.replay)


class Replayed:
    """A function of tensors on one device, replayed from its recordings."""

    def __init__(self, function: Function, recorder: Recorder = recorded_on_cuda) -> None:
        self._function, self._recorder = function, recorder
        self._recordings: dict[tuple[object, ...], Recording] = {}

    def __call__(self, *inputs: Tensor) -> Tensor:
        key = tuple((one.shape, one.stride(), one.dtype) for one in inputs)
        recording = self._recordings.pop(key, None)
        if recording is None:
            while len(self._recordings) >= _KEPT:
                del self._recordings[next(iter(self._recordings))]
            recording = self._recorder(self._function, [one.clone() for one in inputs])
        self._recordings[key] = recording  # the last used stands last
        for own, given in zip(recording.inputs, inputs, strict=True):
            own.copy_(given)
        recording.replay()
        return recording.output.clone()
