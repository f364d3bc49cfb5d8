"""`text2ct report`: what a report says, as data.

One JSON object a finding, one a line, so that shell tools can count and filter
them. With --lines many reports are read from JSON lines and answered in order.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import BadInput
from ..report.finding import Finding, Understanding
from ..requests import MAX_REPORT
from .asking import read_text
from .console import Console

_MAX_LINE = 8 * MAX_REPORT


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "report", parents=[common], help="print the findings that a report states",
        description="Read a chest CT report and print one JSON object a finding.")
    parser.add_argument("file", metavar="FILE", help="a text file with one report, or - for standard input")
    parser.add_argument("--lines", action="store_true",
                        help='read JSON lines {"id": ..., "text": ...}, print {"id": ..., "findings": [...]} for each')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    if args.lines:
        answers = []
        for answer in _answers(args.file):
            console.line(json.dumps(answer, ensure_ascii=False))
            if console.json:
                answers.append(answer)
        console.data(answers)
        return 0
    text = read_text(Path(args.file))
    understood = _understand(text, "The report")
    for finding in understood.findings:
        console.line(json.dumps(plain(finding), ensure_ascii=False))
    if understood.not_understood:
        said = "; ".join(f"{a}-{b}" for a, b in understood.not_understood)
        console.note(f"Not understood, as characters of the report: {said}.")
    console.data({"findings": [plain(f) for f in understood.findings],
                  "not_understood": [{"span": list(span), "text": text[span[0]:span[1]]}
                                     for span in understood.not_understood]})
    return 0


def plain(finding: Finding) -> dict[str, Any]:
    """A finding as one JSON object; a single lobe stands as a text, several as a list."""
    lobe: str | list[str] | None = list(finding.lobe) if len(finding.lobe) > 1 else next(iter(finding.lobe), None)
    return {"kind": finding.kind, "certainty": finding.certainty, "side": finding.side, "lobe": lobe,
            "station": finding.station, "size_mm": finding.size_mm, "severity": finding.severity,
            "count": finding.count, "density": finding.density, "margin": finding.margin, "change": finding.change,
            "span": list(finding.span)}


def _understand(text: str, what: str) -> Understanding:
    from ..report.parser import understand

    if len(text) > MAX_REPORT:
        raise BadInput(f"{what} has {len(text)} characters; the limit is {MAX_REPORT}.")
    return understand(text)


def _answers(name: str) -> Iterator[dict[str, Any]]:
    for number, line in _lines(name):
        try:
            case = json.loads(line)
        except (ValueError, RecursionError):
            raise BadInput(f"Line {number} of '{name}' is not JSON; "
                           'each line must be an object such as {"id": 1, "text": "No effusion."}.') from None
        if not isinstance(case, dict) or not isinstance(case.get("text"), str) or "id" not in case:
            raise BadInput(f"Line {number} of '{name}' must be an object with an 'id' and a 'text' that is a string.")
        findings = _understand(case["text"], f"The report of line {number}").findings
        yield {"id": case["id"], "findings": [plain(f) for f in findings]}


def _lines(name: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers; a line is never read further than it may be long."""
    try:
        with sys.stdin.buffer if name == "-" else Path(name).open("rb") as file:
            number = 0
            while data := file.readline(_MAX_LINE + 1):
                number += 1
                if len(data) > _MAX_LINE:
                    raise BadInput(f"Line {number} of '{name}' is too long; "
                                   f"a report has at most {MAX_REPORT} characters.")
                try:
                    text = data.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError:
                    raise BadInput(f"Line {number} of '{name}' is not a text in UTF-8.") from None
                if text.strip():
                    yield number, text
    except OSError as error:
        raise BadInput(_unreadable(name, error)) from None


def _unreadable(name: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"There is no file '{name}'; give the path of a report, or - to read from standard input."
    return f"The file '{name}' cannot be read: {error.strerror or error}."
