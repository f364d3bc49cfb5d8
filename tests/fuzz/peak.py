"""How much memory this program has had at its most.

The figure of `resource` begins with what the parent had when it started us, a gigabyte
under a test run that holds torch. The kernel's own mark of this program starts afresh.
"""

from __future__ import annotations

import re
import resource
from pathlib import Path


def peak_bytes() -> int:
    """Bytes of resident memory at the highest point since this program began."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+)", status.read_text())[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
