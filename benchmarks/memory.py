"""Memory of this process, and its peak from a chosen moment on."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def restart_peak() -> int:
    """Reset the peak and return the bytes in memory now.

    If the system cannot reset it, the peak stays that of the process so far.
    """
    try:
        _CLEAR.write_text("5", "ascii")
    except OSError:
        return peak()
    return _status("VmRSS")


def peak() -> int:
    """The most bytes in memory since `restart_peak`, if the system supports it."""
    if _STATUS.exists():
        return _status("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(name: str) -> int:
    lines = _STATUS.read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name + ":")) * 1024
