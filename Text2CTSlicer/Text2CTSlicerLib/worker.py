"""What the child process runs: the command line of text2ct, ended together with its parent.

Slicer starts Python through a launcher, and killing a launcher leaves the real work
running. So the child holds on to its standard input: when that closes, because the
user cancelled, or the launcher was killed, or Slicer is gone, the run is interrupted
as if by Ctrl-C, and ended for good when it does not heed that.

Usage: worker.py FOLDER_OF_TEXT2CT ARGUMENTS...
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
import time

GRACE_SECONDS = 3.0
CANCELLED = 130


def main() -> int:
    sys.path.insert(0, sys.argv[1])
    sys.stderr.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)  # type: ignore[union-attr]
    try:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        from text2ct.cli.main import main as text2ct

        return text2ct(sys.argv[2:])
    except KeyboardInterrupt:
        return CANCELLED


def _end_with_parent() -> None:
    try:
        while os.read(0, 1024):
            pass
    except OSError:
        pass
    _thread.interrupt_main()
    time.sleep(GRACE_SECONDS)
    os._exit(CANCELLED)


if __name__ == "__main__":
    sys.exit(main())
