"""The run folder: everything about one question, with a manifest for each finished step."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from labelcast.errors import InputError, RunError, not_written
from labelcast.files.atomic import clear, lock, make_folder, parts_below
from labelcast.files.json_files import disk_faults, read_jsonl, write_json
from labelcast.files.untrusted import check_new_folder, refuse_links
from labelcast.runs.records import (
    CosLowFile,
    Manifest,
    ModelPart,
    RunFacts,
    RunFile,
    RunQuestion,
    TunedScore,
    parse_file,
    parse_rows,
)
from labelcast.tasks.task import Task

_PACKAGES = ("labelcast", "torch", "transformers", "numpy", "pyarrow")
PATIENCE = 5.0
"""Seconds that a short step, such as saving an answer on the page, waits for another one."""


class Run:
    """A run folder: `Run.open` opens one, `labelcast score` creates one.

    `run.json` has the task, the pool, the model and the settings.

    Examples:
        >>> Run.open("no/such/run")
        Traceback (most recent call last):
        labelcast.errors.InputError: no/such/run: no such run. Create one with ...
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def file(self, name: str) -> Path:
        """The path of a file in the folder."""
        return self.path / name

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open an existing run.

        Raises:
            InputError: there is no run folder, or it is damaged.
        """
        run = cls(path)
        if not run.path.exists():
            raise InputError(
                f"{path}: no such run. Create one with `labelcast score POOL --task TASK --out "
                "RUN`."
            )
        if not run.exists():
            raise InputError(f"{path}: not a run folder (it has no run.json).")
        refuse_links(run.path)
        _ = run._content
        return run

    @classmethod
    def create(cls, path: str | Path, question: RunQuestion, facts: RunFacts) -> Run:
        """Create a run, or open the one with the same question and keep the new facts.

        Raises:
            InputError: the folder belongs to another question; names the first difference.
            RunError: the folder cannot be written, or another process is using it.
        """
        run = cls(path)
        run.check_place()
        if run.exists():
            run._check_question(question)
            if run.facts == facts:
                return run
        with run.locked():
            # Another process may have created a run here in the meantime.
            if run.exists():
                cls(path)._check_question(question)
            run._content = RunFile(question=question, facts=facts)
            write_json(run.file("run.json"), run._content.to_dict())
        return run

    def check_place(self) -> None:
        """Refuse a path where no run can be created, before any work for it."""
        if not self.exists():
            check_new_folder(self.path, "run")

    def exists(self) -> bool:
        """Whether the folder has a run in it."""
        return self.file("run.json").exists()

    def _check_question(self, question: RunQuestion) -> None:
        found = _difference(_without_note(self.question), _without_note(question))
        if found is not None:
            raise InputError(
                f"{self.path}: made for another question: {found}. "
                "Choose another --out, or delete the folder."
            )

    @cached_property
    def _content(self) -> RunFile:
        return parse_file(
            RunFile,
            self.file("run.json"),
            "Score the pool into a new folder, and import this run's labels.jsonl there.",
        )

    @property
    def question(self) -> RunQuestion:
        """What the run is about."""
        return self._content.question

    @property
    def facts(self) -> RunFacts:
        """Where the pool is, which model scored it, and how."""
        return self._content.facts

    @property
    def model(self) -> ModelPart:
        """The model that scored the pool."""
        if self.facts.model is None:
            raise InputError(f"{self.file('run.json')}: damaged (no 'model' in it).")
        return self.facts.model

    @property
    def task(self) -> Task | None:
        """The task; None where the pool's records are already rendered."""
        return self.question.task

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a JSONL file, none if it is missing. Raises InputError for a damaged line."""
        return read_jsonl(self.file(name))

    def tuned_scores(self) -> list[TunedScore]:
        """The scores that `labelcast tune` measured, oldest first. Raises like `rows`."""
        path = self.file("observations.jsonl")
        return parse_rows(TunedScore, read_jsonl(path), path)

    def coslow(self) -> CosLowFile | None:
        """CoS-Low of the run, None before it is measured. Raises InputError if it is damaged."""
        path = self.file("coslow.json")
        again = f"Run `labelcast coslow {self.path}` again."
        return parse_file(CosLowFile, path, again) if path.exists() else None

    def labels_digest(self, name: str) -> str:
        """Hash of the labels of one set, to find results that are older than they are."""
        rows = [row for row in read_jsonl(self.file("labels.jsonl")) if row.get("set") == name]
        return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:16]

    def need_score(self) -> None:
        """Raise InputError if the pool is not scored yet."""
        if not self.is_done("score"):
            raise InputError(
                f"{self.path}: score is not finished yet. Run `labelcast score POOL --task TASK "
                f"--out {self.path}` first."
            )

    def is_done(self, step: str) -> bool:
        """Whether a step has finished: its manifest, written last, exists."""
        return self.file(f"manifests/{step}.json").exists()

    def manifest(self, step: str) -> Manifest:
        """The manifest of a finished step. Raises InputError if it is damaged."""
        path = self.file(f"manifests/{step}.json")
        again = f"Run `labelcast {step}` for this run again."
        found = parse_file(Manifest, path, again)
        if found.step != step:
            raise InputError(f"{path}: damaged (it is of step {found.step!r}). {again}")
        return found

    def finish(self, step: str, **facts: Any) -> None:
        """Write a step's manifest: the date, the versions, and the facts given."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        content = {"step": step, "finished": now, "versions": versions(), **facts}
        write_json(self.file(f"manifests/{step}.json"), content)

    @contextmanager
    def locked(self, wait: float = 0.0) -> Iterator[None]:
        """Keep other processes from writing to the folder; wait some seconds for one that is.

        Raises:
            InputError: a link leads out of the folder.
            RunError: another process is writing.
        """
        with disk_faults(self.path):
            make_folder(self.path)
            refuse_links(self.path)
        held = lock(self.file(".lock"), wait)
        try:
            held.acquire()
        except TimeoutError:
            raise RunError(
                f"{self.path}: another labelcast process is working on this run. "
                "Wait for it, or stop it."
            ) from None
        except OSError as error:
            raise not_written(held.lock_file, error) from None
        try:
            clear(parts_below(self.path))
            yield
        finally:
            held.release()


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


def _without_note(question: RunQuestion) -> dict[str, Any]:
    """A question as JSON; a task's note changes nothing in a run."""
    task = question.task and question.task.without_note()
    return question.model_copy(update={"task": task}).model_dump(mode="json")


def _difference(before: Mapping[str, Any], now: Mapping[str, Any], inside: str = "") -> str | None:
    """The first difference between two questions, in words."""
    keys = sorted(before.keys() | now.keys())
    key = next((key for key in keys if before.get(key) != now.get(key)), None)
    if key is None:
        return None
    old, new = before.get(key), now.get(key)
    if isinstance(old, dict) and isinstance(new, dict):
        return _difference(old, new, f"{key}'s ")
    return f"its {inside}{key} is {_short(old)}, now it is {_short(new)}"


def _short(value: Any) -> str:
    text = value.get("name", "given") if isinstance(value, dict) else value
    return repr(text)[:80] if text is not None else "not given"
