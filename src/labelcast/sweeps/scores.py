"""The file of a sweep's results: one line a job, written once, by the driver alone."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from labelcast.errors import InputError
from labelcast.files.atomic import sync_folder
from labelcast.files.json_files import disk_faults, read_jsonl, write_jsonl
from labelcast.files.untrusted import refuse_special
from labelcast.runs.records import parse
from labelcast.sweeps.records import ScoreRow

FIELDS = ("task", "model", "budget", "seed", "metric", "score", "test_size", "seconds", "error")
"""The fields that every row begins with, in this order."""

Key = tuple[str, int, int]
"""Task, budget, seed: what identifies a row within one sweep."""


def key_of(row: dict[str, Any]) -> Key:
    """What identifies a row."""
    return str(row["task"]), int(row["budget"]), int(row["seed"])


class Lines:
    """A JSONL file that one process adds to, under the lock of its folder; others may read.

    A last line that has no end was cut off by a kill: what it told of counts as not done.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def rows(self) -> list[dict[str, Any]]:
        """The rows, in the order in which they were written.

        Raises:
            InputError: a line that was written whole is damaged.
        """
        refuse_special(self.path)
        return read_jsonl(self.path, unfinished=True)

    def append(self, row: dict[str, Any]) -> None:
        """Add a row; it is on the disk when this returns, whole or not at all.

        Raises:
            RunError: the disk is full, or the file cannot be written.
        """
        self.heal()
        line = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
        with disk_faults(self.path), self.path.open("ab", buffering=0) as stream:
            whole = stream.tell()
            try:
                if stream.write(line) < len(line):
                    raise OSError(errno.ENOSPC, "the disk is full")
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(whole)
                raise
        if not whole:
            sync_folder(self.path.parent)

    def heal(self) -> None:
        """Cut off a last line that has no end. The caller holds the lock of the folder."""
        if not self.path.exists():
            return
        with disk_faults(self.path), self.path.open("rb+") as stream:
            content = stream.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                stream.truncate(whole)
                os.fsync(stream.fileno())


class ScoresFile(Lines):
    """`scores.jsonl` of a sweep."""

    def rows(self) -> list[dict[str, Any]]:
        """The rows, in the order in which they were written.

        Raises:
            InputError: a line is damaged, lacks a field, or appears twice.
        """
        rows = super().rows()
        seen: set[Key] = set()
        for number, row in enumerate(rows, 1):
            missing = [name for name in FIELDS if name not in row]
            if missing:
                raise InputError(f"{self.path} line {number}: the field {missing[0]!r} is missing.")
            parse(ScoreRow, row, f"{self.path} line {number}", "Mend or remove that line.")
            if key_of(row) in seen:
                task, budget, seed = key_of(row)
                raise InputError(
                    f"{self.path} line {number}: {task} with budget {budget} and seed {seed} "
                    "appears twice. Remove one of the two lines."
                )
            seen.add(key_of(row))
        return rows

    def append(self, row: dict[str, Any]) -> None:
        """Add a row, the fields that all have first."""
        super().append({name: row[name] for name in FIELDS} | row)

    def drop(self, keys: Iterable[Key]) -> None:
        """Take rows out, in one step."""
        gone = set(keys)
        rows = self.rows()
        kept = [row for row in rows if key_of(row) not in gone]
        if len(kept) < len(rows):
            write_jsonl(self.path, kept)
