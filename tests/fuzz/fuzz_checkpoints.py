"""Damaged and forged checkpoints by the hundred thousand: only a sentence may come out, never a traceback.

    python tests/fuzz/fuzz_checkpoints.py --cases 100000 --seed 1

Small valid checkpoints of all three containers are damaged (flipped bytes, cuts,
splices, inserted pickle instructions, huge numbers, a repaired container around a
damaged pickle) and given to the reader in memory. What it accepts is read to its end.
A case that fails is written beside and named with its seed.
"""

from __future__ import annotations

import argparse
import io
import random
import struct
import sys
import time
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "backend"))

import torch
from peak import peak_bytes

from text2ct.errors import Text2CTError
from text2ct.weights.checkpoint import read_checkpoint
from text2ct.weights.safetensors_file import write
from text2ct.weights.tensors import BY_NAME, TensorRef

_OPCODES = b"(.0123FIJKLMNPQRSTUVXabcdeghijlopqrstu}]\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e" \
    b"\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98BC)"
_SNIPPETS = (b"cos\nsystem\n", b"cbuiltins\neval\n", b"X\x02\x00\x00\x00os", b"\x93", b"(X\x01\x00\x00\x00xtR", b"tQ",
             b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n)R",
             b"\x8a\x08" + b"\xff" * 7 + b"\x7f",
             b"\x8b\xff\xff\xff\x7f", b"r\xff\xff\xff\xff", b"\x8e" + b"\xff" * 8, b"\x96" + b"\xff" * 7 + b"\x00",
             b"cpytorch_lightning\nX\n)\x81}b", b"\x85" * 40, b"]" * 40, b"h\x00h\x00", b"2" * 20)
_NUMBERS = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


def seeds() -> list[bytes]:
    """Small valid checkpoints of every container."""
    tensors = {"a.weight": torch.arange(12.0).reshape(3, 4), "b": torch.ones(2, 3).half().t(), "n": torch.zeros(2, 0),
               "k": torch.tensor(3), "p": torch.nn.Parameter(torch.ones(2))}
    tensors["a.weight"].extra = 1
    made = []
    for value in (tensors, {"state_dict": tensors, "epoch": 3, "lr": [0.1, {"x": (1, 2)}], "s": {1, 2}}):
        for options in ({}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}):
            buffer = io.BytesIO()
            torch.save(value, buffer, **options)
            made.append(buffer.getvalue())
    target = Path("/dev/shm" if Path("/dev/shm").is_dir() else ".") / f"fuzz-{time.time_ns()}.safetensors"
    flat = TensorRef(BY_NAME["float32"], (2, 3), (3, 1), 0, 0, 24)
    write(target, {"a": (flat, [bytes(24)]), "b": (flat, [bytes(24)])}, {"scale": "1.5"})
    made.append(target.read_bytes())
    target.unlink()
    return made


def parts_of(sample: bytes) -> list[tuple[str, bytes]]:
    """The entries of a zip checkpoint; none for the other containers."""
    if not sample.startswith(b"PK"):
        return []
    with zipfile.ZipFile(io.BytesIO(sample)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def wrapped(parts: list[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts:
            archive.writestr(name, content)
    return buffer.getvalue()


def damaged(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """One to four random damages."""
    content = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 4))):
        at = chance.randrange(len(content) + 1)
        kind = chance.randrange(8)
        if kind == 0:
            for _ in range(chance.randrange(1, 9)):
                if content:
                    content[chance.randrange(len(content))] = chance.randrange(256)
        elif kind == 1:
            del content[at:]
        elif kind == 2:
            del content[at:at + chance.randrange(1, 64)]
        elif kind == 3:
            other = chance.choice(others)
            begin = chance.randrange(len(other))
            content[at:at + chance.randrange(64)] = other[begin:begin + chance.randrange(1, 256)]
        elif kind == 4:
            content[at:at] = bytes(chance.choice(_OPCODES) for _ in range(chance.randrange(1, 6)))
        elif kind == 5:
            content[at:at + chance.choice((0, 1, 4))] = chance.choice(_SNIPPETS)
        elif kind == 6:
            width, number = chance.choice((("<H", 0xFFFF), ("<I", 0xFFFFFFFF), ("<Q", (1 << 64) - 1)))
            raw = struct.pack(width, min(number, chance.choice(_NUMBERS)))
            content[at:at + len(raw)] = raw
        elif content:
            content[at % len(content)] = chance.choice(_OPCODES)
    return bytes(content)


def case(samples: list[bytes], parts: list[list[tuple[str, bytes]]], chance: random.Random) -> bytes:
    """One damaged file; for zips mostly a damaged pickle in a sound container, so that the pickle reader is reached."""
    index = chance.randrange(len(samples))
    if not parts[index] or chance.random() < 0.3:
        return damaged(samples[index], chance, samples)
    entries = list(parts[index])
    pickled = next(n for n, (name, _) in enumerate(entries) if name.endswith("data.pkl"))
    which = pickled if chance.random() < 0.85 else chance.randrange(len(entries))
    entries[which] = (entries[which][0], damaged(entries[which][1], chance, samples))
    return wrapped(entries)


def judge(data: bytes) -> bool:
    """Whether the reader accepts the file; accepted tensors are read to their end."""
    file = io.BytesIO(data)
    try:
        found = read_checkpoint(file, len(data), Path("case.pt"))
        for ref in found.tensors.values():
            if sum(map(len, ref.chunks(file))) != ref.size:
                raise AssertionError("a tensor gave another number of bytes than it has")
    except Text2CTError as error:
        if not str(error) or len(str(error)) > 1000:
            raise AssertionError(f"no helpful sentence: {error!r}") from error
        return False
    return True


def main(cases: int, seed: int) -> int:
    """Run the cases; the number of failures."""
    samples = seeds()
    parts = [parts_of(sample) for sample in samples]
    for sample in samples:
        if not judge(sample):
            raise AssertionError("a sound checkpoint was refused")
    began, accepted, failures = time.perf_counter(), 0, 0
    for number in range(cases):
        data = case(samples, parts, random.Random(seed * 1_000_000_007 + number))
        try:
            accepted += judge(data)
        except Exception as error:
            failures += 1
            name = f"fuzz-failure-{seed}-{number}.bin"
            Path(name).write_bytes(data)
            print(f"case {number} of seed {seed}: {type(error).__name__}: {error} (kept as {name})", file=sys.stderr)
    seconds = time.perf_counter() - began
    peak = peak_bytes() / 1e6
    print(f"{cases} cases, {accepted} accepted, {failures} failures, {cases / max(seconds, 1e-9):.0f} cases a second, "
          f"peak memory {peak:.0f} MB")
    return failures


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--cases", type=int, default=10_000)
    arguments.add_argument("--seed", type=int, default=1)
    chosen = arguments.parse_args()
    sys.exit(1 if main(chosen.cases, chosen.seed) else 0)
