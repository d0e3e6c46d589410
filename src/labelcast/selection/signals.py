"""Signals of a pool's examples, computed part by part and kept in a folder.

Shapes: N examples.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from labelcast.errors import LabelcastWarning
from labelcast.files.atomic import lock, make_folder
from labelcast.files.json_files import disk_faults, write_with
from labelcast.models.protocols import Progress

Arrays = dict[str, NDArray[Any]]
Compute = Callable[[Sequence[int], Progress], Arrays]
"""From positions [M] to named arrays whose first axis is M."""
PART = 256
"""Examples that are computed and written together: a kill loses at most these."""
_PATIENCE = 2.0
"""Seconds to wait for another process before a warning says so."""
OnSignal = Callable[[str, int], Progress]
"""Called when a signal is computed, with its name and the number of examples to
compute; returns its progress."""


class SignalStore:
    """Signals in a folder, one file for each name and digest; without a folder, in memory only.

    Where several processes need the same signal, one computes it, and the others wait and read it.
    """

    def __init__(
        self, folder: Path | None, on_signal: OnSignal = lambda name, count: lambda done: None
    ) -> None:
        """Signals kept in `folder`; `on_signal` makes their progress bars."""
        self.folder, self.on_signal = folder, on_signal
        self._known: dict[str, Arrays] = {}

    def rows(
        self, name: str, about: Sequence[str], count: int, compute: Compute, part: int = PART
    ) -> Arrays:
        """A signal of `count` examples, from the folder or computed in parts.

        After a kill the same call computes only the missing parts.

        Args:
            name: name of the signal, a part of the file's name.
            about: what the signal depends on, such as the model's fingerprint and the contents.
            count: N.
            compute: called with the positions of each missing part, and its progress.
            part: examples of a part.

        Returns:
            Arrays [N,...] with the names that `compute` uses.
        """
        key = f"{name}-{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]}"
        if key not in self._known:
            found = self._read(key, count)
            with ExitStack() as held:
                if found is None and self.folder is not None:
                    with disk_faults(self.folder):
                        make_folder(self.folder)
                    held.enter_context(_alone(self.folder / f".{key}.lock", key))
                    found = self._read(key, count)
                self._known[key] = found or self._computed(key, count, compute, part)
        return self._known[key]

    def _read(self, key: str, count: int) -> Arrays | None:
        return None if self.folder is None else _load(self.folder / f"{key}.safetensors", count)

    def _computed(self, key: str, count: int, compute: Compute, part: int) -> Arrays:
        parts = [range(start, min(start + part, count)) for start in range(0, count, part)]
        work = None if self.folder is None else self.folder / f"{key}.parts"
        found: dict[int, Arrays] = {}
        for number, rows in enumerate(parts):
            held = None if work is None else _load(work / f"{number:06d}.safetensors", len(rows))
            if held is not None:
                found[number] = held
        left = count - sum(len(parts[number]) for number in found)
        progress = self.on_signal(key.rpartition("-")[0], left)
        for number, rows in enumerate(parts):
            if number in found:
                continue
            found[number] = compute(rows, progress)
            if work is not None:
                _save(work / f"{number:06d}.safetensors", found[number])
        joined = {
            name: np.concatenate([found[number][name] for number in range(len(parts))])
            for name in found[0]
        }
        if self.folder is not None and work is not None:
            _save(self.folder / f"{key}.safetensors", joined)
            shutil.rmtree(work, ignore_errors=True)
        return joined


@contextmanager
def _alone(path: Path, key: str) -> Iterator[None]:
    """Hold the lock of a signal; where the disk has no locks, each process computes it."""
    own = lock(path)
    with ExitStack() as held:
        with suppress(OSError):
            try:
                own.acquire(timeout=_PATIENCE)
            except TimeoutError:
                name = key.rpartition("-")[0]
                warnings.warn(
                    f"another process computes the signal {name} in {path.parent}; waiting for it.",
                    LabelcastWarning,
                    stacklevel=2,
                )
                own.acquire()
            held.callback(own.release)
        yield


def _load(path: Path, count: int) -> Arrays | None:
    """The arrays of a file; None if it is missing or damaged, so that it is computed again."""
    with suppress(OSError, SafetensorError):
        found: Arrays = load_file(path)
        if found and all(len(values) == count for values in found.values()):
            return found
    return None


def _save(path: Path, arrays: Arrays) -> None:
    with disk_faults(path.parent):
        make_folder(path.parent)
    kept = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    write_with(path, lambda part: part.write_bytes(save(kept)))
