"""Labelling by hand: what is to be labelled, what was said of it, and each change on disk.

The page and the terminal mode share it. Nothing is kept in memory between two calls, so another
process (a second page, `label --import`, `label --more`) may change the run meanwhile: each
change names the entry that its maker saw, and is refused where that is no longer so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from labelcast.errors import InputError, LabelcastError
from labelcast.labels.notes import (
    Entry,
    Remark,
    Step,
    load_remarks,
    load_steps,
    save_remarks,
    save_steps,
)
from labelcast.labels.store import SETS, export_rows, known_answers, save_labels
from labelcast.runs.run import PATIENCE, Run
from labelcast.tasks.prompts import answer_name, input_names, read_answer
from labelcast.tasks.values import as_text

LONGEST_LOOK = 3600.0
"""Seconds that one look at an example counts at the most."""
_ENOUGH_TIMES = 3


class NoSuchExample(InputError):
    """An id that was not drawn."""


class ChangedMeanwhile(LabelcastError):
    """The entry, or the last step, is not the one that the maker of a change saw.

    Attributes:
        item: the example as it is now; None where a step was to be taken back.
    """

    def __init__(self, item: Item | None) -> None:
        super().__init__("changed meanwhile, in another window or by another command.")
        self.item = item


@dataclass(frozen=True)
class Item:
    """One drawn example with what was said of it.

    Attributes:
        id: of the example.
        set: low, random or test.
        fields: the text of each input field.
        entry: the answer and the marks.
        seconds: spent on it.
        model_shown: whether the model's own answer was looked at.
    """

    id: str
    set: str
    fields: dict[str, str]
    entry: Entry
    seconds: float
    model_shown: bool

    @property
    def is_open(self) -> bool:
        """Neither answered nor skipped."""
        return self.entry.answer is None and not self.entry.skipped


@dataclass(frozen=True)
class Tally:
    """How far one set is.

    Attributes:
        drawn, labelled, skipped, unsure: numbers of examples.
        seconds_left: by the median of what an answer took, None until a few are known.
    """

    drawn: int
    labelled: int
    skipped: int
    unsure: int
    seconds_left: float | None


@dataclass(frozen=True)
class View:
    """What is on disk at one moment.

    Attributes:
        items: the drawn examples: low, then random, then test, each in drawn order.
        undo: the step that would be taken back, if any.
    """

    items: tuple[Item, ...]
    undo: Step | None

    def item(self, example: str) -> Item:
        """The item of an id.

        Raises:
            NoSuchExample: it was not drawn.
        """
        for item in self.items:
            if item.id == example:
                return item
        raise NoSuchExample(f"no drawn example has the id {example[:40]!r}.")

    def first_open(self) -> Item | None:
        """The first that is neither answered nor skipped, in any set."""
        return next((item for item in self.items if item.is_open), None)

    def next_after(self, example: str) -> Item | None:
        """What to show next within the same set: an open one, else a skipped one further on."""
        here = self.item(example)
        peers = [item for item in self.items if item.set == here.set]
        place = peers.index(here)
        after, before = peers[place + 1 :], peers[:place]
        found = [item for item in (*after, *before) if item.is_open]
        found += [item for item in after if item.entry.skipped]
        return found[0] if found else None

    def tally(self, name: str) -> Tally:
        """How far a set is."""
        items = [item for item in self.items if item.set == name]
        done = [item for item in items if item.entry.answer is not None]
        times = [item.seconds for item in self.items if item.entry.answer and item.seconds > 0]
        pace = median(times) if len(times) >= _ENOUGH_TIMES else None
        return Tally(
            drawn=len(items),
            labelled=len(done),
            skipped=sum(item.entry.skipped for item in items),
            unsure=sum(item.entry.unsure for item in items),
            seconds_left=None if pace is None else pace * (len(items) - len(done)),
        )

    @property
    def sets(self) -> list[str]:
        """The sets that hold any example."""
        return [name for name in SETS if any(item.set == name for item in self.items)]


class Desk:
    """A run's examples, to be labelled one at a time. Each change is on disk when it returns."""

    def __init__(self, run: Run, sets: Sequence[str] = SETS):
        """Take a run and the sets that are to be labelled."""
        self.run = run
        self.sets = tuple(sets)

    def look(self) -> View:
        """What is on disk now.

        Raises:
            InputError: the pool is not scored yet, or a file is damaged.
        """
        names, answer = input_names(self.run.task), answer_name(self.run.task)
        remarks = load_remarks(self.run)
        items = []
        for row in sorted(export_rows(self.run, self.sets), key=lambda row: SETS.index(row["set"])):
            remark = remarks.get(row["id"], Remark(id=row["id"]))
            entry = Entry(
                answer=row[answer] or None,
                unsure=remark.unsure,
                # An answer that was imported meanwhile ends the putting off.
                skipped=remark.skipped and not row[answer],
                note=remark.note,
            )
            fields = {name: row[name] for name in names}
            items.append(
                Item(row["id"], row["set"], fields, entry, remark.seconds, remark.model_shown)
            )
        return View(tuple(items), _undoable(load_steps(self.run), items))

    def take(self, example: str, answer: str, *, seen: str, seconds: float = 0.0) -> View:
        """Take an answer.

        Args:
            example: its id.
            answer: one of the allowed, or any text where the task allows any.
            seen: version of the entry that the person saw.
            seconds: spent since it was shown.

        Raises:
            InputError: the answer is not allowed, or no such example.
            ChangedMeanwhile: the entry is another by now.
            RunError: it could not be written, or another process does not let go of the run.
        """
        text = read_answer(answer, self.run.task, "this example")
        return self._change(example, seen, seconds, {"answer": text, "skipped": False})

    def skip(self, example: str, *, seen: str, seconds: float = 0.0) -> View:
        """Put an example off; one that has an answer keeps it. Errors as `take`."""
        changes = {"skipped": self.look().item(example).entry.answer is None}
        return self._change(example, seen, seconds, changes)

    def unsure(self, example: str, unsure: bool, *, seen: str) -> View:
        """Say whether an example is in doubt. Errors as `take`."""
        return self._change(example, seen, 0.0, {"unsure": unsure})

    def note(self, example: str, note: str, *, seen: str) -> View:
        """Leave a note on an example; an empty one takes it away. Errors as `take`."""
        return self._change(example, seen, 0.0, {"note": as_text(note, "the note").strip()})

    def undo(self, step: str | None = None) -> tuple[View, Item | None]:
        """Take back the last change that still stands; what was changed since stays.

        Args:
            step: the step that the person saw as the last; None for whichever it is.

        Returns:
            The view, and the example that was changed back, None where nothing is left.

        Raises:
            ChangedMeanwhile: the last step is another by now.
            RunError: as `take`.
        """
        with self.run.locked(wait=PATIENCE):
            view = self.look()
            last = view.undo
            if step is not None and (last is None or last.step != step):
                raise ChangedMeanwhile(None)
            if last is None:
                return view, None
            self._write(view.item(last.id), last.before, 0.0)
            # Later ones of the same example no longer stand; those of others may.
            steps = load_steps(self.run)
            place = [one.step for one in steps].index(last.step)
            later = [one for one in steps[place:] if one.id != last.id]
            save_steps(self.run, [*steps[:place], *later])
            view = self.look()
            return view, view.item(last.id)

    def show_model(self, example: str) -> str | None:
        """The model's own answer, whose having been looked at is kept in the remarks.

        Returns:
            The answer, None where the model gave none.

        Raises:
            InputError: no such example, or one of the test set: whose labels must owe nothing
                to the model that they test.
        """
        if self.look().item(example).set == "test":
            raise InputError("the model's answer is not shown for the test set.")
        answer = _model_answer(self.run, example)
        with self.run.locked(wait=PATIENCE):
            remarks = load_remarks(self.run)
            before = remarks.get(example, Remark(id=example))
            if not before.model_shown:
                remarks[example] = before.model_copy(update={"model_shown": True})
                save_remarks(self.run, remarks)
        return answer

    def _change(
        self, example: str, seen: str, seconds: float, changes: Mapping[str, str | bool]
    ) -> View:
        with self.run.locked(wait=PATIENCE):
            item = self.look().item(example)
            if item.entry.version != seen:
                raise ChangedMeanwhile(item)
            after = item.entry.model_copy(update=changes)
            if after != item.entry:
                # First of all, so that whatever else is on disk can be taken back.
                step = Step(id=example, before=item.entry, after=after)
                save_steps(self.run, [*load_steps(self.run), step])
            self._write(item, after, seconds)
            return self.look()

    def _write(self, item: Item, after: Entry, seconds: float) -> None:
        """Bring the files from what an item says to another entry; the answer first."""
        if after.answer != item.entry.answer:
            known = known_answers(self.run)
            known.pop(item.id, None)
            if after.answer is not None:
                known[item.id] = after.answer
            save_labels(self.run, known)
        marks = {"note": after.note, "unsure": after.unsure, "skipped": after.skipped}
        remarks = load_remarks(self.run)
        before = remarks.get(item.id, Remark(id=item.id))
        spent = round(before.seconds + min(max(seconds, 0.0), LONGEST_LOOK), 1)
        remark = before.model_copy(update=marks | {"seconds": spent})
        if remark != before:
            save_remarks(self.run, remarks | {item.id: remark})


def _undoable(steps: Sequence[Step], items: Sequence[Item]) -> Step | None:
    """The newest step whose outcome still stands.

    One that does not was written just before a kill, or its example was changed by other means.
    """
    now = {item.id: item.entry for item in items}
    return next((step for step in reversed(steps) if now.get(step.id) == step.after), None)


def _model_answer(run: Run, example: str) -> str | None:
    from labelcast.runs.pool import read_model_answers

    found = read_model_answers(run.file("confidence.parquet"), [example])
    return found[example].answer if example in found else None
