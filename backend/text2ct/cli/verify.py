"""`text2ct verify`: who made a file, and is it still that."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import BadInput, ChangedSinceMade, NotOurs
from ..plain import to_plain
from ..verify import parts_of, verify
from .console import Console

_WORST_FIRST = (ChangedSinceMade.exit_code, BadInput.exit_code, NotOurs.exit_code)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "verify", parents=[common], help="who made a file, and is it unchanged",
        description="Say which engine, weights and seed made a file, and whether its voxels are still those. "
                    "Exit code 0: ours and unchanged; 3: changed; 4: not ours.")
    parser.add_argument("files", type=Path, nargs="+", metavar="PATH",
                        help="volume, labels, DICOM folder, PNG or account")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    found: list[dict[str, Any]] = []
    paths = [part for given in args.files for part in parts_of(given)]
    for path in paths:
        try:
            verdict = verify(path)
        except BadInput as error:
            if len(paths) == 1:
                raise
            found.append({"file": str(path), "ours": None, "problem": str(error), "code": error.exit_code})
            console.line(str(error))
        except NotOurs as error:
            found.append({"file": str(path), "ours": False, "code": error.exit_code})
            console.line(str(error))
        else:
            code = 0 if verdict.unchanged else ChangedSinceMade.exit_code
            found.append({"file": str(path), "ours": True, "part": verdict.part, "unchanged": verdict.unchanged,
                          "changes": list(verdict.changes), "provenance": to_plain(verdict.provenance), "code": code})
            console.line(verdict.sentence())
    console.data(found[0] if len(found) == 1 else found)
    codes = {entry["code"] for entry in found}
    return next((code for code in _WORST_FIRST if code in codes), 0)
