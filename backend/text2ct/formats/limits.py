"""Headers are judged before memory is taken, and values before they become HU.

A header may claim any size. It is believed only when the size is sensible for a CT
and when the file is long enough to hold what it claims; compressed data can grow at
most about a thousandfold, so a small file cannot ask for gigabytes.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..geometry import times

MAX_AXIS = 4096
MAX_VOXELS = 2**29
_DEFLATE_MOST = 1040  # zlib's format cannot expand a byte into more than 1032
_CHUNK = 1 << 20


def check_shape(shape: Sequence[int], what: str) -> tuple[int, int, int]:
    """Three sensible sizes, or a sentence; trailing axes of one are dropped."""
    sizes = [int(n) for n in shape]
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes.pop()
    if len(sizes) > 3:
        raise BadInput(f"{what} has {len(sizes)} axes ({times(sizes)}), it is a time series or a colour image; "
                       "give a single 3D image.")
    if len(sizes) < 3:
        raise BadInput(f"{what} has only {len(sizes)} axes; give a 3D image, not a single slice.")
    check_sizes(sizes, what)
    return (sizes[0], sizes[1], sizes[2])


def check_sizes(sizes: Sequence[int], what: str) -> None:
    """Whether sizes, of any number of axes, are sensible for a CT."""
    if min(sizes) < 1 or max(sizes) > MAX_AXIS or math.prod(sizes) > MAX_VOXELS:
        raise BadInput(f"{what} claims {times(sizes)} voxels; each axis must be 1 to {MAX_AXIS} and all together "
                       f"at most {MAX_VOXELS // 2**20} million, so the file is damaged or no CT.")


def check_payload(needed: int, stored: int, what: str, packed: bool) -> None:
    """Whether `stored` bytes in the file can hold the `needed` bytes that its header claims."""
    if needed > stored * (_DEFLATE_MOST if packed else 1) + (1024 if packed else 0):
        raise BadInput(f"{what} claims {needed} bytes of voxels but holds {stored}; the file is cut off or damaged.")


def unpack_gzip(stream: BinaryIO, size: int, what: str, whole: bool = True) -> bytearray:
    """Exactly `size` bytes from a gzip stream, never taking more memory than that.

    `whole`: read on to the end of the stream, so that its checksum is compared.
    """
    out = bytearray(size)
    filled = 0
    unpacker = zlib.decompressobj(wbits=31)
    try:
        while filled < size:
            packed = unpacker.unconsumed_tail or stream.read(_CHUNK)
            if not packed and not unpacker.unconsumed_tail:
                raise BadInput(f"{what} ends after {filled} of {size} bytes; the file is cut off, fetch it again.")
            piece = unpacker.decompress(packed, size - filled)
            out[filled:filled + len(piece)] = piece
            filled += len(piece)
            if unpacker.eof and filled < size:
                stream.seek(-len(unpacker.unused_data), 1)
                unpacker = zlib.decompressobj(wbits=31)
        surplus = 0
        while whole and not unpacker.eof and surplus < _CHUNK:
            packed = unpacker.unconsumed_tail or stream.read(_CHUNK)
            if not packed:
                raise BadInput(f"{what} is cut off at its very end; fetch it again.")
            surplus += len(unpacker.decompress(packed, _CHUNK))
    except zlib.error:
        raise BadInput(f"{what} is damaged inside its compressed data; fetch it again.") from None
    return out


def whole_hu(values: NDArray[np.generic], what: str, round_values: bool = False) -> NDArray[np.int16]:
    """Values as int16 HU without changing any, unless rounding was asked for."""
    if values.dtype == np.int16:
        return values.astype(np.int16, copy=False)
    if values.dtype.kind not in "iuf":
        raise BadInput(f"{what} holds {values.dtype} values; a CT holds Hounsfield units, give such a file.")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise BadInput(f"{what} holds values that are no numbers (NaN or infinity); repair it first.")
    if low < -32768 or high > 32767:
        raise BadInput(f"{what} holds values from {low:g} to {high:g}, which do not fit 16-bit Hounsfield units; "
                       "check its rescale slope and intercept.")
    if values.dtype.kind == "f":
        whole = np.rint(values)
        if not round_values and not np.array_equal(whole, values):
            raise BadInput(f"{what} holds fractions ({low:g} to {high:g}), not whole Hounsfield units; "
                           "if they are HU, round them with: text2ct convert --round.")
        values = whole
    return values.astype(np.int16)


def whole_labels(values: NDArray[np.generic], what: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Values as uint8 or uint16 labels without changing any."""
    if values.dtype.kind not in "biuf":
        raise BadInput(f"{what} holds {values.dtype} values; labels are whole numbers.")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (math.isfinite(low) and math.isfinite(high)) or low < 0 or high > 65535:
        raise BadInput(f"{what} holds values from {low:g} to {high:g}; labels are whole numbers from 0 to 65535.")
    if values.dtype.kind == "f" and not np.array_equal(np.rint(values), values):
        raise BadInput(f"{what} holds fractions; labels are whole numbers, give a label map.")
    return values.astype(np.uint8) if high < 256 else values.astype(np.uint16)
