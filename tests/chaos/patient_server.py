"""The server that chaos kills: as users start it, but patient with workers that were killed from outside.

    python patient_server.py FOLDER PORT [RESERVE]

How often a job is run again after the death of its worker is no option of the command
line, nor is how much of the disk is kept free (RESERVE, in bytes), and so this small
program starts the server from Python. It ends when its stdin does.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from text2ct.service import disk
from text2ct.service.options import Options, Patience
from text2ct.service.serve import run_server

CRASHES = 1_000_000


def main(folder: str, port: str, reserve: str = "") -> int:
    disk.RESERVE = int(reserve or disk.RESERVE)
    stop = threading.Event()

    def wait_for_parent() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_parent, daemon=True).start()
    options = Options(Path(folder), port=int(port), patience=Patience(crashes=CRASHES))
    return run_server(options, ready=lambda url: print(url, flush=True), stop=stop, loader="acting:load")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
