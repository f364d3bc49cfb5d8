"""A short run of the fuzz harness; see tests/fuzz for long ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HARNESS = Path(__file__).resolve().parents[1] / "fuzz" / "fuzz_checkpoints.py"


def test_a_short_fuzz_run_of_the_checkpoint_reader_ends_without_a_traceback(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, str(HARNESS), "--cases", "1500", "--seed", "7"], capture_output=True,
                         text=True, cwd=tmp_path, check=False)
    assert run.returncode == 0, run.stderr
    said = re.search(r"1500 cases, (\d+) accepted, 0 failures, .* peak memory (\d+) MB", run.stdout)
    assert said is not None
    assert int(said[1]) > 20
    assert int(said[2]) < 1000
