"""Child processes that end with all that they started, also behind a launcher.

Slicer's Python is started by a launcher that only waits for it: who ends the launcher
alone leaves the real one running. So a child leads a group of its own, and the whole
group is ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

_NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)
_OWN_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)


def begin(command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
    """A child in a group of its own, without a window; `options` go to Popen."""
    return subprocess.Popen(command, start_new_session=os.name == "posix", creationflags=_NO_WINDOW | _OWN_GROUP,
                            **options)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a child of `begin` at once, with what it started."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True, check=False,
                           creationflags=_NO_WINDOW)
        else:
            os.killpg(process.pid, signal.SIGKILL)
