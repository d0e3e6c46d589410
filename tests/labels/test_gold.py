"""Known answers of the pool become labels; those of people stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import labelcast, snapshot
from runs_made import TASK, run_of

from labelcast.errors import InputError
from labelcast.labels import store
from labelcast.labels.draw import draw_more, take_gold
from labelcast.runs.run import Run


def run_with(folder: Path, *known: object) -> Run:
    rows = [{"text": f"t{n}", "more": n, "gold": value} for n, value in enumerate(known)]
    return run_of(folder, rows, len(rows) - 1, TASK)


def test_known_answers_are_taken_and_labels_stay(tmp_path: Path) -> None:
    """Numbers as text, blanks left open, a person's label kept whatever the pool says."""
    run = run_with(tmp_path, "yes", 1, None, " ", "no", "yes")
    ids = [draw.id for draw in store.read_draws(run)]
    store.save_labels(run, {ids[0]: "no"})
    done = take_gold(run, "gold")
    assert (done.taken, done.kept, done.blank) == (2, 1, 2)
    known = {row["id"]: row["label"] for row in run.rows("labels.jsonl")}
    assert known == {ids[0]: "no", ids[1]: "1", ids[4]: "no"}
    again = take_gold(run, "gold")
    assert (again.taken, again.kept, again.blank) == (0, 3, 2)


def test_one_set_alone(tmp_path: Path) -> None:
    """The others stay open."""
    run = run_with(tmp_path, "yes", "no", "yes")
    draw_more(run, {"test": 1})
    assert take_gold(run, "gold", ["test"]).taken == 1
    assert [row["set"] for row in run.rows("labels.jsonl")] == ["test"]


@pytest.mark.parametrize(
    ("field", "known", "says"),
    [
        ("gold", ("yes", "perhaps", "no"), r"line 2, field 'gold'.*'perhaps'.*allowed"),
        ("nowhere", ("yes", "no", "no"), r"--gold nowhere: .*line 1 has no such field.*gold"),
    ],
)
def test_a_wrong_one_takes_none(
    tmp_path: Path, field: str, known: tuple[object, ...], says: str
) -> None:
    """The message names the record, and nothing is written."""
    run = run_with(tmp_path, *known)
    before = snapshot(run.path)
    with pytest.raises(InputError, match=says):
        take_gold(run, field)
    assert snapshot(run.path) == before


@pytest.mark.parametrize(("field", "says"), [("gold", "'perhaps'"), ("nowhere", "no such field")])
def test_nothing_is_drawn_for_a_wrong_one(tmp_path: Path, field: str, says: str) -> None:
    """The example that would be drawn has an answer that is not allowed, or lacks the field."""
    run = run_with(tmp_path, "perhaps", "perhaps", "perhaps")
    store.save_labels(run, {draw.id: "no" for draw in store.read_draws(run)})
    before = snapshot(run.path)
    done = labelcast("label", run.path, "--more", 1, "--gold", field)
    assert (done.status, done.out) == (2, "")
    assert says in done.err
    assert snapshot(run.path) == before


def test_from_the_command_line(tmp_path: Path) -> None:
    """Counts as JSON; a new draw is filled in by the same command."""
    run = run_with(tmp_path, "yes", "no", None, "yes", "no")
    done = labelcast("label", run.path, "--gold", "gold", "--more", 1, "--json").json
    assert done["gold"] == {"taken": 4, "kept": 0, "blank": 1}
    assert done["labelled"] == {"low": 3, "random": 1}
    pool = tmp_path / "pool.jsonl"
    pool.write_text(pool.read_text() + json.dumps({"text": "x", "more": 9}) + "\n")
    store.save_labels(run, {})
    done = labelcast("label", run.path, "--gold", "gold")
    assert done.status == 2
    assert "the pool has changed" in done.err
