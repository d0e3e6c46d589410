"""A label session: every change is saved, none is overwritten unseen, all can be undone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from command_line import snapshot
from example_runs import scored_run
from hypothesis import given, settings
from hypothesis import strategies as st

from labelcast.errors import InputError
from labelcast.labels.draw import draw_more
from labelcast.labels.session import (
    ChangedMeanwhile,
    LabelEntry,
    LabelSession,
    NoSuchExample,
    load_notes,
)
from labelcast.runs import label_store
from labelcast.runs.run import Run

SIZE = 4
PLACES = st.integers(0, SIZE - 1)
NOTES = st.text(st.characters(codec="utf-8"), max_size=6)
ACTIONS = st.one_of(
    st.tuples(st.just("label"), PLACES, st.sampled_from(["yes", "no", "1", "=2"])),
    st.tuples(st.just("skip"), PLACES, st.none()),
    st.tuples(st.just("unsure"), PLACES, st.booleans()),
    st.tuples(st.just("note"), PLACES, NOTES),
    st.tuples(st.just("undo"), PLACES, st.none()),
)
CHANGES = ACTIONS.filter(lambda action: action[0] != "undo")


def run_in(folder: str | Path, size: int = SIZE) -> Run:
    return scored_run(Path(folder), [f"text {n}" for n in range(size + 6)], size)


def on_disk(run: Run) -> dict[str, str]:
    return {row["id"]: row["label"] for row in run.rows("labels.jsonl")}


def expected(entry: LabelEntry, what: str, value: Any) -> LabelEntry:
    """The entry after an action."""
    if what == "label":
        return entry.model_copy(update={"answer": value, "skipped": False})
    if what == "skip":
        return entry.model_copy(update={"skipped": entry.answer is None})
    return entry.model_copy(update={what: value.strip() if what == "note" else value})


def act(session: LabelSession, example: str, what: str, value: Any, seen: str) -> None:
    if what == "skip":
        session.skip(example, seen=seen)
    else:
        change: Any = {
            "label": session.label,
            "unsure": session.set_unsure,
            "note": session.set_note,
        }[what]
        change(example, value, seen=seen)


@settings(max_examples=25)
@given(actions=st.lists(ACTIONS, max_size=14))
def test_any_sequence_agrees_with_a_simple_model(actions: list[tuple[str, int, Any]]) -> None:
    """The session, the files and the undo history agree after any actions and restarts."""
    with tempfile.TemporaryDirectory() as folder:
        run = run_in(folder)
        ids = [item.id for item in LabelSession(run).snapshot().items]
        model = dict.fromkeys(ids, LabelEntry())
        history: list[tuple[str, LabelEntry]] = []
        for what, place, value in actions:
            session, example = LabelSession(run), ids[place]  # as after a restart
            if what == "undo":
                _, item = session.undo()
                assert (item is None) == (not history)
                if history:
                    example, before = history.pop()
                    assert item is not None and item.id == example
                    model[example] = before
                continue
            before = model[example]
            act(session, example, what, value, before.version)
            model[example] = expected(before, what, value)
            if model[example] != before:
                history.append((example, before))
        assert {item.id: item.entry for item in LabelSession(run).snapshot().items} == model
        assert on_disk(run) == {key: e.answer for key, e in model.items() if e.answer is not None}


@settings(max_examples=20)
@given(
    first=ACTIONS.filter(lambda a: a[0] != "undo"), then=ACTIONS.filter(lambda a: a[0] != "undo")
)
def test_an_unseen_change_is_not_overwritten(
    first: tuple[str, int, Any], then: tuple[str, int, Any]
) -> None:
    """A second window that saw an older entry changes nothing, and gets the current one."""
    with tempfile.TemporaryDirectory() as folder:
        run = run_in(folder)
        session, other = LabelSession(run), LabelSession(run)
        item = other.snapshot().items[0]
        act(session, item.id, first[0], first[2], item.entry.version)
        now = session.snapshot().item(item.id)
        if now.entry == item.entry:
            return
        before = snapshot(run.path)
        with pytest.raises(ChangedMeanwhile) as refused:
            act(other, item.id, then[0], then[2], item.entry.version)
        assert refused.value.item == now
        assert snapshot(run.path) == before


def test_an_import_is_shown_and_kept(tmp_path: Path) -> None:
    """Answers imported during a session are shown, are not undone, and end a skip."""
    run = run_in(tmp_path)
    session = LabelSession(run)
    one, two, *_ = session.snapshot().items
    session.label(one.id, "yes", seen=one.entry.version)
    session.skip(two.id, seen=two.entry.version)
    label_store.save_labels(run, {one.id: "no", two.id: "no"})
    view = session.snapshot()
    assert [item.entry.answer for item in view.items[:2]] == ["no", "no"]
    assert not view.item(two.id).entry.skipped
    assert view.undo is None
    assert session.undo()[1] is None
    assert on_disk(run) == {one.id: "no", two.id: "no"}


def test_a_new_draw_is_shown(tmp_path: Path) -> None:
    """After the earlier examples, by set; a session for some sets shows only these."""
    run = run_in(tmp_path)
    session, random = LabelSession(run), LabelSession(run, ["random"])
    assert not random.snapshot().items
    draw_more(run, {"test": 1, "random": 2})
    names = [item.set for item in session.snapshot().items]
    assert names == ["low"] * SIZE + ["random", "random", "test"]
    assert [item.set for item in random.snapshot().items] == ["random", "random"]
    with pytest.raises(NoSuchExample):
        random.label(session.snapshot().items[0].id, "yes", seen=LabelEntry().version)


def test_a_refused_change_changes_nothing(tmp_path: Path) -> None:
    """Unknown examples, wrong answers, invalid text, another change than the last."""
    run = run_in(tmp_path)
    session = LabelSession(run)
    item = session.snapshot().items[0]
    seen = session.label(item.id, "yes", seen=item.entry.version).item(item.id).entry.version
    before = snapshot(run.path)
    with pytest.raises(NoSuchExample):
        session.label("made up", "yes", seen=seen)
    with pytest.raises(InputError, match="allowed"):
        session.label(item.id, "perhaps", seen=seen)
    with pytest.raises(InputError, match="Unicode"):
        session.set_note(item.id, "\ud800", seen=seen)
    with pytest.raises(ChangedMeanwhile):
        session.undo("another")
    assert snapshot(run.path) == before


def test_a_kill_between_two_files_loses_no_answer(tmp_path: Path) -> None:
    """A change that was recorded but never written is skipped by undo."""
    run = run_in(tmp_path)
    session = LabelSession(run)
    one, two, *_ = session.snapshot().items
    session.label(one.id, "yes", seen=one.entry.version)
    kept = {
        name: run.file(name).read_bytes()
        for name in ("labels.jsonl", "remarks.jsonl")
        if run.file(name).exists()
    }
    session.label(two.id, "no", seen=two.entry.version)
    for name, content in kept.items():
        run.file(name).write_bytes(content)
    _, item = session.undo()
    assert item is not None and item.id == one.id
    assert on_disk(run) == {}


def test_a_step_is_undone_by_its_own_labeller(tmp_path: Path) -> None:
    """Also after another example was labelled elsewhere, but not if this one was."""
    session, other = (LabelSession(run_in(tmp_path)) for _ in range(2))
    one, two, *_ = session.snapshot().items
    blank = LabelEntry().version
    step = session.label(one.id, "yes", seen=blank).made
    other.label(two.id, "no", seen=blank)
    now, item = session.undo(step)
    assert item is not None and (item.id, item.entry) == (one.id, LabelEntry())
    assert now.item(two.id).entry.answer == "no"
    now = session.label(one.id, "yes", seen=blank)
    for answer in ("no", "yes"):
        other.label(one.id, answer, seen=other.snapshot().item(one.id).entry.version)
        with pytest.raises(ChangedMeanwhile):
            session.undo(now.made)
    same = session.label(one.id, "yes", seen=now.item(one.id).entry.version)
    assert same.made is None


def test_what_comes_next(tmp_path: Path) -> None:
    """Open examples first, from the start again; then skipped ones further on; then nothing."""
    session = LabelSession(run_in(tmp_path))
    ids = [item.id for item in session.snapshot().items]
    blank = LabelEntry().version

    def following(example: str) -> str | None:
        item = session.snapshot().next_after(example)
        return None if item is None else item.id

    session.skip(ids[1], seen=blank)
    assert following(ids[0]) == ids[2]
    session.label(ids[3], "yes", seen=blank)
    assert following(ids[3]) == ids[0]
    session.label(ids[2], "yes", seen=blank)
    session.label(ids[0], "yes", seen=blank)
    assert following(ids[0]) == ids[1]
    assert following(ids[2]) is None
    assert session.snapshot().first_open() is None


def test_time_left(tmp_path: Path) -> None:
    """The median time of an answer, times the open examples; unknown at first."""
    session = LabelSession(run_in(tmp_path))
    blank = LabelEntry().version
    for seconds, item in zip((10, 1000, 20), session.snapshot().items[:3], strict=True):
        assert session.snapshot().counts("low").seconds_left is None
        session.label(item.id, "yes", seen=blank, seconds=seconds)
    assert session.snapshot().counts("low").seconds_left == 20


def test_the_models_answer_is_recorded_as_shown(tmp_path: Path) -> None:
    """And it is not shown for the test set."""
    run = run_in(tmp_path)
    draw_more(run, {"test": 1})
    session = LabelSession(run)
    item, *_, test = session.snapshot().items
    assert session.show_model_answer(item.id) is None
    assert load_notes(run)[item.id].model_shown
    with pytest.raises(InputError, match="test"):
        session.show_model_answer(test.id)
    assert test.id not in load_notes(run)


@pytest.mark.parametrize("name", ["remarks.jsonl", "label_steps.jsonl"])
def test_a_damaged_row_is_named(tmp_path: Path, name: str) -> None:
    """With its file, its line and what to do."""
    run = run_in(tmp_path)
    run.file(name).write_text('{"id": 3}\n')
    with pytest.raises(InputError, match=rf"{name} line 1: damaged .*Fix or remove"):
        LabelSession(run).snapshot()
