"""Label in a terminal, one example at a time; a line is an answer unless it begins with a colon."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from labelcast.errors import InputError
from labelcast.files.untrusted import escaped
from labelcast.labels.session import ChangedMeanwhile, LabelItem, LabelSession
from labelcast.runs.label_store import require_drawn
from labelcast.runs.run import Run

if TYPE_CHECKING:
    from rich.console import Console

_HELP = (
    "Type the number of an answer, or its first letters. A colon starts a command:\n"
    "  :undo  :skip  :back  :note TEXT  :unsure  :help  :quit"
)
_FEW = 12
_MAX_PAUSE = 600.0


def label_in_terminal(run: Run, only: Collection[str] | None = None) -> None:
    """Label a run until everything is labelled or the input ends.

    Raises:
        InputError: nothing is drawn.
    """
    from rich.console import Console

    require_drawn(run, only)
    # stdout is for results. Text from the data is never markup.
    console = Console(stderr=True, markup=False, highlight=False, emoji=False)
    try:
        _Prompt(LabelSession(run, only), console).run()
    except KeyboardInterrupt:
        console.print()


class _Prompt:
    """Shows an example, reads a line, and does what it says."""

    def __init__(self, session: LabelSession, console: Console) -> None:
        self._session, self._console, self._task = session, console, session.task
        # If an answer is itself a number, a typed number is that answer, not a list position.
        self._numbered = not any(answer.isdecimal() for answer in session.task.answers)
        self._shown_at = 0.0

    def run(self) -> None:
        if self._task.instruction:
            self._say(self._task.instruction, style="italic")
        self._say(_HELP, style="dim")
        now = self._session.snapshot()
        item = now.first_open() or next((i for i in now.items if i.entry.skipped), None)
        while item is not None:
            self._show(item)
            line = _read()
            if line is None or line == ":quit":
                self._say("")
                return
            item = self._do(item, line)

    def _do(self, item: LabelItem, line: str) -> LabelItem | None:
        seconds = min(time.monotonic() - self._shown_at, _MAX_PAUSE)
        try:
            if not line:
                return item
            if line.startswith(":") and line not in self._task.answers:
                return self._command(item, line, seconds)
            answer, seen = self._answer(line), item.entry.version
            now = self._session.label(item.id, answer, seen=seen, seconds=seconds)
            return now.next_after(item.id) or now.first_open()
        except ChangedMeanwhile as error:
            self._say("It was changed in the meantime. This is its current state.", style="yellow")
            return error.item or self._session.snapshot().first_open()
        except InputError as error:
            self._say(str(error), style="yellow")
            return item

    def _command(self, item: LabelItem, line: str, seconds: float) -> LabelItem | None:
        session, seen = self._session, item.entry.version
        command, _, rest = line.partition(" ")
        if command == ":undo":
            _, back = session.undo()
            self._say("Undone." if back else "There is nothing to undo.", style="yellow")
            return back or item
        if command == ":skip":
            now = session.skip(item.id, seen=seen, seconds=seconds)
            return now.next_after(item.id) or now.first_open()
        if command == ":back":
            items = session.snapshot().items
            return items[max([one.id for one in items].index(item.id) - 1, 0)]
        if command == ":note":
            return session.set_note(item.id, rest, seen=seen).item(item.id)
        if command == ":unsure":
            return session.set_unsure(item.id, not item.entry.unsure, seen=seen).item(item.id)
        self._say(_HELP if command == ":help" else f"{command}: unknown command.\n{_HELP}")
        return item

    def _answer(self, line: str) -> str:
        """The answer that a line gives: in full, by its number in the list, or by its beginning."""
        answers = self._task.answers
        if not answers or line in answers:
            return line
        if self._numbered and line.isdecimal() and 1 <= int(line) <= len(answers):
            return answers[int(line) - 1]
        typed, meanings = line.casefold(), self._task.meanings
        texts = {
            answer: (answer.casefold(), meanings.get(answer, "").casefold()) for answer in answers
        }
        found = [one for one in answers if any(text.startswith(typed) for text in texts[one])]
        found = [one for one in found if texts[one][0] == typed] or found
        if len(found) == 1:
            return found[0]
        some = ", ".join((found or answers)[:_FEW])
        raise InputError(
            f"{line[:40]!r} could be any of {some}: type more of it."
            if found
            else f"{line[:40]!r} is none of the allowed answers: {some}."
        )

    def _show(self, item: LabelItem) -> None:
        self._shown_at = time.monotonic()
        counts = self._session.snapshot().counts(item.set)
        left = counts.seconds_left
        time_left = "" if left is None else f", about {max(round(left / 60), 1)} min left"
        self._console.rule(f"{item.set}: {counts.labelled} of {counts.drawn} labelled{time_left}")
        for name, title in self._task.titles.items():
            if title != name or len(item.fields) > 1:
                self._say(f"{title}:", style="bold")
            self._say(item.fields[name])
        entry = item.entry
        marks = [f"labelled {entry.answer}"] if entry.answer is not None else []
        marks += ["unsure"] * entry.unsure + ["skipped"] * entry.skipped
        marks += [f"note: {entry.note}"] if entry.note else []
        if marks:
            self._say(f"({'; '.join(marks)})", style="cyan")
        self._say(self._choices(), style="dim")

    def _choices(self) -> str:
        answers, meanings = self._task.answers, self._task.meanings
        if not answers:
            return "Type the answer."
        if len(answers) > _FEW:
            return f"Type the beginning of one of the {len(answers)} allowed answers."
        return "   ".join(
            (f"{number} {answer}" if self._numbered else answer)
            + (f" ({meanings[answer]})" if answer in meanings else "")
            for number, answer in enumerate(answers, 1)
        )

    def _say(self, text: str, style: str | None = None) -> None:
        self._console.print(escaped(text.replace("\r\n", "\n")), style=style)


def _read() -> str | None:
    sys.stderr.write("> ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    return line.strip() if line else None
