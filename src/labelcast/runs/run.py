"""The run folder: everything of one question, with a manifest for each finished step."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import IO, Any

from labelcast.errors import InputError, RunError
from labelcast.files.atomic import clear, make_folder, parts_below
from labelcast.files.json_files import disk_faults, read_json, read_jsonl, write_json
from labelcast.files.untrusted import refuse_links
from labelcast.runs.records import (
    Drawn,
    Facts,
    Form,
    Labelled,
    ModelPart,
    Observation,
    RunQuestion,
    check,
)
from labelcast.tasks.task import Task

_HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EINTR)
_SCORE_AGAIN = "Score the pool into a new folder."
_ROWS: dict[str, type[Form]] = {
    "draws.jsonl": Drawn,
    "labels.jsonl": Labelled,
    "observations.jsonl": Observation,
}
_PACKAGES = ("labelcast", "torch", "transformers", "numpy", "pyarrow")
PATIENCE = 5.0
"""Seconds that a short step waits for another one, such as an import for an answer on the page."""


class Run:
    """A run folder. `create` makes one for a question, `open` checks that there is one.

    Files: `run.json` (the question: task, pool, model, settings), `confidence.parquet`,
    `to_label.jsonl`, `draws.jsonl`, `labels.jsonl`, `coslow.json`, `gram.npy`, `forecast.json`,
    `manifests/STEP.json`.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def file(self, name: str) -> Path:
        """The path of a file of the run."""
        return self.path / name

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """An existing run.

        Raises:
            InputError: no such folder, no run folder, or a damaged one.
        """
        run = cls(path)
        if not run.path.exists():
            raise InputError(
                f"{path}: no such run. Begin one with `labelcast score POOL --task TASK --out RUN`."
            )
        if not run.file("run.json").exists():
            raise InputError(f"{path}: not a run folder (it has no run.json).")
        refuse_links(run.path)
        run._part("question")
        run._part("facts")
        return run

    @classmethod
    def create(cls, path: str | Path, question: dict[str, Any], facts: dict[str, Any]) -> Run:
        """A run for a question: a new folder, or the one that this question already has.

        Args:
            path: of the folder.
            question: what must be the same for the run to go on.
            facts: what may change, such as where the pool lies now.

        Raises:
            InputError: the folder belongs to another question; names the first difference.
            RunError: the folder cannot be written, or another process is working on it.
        """
        run = cls(path)
        if run.path.exists() and not run.path.is_dir():
            raise InputError(f"{path}: a file, where a run folder is needed.")
        if run.file("run.json").exists():
            run._same_question(question)
            if run.facts == facts:
                return run
        elif run.path.exists() and not run._is_blank():
            raise InputError(
                f"{path}: a folder that is not empty and no run. Choose another --out."
            )
        with run.locked():
            # Another process may have begun a run here since.
            if run.file("run.json").exists():
                run._same_question(question)
            write_json(run.file("run.json"), {"question": question, "facts": facts})
        return run

    def _is_blank(self) -> bool:
        """Whether nothing is in the folder but what a killed first step may have left."""
        return all(
            entry.name == ".lock" or entry.name.startswith(".run.json.")
            for entry in self.path.iterdir()
        )

    def _same_question(self, question: dict[str, Any]) -> None:
        found = _difference(self.question, question)
        if found is not None:
            raise InputError(
                f"{self.path}: made for another question: {found}. "
                "Choose another --out, or delete the folder."
            )

    @property
    def question(self) -> dict[str, Any]:
        """What was asked: hashes of task, pool and model, and the settings that matter."""
        return self._part("question")

    @property
    def facts(self) -> dict[str, Any]:
        """Where the pool lies, what the model is, how it was run."""
        return self._part("facts")

    @property
    def model(self) -> dict[str, Any]:
        """What the run's model is: name, hub_id, fingerprint, architecture.

        Raises:
            InputError: `run.json` is damaged.
        """
        model = self.facts.get("model")
        if not isinstance(model, dict) or not {"name", "hub_id", "fingerprint"} <= model.keys():
            raise InputError(f"{self.file('run.json')}: damaged (no whole 'model' in it).")
        check(ModelPart, model, f"{self.file('run.json')}", _SCORE_AGAIN)
        return model

    def _part(self, name: str) -> dict[str, Any]:
        content = read_json(self.file("run.json"))
        part = content.get(name) if isinstance(content, dict) else None
        if not isinstance(part, dict):
            raise InputError(f"{self.file('run.json')}: damaged (no {name!r} in it).")
        form = RunQuestion if name == "question" else Facts
        check(form, part, f"{self.file('run.json')}", _SCORE_AGAIN)
        return part

    @property
    def task(self) -> Task | None:
        """The task as it was resolved; None where the records were already rendered."""
        value = self.question.get("task")
        return None if value is None else Task.build(value, f"{self.file('run.json')}: damaged")

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a JSONL file of the run.

        Raises:
            InputError: a line is damaged.
        """
        rows, form = read_jsonl(self.file(name)), _ROWS.get(name)
        if form is not None:
            for number, row in enumerate(rows, 1):
                where = f"{self.file(name)} line {number}"
                check(form, row, where, "Mend or remove that line.")
        return rows

    def labels_digest(self, name: str) -> str:
        """Hash of the labels of one set, to tell whether a result is older than they are."""
        rows = [row for row in read_jsonl(self.file("labels.jsonl")) if row.get("set") == name]
        return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]

    def is_done(self, step: str) -> bool:
        """Whether a step has finished: its manifest, written last, is there."""
        return self.file(f"manifests/{step}.json").exists()

    def manifest(self, step: str) -> dict[str, Any]:
        """What a finished step wrote last.

        Raises:
            InputError: it is damaged.
        """
        path = self.file(f"manifests/{step}.json")
        content = read_json(path)
        if not isinstance(content, dict) or content.get("step") != step:
            raise InputError(f"{path}: damaged. Run `labelcast {step}` for this run again.")
        return content

    def finish(self, step: str, **facts: Any) -> None:
        """Write a step's manifest: when, with which versions, and the facts given."""
        write_json(
            self.file(f"manifests/{step}.json"),
            {
                "step": step,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "versions": versions(),
                **facts,
            },
        )

    @contextmanager
    def locked(self, wait: float = 0.0) -> Iterator[None]:
        """Keeps other processes from writing to this run meanwhile.

        Args:
            wait: seconds to wait for another process that is at it.

        Raises:
            InputError: a link leads out of the folder.
            RunError: another process is at it.
        """
        with disk_faults(self.path):
            make_folder(self.path)
            refuse_links(self.path)
        with disk_faults(self.file(".lock")):
            stream = self.file(".lock").open("a+b", buffering=0)
        with stream:
            if not _lock(stream, time.monotonic() + wait):
                raise RunError(
                    f"{self.path}: another labelcast process is working on this run. "
                    "Wait for it, or stop it."
                )
            clear(parts_below(self.path))
            yield


def _lock(stream: IO[bytes], deadline: float) -> bool:
    """Whether the lock could be had before a moment of `time.monotonic`; asked once at least.

    Raises:
        RunError: the file system has no locks.
    """
    while True:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in _HELD:
                raise RunError(
                    f"{stream.name}: cannot be locked ({error.strerror}), so two processes could "
                    "write here at once. Choose a folder on another disk."
                ) from None
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)


@cache
def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    found = {"python": platform.python_version(), "cpus": str(os.cpu_count())}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _difference(before: dict[str, Any], now: dict[str, Any], inside: str = "") -> str | None:
    """The first thing in which two questions differ, in words."""
    for key in sorted(set(before) | set(now)):
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            return _difference(old, new, f"{key}'s ")
        return f"its {inside}{key} is {_short(old)}, now it is {_short(new)}"
    return None


def _short(value: Any) -> str:
    text = value.get("name", "given") if isinstance(value, dict) else value
    return repr(text)[:80] if text is not None else "not given"
