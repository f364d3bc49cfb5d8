"""How much memory is free, and how much we hold, without a package for it."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path


def available_bytes() -> int | None:
    """Bytes a new run may take, or None where the system does not say."""
    try:
        system = platform.system()
        if system == "Linux":
            return _linux()
        if system == "Windows":
            return _windows()
    except (OSError, ValueError, AttributeError):
        pass
    return None


def own_bytes() -> int:
    """The memory that this process holds; its peak where the system tells no more, 0 where it tells nothing."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        pass
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _linux() -> int | None:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return min([int(line.split()[1]) * 1024, *_cgroup_room()])
    return None


def _cgroup_room() -> list[int]:
    """What is left of a container's own limit, where there is one."""
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if not limit.exists() or not used.exists() or limit.read_text().strip() == "max":
        return []
    return [int(limit.read_text()) - int(used.read_text())]


def _windows() -> int:
    class Status(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ulong), ("load", ctypes.c_ulong),
                    *[(name, ctypes.c_ulonglong) for name in (
                        "total", "free", "total_page", "free_page", "total_virtual", "free_virtual", "extended")]]

    status = Status(length=ctypes.sizeof(Status))
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined,unused-ignore]
    return int(status.free)
