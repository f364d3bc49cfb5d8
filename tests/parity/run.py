"""`python tests/parity/run.py SYSTEM FOLDER`: run a parity case and print one row a stage.

SYSTEM names the module `<system>_case.py` beside this file, whose `rows(case)` does the work.
The exit code is 1 when a stage fails, 2 when the case cannot be found.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.insert(0, str(HERE.parents[1] / "backend"))


def main(arguments: list[str] | None = None) -> int:
    from harness import report

    systems = sorted(path.stem.removesuffix("_case") for path in HERE.glob("*_case.py"))
    parser = argparse.ArgumentParser(description="Compare our numbers with those of a published program.")
    parser.add_argument("system", choices=systems)
    parser.add_argument("case", type=Path, help="the folder of the recorded case")
    args = parser.parse_args(arguments)
    if not args.case.is_dir():
        print(f"{args.case} is not a folder; give the folder of a recorded case.", file=sys.stderr)
        return 2
    return report(importlib.import_module(f"{args.system}_case").rows(args.case))


if __name__ == "__main__":
    sys.exit(main())
