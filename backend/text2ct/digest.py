"""One hash for the voxels of a volume, the same in every file format.

Formats store axes in different orders (DICOM always as LPS slices). The digest is
taken over the volume turned to RAS, so a file converted there and back keeps it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from .volume import Volume


def voxel_digest(volume: Volume) -> str:
    """sha256 of kind, shape and little-endian voxels in RAS order."""
    voxels = volume.reoriented("RAS").voxels
    wide = voxels.dtype.newbyteorder("<") if voxels.dtype == np.int16 else np.dtype("<u2")
    sha = hashlib.sha256(f"{type(volume).__name__} {voxels.shape}".encode())
    for slab in voxels:
        sha.update(np.ascontiguousarray(slab, dtype=wide).data)
    return sha.hexdigest()


def layers_digest(layers: Sequence[Volume]) -> str:
    """The digest of several volumes in their order; of a single one, its own."""
    digests = [voxel_digest(layer) for layer in layers]
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
