"""What memory this process may still take, and what it took."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from labelcast.errors import RunError

_GROUPS = Path("/sys/fs/cgroup")
_GUESS = 4 << 30
# Of each version of control groups: the limit, what is used, and the files kept that could go.
_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free_memory() -> int:
    """Bytes that this process may still take; a guess of 4 GiB where the system does not tell."""
    found = known_free()
    return _GUESS if found is None else found


def known_free(swap: bool = False) -> int | None:
    """The same, and None where the system does not tell.

    Args:
        swap: whether free swap space counts too.
    """
    wanted = ("MemAvailable:", "SwapFree:")[: 1 + swap]
    system = [1024 * size for name, size in _table(Path("/proc/meminfo")) if name in wanted]
    rooms = [sum(system)] if system else []
    rooms += _group_rooms()
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        used = [1024 * n for name, n in _table(Path("/proc/self/status")) if name == "VmSize:"]
        rooms += [limit - n for n in used]
    return max(min(rooms), 0) if rooms else None


def check_room(what: str, needed: int, way_out: str, *, swap: bool = False) -> None:
    """Refuse what cannot fit, before the system kills the process for it.

    Args:
        what: that fills the memory, in the plural or as a heap of things.
        needed: bytes.
        way_out: what to do, a sentence.
        swap: whether free swap space counts too.

    Raises:
        RunError: more is needed than is free.
    """
    free = known_free(swap)
    if free is not None and needed > free:
        raise RunError(
            f"{what} would fill {needed / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are "
            f"free. {way_out}"
        )


def reset_peak(device: str) -> None:
    """Measure from now on, on a GPU; a process on the CPU has one peak for its whole life."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: str = "cpu") -> int:
    """The most bytes that were in use on a device: on a CPU resident in this process."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _group_rooms() -> Iterator[int]:
    """What each control group of this process leaves, its parents' included."""
    for folder in _groups():
        for limit, usage, files in _FILES:
            most, used = _number(folder / limit), _number(folder / usage)
            if most is not None and used is not None:
                kept = [n for name, n in _table(folder / "memory.stat") if name == files]
                yield most - used + sum(kept)


def _groups() -> Iterator[Path]:
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if kinds in ("", "memory"):
            # A container sees its own group as the uppermost one, whatever its name outside.
            place = _GROUPS / kinds
            for folder in (place / path.lstrip("/"), *(place / path.lstrip("/")).parents):
                if folder.is_relative_to(place):
                    yield folder


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):  # "max" is no limit
        return None


def _table(path: Path) -> Iterator[tuple[str, int]]:
    """The lines of a name and a number, whatever follows."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[1].isdecimal():
            yield words[0], int(words[1])
