"""How much memory this process may still take, and how much it took."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from labelcast.errors import RunError

_GROUPS = Path("/sys/fs/cgroup")
# Versions 2 and 1 of control groups: the limit, what is used, and which of it is reclaimable cache.
_GROUP_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def free_memory(*, swap: bool = False) -> int:
    """Bytes that this process may still use, within the machine's and its container's limits."""
    free = psutil.virtual_memory().available + (psutil.swap_memory().free if swap else 0)
    return max(min(int(free), *_group_rooms()), 0)


def check_room(what: str, needed: int, advice: str) -> None:
    """Refuse work that needs more bytes than are free with swap space.

    `what`, in the plural, fills the memory; `advice` says what to do instead.
    """
    free = free_memory(swap=True)
    if needed > free:
        raise RunError(
            f"{what} would fill {needed / 1e9:,.1f} GB of memory, and {free / 1e9:,.1f} GB are "
            f"free. {advice}"
        )


def reset_peak(device: str) -> None:
    """Reset `peak_memory` of a GPU; that of a process on a CPU cannot be reset."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: str = "cpu") -> int:
    """The most bytes in use on a device so far; on a CPU, resident in this process."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _group_rooms() -> Iterator[int]:
    """What the limits of this process's control groups and their parents leave.

    psutil does not read these limits. A container sees its own group as the root.
    """
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in _GROUP_FILES:
            root = _GROUPS / controllers
            group = root / path.lstrip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(root):
                    yield from _room(folder, *_GROUP_FILES[controllers])


def _room(folder: Path, limit: str, usage: str, cache: str) -> Iterator[int]:
    try:
        room = int((folder / limit).read_text("ascii")) - int((folder / usage).read_text("ascii"))
        lines = (folder / "memory.stat").read_text("ascii").splitlines()
    except (OSError, ValueError):  # no such file, or the limit is "max"
        return
    cached = dict(line.split() for line in lines).get(cache, "0")
    yield room + int(cached)
