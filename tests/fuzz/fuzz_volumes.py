"""Damaged volume files through every reader: only sentences may come out, and little memory go in.

    python tests/fuzz/fuzz_volumes.py --cases 110000 --seed 1

Each case takes a small valid file (NIfTI-1 and -2, packed or not; NRRD raw, packed, with
layers) and damages it: bits, bytes, lengths, numbers in headers, pieces cut, doubled or
swapped. For packed files the damage is done inside as well. A reader may succeed or
raise a Text2CTError with one sentence; anything else ends the run.
"""

from __future__ import annotations

import argparse
import gzip
import random
import re
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from peak import peak_bytes

from text2ct.errors import Text2CTError
from text2ct.formats import nifti, nrrd, seg_nrrd
from text2ct.formats.files import format_of, read_ct, read_layers, stamp_of
from text2ct.provenance import Provenance, Stamp
from text2ct.volume import CTVolume, LabelVolume, Segment

WILD = [b"\0\0", b"\xff\xff", b"\x7f\xff", b"\xff\x7f", b"\x80\0", b"\0\x80", b"\0\0\x80\x7f", b"\0\0\xc0\x7f",
        b"\xff\xff\xff\x7f", b"nan", b"-1", b"99999999999999999999", b"1e999", b"4096", b"\n\n", b": ", b":=", b"none"]
NIFTI_FIELDS = (0, 40, 42, 44, 46, 48, 70, 72, 76, 80, 84, 108, 112, 116, 252, 254, 256, 268, 280, 296, 344, 348)


def seeds() -> list[tuple[str, bytes]]:
    """Valid small files of every kind, with their names."""
    ct = CTVolume(np.arange(60, dtype=np.int16).reshape(3, 4, 5) - 1000, np.diag([-1.0, -1, 2, 1]))
    labels = LabelVolume(np.arange(60, dtype=np.uint8).reshape(3, 4, 5) % 3, ct.affine,
                         (Segment(1, "lung", (1, 0, 0), "l"), Segment(2, "heart", (0, 1, 0), "h")), "organs")
    stamp = Stamp.of(Provenance("phantom", "generate", 1), ct, "ct").to_json()
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("a.nii", "a.nii.gz"):
            nifti.write(ct, folder / file, comment=f"text2ct_provenance:{stamp}", description="SYNTHETIC")
        nifti.write(labels, folder / "l.nii.gz")
        nrrd.write(ct, folder / "a.nrrd", {"text2ct_provenance": stamp})
        seg_nrrd.write([labels], folder / "a.seg.nrrd")
        seg_nrrd.write([labels, labels], folder / "b.seg.nrrd")
        found = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    plain = dict(found)["a.nrrd"]
    head, _, packed = plain.partition(b"\n\n")
    raw = head.replace(b"encoding: gzip", b"encoding: raw") + b"\n\n" + zlib.decompress(packed, wbits=31)
    return [*found, ("raw.nrrd", raw)]


def damaged(data: bytes, rng: random.Random) -> bytes:
    """One to six damages to a file."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        if not out:
            break
        at = rng.randrange(len(out))
        kind = rng.randrange(8)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at:at + 1] = rng.randbytes(1)
        elif kind == 2:
            piece = rng.choice(WILD)
            out[at:at + len(piece)] = piece
        elif kind == 3:
            del out[at:at + rng.randint(1, 40)]
        elif kind == 4:
            out[at:at] = rng.choice(WILD)
        elif kind == 5:
            del out[at:]
        elif kind == 6:
            out[at:at] = out[at:at + rng.randint(1, 60)]
        else:
            _change_number(out, rng)
    return bytes(out)


def _change_number(out: bytearray, rng: random.Random) -> None:
    """Another value for a number in a text header, or for a field of a NIfTI header."""
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", bytes(out[:2000])))
    if out[:4] == b"NRRD" and numbers:
        match = rng.choice(numbers)
        out[match.start():match.end()] = rng.choice([b"0", b"-1", b"1", b"7", b"4097", b"1e300", b"999999999", b"x"])
    else:
        at = rng.choice(NIFTI_FIELDS)
        out[at:at + 4] = rng.randbytes(4)


def case_of(name: str, data: bytes, rng: random.Random) -> bytes:
    """A damaged file; packed ones are mostly damaged inside, so that the damage is reached."""
    if rng.random() < 0.7:
        if name.endswith(".gz"):
            return gzip.compress(damaged(gzip.decompress(data), rng), compresslevel=1)
        if name.endswith(".nrrd") and rng.random() < 0.5:
            head, split, rest = data.partition(b"\n\n")
            return damaged(head, rng) + split + rest
    return damaged(data, rng)


def try_readers(path: Path) -> int:
    """Every reader on one file; how many of them read it."""
    read = 0
    readers: list[Callable[[Path], object]] = [format_of, read_ct, read_layers, stamp_of]
    for reader in readers:
        try:
            reader(path)
            read += 1
        except Text2CTError as error:
            said = str(error)
            assert said, reader
            assert "\n" not in said, said
            assert len(said) < 600, said
    return read


def main(cases: int, seed: int) -> int:
    """Run the cases, print how it went, and return how many files were still readable."""
    rng, started, read = random.Random(seed), time.monotonic(), 0
    files = seeds()
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if shm.is_dir() else None) as name:
        for number in range(cases):
            file, data = rng.choice(files)
            path = Path(name) / file
            path.write_bytes(case_of(file, data, rng))
            try:
                read += try_readers(path) > 1
            except BaseException:
                kept = Path(tempfile.gettempdir()) / f"fuzz-{seed}-{number}-{file}"
                kept.write_bytes(path.read_bytes())
                print(f"case {number} of seed {seed} failed; its file is {kept}", file=sys.stderr)
                raise
    seconds = time.monotonic() - started
    peak = peak_bytes()
    print(f"{cases} volume files, {read} of them still readable, {cases / seconds:.0f} a second, "
          f"peak memory {peak / 1e6:.0f} MB")
    return read


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fuzz the volume readers.")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    main(arguments.cases, arguments.seed)
