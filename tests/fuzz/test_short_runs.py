"""A short run of each fuzz harness with every test run; the long ones are `make fuzz`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SHORT = (("fuzz_volumes", 2000), ("fuzz_dicom", 300), ("fuzz_checkpoints", 1500))


@pytest.mark.parametrize(("harness", "cases"), SHORT)
def test_damaged_files_are_read_or_refused_with_a_sentence_in_little_memory(harness: str, cases: int,
                                                                          tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, str(HERE / f"{harness}.py"), "--cases", str(cases), "--seed", "11"],
                         capture_output=True, text=True, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stderr
    peak = re.search(r"peak (?:memory )?(\d+) MB", run.stdout)
    assert peak is not None, run.stdout
    assert int(peak[1]) < 1000
    read = re.search(r"(\d+) of them still readable|(\d+) accepted|'read': (\d+)", run.stdout)
    assert read is not None, run.stdout
    assert int(next(filter(None, read.groups()))) > 20
    assert list(tmp_path.iterdir()) == []
