"""Hostile checkpoints: each is refused with one sentence, and nothing of it ever runs."""

from __future__ import annotations

import builtins
import functools
import importlib
import io
import operator
import os
import pickle
import runpy
import struct
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forge
import pytest
import torch

from text2ct.errors import Text2CTError, WeightsError
from text2ct.weights import pickles
from text2ct.weights.checkpoint import open_checkpoint

MARKER = "ran.txt"


class Calls:
    """Pickles as a call of `what` on `arguments`."""

    def __init__(self, what: Callable[..., Any], *arguments: Any, state: Any = None) -> None:
        self.what, self.arguments, self.state = what, arguments, state

    def __reduce__(self) -> tuple[Any, ...]:
        made = (self.what, self.arguments)
        return made if self.state is None else (*made, self.state)


def code(marker: Path) -> str:
    return f"open({str(marker)!r}, 'w').write('x')"


def payloads(marker: Path) -> dict[str, Any]:
    touch = f"touch {marker}"
    return {
        "os.system": Calls(os.system, touch),
        "eval": Calls(eval, code(marker)),
        "exec": Calls(exec, code(marker)),
        "compile": Calls(compile, code(marker), "x", "exec"),
        "open": Calls(open, str(marker), "w"),
        "__import__": Calls(builtins.__import__, "this"),
        "getattr chain": Calls(getattr, Calls(importlib.import_module, "os"), "system"),
        "a call of what a getattr gave": Calls(functools.partial(os.system, touch)),
        "subprocess": Calls(subprocess.Popen, ["touch", str(marker)]),
        "check_output": Calls(subprocess.check_output, ["touch", str(marker)]),
        "torch.hub.load": Calls(torch.hub.load, "nobody/nothing", "model"),
        "torch.load": Calls(torch.load, str(marker)),
        "runpy": Calls(runpy.run_path, str(marker)),
        "operator": Calls(operator.methodcaller, "system", touch),
        "functools.partial": Calls(functools.partial, os.system, touch),
        "pickle.loads": Calls(pickle.loads, pickle.dumps(Calls(os.system, touch))),
        "a nested reducer": Calls(dict, [["a", Calls(os.system, touch)]]),
        "tensor rebuilt by eval": Calls(torch._tensor._rebuild_from_type_v2, eval, torch.Tensor, (code(marker),), {}),
        "tensor rebuilt by a rebuilder of eval": Calls(
            torch._tensor._rebuild_from_type_v2, torch._tensor._rebuild_from_type_v2, torch.Tensor,
            (eval, torch.Tensor, (code(marker),), {}), {}),
        "a parameter of a call": Calls(torch._utils._rebuild_parameter, Calls(os.system, touch), True, {}),
        "state of a tensor": Calls(torch._utils._rebuild_parameter, torch.ones(1), True, {}, state={"x": 1}),
        "a foreign package": Calls(warnings.warn, "hello"),
        "sparse": torch.eye(3).to_sparse(), "sparse rows": torch.eye(3).to_sparse_csr(),
        "quantised": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        "complex": torch.ones(3, dtype=torch.complex64),
    }


NAMES = list(payloads(Path("x")))


def refused(path: Path, marker: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        open_checkpoint(path)
    sentence = str(caught.value)
    assert not marker.exists()
    assert 20 < len(sentence) < 400
    assert sentence.rstrip().endswith(".")
    assert "\n" not in sentence
    return sentence


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("what", NAMES)
def test_a_checkpoint_that_calls_something_is_refused_and_nothing_runs(tmp_path: Path, what: str, zipped: bool) -> None:
    marker = tmp_path / MARKER
    torch.save({"good": torch.ones(2), "bad": payloads(marker)[what]}, tmp_path / "x.pt",
               _use_new_zipfile_serialization=zipped)
    refused(tmp_path / "x.pt", marker)


def test_the_payloads_would_run_in_a_reader_that_trusts_them(tmp_path: Path) -> None:
    marker = tmp_path / MARKER
    pickle.loads(pickle.dumps(payloads(marker)["os.system"]))  # noqa: S301
    assert marker.exists()


@pytest.mark.parametrize("module", ["os", "posix", "nt", "subprocess", "sys", "builtins", "__builtin__", "importlib",
                                    "torch.hub", "torch.serialization", "numpy.testing._private.utils", "pty", "code"])
def test_names_are_refused_by_themselves_with_their_name_in_the_sentence(tmp_path: Path, module: str) -> None:
    path = forge.checkpoint(tmp_path / "x.pt", forge.name(module, "system"))
    assert f"{module.replace('__builtin__', 'builtins')}.system" in refused(path, tmp_path / MARKER)


def good() -> bytes:
    return forge.tensor("0", "float32", 4, [4], [1])


def storage_pair(tag: str = "storage", extra: bytes = b"") -> bytes:
    return forge.storage("0", "float32", 4, tag) + extra


ROLE = forge.name("torch._utils", "_rebuild_tensor_v2")
SYSTEM = forge.text("touch x") + b"\x85R"
PICKLES: dict[str, bytes] = {
    "inst": b"(" + forge.text("touch x") + b"ios\nsystem\n",
    "obj": b"(" + forge.name("os", "system") + forge.text("x") + b"o",
    "stack global": forge.text("os") + forge.text("system") + b"\x93" + SYSTEM,
    "stack global of a dotted name": forge.text("collections") + forge.text("OrderedDict.fromkeys") + b"\x93" + SYSTEM,
    "stack global through a foreign package": (forge.text("pytorch_lightning") + forge.text("os.system") + b"\x93"
                                               + SYSTEM),
    "stack global of a number": forge.number(1) + forge.text("system") + b"\x93",
    "stack global with a null": forge.text("os\x00") + forge.text("system") + b"\x93",
    "stack global of a lookalike": forge.text("torch._utils ") + forge.text("_rebuild_tensor_v2") + b"\x93",
    "stack global of a prefix": forge.text("pytorch_lightningx") + forge.text("Thing") + b"\x93",
    "extension code 1": b"\x82\x01", "extension code 2": b"\x83\x01\x00", "extension code 4": b"\x84\x01\x00\x00\x00",
    "text persistent id": b"Pstorage\n", "number as persistent id": forge.number(1) + b"Q",
    "module as persistent id": storage_pair("module"), "short persistent id": b"(" + forge.text("storage") + b"tQ",
    "persistent id with a foreign class": b"(" + forge.text("storage") + forge.name("os", "system") + b"tQ",
    "persistent id with a key that is no text": (b"(" + forge.text("storage") + forge.name("torch", "FloatStorage")
                                                 + forge.number(0) + forge.text("cpu") + forge.number(4) + b"tQ"),
    "one storage in two sizes": (b"]" + good() + b"a" + forge.tensor("0", "float32", 2, [2], [1]) + b"a"),
    "storage of negative size": forge.tensor("0", "float32", -4, [4], [1]),
    "storage that is not in the file": b"}" + forge.text("a") + forge.tensor("9", "float32", 4, [4], [1]) + b"s",
    "a call of a tensor": good() + b")R", "a call of a dictionary": b"})R",
    "a call of a text": forge.text("os") + b")R",
    "a call without a tuple": ROLE + forge.number(1) + b"R", "a call of a storage class": forge.name(
        "torch", "FloatStorage") + b")R", "a call of a number kind": forge.name("torch", "float32") + b")R",
    "a new object of a tensor class": forge.name("torch", "Tensor") + b")\x81",
    "a new object of a function": ROLE + b")\x81", "a new object with keywords": ROLE + b")}\x92",
    "state for a tensor": good() + b"}b", "state for a class": forge.name("torch", "Tensor") + b"}b",
    "state for a list": b"]}b", "key into a list": b"]" + forge.text("a") + forge.number(1) + b"s",
    "append to a dictionary": b"}" + forge.number(1) + b"a", "append to a tensor": good() + forge.number(1) + b"a",
    "a tensor without a storage": ROLE + b"(" + forge.number(0) + forge.number(0) + forge.sizes([1]) * 2 + b"tR",
    "a tensor with too few arguments": ROLE + b"(" + storage_pair() + b"tR",
    "out-of-band buffer": b"\x97", "read-only buffer": b"\x98", "unknown instruction": b"\xff",
    "old tensor constructor": forge.name("torch", "FloatTensor") + b")R",
    "type call": forge.name("builtins", "type") + b")R", "bytearray of a gigabyte": forge.name(
        "builtins", "bytearrayx") + forge.number(1 << 30) + b"\x85R",
    "text that goes beyond the end": b"X\xff\xff\xff\x7fabc",
    "text of 2^62 bytes": b"\x8d" + struct.pack("<Q", 1 << 62),
    "bytes of 2^62 bytes": b"\x8e" + struct.pack("<Q", 1 << 62), "byte array of 2^40 bytes": b"\x96" + struct.pack(
        "<Q", 1 << 40), "frame of 2^62 bytes": b"\x95" + struct.pack("<Q", 1 << 62),
    "number of a million digits": b"\x8b" + struct.pack("<i", 500_000) + b"\x7f" * 500_000,
    "negative length": b"\x8b" + struct.pack("<i", -5), "text number of many digits": b"L" + b"9" * 5000 + b"L\n",
    "a pop from nothing": b"0", "a mark that is missing": b"t", "a tuple of nothing": b"\x87",
    "a memo that is missing": b"j\xff\xff\xff\x7f", "nothing at all": b"", "a lone mark": b"(",
}


@pytest.mark.parametrize("what", list(PICKLES))
def test_a_forged_pickle_is_refused(tmp_path: Path, what: str) -> None:
    path = forge.checkpoint(tmp_path / "x.pt", PICKLES[what], [b"\0" * 16])
    refused(path, tmp_path / MARKER)


SHAPES: dict[str, tuple[list[int], list[int], int]] = {
    "more numbers than stored": ([5], [1], 0), "terabytes": ([1 << 20, 1 << 20], [1 << 20, 1], 0),
    "sizes that overflow": ([1 << 33, 1 << 33], [1, 1], 0), "an impossible size": ([1 << 62], [1], 0),
    "a negative size": ([-4], [1], 0), "a negative stride": ([4], [-1], 3), "a negative offset": ([2], [1], -1),
    "an offset beyond": ([1], [1], 4), "an empty tensor beyond": ([0], [1], 5), "a stride beyond": ([2], [4], 0),
    "stride nought": ([4], [0], 0), "strides that repeat": ([3, 2], [1, 1], 0),
    "too many axes": ([1] * 40, [1] * 40, 0),
    "axes that disagree": ([4], [1, 1], 0), "an enormous stride": ([2], [1 << 90], 0),
    "huge and empty": ([0, 1 << 50], [1, 1], 0),
}


@pytest.mark.parametrize("what", list(SHAPES))
def test_a_tensor_that_lies_about_its_place_is_refused(tmp_path: Path, what: str) -> None:
    shape, stride, offset = SHAPES[what]
    body = b"}" + forge.text("a") + forge.tensor("0", "float32", 4, shape, stride, offset) + b"s"
    refused(forge.checkpoint(tmp_path / "x.pt", body, [b"\0" * 16]), tmp_path / MARKER)


def test_a_storage_that_declares_more_than_its_entry_is_refused(tmp_path: Path) -> None:
    body = b"}" + forge.text("a") + forge.tensor("0", "float32", 1 << 30, [1 << 30], [1]) + b"s"
    path = forge.checkpoint(tmp_path / "x.pt", body, [b"\0" * 16])
    assert "declares more numbers" in refused(path, tmp_path / MARKER)


def test_many_views_of_one_storage_cannot_fill_a_disk(tmp_path: Path) -> None:
    body = b"}" + b"".join(forge.text(f"t{i}") + forge.tensor("0", "float32", 10_000, [10_000], [1]) + b"s"
                           for i in range(50))
    assert "claims" in refused(forge.checkpoint(tmp_path / "x.pt", body, [40_000]), tmp_path / MARKER)


def test_nesting_cycles_and_laughs_are_bounded(tmp_path: Path) -> None:
    cycle = b"}q\x00" + forge.text("self") + b"h\x00s"
    deep = b"]" * 5000 + b"a" * 4999
    tuples = b")" + b"\x85" * 100_000
    laughs = b"]" + forge.number(1) + b"aq\x00" + b"".join(
        b"](" + b"h" + bytes([i]) + (b"h" + bytes([i])) * 9 + b"eq" + bytes([i + 1]) for i in range(9))
    flood = b"]" * (pickles.MAX_INSTRUCTIONS + 10)
    for body in (cycle, deep, tuples, laughs, flood):
        refused(forge.checkpoint(tmp_path / "x.pt", body), tmp_path / MARKER)


def test_a_memo_index_of_four_billion_costs_nothing(tmp_path: Path) -> None:
    body = b"}r\xff\xff\xff\xff" + forge.text("a") + good() + b"s"
    assert list(open_checkpoint(forge.checkpoint(tmp_path / "x.pt", body, [b"\0" * 16])).tensors) == ["a"]


@pytest.mark.parametrize("version", [6, 77, 255])
def test_an_unknown_protocol_is_refused(tmp_path: Path, version: int) -> None:
    forge.write_zip(tmp_path / "x.pt", [("a/data.pkl", b"\x80" + bytes([version]) + b"}.")])
    assert str(version) in refused(tmp_path / "x.pt", tmp_path / MARKER)


@pytest.mark.parametrize("key", ["", "a\nb", "\x00", "x" * 600, "__metadata__"])
def test_impossible_tensor_names_are_refused(tmp_path: Path, key: str) -> None:
    body = b"}" + forge.text(key) + good() + b"s"
    refused(forge.checkpoint(tmp_path / "x.pt", body, [b"\0" * 16]), tmp_path / MARKER)


def patched(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


def test_broken_zip_containers_are_refused(tmp_path: Path) -> None:
    path, marker = tmp_path / "x.pt", tmp_path / MARKER
    body = b"}" + forge.text("a") + good() + b"s"
    whole = forge.checkpoint(path, body, [b"\1" * 16]).read_bytes()
    for cut in (10, 60, len(whole) // 2, len(whole) - 30, len(whole) - 1):
        path.write_bytes(whole[:cut])
        refused(path, marker)
    directory = whole.index(b"PK\x01\x02")
    end = whole.index(b"PK\x05\x06")
    for at, value in ((directory + 24, 0xFFFFFFF0), (directory + 42, 5), (end + 12, 0xFFFFFFF0), (end + 16, 3),
                      (directory + 28, 0xFFFF0000)):
        path.write_bytes(whole[:at] + struct.pack("<I", value) + whole[at + 4:])
        refused(path, marker)


def test_zip_bombs_and_odd_archives_are_refused(tmp_path: Path) -> None:
    path, marker = tmp_path / "x.pt", tmp_path / MARKER
    pickled = forge.PROTO + b"}" + forge.text("a") + good() + b"s."
    forge.write_zip(path, [("a/data.pkl", pickled), ("a/data/0", bytes(10_000_000))], method=8)
    assert "compressed" in refused(path, marker)
    for entries, sentence in (
            ([("a/data.pkl", pickled), ("a/byteorder", b"big"), ("a/data/0", bytes(16))], "big-endian"),
            ([("a/data.pkl", pickled), ("b/data.pkl", pickled)], "single"), ([("readme.txt", b"hi")], "single"),
            ([("a/data.pkl", pickled), ("a/data.pkl", pickled)], "doubled"),
            ([("a/data.pkl", 70 << 20)], "refused"), ([("a/data.pkl", pickled), ("a/byteorder", 1000)], "refused"),
            ([("a/data.pkl", pickled), ("a/data/0", bytes(8))], "more numbers")):
        forge.write_zip(path, entries)  # type: ignore[arg-type]
        assert sentence in refused(path, marker)


def test_overlapping_zip_entries_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    forge.write_zip(path, [("a/data/0", 64), ("a/data/1", 64)])
    whole = path.read_bytes()
    second = whole.index(b"PK\x01\x02", whole.index(b"PK\x01\x02") + 1)
    first = whole.index(b"PK\x01\x02")
    path.write_bytes(patched(whole, whole[first + 20:first + 28], struct.pack("<II", 90, 90)))
    assert "overlap" in refused(path, tmp_path / MARKER)
    assert second > first


def test_broken_legacy_files_are_refused(tmp_path: Path) -> None:
    path, marker = tmp_path / "x.pt", tmp_path / MARKER
    torch.save({"a": torch.ones(10), "b": torch.ones(3).long()}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for cut in (3, 20, 100, len(whole) - 200, len(whole) - 1):
        path.write_bytes(whole[:cut])
        refused(path, marker)
    for old, new in ((struct.pack("<q", 10), struct.pack("<q", 1 << 50)), (struct.pack("<q", 10), b"\xff" * 8),
                     (b"M\xe9\x03.", b"M\xea\x03."), (b"little_endianq\x02\x88", b"little_endianq\x02\x89")):
        path.write_bytes(patched(whole, old, new))
        refused(path, marker)


def safetensors_of(header: bytes, data: bytes = b"\0" * 16) -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def entry(offsets: str = "[0,16]", shape: str = "[4]", dtype: str = '"F32"', more: str = "") -> bytes:
    return f'{{"a":{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}}}{more}}}'.encode()


HEADERS = {
    "beyond the file": entry("[0,1600]", "[400]"), "backwards": entry("[16,0]"), "negative": entry("[-16,0]"),
    "another size": entry(shape="[5]"), "a gap": entry("[4,16]", "[3]"), "too little": entry("[0,12]", "[3]"),
    "huge": entry("[0,16]", "[1099511627776,1099511627776]"), "a truth as size": entry(shape="[true,4]"),
    "an unknown kind": entry(dtype='"F4"'), "a list as kind": entry(dtype="[]"),
    "a float as size": entry(shape="[4.0]"),
    "an overlap": entry("[0,16]", more=',"b":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}'),
    "a doubled name": entry("[0,16]", more=',"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}'),
    "an extra field": entry("[0,16],\"x\":1"), "metadata that are numbers": entry(more=',"__metadata__":{"x":1}'),
    "metadata that are a list": entry(more=',"__metadata__":[]'), "not JSON": b'{"a":', "a list": b"{}]",
    "deep nesting": b'{"a":' + b"[" * 100_000, "not text": b'{"\xff\xfe":1}', "an entry that is a number": b'{"a":1}',
    "digits": b'{"a":' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("what", list(HEADERS))
def test_a_safetensors_header_that_lies_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_of(HEADERS[what]))
    refused(path, tmp_path / MARKER)


def test_a_safetensors_header_length_is_judged_before_it_is_read(tmp_path: Path) -> None:
    for length in (1 << 63, 1 << 40, 10_000, 1):
        (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", length) + b'{"a":1}')
        refused(tmp_path / "x.safetensors", tmp_path / MARKER)


def test_a_folder_and_a_missing_file_get_a_sentence(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing.pt"):
        with pytest.raises(Text2CTError, match="cannot be read"):
            open_checkpoint(path)


def test_the_reader_takes_whole_streams_only_from_memory() -> None:
    with pytest.raises(WeightsError, match="more than"):
        pickles.read_pickle(bytes(pickles.MAX_STREAM + 1))
    assert pickles.read_pickle(io.BytesIO(pickle.dumps([1, 2.5, "x", None])).getvalue()).value == [1, 2.5, "x", None]
