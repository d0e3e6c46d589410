"""Labelling in the terminal."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from command_line import Outcome, check_message, labelcast
from example_runs import run_of, scored_run

from labelcast.labels import transfer
from labelcast.labels.session import LabelSession
from labelcast.runs.run import Run
from labelcast.tasks.task import Task


def typed(run: Run, *lines: str) -> Outcome:
    """Type these lines; then the input ends."""
    stdin = io.StringIO("".join(line + "\n" for line in lines))
    with patch.object(sys, "stdin", stdin), patch.dict(os.environ, COLUMNS="100"):
        return labelcast("label", run.path, "--terminal")


def answers(run: Run) -> list[Any]:
    return [item.entry.answer for item in LabelSession(run).snapshot().items]


def test_every_command(tmp_path: Path) -> None:
    """Number, first letters, undo, skip, back, note, unsure; the end of the input saves all."""
    task = Task.parse(
        "{name: t, instruction: I., inputs: [text], answer: y, answers: [yes, no, nn]}"
    )
    run = run_of(tmp_path, [{"text": f"text {n}"} for n in range(6)], 5, task)
    lines = ("1", "y", ":undo", "no", ":skip", ":unsure", ":note see [b]this[/b]", "nn", ":back")
    done = typed(run, *lines, "perhaps", "n", ":help", ":what", "no")
    assert done.status == 0, done.err
    assert answers(run) == ["yes", "no", None, "no", None]
    item = LabelSession(run).snapshot().items[3]
    assert (item.entry.unsure, item.entry.note) == (True, "see [b]this[/b]")
    assert "'perhaps' is none of the allowed answers" in done.err
    assert "'n' could be any of no, nn" in done.err
    assert ":what: unknown command" in done.err
    assert "Traceback" not in done.err
    assert "To continue" in done.err


def test_a_second_session_continues(tmp_path: Path) -> None:
    """It starts at the first open example, and the last answer ends it."""
    run = scored_run(tmp_path, [f"text {n}" for n in range(5)], 4)
    err = typed(run, "yes").err
    assert "low 1 of 4" in err and f"To continue:\n  labelcast label {run.path} --terminal" in err
    done = typed(run, "no", "=2", ":quit", "yes")
    assert answers(run) == ["yes", "no", "=2", None]
    assert "low 3 of 4" in typed(run, ":skip").err
    done = typed(run, "1")  # skipped examples come again
    assert answers(run) == ["yes", "no", "=2", "1"]
    assert "labelcast coslow" in done.err


def test_people_see_names_and_files_have_values(tmp_path: Path) -> None:
    """An answer with a name is chosen by its name, written as its value, and read in each form."""
    text = "{name: t, instruction: I., inputs: [text], answer: y, answers: {0: World, 1: Sports}}"
    run = run_of(tmp_path, [{"text": f"text {n}"} for n in range(4)], 3, Task.parse(text))
    done = typed(run, "sports", "World")
    assert "1 World   2 Sports" in done.err
    assert answers(run) == ["Sports", "World", None]
    assert [row["y"] for row in run.rows("labels.jsonl")] == ["1", "0"]
    for name, sheet in (("a.jsonl", True), ("a.csv", True), ("a.json", False)):
        file = tmp_path / name
        assert labelcast("label", run.path, "--export", file).status == 0
        assert ("World" in file.read_text("utf-8-sig")) != sheet
        known = labelcast("label", run.path, "--import", file, "--json").json["imported"]
        assert (known["taken"], known["same"], known["blank"]) == (0, 2, 1)
    rows = list(transfer.export_rows(run))
    for row, answer in zip(rows, ("SPORTS", 0.0, "1"), strict=True):
        (tmp_path / "b.jsonl").write_text(json.dumps(row | {"y": answer}))
        labelcast("label", run.path, "--import", tmp_path / "b.jsonl")
    assert answers(run) == ["Sports", "World", "Sports"]


def test_data_cannot_control_the_terminal(tmp_path: Path) -> None:
    """Escape sequences, bells, carriage returns and markup are only shown."""
    run = scored_run(tmp_path, ["\x1b[2J\x07[red]x[/red]\x9b31m\rover \U0001f600", "b"], 2)
    done = typed(run)
    assert "\x1b" not in done.err
    assert "\x07" not in done.err
    assert "[red]x[/red]" in done.err


def test_terminal_is_not_combined_with_other_steps(tmp_path: Path) -> None:
    """And --json alone prints the counts, and opens nothing."""
    run = scored_run(tmp_path, ["a", "b", "c"], 2)
    done = labelcast("label", run.path, "--terminal", "--more", 1)
    check_message(done, 2, ("--terminal", "before"))
    assert labelcast("label", run.path, "--json").json["left"] == 2
    done = labelcast("label", run.path, "--terminal", "--set", "test")
    check_message(done, 2, ("nothing has been drawn for test",))
