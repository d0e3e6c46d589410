"""Bad input: status 2, one clear line that says where, and nothing written or lost."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from bad_input import WORDS, Case, lines, prepared
from command_line import Models, check_message, fill, in_process, labelcast, snapshot
from user_mistakes import CASES

FROM_A_SHELL = ("label: no such run", "--target 1.5")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_mistake_gets_one_clear_line(
    case: Case, place: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 2, one line that names file, record and field, and no file is changed."""
    monkeypatch.chdir(place)
    args = prepared(case, models)
    before = snapshot(place)
    check_message(labelcast(*args), 2, case.says)
    assert snapshot(place) == before


@pytest.mark.parametrize("name", FROM_A_SHELL)
def test_the_same_from_a_shell(
    name: str, place: Path, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A separate process gives the same message and exit status."""
    monkeypatch.chdir(place)
    (case,) = (case for case in CASES if case.name == name)
    args = prepared(case, models)
    before = snapshot(place)
    check_message(in_process(args), 2, case.says)
    assert snapshot(place) == before


def test_one_wrong_answer_imports_nothing(place: Path) -> None:
    """If one answer is not allowed, none of the file's answers is imported."""
    path = fill(place, {0: "yes", 1: "no", 7: "maybe"})
    before = snapshot(place)
    done = labelcast("label", place / "run", "--import", path)
    check_message(done, 2, ("filled.jsonl line 8", "'label'", "'maybe'", "yes, no"))
    assert snapshot(place) == before


def test_conflicting_labels(place: Path) -> None:
    """Two answers for one example: the message names both places."""
    path = fill(place, {0: "yes"})
    row = json.loads(path.read_text().splitlines()[0])
    path.write_text(lines(row, row | {"label": "no"}))
    before = snapshot(place)
    done = labelcast("label", place / "run", "--import", path)
    check_message(done, 2, ("line 2", "line 1", "'no'", "'yes'", row["id"]))
    assert snapshot(place) == before


def test_one_label_is_too_few(place: Path) -> None:
    """One label gives no pair; the message says how many are missing."""
    assert labelcast("label", place / "run", "--import", fill(place, {0: "yes"})).status == 0
    check_message(labelcast("coslow", place / "run"), 2, ("1 of 8", "--import"))


def test_an_edited_export_is_overwritten_only_by_force(place: Path) -> None:
    """Answers filled into an exported file survive another export to the same name."""
    path = place / "run.csv"
    assert labelcast("label", place / "run", "--export", path).status == 0
    path.write_text(path.read_text("utf-8-sig").replace(",\n", ",yes\n", 1))
    before = snapshot(place)
    done = labelcast("label", place / "run", "--more", 3, "--export", path)
    check_message(done, 2, ("run.csv", "was edited", "--import", "--force"))
    assert snapshot(place) == before
    assert labelcast("label", place / "run", "--import", path).status == 0
    assert labelcast("label", place / "run", "--export", path).status == 2
    assert labelcast("label", place / "run", "--export", path, "--force").status == 0
    assert path.read_text("utf-8-sig").count(",yes\n") == 1


def test_a_prompt_longer_than_the_context_is_skipped_and_flagged(
    place: Path, models: Models
) -> None:
    """It is reported and never picked, and the other prompts are scored."""
    long = {"text": "x" * 400}
    (place / "p.jsonl").write_text(lines(long, *WORDS))
    done = labelcast(
        *("score", place / "p.jsonl", "--task", place / "task.yaml", "--model", models.tiny),
        *("--out", place / "new", "--n-label", 8, "--max-new-tokens", 4, "--json"),
    )
    assert done.status == 0
    assert done.json["skipped"] == 1
    assert "warning: 1 prompts do not fit the model's context" in done.err
    table = pq.read_table(place / "new/confidence.parquet").to_pylist()
    assert (table[0]["flag"], table[0]["confidence"]) == ("too_long", None)
    assert table[0]["id"] not in done.json["picked"]


def test_a_changed_pool_gives_no_more_examples(place: Path, models: Models) -> None:
    """Positions in another pool are meaningless; the message says what to do."""
    args = [
        *("score", place / "pool.jsonl", "--task", place / "task.yaml", "--model", models.tiny),
        *("--out", place / "run", "--n-label", 8, "--max-new-tokens", 4),
    ]
    assert labelcast(*args).status == 0
    (place / "pool.jsonl").write_text(lines(*WORDS[1:]))
    before = snapshot(place)
    check_message(labelcast("label", place / "run", "--more", 2), 2, ("pool.jsonl", "changed"))
    assert snapshot(place) == before
