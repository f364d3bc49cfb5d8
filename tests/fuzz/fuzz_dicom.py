"""Damages DICOM files in every way we can think of; only our own sentences may come out of the readers.

    python tests/fuzz/fuzz_dicom.py --cases 20000 --seed 1

Each case starts from a small valid object (plain, implicit, big-endian, compressed,
enhanced CT, segmentation), is mutated, and is read beside two slices that are sound.
Anything that is raised but a Text2CTError, and any warning, is a defect; the case is
kept in the temporary folder and its seed said.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from peak import peak_bytes
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from text2ct.errors import Text2CTError
from text2ct.formats.dicom_read import read_series, read_stamp_of_series
from text2ct.formats.dicom_seg import read_seg, write_seg
from text2ct.formats.dicom_write import write_series
from text2ct.provenance import Provenance, Stamp
from text2ct.volume import CTVolume, LabelVolume, Segment

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "formats"))
from dicom_files import enhanced_scan, scan_slice

Mutation = Callable[[bytearray, random.Random], bytearray]
_NUMBERS = (0, 1, 2, 3, 127, 128, 255, 256, 4095, 4096, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
_TEXTS = ("", "0", "-1", "nan", "inf", "1e308", "-1e308", "1e-320", "1\\2", "1\\2\\3", "x", "\\", "\0",
          "1.2.840.10008.1.2", "1.2.840.10008.1.2.5", "1.2.840.10008.5.1.4.1.1.2.1", "RGB", "LOCALIZER",
          "99999999999999999999", "6\\8")


def flip_bytes(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return data


def cut(data: bytearray, rng: random.Random) -> bytearray:
    return data[:rng.randrange(len(data))]


def move_a_piece(data: bytearray, rng: random.Random) -> bytearray:
    start, size, to = rng.randrange(len(data)), rng.randrange(1, 64), rng.randrange(len(data))
    piece = data[start:start + size]
    if rng.random() < 0.5:
        del data[start:start + size]
    data[to:to] = piece * rng.choice((1, 1, 2, 50))
    return data


def lie_about_a_length(data: bytearray, rng: random.Random) -> bytearray:
    """Write a telling number over two or four bytes of the header."""
    place, width = rng.randrange(132, len(data) - 4), rng.choice((2, 4))
    number = rng.choice(_NUMBERS) & (2 ** (8 * width) - 1)
    data[place:place + width] = number.to_bytes(width, rng.choice(("little", "big")))
    return data


def edit_an_element(data: bytearray, rng: random.Random) -> bytearray:
    """Give a known element of an explicit little-endian file another value, its length with it."""
    tags = [b"\x28\0\x10\0", b"\x28\0\x11\0", b"\x28\0\x08\0", b"\x28\0\x00\x01", b"\x28\0\x01\x01", b"\x28\0\x03\x01",
            b"\x28\0\x30\0", b"\x20\0\x32\0", b"\x20\0\x37\0", b"\x28\0\x52\x10", b"\x28\0\x53\x10", b"\x08\0\x08\0",
            b"\x08\0\x16\0", b"\x02\0\x10\0", b"\x28\0\x02\0", b"\x28\0\x04\0", b"\x20\0\x0e\0", b"\x08\0\x05\0"]
    place = data.find(rng.choice(tags), 132)
    if place < 0:
        return flip_bytes(data, rng)
    length = int.from_bytes(data[place + 6:place + 8], "little")
    text = rng.choice(_TEXTS).encode()
    value = rng.choice((text + b" " * (len(text) % 2), rng.choice(_NUMBERS).to_bytes(4, "little")[:2],
                        bytes(rng.randrange(256) for _ in range(length))))
    data[place + 6:place + 8 + length] = len(value).to_bytes(2, "little") + value
    return data


def swap_a_type(data: bytearray, rng: random.Random) -> bytearray:
    """Claim another value representation for some element."""
    kinds = (b"SQ", b"UN", b"OB", b"OW", b"US", b"DS", b"IS", b"UI", b"PN", b"LO", b"UT", b"FD", b"AT", b"ZZ", b"\0\0")
    places = [n for n in range(132, len(data) - 2) if bytes(data[n:n + 2]) in kinds[:13]]
    if places:
        place = rng.choice(places)
        data[place:place + 2] = rng.choice(kinds)
    return data


MUTATIONS: tuple[Mutation, ...] = (flip_bytes, cut, move_a_piece, lie_about_a_length, edit_an_element, edit_an_element,
                                   swap_a_type)


def seeds(folder: Path) -> list[tuple[str, bytes]]:
    """Small valid objects of each kind that is read."""
    rng = np.random.default_rng(0)
    ct = CTVolume(rng.integers(-1024, 3000, (8, 6, 3)).astype(np.int16), np.diag([-0.7, -0.8, 2.5, 1]))
    made = Provenance("phantom", "generate", 1)
    write_series(ct, folder / "ct", Stamp.of(made, ct, "ct"))
    labels = LabelVolume((ct.voxels > 1000).astype(np.uint8), ct.affine, (Segment(1, "heart", (1, 0, 0)),))
    write_seg(labels, folder / "ct", folder / "seg.dcm", Stamp.of(made, labels, "labels"))
    scan_slice(0).save_as(folder / "plain")
    scan_slice(0, syntax=ImplicitVRLittleEndian).save_as(folder / "implicit")
    scan_slice(0, syntax=ExplicitVRBigEndian).save_as(folder / "big")
    squeezed = pydicom.dcmread(folder / "plain")
    squeezed.compress(RLELossless)
    squeezed.save_as(folder / "squeezed")
    enhanced_scan().save_as(folder / "enhanced")
    names = ("ct/IM0001.dcm", "plain", "implicit", "big", "squeezed", "enhanced", "seg.dcm")
    return [(name, (folder / name).read_bytes()) for name in names]


def read_all(path: Path, name: str) -> str:
    """What came of a file: read, or refused with a sentence. Anything else is raised."""
    outcome = "read"
    for reader in (read_seg if name == "seg.dcm" else read_series, read_stamp_of_series):
        try:
            reader(path)
        except Text2CTError as error:
            if "\n" in str(error) or not str(error).endswith(".") or len(str(error)) > 600:
                raise AssertionError(f"not one sentence: {error}") from error
            outcome = "refused"
    return outcome


def main(cases: int, seed: int) -> Counter[str]:
    """Run so many cases; returns how many were read and how many refused."""
    rng, outcomes, started = random.Random(seed), Counter[str](), time.monotonic()
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("error")
        folder = Path(place)
        valid = seeds(folder)
        case = folder / "case" / "case.dcm"
        case.parent.mkdir()
        for sibling in ("IM0002.dcm", "IM0003.dcm"):
            shutil.copy(folder / "ct" / sibling, case.parent)
        for number in range(cases):
            name, data = rng.choice(valid)
            damaged = bytearray(data)
            for _ in range(rng.choice((1, 1, 2, 3))):
                damaged = rng.choice(MUTATIONS)(damaged, rng) if len(damaged) > 200 else damaged
            case.write_bytes(damaged)
            try:
                outcomes[read_all(case, name)] += 1
            except Exception:
                kept = Path(tempfile.gettempdir(), f"fuzz_dicom_{seed}_{number}.dcm")
                kept.write_bytes(damaged)
                print(f"case {number} of seed {seed} (from {name}) is kept as {kept}", file=sys.stderr)
                raise
    seconds = time.monotonic() - started
    peak = peak_bytes() / 1e6
    print(f"dicom: {cases} cases, seed {seed}, {cases / seconds:.0f}/s, peak {peak:.0f} MB, {dict(outcomes)}")
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    main(options.cases, options.seed)
