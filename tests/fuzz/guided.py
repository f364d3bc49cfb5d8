"""Coverage-guided fuzzing of the volume and checkpoint readers with atheris; optional.

    pip install atheris
    python tests/fuzz/guided.py -runs=200000 -max_len=4096

Atheris looks at which lines of the readers a damaged file reaches and keeps those that
reach new ones, so it digs deeper than the random harnesses beside it. It exists for
fewer Python versions than we support, hence not part of the tests.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["text2ct.formats", "text2ct.weights", "text2ct.plain"]):
    from text2ct.errors import Text2CTError
    from text2ct.formats.files import read_ct, read_layers, stamp_of
    from text2ct.weights.checkpoint import open_checkpoint

from fuzz_volumes import seeds

FILE = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)) / "case"


def one_input(data: bytes) -> None:
    """Every reader on the same bytes: a result or a sentence."""
    FILE.write_bytes(data)
    for reader in (read_ct, read_layers, stamp_of, open_checkpoint):
        try:
            reader(FILE)
        except Text2CTError as error:
            assert str(error).strip()
            assert "\n" not in str(error)


def main() -> None:
    """Start from valid files, so that the first byte is not all there is to find."""
    corpus = Path(tempfile.mkdtemp())
    for name, data in seeds():
        (corpus / name).write_bytes(data)
    atheris.Setup([*sys.argv, str(corpus)], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
