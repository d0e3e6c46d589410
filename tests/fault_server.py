"""Runs commands in forks of one interpreter that has the heavy libraries loaded, and breaks them.

Reads one JSON request per line from stdin and writes one JSON line to stdout for each:

- ``{"op": "start", "argv": [...], "cwd": ..., "out": ..., "err": ..., "stdin": ...,
  "fault": ...}`` gives ``{"pid": ...}``
- ``{"op": "wait", "pid": ...}`` gives ``{"status": ...}``, negative for a signal

A fault is ``{"kind": ..., "at": k, "below": FOLDER, "log": FILE}``: what happens at the k-th call
that changes something below a folder (opens a file to write, flushes, renames, makes or deletes
one). Each such call is a line in the log. Kinds: ``kill`` (SIGKILL before the call), ``int`` and
``term`` (the signal), ``full`` (the call fails with ENOSPC), ``torn`` (half of the flushed file is
lost, then SIGKILL), ``none``.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import gc
import io
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_LIBRARIES = (
    *("torch", "transformers", "peft", "datasets", "pyarrow.parquet", "pydantic", "altair"),
    *("accelerate", "sklearn.metrics", "safetensors.torch", "scipy.cluster.hierarchy", "rich.live"),
    *(
        "transformers.models.llama.modeling_llama",
        "labelcast.sweeps.job",
        "labelcast.cli.app",
    ),
    *("labelcast.report.page", "labelcast.runs.score", "labelcast.runs.tune", "vl_convert"),
    *("labelcast.models.coslow", "labelcast.runs.coslow", "labelcast.runs.forecast"),
    *("labelcast.sweeps.calibrate", "labelcast.labels.terminal", "labelcast.training.trainer"),
)
# Seconds after which a command counts as hanging and is killed.
_HANGS = 300.0


class Faults:
    """Counts the calls that change something below a folder, and breaks one of them."""

    def __init__(self, kind: str, at: int, below: str, log: str) -> None:
        self.kind, self.at, self.below = kind, at, str(Path(below).resolve())
        self.count = 0
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.owner = os.getpid()

    def install(self) -> None:
        """Wrap every such call."""
        for name in ("replace", "rename", "mkdir", "unlink", "rmdir", "remove"):
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        opened, os_opened, sync = io.open, os.open, os.fsync

        def open_file(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if set(mode) & set("wax+"):
                self.meet("open", file)
            return opened(file, mode, *args, **kwargs)

        def open_descriptor(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR):
                self.meet("open", path)
            return os_opened(path, flags, *args, **kwargs)

        def fsync(descriptor: int) -> None:
            path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
            self.meet("fsync", path)
            sync(descriptor)

        io.open = builtins.open = open_file  # type: ignore[assignment]
        os.open, os.fsync = open_descriptor, fsync  # type: ignore[assignment]

    def _wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(path: Any, *args: Any, **kwargs: Any) -> Any:
            if "dir_fd" not in kwargs or kwargs["dir_fd"] is None:
                self.meet(name, path)
            return call(path, *args, **kwargs)

        return wrapped

    def meet(self, what: str, path: Any) -> None:
        """Count a call, and break it if it is the one that was asked for."""
        if os.getpid() != self.owner or not isinstance(path, str | bytes | os.PathLike):
            return
        place = str(Path.cwd() / os.fsdecode(path))
        if not place.startswith(self.below):
            return
        self.count += 1
        os.write(self.log, f"{what} {place[len(self.below) + 1 :]}\n".encode())
        if self.count != self.at:
            return
        if self.kind == "full":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place)
        if self.kind == "torn" and what == "fsync" and Path(place).is_file():
            os.truncate(place, Path(place).stat().st_size // 2)
        if self.kind in ("kill", "torn"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind in ("int", "term"):
            os.kill(os.getpid(), {"int": signal.SIGINT, "term": signal.SIGTERM}[self.kind])


def _child(request: dict[str, Any]) -> None:
    os.setsid()
    stdin = os.open(request.get("stdin") or os.devnull, os.O_RDONLY)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for target, source in (
        (0, stdin),
        (1, os.open(request["out"], flags, 0o644)),
        (2, os.open(request["err"], flags, 0o644)),
    ):
        os.dup2(source, target)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", closefd=False)  # noqa: SIM115
    os.chdir(request["cwd"])
    if request.get("eager"):
        # Checkpoints after every measurement, which otherwise take minutes to come.
        from labelcast.training import checkpoints

        checkpoints.CHECKPOINT_SECONDS = 0.0
    if request.get("fault"):
        Faults(**request["fault"]).install()
    sys.argv = ["labelcast", *request["argv"]]
    from labelcast.cli.app import main

    status = 1
    try:
        main()
    except SystemExit as error:
        status = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    # The libraries' own cleanup takes seconds and is not tested here.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _wait(pid: int) -> int:
    end = time.monotonic() + _HANGS
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def serve() -> None:
    """Handle requests until there are no more."""
    for name in _LIBRARIES:
        __import__(name)
    gc.freeze()  # so that a fork copies little
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    answers.write("{}\n")
    for line in iter(sys.stdin.readline, ""):
        request = json.loads(line)
        if request["op"] == "start":
            pid = os.fork()
            if not pid:
                with contextlib.suppress(OSError):
                    os.close(answers.fileno())
                _child(request)
            answers.write(json.dumps({"pid": pid}) + "\n")
        else:
            answers.write(json.dumps({"status": _wait(request["pid"])}) + "\n")


if __name__ == "__main__":
    serve()
