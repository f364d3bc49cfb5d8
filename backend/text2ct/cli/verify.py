"""`text2ct verify`: who made a file, and is it still that."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import ChangedSinceMade, NotOurs
from ..plain import to_plain
from ..verify import verify
from .console import Console


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "verify", parents=[common], help="who made a file, and is it unchanged",
        description="Say which engine, weights and seed made a file, and whether its voxels are still those. "
                    "Exit code 0: ours and unchanged; 3: changed; 4: not ours.")
    parser.add_argument("files", type=Path, nargs="+", metavar="PATH",
                        help="volume, labels, DICOM folder, PNG or account")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, console: Console) -> int:
    code, found = 0, []
    for path in args.files:
        try:
            verdict = verify(path)
        except NotOurs as error:
            console.line(str(error))
            found.append({"file": str(path), "ours": False})
            code = max(code, NotOurs.exit_code)
            continue
        console.line(verdict.sentence())
        found.append({"file": str(path), "ours": True, "part": verdict.part, "unchanged": verdict.unchanged,
                      "changes": list(verdict.changes), "provenance": to_plain(verdict.provenance)})
        if not verdict.unchanged:
            code = max(code, ChangedSinceMade.exit_code)
    console.data(found[0] if len(found) == 1 else found)
    return code
