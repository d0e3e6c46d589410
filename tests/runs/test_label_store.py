"""The drawn examples and labels of a run, and their sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from example_runs import run_of, scored_run

from labelcast.errors import InputError
from labelcast.files.json_files import write_jsonl
from labelcast.labels.session import LabelSession
from labelcast.runs import label_store
from labelcast.runs.run import Run
from labelcast.tasks.prompts import examples
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with four drawn examples."""
    return scored_run(tmp_path, ["a", "b", "c", "d", "e", "f"], 4)


def ids(run: Run) -> list[str]:
    return [draw.id for draw in label_store.read_draws(run)]


def test_labelled_examples(run: Run) -> None:
    """They are rendered and in drawn order; fewer than two are an error."""
    with pytest.raises(InputError, match="0 of 4"):
        label_store.labelled_examples(run, "low", lambda system, user: user)
    label_store.save_labels(run, dict(zip(ids(run), ("yes", "no", "1"), strict=False)))
    found = label_store.labelled_examples(run, "low", lambda system, user: f"{system}|{user}")
    assert [example.prompt for example in found] == [
        "Say it.|T: a\nM: 0",
        "Say it.|T: b\nM: 1",
        "Say it.|T: c\nM: 2",
    ]
    assert [example.answer for example in found] == ["yes", "no", "1"]


def test_a_new_set_is_for_training(run: Run) -> None:
    """It comes before the test set."""
    rows = run.rows("draws.jsonl")
    for row, name in zip(rows, ("test", "typiclust", "low", "random"), strict=True):
        row["set"] = name
    write_jsonl(run.file("draws.jsonl"), rows)
    sets = LabelSession(run).snapshot().sets
    assert [(one.name, one.role) for one in sets] == [
        ("low", "low"),
        ("typiclust", "train"),
        ("random", "train"),
        ("test", "test"),
    ]
    assert label_store.count_labels(run).drawn["typiclust"] == 1


def test_files_are_read_and_written_unchanged(run: Run) -> None:
    """Saving what was read changes no byte; a field beside ours is a column of the file."""
    label_store.save_labels(run, dict.fromkeys(ids(run), "yes"))
    draws, labels = (run.file(name).read_bytes() for name in ("draws.jsonl", "labels.jsonl"))
    label_store.save_draws(run, label_store.read_draws(run))
    label_store.save_labels(run, label_store.known_answers(run))
    assert run.file("draws.jsonl").read_bytes() == draws
    assert run.file("labels.jsonl").read_bytes() == labels
    row = json.loads(draws.splitlines()[0])
    assert list(row) == ["id", "index", "set", "batch", "text", "more", "label"]


def test_labels_of_lost_draws_are_kept(run: Run) -> None:
    """They stay at the end of the file."""
    one, two, *_ = ids(run)
    label_store.save_labels(run, {one: "yes", two: "no"})
    label_store.save_draws(run, label_store.read_draws(run)[1:])
    label_store.save_labels(run, {two: "1"})
    assert label_store.known_answers(run) == {two: "1", one: "yes"}


@pytest.mark.parametrize(
    ("key", "value"), [("id", 3), ("set", "No set"), ("index", -1), ("batch", "1"), ("text", None)]
)
def test_a_damaged_row_is_named(run: Run, key: str, value: object) -> None:
    """With its file, its line, its key and what to do."""
    rows = run.rows("draws.jsonl")
    rows[2][key] = value
    write_jsonl(run.file("draws.jsonl"), rows)
    with pytest.raises(InputError, match=rf"draws.jsonl line 3: damaged .*{key}.*Fix or remove"):
        label_store.read_draws(run)


def test_a_labelled_conversation_keeps_its_turns(tmp_path: Path) -> None:
    """The prompt of a labelled example is the one that was scored: turns, not their text."""
    turns = [
        {"from": "system", "value": "Be kind."},
        {"from": "human", "value": "NUMBER"},
        {"from": "gpt", "value": "Yes?"},
        {"from": "human", "value": "Go on."},
        {"from": "gpt", "value": "done"},
    ]
    rows = [{"chat": json.loads(json.dumps(turns).replace("NUMBER", str(n)))} for n in range(4)]
    task = Task.parse("{name: t, instruction: I., inputs: [chat.prompt], answer: chat.answer}")
    run = run_of(tmp_path, rows, 3, task)
    known = {draw.id: "done" for draw in label_store.read_draws(run)}
    label_store.save_labels(run, known)

    def render(instruction: str, user: Any) -> str:
        return json.dumps([instruction, user])

    pool = {e.id: e for e in examples(open_source(run.facts.pool), task, render)}
    found = label_store.labelled_examples(run, "low", render)
    assert len(found) == 3
    for example in found:
        assert (example.prompt, example.content) == (
            pool[example.id].prompt,
            pool[example.id].content,
        )
        assert '"role": "assistant"' in example.prompt
    shown = label_store.read_draws(run)[0].fields["chat.prompt"]
    assert shown == "System: Be kind.\n\nUser: 0\n\nAssistant: Yes?\n\nUser: Go on."
