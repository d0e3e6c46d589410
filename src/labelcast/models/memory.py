"""How much memory this process may still take, how much it took, and what to do if it runs out."""

from __future__ import annotations

import resource
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import psutil

from labelcast.errors import LabelcastWarning, NoMemoryError, RunError, is_out_of_memory

if TYPE_CHECKING:
    import torch

R = TypeVar("R")

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


def gpu_size(device: object) -> int:
    """Bytes of a GPU that this process may use: all of them, unless it was given a share."""
    import torch

    chosen = numbered(device)
    total: int = torch.cuda.get_device_properties(chosen).total_memory
    return int(total * float(torch.cuda.get_per_process_memory_fraction(chosen)))


def numbered(device: object) -> torch.device:
    """A device with its number: torch and accelerate refuse ``cuda`` in some places."""
    import torch

    chosen = torch.device(device)  # type: ignore[arg-type]
    if chosen.type == "cuda" and chosen.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return chosen


def limit_to_share(gpus: float) -> None:
    """Let this process use only a share of its GPU, which jobs beside it also use; 1 is all of it.

    What a process then sees as free, and the dtype that it chooses, follow from the share.
    """
    import torch

    if 0 < gpus < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(gpus)


def gpu_memory(device: object) -> int:
    """Free bytes of this process's share of a GPU, with those that torch reserves and leaves."""
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    used = int(torch.cuda.memory_allocated(device))
    unused = int(torch.cuda.memory_reserved(device)) - used
    return max(min(int(free) + unused, gpu_size(device) - used), 0)


class Halving:
    """Runs batches of examples, and smaller ones once a GPU's memory has run out.

    Attributes:
        most: examples that still run at once; None as long as every batch has fitted.
    """

    def __init__(self) -> None:
        self.most: int | None = None

    def run(
        self, batches: Iterable[list[int]], work: Callable[[list[int]], R]
    ) -> Iterator[tuple[list[int], R]]:
        """Yield each batch that has run with its result; what ran out of memory runs again.

        The result of `work` is never None.

        Raises:
            RunError: the memory does not hold one example.
        """
        waiting = list(batches)[::-1]
        while waiting:
            batch = waiting.pop()
            most = self.most or len(batch)
            if len(batch) > most:
                waiting += [batch[i : i + most] for i in range(0, len(batch), most)][::-1]
                continue
            result = unless_full(partial(work, batch))
            if result is not None:
                yield batch, result
                continue
            if len(batch) == 1:
                raise too_small()
            if self.most is None:
                warnings.warn(
                    f"the GPU's memory does not hold {len(batch)} examples at once, so smaller "
                    "batches run from here on; --batch-size sets them from the start.",
                    LabelcastWarning,
                    stacklevel=2,
                )
            self.most = (len(batch) + 1) // 2
            waiting.append(batch)


def unless_full(work: Callable[[], R]) -> R | None:
    """The result of some work, or None if a GPU's memory ran out."""
    import torch

    try:
        return work()
    except RuntimeError as error:  # cuBLAS has errors of its own for full memory
        if not is_out_of_memory(error) or "DefaultCPUAllocator" in str(error):
            raise
        # Until this block ends, the traceback holds the tensors of the work.
    torch.cuda.empty_cache()
    return None


def too_small() -> RunError:
    """The error if a GPU's memory does not hold one example."""
    return RunError(
        "the GPU's free memory does not hold the pass of one example. Shorten or leave out the "
        "longest texts, choose --dtype bfloat16 or a smaller model, or use a GPU with more free "
        "memory (or several, with --device spread)."
    )


def free_bytes(device: str) -> int:
    """Bytes of a device that this process may still use; of the CPU's memory with swap space."""
    return gpu_memory(device) if device.startswith("cuda") else free_memory(swap=True)


def check_room(what: str, needed: int, advice: str, device: str = "cpu") -> None:
    """Refuse work that needs more bytes than a device has free.

    `what`, in the plural, fills the memory; `advice` says what to do instead.
    """
    free = free_bytes(device)
    if needed > free:
        whose = f"memory of {device}" if device.startswith("cuda") else "memory"
        raise NoMemoryError(
            f"{what} would fill {needed / 1e9:,.1f} GB of {whose}, and {free / 1e9:,.1f} GB are "
            f"free. {advice}"
        )


def reset_peak(device: str) -> None:
    """Reset `peak_memory` of a GPU; that of a process on a CPU cannot be reset."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: str) -> int:
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
