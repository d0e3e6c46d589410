"""Labelling in a terminal: the same desk as the page, one example at a time, by typing.

Works from a pipe as well; its end is the end of the session. What is typed is an answer unless it
begins with a colon.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from labelcast.errors import InputError
from labelcast.labels.page.answer_names import answer_names
from labelcast.labels.session import ChangedMeanwhile, Desk, Item, View
from labelcast.runs.run import Run

if TYPE_CHECKING:
    from rich.console import Console

_HELP = (
    "An answer: its number, or its first letters. A colon begins a command:\n"
    "  :undo  :skip  :back  :note TEXT  :unsure  :help  :quit"
)
_FEW = 12
_GRACE = 600.0


class Session:
    """One sitting at a desk."""

    def __init__(self, desk: Desk, console: Console) -> None:
        """Sit down."""
        self._desk, self._console = desk, console
        task = desk.run.task
        self._answers = () if task is None else task.answers
        self._labels = {} if task is None else {i.field: i.label for i in task.inputs}
        self._instruction = "" if task is None else task.instruction.strip()
        self._glosses = answer_names(self._instruction, self._answers)
        self._shown_at = 0.0

    def run(self) -> None:
        """Label until all is done, the input ends, or the person quits."""
        if self._instruction:
            self._say(self._instruction, style="italic")
        self._say(_HELP, style="dim")
        view = self._desk.look()
        skipped = (one for one in view.items if one.entry.skipped)
        item = view.first_open() or next(skipped, None)
        while item is not None:
            self._show(self._desk.look(), item)
            line = _read()
            if line is None or line == ":quit":
                self._say("")
                return
            item = self._do(item, line)

    def _do(self, item: Item, line: str) -> Item | None:
        """Do what a line says; the example to show next, None when none is left."""
        command, _, rest = line.partition(" ")
        seconds = min(time.monotonic() - self._shown_at, _GRACE)
        try:
            if not line:
                return item
            if not line.startswith(":") or line in self._answers:
                answer = self._meant(line)
                seen = item.entry.version
                view = self._desk.take(item.id, answer, seen=seen, seconds=seconds)
                return _following(view, item)
            return self._command(item, command, rest, seconds)
        except ChangedMeanwhile as error:
            self._say("It was changed meanwhile. Here it is as it stands now.", style="yellow")
            return error.item or self._desk.look().first_open()
        except InputError as error:
            self._say(str(error), style="yellow")
            return item

    def _command(self, item: Item, command: str, rest: str, seconds: float) -> Item | None:
        seen = item.entry.version
        if command == ":undo":
            return self._undo(item)
        if command == ":skip":
            return _following(self._desk.skip(item.id, seen=seen, seconds=seconds), item)
        if command == ":back":
            items = self._desk.look().items
            return items[max([one.id for one in items].index(item.id) - 1, 0)]
        if command == ":note":
            return self._desk.note(item.id, rest, seen=seen).item(item.id)
        if command == ":unsure":
            view = self._desk.unsure(item.id, not item.entry.unsure, seen=seen)
            return view.item(item.id)
        self._say(_HELP if command == ":help" else f"{command}: no such command.\n{_HELP}")
        return item

    def _undo(self, item: Item) -> Item:
        _, back = self._desk.undo()
        self._say("Taken back." if back else "There is nothing to take back.", style="yellow")
        return back or item

    def _meant(self, line: str) -> str:
        """The answer that a line means: an allowed one, its number in the list, its beginning.

        Raises:
            InputError: it is the beginning of several, or of none.
        """
        if not self._answers or line in self._answers:
            return line
        # Where an answer is a number itself, a number is that answer and never a place in the list.
        numbered = not any(answer.isdecimal() for answer in self._answers)
        if numbered and line.isdecimal() and 1 <= int(line) <= len(self._answers):
            return self._answers[int(line) - 1]
        wanted = line.casefold()
        found = [
            answer
            for answer in self._answers
            if answer.casefold().startswith(wanted)
            or self._glosses.get(answer, "").casefold().startswith(wanted)
        ]
        exact = [answer for answer in found if answer.casefold() == wanted]
        if len(exact or found) == 1:
            return (exact or found)[0]
        some = ", ".join((found or self._answers)[:_FEW])
        raise InputError(
            f"{line[:40]!r} may be any of {some}: type more of it."
            if found
            else f"{line[:40]!r} is none of the allowed answers: {some}."
        )

    def _show(self, view: View, item: Item) -> None:
        self._shown_at = time.monotonic()
        tally = view.tally(item.set)
        left = "" if tally.seconds_left is None else f", {_minutes(tally.seconds_left)} left"
        self._console.rule(f"{item.set}: {tally.labelled} of {tally.drawn} labelled{left}")
        for name, text in item.fields.items():
            label = self._labels.get(name)
            if label or len(item.fields) > 1:
                self._say(f"{label or name}:", style="bold")
            self._say(text)
        entry = item.entry
        marks = ["unsure"] * entry.unsure + ["skipped"] * entry.skipped
        if entry.answer is not None:
            marks.insert(0, f"labelled {entry.answer}")
        if entry.note:
            marks.append(f"note: {entry.note}")
        if marks:
            self._say(f"({'; '.join(marks)})", style="cyan")
        self._say(self._choices(), style="dim")

    def _choices(self) -> str:
        if not self._answers:
            return "Type the answer."
        numbered = not any(answer.isdecimal() for answer in self._answers)
        if len(self._answers) > _FEW:
            return f"Type the beginning of one of the {len(self._answers)} allowed answers."
        return "   ".join(
            (f"{number} {answer}" if numbered else answer)
            + (f" ({self._glosses[answer]})" if answer in self._glosses else "")
            for number, answer in enumerate(self._answers, 1)
        )

    def _say(self, text: str, style: str | None = None) -> None:
        self._console.print(printable(text), style=style)


def label_in_terminal(run: Run, sets: Sequence[str]) -> None:
    """Label a run by typing, until all is done or the input ends. All that was taken is kept.

    Raises:
        InputError: nothing is drawn in these sets.
    """
    from rich.console import Console

    desk = Desk(run, sets)
    if not desk.look().items:
        raise InputError(f"{run.path}: nothing has been drawn for {', '.join(sets)}.")
    # On stderr, as all that is no result. Data is never markup.
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    try:
        Session(desk, console).run()
    except KeyboardInterrupt:
        console.print()


def printable(text: str) -> str:
    """Text with what could steer the terminal replaced."""
    return "".join(
        char if char in "\n\t" or not (ord(char) < 32 or 127 <= ord(char) < 160) else "\ufffd"
        for char in text.replace("\r\n", "\n")
    )


def _following(view: View, item: Item) -> Item | None:
    return view.next_after(item.id) or view.first_open()


def _read() -> str | None:
    """The next line; None at the end of the input."""
    sys.stderr.write("> ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    return line.strip() if line else None


def _minutes(seconds: float) -> str:
    return f"about {max(round(seconds / 60), 1)} min"
