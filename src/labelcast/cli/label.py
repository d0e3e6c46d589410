"""`labelcast label`: label the examples of a run, draw more, export and import them."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelcast.cli.console import Json, print_json, say, say_command

if TYPE_CHECKING:
    from labelcast.runs.label_store import LabelCounts
    from labelcast.runs.run import Run

_SHOWN = 10
_FORMAT = "jsonl, csv, label-studio, prodigy or argilla. An import recognises it."


def label(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    export: Annotated[Path | None, typer.Option(help="Write the drawn examples to a file.")] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Import the answers in a file.")
    ] = None,
    file_format: Annotated[str | None, typer.Option("--format", help=_FORMAT)] = None,
    only: Annotated[
        str | None, typer.Option("--set", help="Only one set: low, random or test.")
    ] = None,
    more: Annotated[int | None, typer.Option(help="Draw more at random, for training.")] = None,
    test: Annotated[int | None, typer.Option(help="Draw a test set at random.")] = None,
    gold: Annotated[
        str | None,
        typer.Option(help="Take labels from this field of the pool. Existing labels stay."),
    ] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="Label in the terminal.")] = False,
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the page's link, but do not open it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Label examples on a local page, or draw, export and import them.

    Without options the page opens. Imported labels are matched by the content of the input
    fields, so order, extra columns and missing rows do not matter; records without a match are
    listed. For Label Studio and Argilla the export also writes the configuration of the project.

    Example: labelcast label run
    Example: labelcast label run --terminal
    Example: labelcast label run --export to_label.csv
    Example: labelcast label run --import to_label.csv
    Example: labelcast label run --export tasks.json --format label-studio
    Example: labelcast label run --more 100 --test 200 --export more.csv
    """
    from labelcast.errors import InputError
    from labelcast.labels import exchange, transfer
    from labelcast.labels.draw import draw_more, take_gold
    from labelcast.runs import label_store as store
    from labelcast.runs.run import PATIENCE, Run

    opened = Run.open(run)
    known = dict.fromkeys([one.name for one in store.SETS])
    if only is not None and only not in known and only not in store.count_labels(opened).drawn:
        raise InputError(f"--set {only}: choose {', '.join(known)}.")
    sets = [only] if only else None
    counts = {n: c for n, c in (("random", more), ("test", test)) if c is not None}
    if import_ is not None and (counts or gold is not None or export is not None):
        raise InputError("--import cannot be combined with other steps: run those afterwards.")
    if export is not None:
        file_format = exchange.format_of(export, file_format)
        transfer.check_replaceable(opened, export, file_format)
    elif file_format is not None and import_ is None:
        raise InputError("--format: needs --export or --import.")
    changes = counts or import_ is not None or gold is not None
    if terminal and (changes or export or as_json):
        raise InputError("--terminal cannot be combined with other steps: run those before it.")
    if not (changes or export or as_json):
        _label_by_hand(opened, only, terminal=terminal, port=port, browser=not no_browser)
        return
    # Damaged files are found before anything is drawn.
    store.count_labels(opened)
    done: dict[str, Any] = {}
    with opened.locked(wait=PATIENCE) if changes else nullcontext():
        if counts:
            draw_more(opened, counts, gold=gold, only=sets)
            done |= {f"drawn_{name}": count for name, count in counts.items()}
        if import_ is not None:
            records = transfer.read_file(opened, import_, file_format)
            done["imported"] = asdict(transfer.import_labels(opened, records))
        if gold is not None:
            done["gold"] = asdict(take_gold(opened, gold, sets))
    if export is not None:
        exported = transfer.write_export(opened, export, str(file_format), sets)
        done["exported"] = {"file": str(export), "format": file_format, "rows": exported.rows}
        if exported.config is not None:
            done["exported"]["config"] = str(exported.config)
    now = store.count_labels(opened)
    if as_json:
        print_json({"run": str(run), **done, **asdict(now), "left": now.left})
    else:
        _say_done(done)
        _say_next(opened, now, done, export)


def _label_by_hand(run: Run, only: str | None, *, terminal: bool, port: int, browser: bool) -> None:
    """Label on the page or in the terminal, then say how far it is and what to do next."""
    from labelcast.runs.label_store import count_labels

    sets = [only] if only else None
    if terminal:
        from labelcast.labels.terminal import label_in_terminal

        label_in_terminal(run, sets)
    else:
        from labelcast.labels.page.server import serve

        serve(run, only=sets, port=port, browser=browser, on_link=_say_link)
    now = count_labels(run)
    counts = [f"{name} {now.labelled.get(name, 0)} of {n}" for name, n in now.drawn.items()]
    say(f"Stopped. All labels are saved ({', '.join(counts)}).")
    if now.left:
        say("To continue:")
        options = ["--terminal"] * terminal + (["--set", only] if only else [])
        say_command("label", run.path, *options)
    else:
        say("Next:")
        say_command("coslow", run.path)


def _say_link(link: str) -> None:
    say("Open the label page at this link; it works for you only (Ctrl-C stops the page):")
    # On stdout, so that a script can read it.
    sys.stdout.write(f"{link}\n")
    sys.stdout.flush()


def _say_done(done: dict[str, Any]) -> None:
    for name in ("random", "test"):
        if f"drawn_{name}" in done:
            say(f"Drew {done[f'drawn_{name}']} examples for the {name} set.")
    if found := done.get("imported"):
        say(
            f"Imported {found['taken']} answers ({found['changed']} of them changed), "
            f"{found['same']} were known, {found['blank']} are blank."
        )
        for place in found["unmatched"][:_SHOWN]:
            say(f"  no drawn example matches {place}")
        if len(found["unmatched"]) > _SHOWN:
            say(f"  ... and {len(found['unmatched']) - _SHOWN} more")
    if found := done.get("gold"):
        say(
            f"Took {found['taken']} labels from the pool; {found['kept']} examples had a label "
            f"already, {found['blank']} have none in the pool."
        )
    if found := done.get("exported"):
        say(f"Wrote {found['rows']} examples to {found['file']}.")
        if "config" in found:
            say(f"Wrote the configuration of the project to {found['config']}.")


def _say_next(run: Run, now: LabelCounts, done: dict[str, Any], export: Path | None) -> None:
    from labelcast.tasks.prompts import answer_name

    low_left = now.labelled.get("low", 0) < now.drawn.get("low", 0)
    for name, drawn in now.drawn.items():
        say(f"{name}: {now.labelled.get(name, 0)} of {drawn} labelled")
    if export is not None:
        say(f"Next: fill in {answer_name(run.task)!r}, then")
        say_command("label", run.path, "--import", export)
    elif {"drawn_random", "drawn_test"} & done.keys() or low_left:
        say("Next: label them,")
        say_command("label", run.path)
        say("or in a file,")
        say_command("label", run.path, "--export", "to_label.csv")
    else:
        say("Next:")
        say_command("coslow", run.path)
