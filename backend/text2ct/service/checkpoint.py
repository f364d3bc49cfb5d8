"""The state of a sampler in a file, so that a job whose worker died goes on from there.

What goes on must end in the same voxels as if nothing had happened. The file therefore
begins with a hash over its content, the request and the version of this package: a file
that is cut, of another request or of another release is not used, and the job starts
anew.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from .. import __version__
from ..formats.atomic import replacing


def write(path: Path, state: bytes, request: str) -> None:
    """Keep `state`; the file before it stays until this one is whole."""
    with replacing(path) as temporary, temporary.open("wb") as stream:
        stream.write(_seal(state, request))
        stream.write(state)


def read(path: Path, request: str) -> bytes | None:
    """The state kept for this request, if there is one and it is whole."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    seal, state = content[:32], content[32:]
    return state if seal == _seal(state, request) else None


def _seal(state: bytes, request: str) -> bytes:
    sha = hashlib.sha256(f"{__version__}\0{len(request)}\0{request}\0".encode())
    sha.update(state)
    return sha.digest()
