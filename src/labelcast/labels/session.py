"""Label a run one example at a time, on the page or in the terminal.

Every change is saved at once and can be undone. Another process may change the run in the
meantime, so nothing is cached, and a change is refused if the labeller saw an older entry.
Beside the labels, `RUN/remarks.jsonl` has one row per example, and `RUN/label_steps.jsonl` the last
changes, newest last.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from pydantic import ConfigDict, Field

from labelcast.errors import InputError, LabelcastError
from labelcast.files.json_files import read_jsonl, write_jsonl
from labelcast.labels.gold import drop_gold
from labelcast.labels.label_task import LabelTask
from labelcast.runs import label_store as store
from labelcast.runs.label_store import DrawnExample, ExampleSet
from labelcast.runs.records import Form, Seconds, parse_rows
from labelcast.runs.run import PATIENCE, Run
from labelcast.tasks.prompts import read_answer
from labelcast.tasks.values import as_text

_ENOUGH_TIMES = 3
_NOTES, _CHANGES = "remarks.jsonl", "label_steps.jsonl"
_KEPT_CHANGES = 200


class LabelEntry(Form):
    """Everything that a labeller can change about one example."""

    model_config = ConfigDict(extra="forbid")

    answer: str | None = None
    unsure: bool = False
    skipped: bool = False
    note: str = ""

    @property
    def version(self) -> str:
        """A short hash that shows whether the entry has changed since it was shown."""
        return hashlib.sha256(json.dumps(self.model_dump()).encode()).hexdigest()[:12]


class ExampleNotes(Form):
    """One row of `remarks.jsonl`; `model_shown`: the labeller looked at the model's answer."""

    id: str
    note: str = ""
    unsure: bool = False
    skipped: bool = False
    seconds: Seconds = 0.0
    model_shown: bool = False


class LabelChange(Form):
    """One row of `label_steps.jsonl`: an example before and after a change."""

    step: str = Field(default_factory=lambda: secrets.token_hex(8))
    id: str
    before: LabelEntry
    after: LabelEntry


class NoSuchExample(InputError):
    """No drawn example has this id."""


class ChangedMeanwhile(LabelcastError):
    """The labeller saw an older state; `item` is the example now, None for a refused undo."""

    def __init__(self, item: LabelItem | None) -> None:
        super().__init__("changed in the meantime, in another window or by another command.")
        self.item = item


@dataclass(frozen=True)
class LabelItem:
    """One drawn example with its entry and the time spent on it."""

    id: str
    set: str
    fields: dict[str, str]
    entry: LabelEntry
    seconds: float

    @property
    def is_open(self) -> bool:
        """Neither answered nor skipped."""
        return self.entry.answer is None and not self.entry.skipped


@dataclass(frozen=True)
class SetCounts:
    """The progress of one set; the time left is known after a few answers."""

    name: str
    drawn: int
    labelled: int
    skipped: int
    unsure: int
    seconds_left: float | None


@dataclass(frozen=True)
class Snapshot:
    """The state on disk: the items set by set, and the change that undo would revert, if any.

    `made` is the step of the change that this is the result of, None if nothing changed.
    """

    items: tuple[LabelItem, ...]
    sets: tuple[ExampleSet, ...]
    undo: LabelChange | None
    made: str | None = None

    def item(self, example: str) -> LabelItem:
        """The item with an id."""
        for item in self.items:
            if item.id == example:
                return item
        raise NoSuchExample(f"no drawn example has the id {example[:40]!r}.")

    def first_open(self) -> LabelItem | None:
        """The first item of any set that is neither answered nor skipped."""
        return next((item for item in self.items if item.is_open), None)

    def next_after(self, example: str) -> LabelItem | None:
        """What to show next in the same set: an open item, else a skipped one further on."""
        here = self.item(example)
        peers = [item for item in self.items if item.set == here.set]
        place = peers.index(here)
        after = peers[place + 1 :]
        found = [item for item in (*after, *peers[:place]) if item.is_open]
        found += [item for item in after if item.entry.skipped]
        return found[0] if found else None

    def counts(self, name: str) -> SetCounts:
        """The progress of a set."""
        entries = [item.entry for item in self.items if item.set == name]
        labelled = sum(entry.answer is not None for entry in entries)
        skipped, unsure = sum(e.skipped for e in entries), sum(e.unsure for e in entries)
        times = [item.seconds for item in self.items if item.entry.answer and item.seconds > 0]
        enough = len(times) >= _ENOUGH_TIMES
        left = median(times) * (len(entries) - labelled) if enough else None
        return SetCounts(name, len(entries), labelled, skipped, unsure, left)


def load_notes(run: Run) -> dict[str, ExampleNotes]:
    """The notes of a run by the id of their example."""
    path = run.file(_NOTES)
    return {notes.id: notes for notes in parse_rows(ExampleNotes, read_jsonl(path), path)}


class LabelSession:
    """Labels the drawn examples of a run. Each change is on disk when its method returns."""

    def __init__(self, run: Run, only: Collection[str] | None = None):
        """Open a session for some sets of a scored run; None for all."""
        self.run, self.only, self.task = run, only, LabelTask.of(run.task)

    def snapshot(self) -> Snapshot:
        """The current state. Raises InputError if a file is damaged."""
        draws, notes = store.read_draws(self.run, self.only), load_notes(self.run)
        answers, sets = store.known_answers(self.run), store.sets_of(draws)
        items = tuple(
            _item(draw, answers.get(draw.id), notes.get(draw.id, ExampleNotes(id=draw.id)))
            for one in sets
            for draw in draws
            if draw.set == one.name
        )
        return Snapshot(items, tuple(sets), _undoable(self._changes(), items))

    def label(self, example: str, answer: str, *, seen: str, seconds: float = 0.0) -> Snapshot:
        """Label an example; `seen` is the version of its entry that the labeller saw.

        Raises:
            InputError: the answer is not allowed, or there is no such example.
            ChangedMeanwhile: the entry has changed since.
            RunError: it could not be written, or another process keeps the run locked.
        """
        text = read_answer(answer, self.run.task, "this example")
        return self._change(example, seen, seconds, {"answer": text, "skipped": False})

    def skip(self, example: str, *, seen: str, seconds: float = 0.0) -> Snapshot:
        """Skip an example; if it has an answer, that stays. Errors as `label`."""
        changes = {"skipped": self.snapshot().item(example).entry.answer is None}
        return self._change(example, seen, seconds, changes)

    def set_unsure(self, example: str, unsure: bool, *, seen: str) -> Snapshot:
        """Mark an example as unsure, or remove the mark. Errors as `label`."""
        return self._change(example, seen, 0.0, {"unsure": unsure})

    def set_note(self, example: str, note: str, *, seen: str) -> Snapshot:
        """Set the note of an example; an empty one removes it. Errors as `label`."""
        return self._change(example, seen, 0.0, {"note": as_text(note, "the note").strip()})

    def undo(self, step: str | None = None) -> tuple[Snapshot, LabelItem | None]:
        """Undo the last change whose result is still there; with `step`, that one.

        Returns the new state and the reverted example, None if there is nothing to undo.

        Raises:
            ChangedMeanwhile: the example has changed since that step.
            RunError: as `label`.
        """
        with self.run.locked(wait=PATIENCE):
            now, changes = self.snapshot(), self._changes()
            last = now.undo
            if step is not None:
                of = {change.id for change in changes if change.step == step}
                last = _undoable([change for change in changes if change.id in of], now.items)
                if last is None or last.step != step:
                    raise ChangedMeanwhile(None)
            if last is None:
                return now, None
            self._write(now.item(last.id), last.before, 0.0)
            # Later changes of the same example no longer apply; those of other examples may.
            place = [change.step for change in changes].index(last.step)
            valid = [c for n, c in enumerate(changes) if n < place or c.id != last.id]
            self._save_changes(valid)
            now = self.snapshot()
            return now, now.item(last.id)

    def show_model_answer(self, example: str) -> str | None:
        """The model's own answer, None if it gave none; records that it was shown.

        Refused for the test set, whose labels must not depend on the model that they test.
        """
        from labelcast.runs.pool import read_model_answers

        if ExampleSet.named(self.snapshot().item(example).set).role == "test":
            raise InputError("the model's answer is not shown for the test set.")
        answers = read_model_answers(self.run.file("confidence.parquet"), [example])
        with self.run.locked(wait=PATIENCE):
            self._note(example, model_shown=True)
        return answers[example].answer if example in answers else None

    def _change(
        self, example: str, seen: str, seconds: float, changes: Mapping[str, str | bool]
    ) -> Snapshot:
        with self.run.locked(wait=PATIENCE):
            item = self.snapshot().item(example)
            if item.entry.version != seen:
                raise ChangedMeanwhile(item)
            after, made = item.entry.model_copy(update=changes), None
            if after != item.entry:
                # Saved first, so that whatever else reaches the disk can be undone.
                change = LabelChange(id=example, before=item.entry, after=after)
                self._save_changes([*self._changes(), change])
                made = change.step
            self._write(item, after, seconds)
            return replace(self.snapshot(), made=made)

    def _write(self, item: LabelItem, after: LabelEntry, seconds: float) -> None:
        """Save a new entry of an item, the answer first."""
        if after.answer != item.entry.answer:
            known = store.known_answers(self.run)
            known.pop(item.id, None)
            if after.answer is not None:
                known[item.id] = after.answer
            store.save_labels(self.run, known)
            drop_gold(self.run, {item.id})
        spent = round(item.seconds + seconds, 1)
        marks = after.model_dump(exclude={"answer"})
        self._note(item.id, **marks, seconds=spent)

    def _note(self, example: str, **changes: object) -> None:
        notes = load_notes(self.run)
        before = notes.get(example, ExampleNotes(id=example))
        now = before.model_copy(update=changes)
        if now != before:
            rows = [one.model_dump() for one in (notes | {example: now}).values()]
            write_jsonl(self.run.file(_NOTES), rows)

    def _changes(self) -> list[LabelChange]:
        path = self.run.file(_CHANGES)
        return parse_rows(LabelChange, read_jsonl(path), path)

    def _save_changes(self, changes: Sequence[LabelChange]) -> None:
        kept = [change.model_dump() for change in changes[-_KEPT_CHANGES:]]
        write_jsonl(self.run.file(_CHANGES), kept)


def _item(drawn: DrawnExample, answer: str | None, notes: ExampleNotes) -> LabelItem:
    # An answer that was imported later ends a skip.
    skipped = notes.skipped and answer is None
    entry = LabelEntry(answer=answer, unsure=notes.unsure, skipped=skipped, note=notes.note)
    return LabelItem(drawn.id, drawn.set, drawn.fields, entry, notes.seconds)


def _undoable(changes: Sequence[LabelChange], items: Sequence[LabelItem]) -> LabelChange | None:
    """The newest change whose result is still there: no kill came before, no change after it."""
    now = {item.id: item.entry for item in items}
    return next((c for c in reversed(changes) if now.get(c.id) == c.after), None)
