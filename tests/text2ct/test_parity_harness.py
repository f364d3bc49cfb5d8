"""The harness fails what must fail, and says why."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))

from harness import Row, compare, compare_share, report

PARITY = Path(__file__).resolve().parents[1] / "parity"


def test_a_stage_is_within_tolerance_or_not() -> None:
    ours, theirs = np.array([1.0, 2.0]), np.array([1.0, 2.5])
    assert compare("x", ours, theirs, 0.5).ok
    assert not compare("x", ours, theirs, 0.4).ok
    assert compare("x", ours, theirs, 0.2, relative=True).deviation == pytest.approx(0.2)


@pytest.mark.parametrize(("ours", "theirs", "said"), [
    ([1.0], [[1.0]], "shape"), ([math.nan], [1.0], "ours"), ([1.0], [math.inf], "theirs"), ([], [], "nothing")])
def test_what_cannot_be_compared_fails_with_a_reason(ours: list[float], theirs: list[float], said: str) -> None:
    row = compare("x", ours, theirs, 1e9)
    assert not row.ok
    assert said in row.note


def test_whole_numbers_are_judged_by_their_largest_difference_and_by_the_share_that_differs() -> None:
    worst, share = compare_share("hu", np.array([0, 0, 0, 1]), np.zeros(4), 0.2, 1)
    assert (worst.ok, share.ok, share.deviation) == (True, False, 0.25)


def test_the_exit_code_says_whether_all_held(capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = Row("a", 0, 1), Row("b", 2, 1)
    assert (report([good]), report([good, bad]), report([])) == (0, 1, 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ok")
    assert any(line.startswith("FAIL b") for line in lines)


def test_a_case_that_is_not_there_is_one_sentence() -> None:
    done = subprocess.run([sys.executable, str(PARITY / "run.py"), "text2ct", "/nowhere"], capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "not a folder" in done.stderr
