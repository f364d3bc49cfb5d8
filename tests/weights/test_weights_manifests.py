"""The published files, by their structure: full-size sparse checkpoints stand in for gigabytes of weights."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import forge
import pytest

from text2ct.engines.catalog import ENGINES
from text2ct.errors import BadInput, WeightsError
from text2ct.weights.checkpoint import open_checkpoint
from text2ct.weights.manifest import FOLDER, Manifest, check, load_manifest, problems, select
from text2ct.weights.store import Place, identify, places

PLACES = [one for one in places(ENGINES.values()) if not one.weights.ships]
BY_PLACE = pytest.mark.parametrize("one", PLACES, ids=lambda one: one.name)


def shapes_of(manifest: Manifest) -> dict[str, tuple[tuple[int, ...], str]]:
    return {name: (shape, kind.name) for name, (shape, kind) in manifest.tensors.items()}


def forged(one: Place, path: Path, without: str = "", wrapper: str = "") -> Path:
    shapes = shapes_of(load_manifest(one.entry.manifest))
    return forge.sparse_checkpoint(path, {n: s for n, s in shapes.items() if not (without and n.startswith(without))},
                                   wrapper)


@BY_PLACE
def test_every_file_of_the_catalog_has_a_manifest_of_about_its_size(one: Place) -> None:
    manifest = load_manifest(one.entry.manifest)
    assert manifest.file == Path(one.entry.path).name
    expected = sum(kind.bytes * math.prod(shape) for shape, kind in manifest.tensors.values())
    assert 0.5 * one.entry.bytes < expected <= 1.001 * one.entry.bytes


def test_there_is_no_manifest_without_a_file() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {one.entry.manifest for one in PLACES}


@BY_PLACE
def test_a_checkpoint_of_the_published_structure_is_accepted_in_full_size(one: Place, tmp_path: Path) -> None:
    manifest = load_manifest(one.entry.manifest)
    wrapper = one.entry.wrappers[0] if one.entry.wrappers else ""
    path = forged(one, tmp_path / "renamed.pt", wrapper=wrapper)
    assert path.stat().st_size > 0.5 * one.entry.bytes
    assert path.stat().st_blocks * 512 < 20_000_000
    selection = select(open_checkpoint(path), one.entry, manifest)
    check(selection, one.entry, manifest, path)
    assert set(selection.tensors) == {n for n in manifest.tensors if not n.startswith(one.entry.optional)}


def test_only_the_optional_part_may_be_left_out(tmp_path: Path) -> None:
    vq = next(one for one in PLACES if one.name == "lesiondiffusion/published/vq")
    manifest = load_manifest(vq.entry.manifest)
    bare = open_checkpoint(forged(vq, tmp_path / "bare.pt", without="loss."))
    assert problems(select(bare, vq.entry, manifest), vq.entry, manifest) == ""
    cut = open_checkpoint(forged(vq, tmp_path / "cut.pt", without="encoder."))
    said = problems(select(cut, vq.entry, manifest), vq.entry, manifest)
    assert "48 missing (encoder.conv_in.weight" in said
    assert said.count("encoder.") == 5
    assert "unexpected" not in said


def test_missing_unexpected_and_misshapen_tensors_are_named_in_one_sentence(tmp_path: Path) -> None:
    one = next(one for one in PLACES if one.name == "text2ct/published/autoencoder")
    manifest = load_manifest(one.entry.manifest)
    shapes = dict(shapes_of(manifest))
    first = next(iter(shapes))
    shapes[first] = ((64, 1, 3, 3), "float32")
    del shapes["encoder.blocks.1.norm1.weight"]
    shapes |= {f"extra.{n}": ((1,), "float32") for n in range(7)}
    path = forge.sparse_checkpoint(tmp_path / "x.pt", shapes)
    with pytest.raises(WeightsError) as caught:
        check(select(open_checkpoint(path), one.entry, manifest), one.entry, manifest, path)
    said = str(caught.value)
    assert "1 missing (encoder.blocks.1.norm1.weight)" in said
    assert "7 unexpected (extra.0, extra.1, extra.2, extra.3, extra.4, ...)" in said
    assert f"1 misshapen ({first} is float32[64, 1, 3, 3], not float32[64, 1, 3, 3, 3])" in said


def test_position_ids_may_come_or_go_with_the_version_of_transformers(tmp_path: Path) -> None:
    one = next(one for one in PLACES if one.name == "ctclip/published/radbert")
    manifest = load_manifest(one.entry.manifest)
    shapes = dict(shapes_of(manifest))
    del shapes["model.embeddings.position_ids"]
    shapes["other.embeddings.position_ids"] = ((1, 5), "int64")
    selection = select(open_checkpoint(forge.sparse_checkpoint(tmp_path / "x.pt", shapes)), one.entry, manifest)
    assert problems(selection, one.entry, manifest) == ""
    assert "other.embeddings.position_ids" not in selection.tensors


def test_a_renamed_file_is_recognised_by_its_tensors_unless_two_look_alike(tmp_path: Path) -> None:
    lmnet = next(one for one in PLACES if one.name == "lesiondiffusion/published/lmnet")
    assert identify(forged(lmnet, tmp_path / "last.ckpt", wrapper="state_dict"), PLACES) == lmnet
    clip = next(one for one in PLACES if one.name == "ctclip/published/ctclip")
    with pytest.raises(BadInput, match="could be any of ctclip/published/ctclip, ctclip/published/voc"):
        identify(forged(clip, tmp_path / "last.pt"), PLACES)
    assert identify(forged(clip, tmp_path / "CT_VocabFine_v2.pt"), PLACES).entry.name == "vocabfine"
    forge.sparse_checkpoint(tmp_path / "other.pt", {"a": ((2,), "float32")})
    with pytest.raises(WeightsError, match="no known file"):
        identify(tmp_path / "other.pt", PLACES)


_CONVERT = """
import json, re, sys
from pathlib import Path
from text2ct.engines.catalog import ENGINES
from text2ct.requests import Watch
from text2ct.weights.convert import convert
from text2ct.weights.manifest import load_manifest
entry = ENGINES["text2ct"].weight_set("").files[2]
done = convert(Path(sys.argv[1]), Path(sys.argv[2]), entry, load_manifest(entry.manifest), Watch())
peak = int(re.findall(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[0])
print(json.dumps({"bytes": done.bytes, "source": done.source_bytes, "peak_kb": peak}))
"""


def test_three_gigabytes_are_converted_in_little_memory(tmp_path: Path) -> None:
    one = next(one for one in PLACES if one.name == "text2ct/published/clip3d")
    source, target = forged(one, tmp_path / "big.pt"), tmp_path / "big.safetensors"
    try:
        run = subprocess.run([sys.executable, "-c", _CONVERT, str(source), str(target)], capture_output=True, text=True,
                             env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=True)
        said = json.loads(run.stdout)
        assert said["source"] > 3_000_000_000
        assert said["bytes"] == target.stat().st_size > 3_000_000_000
        assert said["peak_kb"] < 1_500_000
        found = open_checkpoint(target)
        assert found.tensors["model.logit_scale"].shape == ()
    finally:
        source.unlink(missing_ok=True)
        target.unlink(missing_ok=True)
