"""Labelling by hand from `labelcast label`: the page, the terminal, and known answers."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from labelcast.cli.console import say, say_command

if TYPE_CHECKING:
    from labelcast.runs.run import Run


def by_hand(run: Run, only: str | None, *, terminal: bool, port: int, browser: bool) -> None:
    """Label a run on the page or in the terminal, then say how far it is and how to go on."""
    from labelcast.labels.store import SETS

    sets = [only] if only else list(SETS)
    if terminal:
        from labelcast.labels.terminal import label_in_terminal

        label_in_terminal(run, sets)
        again = ["label", run.path, "--terminal"]
    else:
        from labelcast.labels.page.serving import serve

        serve(run, sets=sets, port=port, browser=browser, tell=_tell_link)
        again = ["label", run.path]
    _tell_progress(run, [*again, *(["--set", only] if only else [])])


def fill_in(run: Run, field: str, only: str | None) -> dict[str, int]:
    """Take the known answers of the pool for what is drawn and not labelled."""
    from labelcast.labels.gold import take_gold
    from labelcast.labels.store import SETS
    from labelcast.runs.run import PATIENCE

    with run.locked(wait=PATIENCE):
        return asdict(take_gold(run, field, [only] if only else SETS))


def _tell_link(link: str) -> None:
    say("The label page is open to you alone, at this link (Ctrl-C stops it):")
    # On stdout, so that a script can read it.
    sys.stdout.write(f"{link}\n")
    sys.stdout.flush()


def _tell_progress(run: Run, again: list[Any]) -> None:
    from labelcast.labels.store import progress

    state = progress(run)
    parts = [
        f"{name} {state.labelled.get(name, 0)} of {drawn}" for name, drawn in state.drawn.items()
    ]
    done = not state.left
    say(f"Stopped; all labels are kept ({', '.join(parts)}). {'Next' if done else 'To go on'}:")
    say_command(*(["coslow", run.path] if done else again))
