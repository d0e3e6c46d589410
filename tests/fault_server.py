"""Runs commands in forks of one interpreter that has the heavy libraries loaded, and breaks them.

Reads one JSON request a line from stdin and answers each with one JSON line on stdout:

- ``{"op": "start", "argv": [...], "cwd": ..., "out": ..., "err": ..., "stdin": ...,
  "fault": ..., "memory": ...}`` gives ``{"pid": ...}``
- ``{"op": "wait", "pid": ..., "timeout": ...}`` gives ``{"status": ...}``, null where it still runs

A fault is ``{"kind": ..., "at": k, "below": FOLDER, "log": FILE}``: what happens at the k-th time
that the command changes something below a folder (opens a file to write, flushes, renames, makes
or deletes one), or takes up a file to write that other code fills. Each such call is a line in the
log. Kinds: ``kill`` (SIGKILL before the call), ``int`` and ``term`` (the signal), ``full`` (the
call fails with ENOSPC), ``torn`` (of a file that is flushed half is lost, then SIGKILL), ``none``.

``memory`` leaves the command so many bytes of address space beyond what the libraries hold.
"""

from __future__ import annotations

import builtins
import contextlib
import errno
import gc
import io
import json
import os
import resource
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
        "labelcast.sweeps.run_job",
        "labelcast.cli.app",
    ),
    *("labelcast.report.write", "labelcast.runs.score", "labelcast.runs.tune", "vl_convert"),
    *("labelcast.models.coslow", "labelcast.runs.coslow", "labelcast.runs.forecast"),
    *("labelcast.sweeps.calibrate", "labelcast.labels.terminal", "labelcast.training.trainer"),
)
# Seconds after which a command that nobody stops is taken to hang, and killed.
_HANGS = 300.0


class Faults:
    """Counts what a command changes below a folder, and breaks it at one count."""

    def __init__(self, kind: str, at: int, below: str, log: str) -> None:
        self.kind, self.at, self.below = kind, at, str(Path(below).resolve())
        self.count = 0
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.owner = os.getpid()

    def install(self) -> None:
        """Put the counters in the way of every call."""
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
        """One call: count it, and at the one that was asked for break it."""
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
    os.environ.update(request.get("env") or {})
    if request.get("eager"):
        # Checkpoints after every measurement, which otherwise take minutes to come.
        from labelcast.training.finetune import CausalBackend

        CausalBackend.checkpoint_seconds = 0.0
    if request.get("memory") is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + int(request["memory"])
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
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
    # The libraries' own ends take seconds and are not what is tried here.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _wait(pid: int, timeout: float | None) -> int | None:
    end = time.monotonic() + (_HANGS if timeout is None else timeout)
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            if timeout is not None:
                return None
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)


def serve() -> None:
    """Answer requests until there are no more."""
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
            status = _wait(request["pid"], request.get("timeout"))
            answers.write(json.dumps({"status": status}) + "\n")


if __name__ == "__main__":
    serve()
