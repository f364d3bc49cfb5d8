"""What is kept of a run after each step, as bytes, and how a later try of the same request takes it up.

A run has two stages: LMNet draws the mask, LINet paints it. A state holds the sampler's
numbers after a step and all that came before it: the candidates that are finished, or the
mask with what was read and said about it. One line of JSON, then little-endian float32,
then the mask's bits. `identity` is a hash over all that shapes the rest of the way
(request, weights, sampler, kind of number, device); a state of another identity is not
taken up, and that is said.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from ...requests import InsertLesion, Watch, to_json
from .crops import Mask
from .previews import EVERY, Preview
from .report_file import Attributes
from .sampling import Begun, Sampler
from .weight_files import Weights
from .working import Floats

NOT_TAKEN_UP = "The state kept from an earlier try does not fit this run; it was done from the start."
_FORMAT = "text2ct lesion state 1"
_MAX_HEADER = 200_000


@dataclass(frozen=True, eq=False)
class Drawn:
    """A mask on the CT's grid, the attributes as they were read, and notes."""

    mask: Mask
    attributes: Attributes
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class State:
    """After a step: of LMNet, with the candidates `finished` before; or of LINet, when the mask is drawn."""

    begun: Begun
    finished: tuple[Floats, ...] = ()
    drawn: Drawn | None = None

    def to_bytes(self, identity: str) -> bytes:
        arrays = [_array(self.begun.x), _array(self.begun.x0), *(np.asarray(raw, "<f4") for raw in self.finished)]
        header = {"format": _FORMAT, "identity": identity, "done": self.begun.done,
                  "shapes": [list(array.shape) for array in arrays]}
        parts = [array.tobytes() for array in arrays]
        if self.drawn is not None:
            (cut,) = ndimage.find_objects(self.drawn.mask.astype(np.uint8))
            header["drawn"] = {
                "size": list(self.drawn.mask.shape), "low": [s.start for s in cut], "high": [s.stop for s in cut],
                "attributes": [list(pair) for pair in self.drawn.attributes], "notes": list(self.drawn.notes)}
            parts.append(np.packbits(self.drawn.mask[cut]).tobytes())
        return json.dumps(header).encode() + b"\n" + b"".join(parts)


@dataclass(frozen=True, eq=False)
class Trail:
    """A run under a watch: what is kept of it, and the state of an earlier try that it goes on from."""

    watch: Watch
    identity: str = ""
    state: State | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, watch: Watch, request: InsertLesion, weights: Weights, sampler: Sampler) -> Trail:
        if watch.keep is None and watch.resume is None:
            return cls(watch)
        facts = [to_json(request), weights.sha256, sampler.name, str(weights.kind), str(weights.device)]
        identity = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        state = None if watch.resume is None else read_state(watch.resume, identity, len(sampler.plan))
        return cls(watch, identity, state, (NOT_TAKEN_UP,) if watch.resume is not None and state is None else ())

    @property
    def drawing(self) -> State | None:
        """Where LMNet stood."""
        return self.state if self.state is not None and self.state.drawn is None else None

    @property
    def painting(self) -> State | None:
        """Where LINet stood."""
        return self.state if self.state is not None and self.state.drawn is not None else None

    def at(self, stage: str, step: int, total: int, guess: torch.Tensor, shown: Preview) -> None:
        """Tell a step, now and then with a preview of the guess."""
        wanted = self.watch.sink is not None and step % EVERY == 0 and step < total
        self.watch.at(stage, step, total, shown(guess) if wanted else None)

    def keep(self, state: State) -> None:
        if self.watch.keep is not None:
            self.watch.keep(state.to_bytes(self.identity))


def read_state(data: bytes, identity: str, steps: int) -> State | None:
    """The state, or None when these bytes are none for this run."""
    line = data[:data.find(b"\n", 0, _MAX_HEADER) + 1]
    try:
        header = json.loads(line)
        if (header["format"], header["identity"]) != (_FORMAT, identity):
            return None
        shapes = [tuple(int(n) for n in shape) for shape in header["shapes"]]
        arrays, rest = _arrays(data[len(line):], shapes)
        drawn = _drawn(header["drawn"], rest) if "drawn" in header else None
        begun = Begun(int(header["done"]), torch.from_numpy(arrays[0]), torch.from_numpy(arrays[1]))
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return None
    whole = 0 < begun.done <= steps and begun.x.shape == begun.x0.shape and (drawn is not None or not rest)
    return State(begun, tuple(arrays[2:]), drawn) if whole else None


def _arrays(raw: bytes, shapes: list[tuple[int, ...]]) -> tuple[list[Floats], bytes]:
    """Arrays one after the other, and what is left behind them."""
    found, start = [], 0
    for shape in shapes:
        count = math.prod(shape)
        numbers = np.frombuffer(raw, "<f4", count, start)
        found.append(numbers.astype(np.float32).reshape(shape))
        start += 4 * count
    return found, raw[start:]


def _drawn(said: dict[str, Any], bits: bytes) -> Drawn:
    size, low, high = ([int(n) for n in said[key]] for key in ("size", "low", "high"))
    shape = [b - a for a, b in zip(low, high, strict=True)]
    inside = all(0 <= a < b <= n for a, b, n in zip(low, high, size, strict=True))
    if not inside or len(bits) != -(-math.prod(shape) // 8):
        raise ValueError("not the bits of this mask")
    mask = np.zeros(size, bool)
    mask[tuple(map(slice, low, high))] = np.unpackbits(
        np.frombuffer(bits, np.uint8), count=math.prod(shape)).reshape(shape).astype(bool)
    attributes = tuple((str(name), str(value)) for name, value in said["attributes"])
    return Drawn(mask, attributes, tuple(str(note) for note in said["notes"]))


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.detach().cpu().contiguous().numpy().astype("<f4")
