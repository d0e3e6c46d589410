"""`labelcast select`: which examples to label, or to train on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from labelcast.cli.console import print_json, say
from labelcast.cli.options import Device, Dtype, Json, TaskFile
from labelcast.cli.signal_bars import SignalBars
from labelcast.selection.registry import selector_names


def select(
    pool: Annotated[str, Argument(help="A run folder, or a pool as `labelcast score` takes it.")],
    n: Annotated[int, Option("--n", "-n", help="How many examples to choose.", min=1)],
    out: Annotated[
        Path, Option("--out", "-o", help="The JSONL file to write: id, index, rank, of, value.")
    ],
    method: Annotated[str, Option(help=f"{', '.join(selector_names())}.")] = "random",
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
        bool, Option("--force", help="Replace a file that is not a selection, or that was edited.")
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
        values = [row.value for row in found if math.isfinite(row.value)]
        ends = {"first": values[0], "last": values[-1]} if values else {}
        facts = {"file": str(out), "method": method, "n": len(found), "seed": seed}
        print_json(facts | {"values": ends or None})
        return
    many = f"{len(found):,} example{'s' * (len(found) > 1)}"
    say(f"Wrote {many}, chosen by {method}, to {out}.")
