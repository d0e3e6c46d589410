"""`labelcast select`: which examples to label, or to train on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from labelcast.cli.console import bar, print_json, say, span
from labelcast.cli.options import Device, Dtype, Json, TaskFile
from labelcast.selection.registry import selector_names

METHOD_HELP = f"{', '.join(selector_names())}."
_WORTH_SAYING = 60.0
"""Seconds from which the time that a signal takes is announced."""


def select(
    pool: Annotated[str, Argument(help="A run folder, or a pool as `labelcast score` takes it.")],
    n: Annotated[int, Option("--n", "-n", help="How many examples to choose.", min=1)],
    out: Annotated[Path, Option("--out", "-o", help="The JSONL file: id, index, rank, value.")],
    method: Annotated[str, Option(help=METHOD_HELP)] = "random",
    task: TaskFile = None,
    model: Annotated[
        str | None,
        Option("--model", "-m", help="As for score.  [default: the run's own; none for a file]"),
    ] = None,
    group_by: Annotated[
        str | None, Option(help="The field of the records that tells tasks apart.")
    ] = None,
    target: Annotated[str | None, Option(help="Labelled examples of the target task.")] = None,
    seed: Annotated[int, Option(help="Seed of the method.", min=0)] = 0,
    signals: Annotated[
        Path | None,
        Option(help="Folder for what the model computes.  [default: RUN/signals; none for a file]"),
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    force: Annotated[
        bool, Option("--force", help="Replace a file that is not a selection.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Choose which examples of a pool to label, or which of a labelled pool to train on.

    Examples with the same content are chosen once at most. What the model computes is kept in the
    run, or in --signals: if it is interrupted, run the same command to resume.

    Example: labelcast select run --method random --n 200 --out selected.jsonl
    Example: labelcast select pool.jsonl --task task.yaml --method random --n 200 --out chosen.jsonl
    """
    from labelcast.models.choices import check_dtype
    from labelcast.runs.select import check_selection_file, write_selection
    from labelcast.runs.select import select as choose

    check_dtype(dtype)
    check_selection_file(out, force=force)
    with SignalBars() as bars:
        found = choose(
            pool,
            n,
            method=method,
            task=task,
            model=model,
            group_by=group_by,
            target=target,
            seed=seed,
            device=device,
            dtype=dtype,
            signals=signals,
            on_signal=bars.show,
        )
    write_selection(out, found, force=force)
    if as_json:
        values = [row.value for row in found if not math.isnan(row.value)]
        ends = {"first": values[0], "last": values[-1]} if values else {}
        facts = {"file": str(out), "method": method, "n": len(found), "seed": seed}
        print_json(facts | {"values": ends or None})
        return
    say(f"Wrote {len(found):,} examples, chosen by {method}, to {out}.")


class SignalBars:
    """Progress of one signal after another on stderr, with an estimate of the time it takes."""

    def __init__(self) -> None:
        self._open = ExitStack()

    def __enter__(self) -> SignalBars:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def show(self, name: str, count: int) -> Callable[[int], None]:
        """The progress of a signal with `count` examples to do; see `signals.OnSignal`."""
        from labelcast.selection.signals import PART

        self._open.close()  # the bar of the signal before: only one can be shown
        if not count:
            return lambda done: None
        advance = self._open.enter_context(bar(name.capitalize(), count))
        begin, total, told = time.monotonic(), 0, False

        def progress(done: int) -> None:
            nonlocal total, told
            advance(done)
            total += done
            if not told and total >= min(PART, count):
                told = True
                left = (time.monotonic() - begin) * (count - total) / total
                if left >= _WORTH_SAYING:
                    say(
                        f"{name}: about {span(left, left)} for the other {count - total:,} examples"
                    )

        return progress
