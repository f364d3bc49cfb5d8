"""Tensors as descriptions: a kind of number, a shape, and where in a file the bytes stand.

Everything about a checkpoint is judged on these small values, before any memory is
taken for the numbers themselves.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO

import numpy as np

from ..errors import WeightsError

CHUNK = 4 << 20
MAX_DIMENSIONS = 16
MAX_SIZE = 1 << 40
MAX_GATHERED = 512 << 20
_CUT = "The file ends in the middle of a tensor; it was cut off or changed while being read."


@dataclass(frozen=True)
class NumberType:
    """One kind of number: its names in torch and in safetensors, its bytes, and its family."""

    name: str
    code: str
    bytes: int
    family: str
    layout: str = ""


NUMBER_TYPES = (
    NumberType("float32", "F32", 4, "float", "f"), NumberType("float64", "F64", 8, "float", "d"),
    NumberType("float16", "F16", 2, "float", "e"), NumberType("bfloat16", "BF16", 2, "float"),
    NumberType("int64", "I64", 8, "integer", "q"), NumberType("int32", "I32", 4, "integer", "i"),
    NumberType("int16", "I16", 2, "integer", "h"), NumberType("int8", "I8", 1, "integer", "b"),
    NumberType("uint8", "U8", 1, "integer", "B"), NumberType("uint16", "U16", 2, "integer", "H"),
    NumberType("uint32", "U32", 4, "integer", "I"), NumberType("uint64", "U64", 8, "integer", "Q"),
    NumberType("bool", "BOOL", 1, "truth", "?"),
)
BY_NAME = {kind.name: kind for kind in NUMBER_TYPES}
BY_CODE = {kind.code: kind for kind in NUMBER_TYPES}


@dataclass(frozen=True)
class TensorRef:
    """A tensor in a file. `start` and `room` are the bytes of its storage; `offset` and `stride` count elements."""

    kind: NumberType
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    start: int
    room: int

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes of its numbers."""
        return self.elements * self.kind.bytes

    @property
    def contiguous(self) -> bool:
        return self.elements == 0 or all(
            size == 1 or step == expected
            for size, step, expected in zip(self.shape, self.stride, row_major(self.shape), strict=True))

    def judge(self, name: str) -> None:
        """Refuse a tensor that claims numbers which its storage does not hold."""
        held = self.room // self.kind.bytes
        if self.elements == 0:
            if self.offset > held:
                raise WeightsError(f"The tensor {name} begins outside its storage; the file is damaged or forged.")
            return
        last = self.offset + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))
        if last >= held:
            raise WeightsError(f"The tensor {name} of shape {list(self.shape)} reaches outside its storage of {held} "
                               "numbers; the file is damaged or forged.")
        if self.elements > held or self._repeats():
            raise WeightsError(f"The tensor {name} of shape {list(self.shape)} counts the same numbers several times; "
                               "save it as a tensor of its own (contiguous) first.")
        if not self.contiguous and (last + 1 - self.offset) * self.kind.bytes > MAX_GATHERED:
            raise WeightsError(f"The tensor {name} is stored transposed and is too large to be turned; "
                               "save it contiguous first.")

    def _repeats(self) -> bool:
        axes = sorted((step, size) for step, size in zip(self.stride, self.shape, strict=True) if size > 1)
        if axes and axes[0][0] == 0:
            return True
        return any((size - 1) * step >= wider for (step, size), (wider, _) in pairwise(axes)) and not self.contiguous

    def chunks(self, file: BinaryIO) -> Iterator[bytes]:
        """The numbers in row order, little-endian, a few megabytes at a time."""
        if self.elements == 0:
            return
        if not self.contiguous:
            yield self._gathered(file)
            return
        file.seek(self.start + self.offset * self.kind.bytes)
        left = self.size
        while left:
            chunk = file.read(min(CHUNK, left))
            if not chunk:
                raise WeightsError(_CUT)
            left -= len(chunk)
            yield chunk

    def _gathered(self, file: BinaryIO) -> bytes:
        unit = self.kind.bytes
        span = (1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))) * unit
        file.seek(self.start + self.offset * unit)
        raw = np.frombuffer(file.read(span), np.dtype(f"V{unit}"))
        if raw.size * unit != span:
            raise WeightsError(_CUT)
        view = np.lib.stride_tricks.as_strided(raw, self.shape, [step * unit for step in self.stride], writeable=False)
        return view.tobytes()

    def number(self, file: BinaryIO) -> float | int | bool | None:
        """The value of a tensor that holds exactly one plain number."""
        if self.elements != 1 or not self.kind.layout:
            return None
        value: float | int | bool = struct.unpack("<" + self.kind.layout, b"".join(self.chunks(file)))[0]
        return value


def row_major(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of a contiguous tensor."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def whole_numbers(values: object, what: str, limit: int = MAX_SIZE) -> tuple[int, ...]:
    """A shape or a stride as a tuple of sane sizes."""
    if not isinstance(values, (tuple, list)) or len(values) > MAX_DIMENSIONS:
        raise WeightsError(f"The file gives a tensor whose {what} is not a short list of sizes; it is refused.")
    if any(type(value) is not int or not 0 <= value <= limit for value in values):
        raise WeightsError(f"The file gives a tensor with an impossible {what}; it is refused.")
    return tuple(values)
