"""`text2ct report`: one JSON object a finding, many reports by lines, and sentences for bad input."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from text2ct.cli import report
from text2ct.cli.console import Console, common_options
from text2ct.errors import BadInput


def run(*args: str) -> int:
    parser = argparse.ArgumentParser()
    report.add(parser.add_subparsers(), common_options())
    options = parser.parse_args(["report", *args])
    return int(options.run(options, Console(quiet=options.quiet, json=options.json)))


def test_each_finding_is_one_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "Mass RUL 45 mm. Atelectasis in both lower lobes. No effusion."
    (tmp_path / "r.txt").write_text(text)
    assert run(str(tmp_path / "r.txt")) == 0
    mass, atelectasis, effusion = map(json.loads, capsys.readouterr().out.splitlines())
    assert (mass["kind"], mass["certainty"], mass["side"], mass["lobe"], mass["size_mm"]) == (
        "lung_mass", "present", "right", "RUL", 45.0)
    assert text[slice(*mass["span"])] == "Mass"
    assert atelectasis["lobe"] == ["RLL", "LLL"]
    assert effusion["certainty"] == "absent"
    assert (effusion["side"], effusion["lobe"], effusion["size_mm"]) == (None, None, None)


def test_standard_input_is_read_for_a_dash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO("cardiomegaly".encode("utf-8-sig"))))
    run("-")
    assert json.loads(capsys.readouterr().out)["kind"] == "cardiomegaly"


def test_json_gives_one_value_with_what_was_not_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.txt").write_text("Gynecomastia. No effusion.")
    run(str(tmp_path / "r.txt"), "--json", "--quiet")
    value = json.loads(capsys.readouterr().out)
    assert [f["kind"] for f in value["findings"]] == ["pleural_effusion"]
    assert value["not_understood"] == [{"span": [0, 12], "text": "Gynecomastia"}]


def test_lines_are_answered_in_order_with_their_ids(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [{"id": "b", "text": "No pneumothorax."}, {"id": 7, "text": "Normal."}, {"id": "ä", "text": "Emphysema."}]
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    run(str(tmp_path / "r.jsonl"), "--lines")
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(a["id"], [f["kind"] for f in a["findings"]]) for a in answers] == [
        ("b", ["pneumothorax"]), (7, []), ("ä", ["emphysema"])]
    assert set(answers[0]) == {"id", "findings"}


@pytest.mark.parametrize(("content", "sentence"), [
    (b'{"id": 1, "text": "x"}\nnonsense\n', "Line 2 .* is not JSON"),
    (b'\n{"id": 1}\n', "Line 2 .* must be an object with an 'id' and a 'text'"),
    (b'{"text": "x"}', "Line 1 .* must be an object with an 'id'"),
    (b'[1, 2]', "Line 1 .* must be an object"),
    (b'{"id": 1, "text": 5}', "Line 1 .* a 'text' that is a string"),
    (b'\xff\xfe\x00', "Line 1 .* not a text in UTF-8"),
    (b'{"id": 1, "text": "' + b"a " * 15_000 + b'"}', "line 1 has 30000 characters; the limit is 20000"),
    (b"a" * 400_000, "Line 1 .* too long"),
])
def test_a_bad_line_is_named_by_its_number(tmp_path: Path, content: bytes, sentence: str) -> None:
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(BadInput, match=sentence):
        run(str(tmp_path / "bad.jsonl"), "--lines")


def test_files_that_cannot_be_reports_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no file"):
        run(str(tmp_path / "absent.txt"))
    with pytest.raises(BadInput, match="cannot be read"):
        run(str(tmp_path))
    (tmp_path / "binary").write_bytes(b"\x80\x81\x82")
    with pytest.raises(BadInput, match="not a text in UTF-8"):
        run(str(tmp_path / "binary"))
    (tmp_path / "long").write_text("effusion " * 3000)
    with pytest.raises(BadInput, match="27000 characters; the limit is 20000"):
        run(str(tmp_path / "long"))
