"""Draw more examples, and take labels from the pool."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from command_line import labelcast, snapshot
from example_runs import TASK, run_of, scored_run
from example_selectors import Continuing, register
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcast.errors import InputError
from labelcast.labels import transfer
from labelcast.labels.draw import draw_more, take_gold
from labelcast.labels.gold import read_gold
from labelcast.runs import label_store
from labelcast.runs.pool import pickable
from labelcast.runs.run import Run
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task


@settings(max_examples=25)
@given(
    size=st.integers(4, 30),
    low=st.integers(2, 4),
    draws=st.lists(st.tuples(st.sampled_from(["random", "test"]), st.integers(1, 9)), max_size=8),
    seed=st.integers(0, 5),
)
def test_no_example_is_drawn_twice(
    size: int, low: int, draws: list[tuple[str, int]], seed: int
) -> None:
    """The sets share no example, until the pool is used up; then it is an error."""
    with tempfile.TemporaryDirectory() as folder:
        run = scored_run(Path(folder), [f"text {n}" for n in range(size)], low, seed)
        left = size - low
        for name, count in draws:
            before = run.file("draws.jsonl").read_bytes()
            if count > left:
                with pytest.raises(InputError, match=f"{left} left"):
                    draw_more(run, {name: count})
                assert run.file("draws.jsonl").read_bytes() == before
                continue
            assert len(draw_more(run, {name: count})) == count
            assert run.file("draws.jsonl").read_bytes().startswith(before)
            left -= count
        if left:
            draw_more(run, {"random": left})
        rows = run.rows("draws.jsonl")
        assert len({row["index"] for row in rows}) == len({row["id"] for row in rows}) == size
        assert all(row["text"] == f"text {row['index']}" for row in rows)


def test_two_draws_at_once_are_all_or_nothing(tmp_path: Path) -> None:
    """And another seed draws other examples."""
    run = scored_run(tmp_path, [f"text {n}" for n in range(20)], 4)
    with pytest.raises(InputError, match="6 left"):
        draw_more(run, {"random": 10, "test": 7})
    assert label_store.count_labels(run).drawn == {"low": 4}
    first = draw_more(run, {"random": 5, "test": 5})
    assert label_store.count_labels(run).drawn == {"low": 4, "random": 5, "test": 5}
    (tmp_path / "b").mkdir()
    other = scored_run(tmp_path / "b", [f"text {n}" for n in range(20)], 4, seed=1)
    again = draw_more(other, {"random": 5, "test": 5})
    assert {draw.index for draw in again} != {draw.index for draw in first}


def run_with(folder: Path, *known: object) -> Run:
    rows = [{"text": f"t{n}", "more": n, "gold": value} for n, value in enumerate(known)]
    return run_of(folder, rows, len(rows) - 1, TASK)


def test_known_answers_become_labels(tmp_path: Path) -> None:
    """Numbers become text, blanks stay open, and existing labels are kept."""
    run = run_with(tmp_path, "yes", 1, None, " ", "no", "yes")
    ids = [draw.id for draw in label_store.read_draws(run)]
    label_store.save_labels(run, {ids[0]: "no"})
    done = take_gold(run, "gold")
    assert (done.taken, done.kept, done.blank) == (2, 1, 2)
    known = {row["id"]: row["label"] for row in run.rows("labels.jsonl")}
    assert known == {ids[0]: "no", ids[1]: "1", ids[4]: "no"}
    again = take_gold(run, "gold")
    assert (again.taken, again.kept, again.blank) == (0, 3, 2)


def test_only_one_set(tmp_path: Path) -> None:
    """The others stay open."""
    run = run_with(tmp_path, "yes", "no", "yes")
    draw_more(run, {"test": 1})
    assert take_gold(run, "gold", ["test"]).taken == 1
    assert [row["set"] for row in run.rows("labels.jsonl")] == ["test"]


@pytest.mark.parametrize(
    ("field", "known", "says"),
    [
        ("gold", ("yes", "perhaps", "no"), r"line 2, field 'gold'.*'perhaps'.*allowed"),
        ("nowhere", ("yes", "no", "no"), r"--gold: .*line 1: no field 'nowhere'.*gold"),
    ],
)
def test_nothing_is_taken_if_one_answer_is_wrong(
    tmp_path: Path, field: str, known: tuple[object, ...], says: str
) -> None:
    """The message names the record, and nothing is written."""
    run = run_with(tmp_path, *known)
    before = snapshot(run.path)
    with pytest.raises(InputError, match=says):
        take_gold(run, field)
    assert snapshot(run.path) == before


def test_the_gold_field_is_checked_also_if_all_is_labelled(tmp_path: Path) -> None:
    """A misspelled field is reported, and a right one changes nothing."""
    run = run_with(tmp_path, "yes", "no")
    assert take_gold(run, "gold").taken == 1
    assert take_gold(run, "gold").kept == 1
    assert read_gold(run).field == "gold"
    assert read_gold(run).ids == tuple(label.id for label in label_store.read_labels(run))
    with pytest.raises(InputError, match=r"--gold: .*no field 'nope'"):
        take_gold(run, "nope")


@pytest.mark.parametrize(("field", "says"), [("gold", "'perhaps'"), ("nowhere", "no field")])
def test_nothing_is_drawn_if_its_answer_is_wrong(tmp_path: Path, field: str, says: str) -> None:
    """The new example has an answer that is not allowed, or lacks the field."""
    run = run_with(tmp_path, "perhaps", "perhaps", "perhaps")
    label_store.save_labels(run, {draw.id: "no" for draw in label_store.read_draws(run)})
    before = snapshot(run.path)
    done = labelcast("label", run.path, "--more", 1, "--gold", field)
    assert (done.status, done.out) == (2, "")
    assert says in done.err
    assert snapshot(run.path) == before


def test_from_the_command_line(tmp_path: Path) -> None:
    """It prints counts as JSON, and labels a new draw in the same call."""
    run = run_with(tmp_path, "yes", "no", None, "yes", "no")
    done = labelcast("label", run.path, "--gold", "gold", "--more", 1, "--json").json
    assert done["gold"] == {"taken": 4, "kept": 0, "blank": 1}
    assert done["labelled"] == {"low": 3, "random": 1}
    pool = tmp_path / "pool.jsonl"
    pool.write_text(pool.read_text() + json.dumps({"text": "x", "more": 9}) + "\n")
    label_store.save_labels(run, {})
    done = labelcast("label", run.path, "--gold", "gold")
    assert done.status == 2
    assert "the pool has changed" in done.err


@pytest.mark.filterwarnings("ignore::labelcast.errors.LabelcastWarning")
def test_gold_answers_of_nested_records_between_blank_ones(tmp_path: Path) -> None:
    """A dotted field, and positions that do not count the records without text."""
    rows: list[Any] = [
        {"q": {"text": "" if n % 3 == 0 else f"text {n}"}, "a": [{"said": f"answer {n}"}]}
        for n in range(12)
    ]
    task = Task.parse("{name: t, instruction: I., inputs: [q.text], answer: a.0.said}")
    run = run_of(tmp_path, [row for row in rows if row["q"]["text"]], 4, task)
    Path(run.facts.pool).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert take_gold(run, "a.0.said").taken == 4
    for label in label_store.read_labels(run):
        assert label.answer == label.fields["q.text"].replace("text", "answer")
    run.file("labels.jsonl").unlink()
    records = list(open_source(run.facts.pool).records())
    assert transfer.import_labels(run, records).taken == 4


def test_a_method_draws_after_the_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its set has its name, what was drawn before stays out, and the test set is random."""
    register(monkeypatch)
    run = scored_run(tmp_path, [f"text {n}" for n in range(20)], 4)
    before = snapshot(run.path)
    done = labelcast("label", run.path, "--more", 3, "--select", "unsure")
    assert done.status == 2
    assert "draw the test set first: --test N" in done.err
    assert snapshot(run.path) == before
    done = labelcast("label", run.path, "--more", 3, "--select", "unsure", "--test", 5, "--json")
    assert (done.json["drawn_test"], done.json["drawn_unsure"]) == (5, 3)
    drawn = {
        name: [d.index for d in label_store.read_draws(run, [name])] for name in ("test", "unsure")
    }
    # The confidence rises with the position, and the first four are drawn already.
    left = [n for n in range(4, 20) if n not in drawn["test"]]
    assert drawn["unsure"] == left[:3]
    assert label_store.ExampleSet.named("unsure").role == "train"
    assert len(draw_more(run, {"unsure": 8})) == 8
    assert len({draw.index for draw in label_store.read_draws(run)}) == 20
    with pytest.raises(InputError, match="0 left"):
        draw_more(run, {"unsure": 1})


def test_a_method_whose_name_no_set_can_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before it runs."""
    register(monkeypatch)
    run = scored_run(tmp_path, [f"text {n}" for n in range(20)], 4)
    with pytest.raises(InputError, match=r"--select LOUD: .* lower-case letters"):
        draw_more(run, {"test": 5, "LOUD": 3})


def test_a_method_knows_what_its_set_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what random draws and the test set have, which it does not see at all."""
    register(monkeypatch)
    run = scored_run(tmp_path, [f"text {n}" for n in range(40)], 4)
    draw_more(run, {"random": 3, "test": 5})
    for count in (6, 7):
        draw_more(run, {"continuing": count})
    drawn = [draw.index for draw in label_store.read_draws(run, ["continuing"])]
    # The confidence rises with the position.
    confidence = pickable(run.file("confidence.parquet"))
    [none, before] = Continuing.known
    assert none == []
    assert before == confidence[sorted(drawn[:6])].tolist()
    assert len({*drawn}) == 13


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--more", 2, "--select", "best"), "--select best: no such method"),
        (("--more", 0, "--select", "unsure"), "--more 0: at least 1"),
        (("--more", 2, "--select", "low"), "the name of another set"),
        (("--select", "unsure"), "needs --more N"),
        (("--more", 2, "--select", "by-task"), "needs task ids"),
    ],
)
def test_a_wrong_method_draws_nothing(
    options: tuple[object, ...], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test set of the same command neither."""
    register(monkeypatch)
    run = scored_run(tmp_path, [f"text {n}" for n in range(20)], 4)
    before = snapshot(run.path)
    done = labelcast("label", run.path, *options, "--test", 3)
    assert (done.status, done.out) == (2, "")
    assert says in done.err
    assert snapshot(run.path) == before
