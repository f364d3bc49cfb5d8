"""The state of a sampler after a step, as bytes: taken up again, it ends in the same voxels.

One line of JSON, then the numbers of the latent and, for solvers that look back, of the last
velocity, as little-endian float32. `identity` is a hash over all that shapes the rest of the
way (request, weights, sampler, kind of number, device); a state of another identity is not
taken up.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...diffusion.solvers import Move

_FORMAT = "text2ct sampler state 1"
_MAX_HEADER = 4096


@dataclass(frozen=True)
class SamplerState:
    """After `done` steps."""

    done: int
    move: Move

    def to_bytes(self, identity: str) -> bytes:
        header = {"format": _FORMAT, "identity": identity, "done": self.done, "shape": list(self.move.sample.shape),
                  "length": self.move.length}
        parts = [_raw(self.move.sample), _raw(self.move.velocity)]
        return json.dumps(header).encode() + b"\n" + b"".join(parts)


def read_state(data: bytes, identity: str, shape: tuple[int, ...], steps: int) -> SamplerState | None:
    """The state, or None when these bytes are none for this run."""
    line, _, raw = data[:_MAX_HEADER].partition(b"\n")
    try:
        header = json.loads(line)
        mine = (header["format"], header["identity"], header["shape"]) == (_FORMAT, identity, list(shape))
        done, length = int(header["done"]), float(header["length"])
    except (ValueError, TypeError, KeyError):
        return None
    raw = data[len(line) + 1:]
    count = math.prod(shape)
    if not mine or not 0 < done <= steps or not math.isfinite(length) or len(raw) != 2 * 4 * count:
        return None
    numbers = torch.from_numpy(np.frombuffer(raw, "<f4").astype(np.float32)).reshape(2, *shape)
    return SamplerState(done, Move(numbers[0], numbers[1], length))


def _raw(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().numpy().astype("<f4").tobytes()
