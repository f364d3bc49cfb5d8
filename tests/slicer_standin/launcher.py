"""PythonSlicer: a launcher that starts the real Python as its child, as Slicer's own does.

Killing the launcher leaves the child running; a module that means to end its worker
must manage with that.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

SCRIPT = '''#!/bin/sh
# Runs Python as a child; the launcher itself only waits for it. A background child would lose its standard input.
exec 3<&0
"{python}" "$@" <&3 &
child=$!
wait $child
'''


def add_python_slicer(folder: Path) -> Path:
    """Put a PythonSlicer on the PATH."""
    place = folder / "bin"
    place.mkdir(exist_ok=True)
    launcher = place / "PythonSlicer"
    launcher.write_text(SCRIPT.format(python=sys.executable), encoding="utf-8")
    launcher.chmod(0o755)
    os.environ["PATH"] = os.pathsep.join([str(place), os.environ.get("PATH", "")])
    return launcher
