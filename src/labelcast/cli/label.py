"""`labelcast label`: label the examples of a run, draw more, export and import them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from labelcast.cli import label_page
from labelcast.cli.console import Json, print_json, say, say_command

if TYPE_CHECKING:
    from labelcast.runs.run import Run

_SHOWN = 10


def label(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    export: Annotated[
        Path | None, typer.Option("--export", help="Write the drawn examples to this file.")
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Take over the answers in this file.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="jsonl, csv, label-studio, prodigy or argilla; an import tells it by itself.",
        ),
    ] = None,
    only: Annotated[
        str | None, typer.Option("--set", help="One set only: low, random or test.")
    ] = None,
    more: Annotated[
        int | None, typer.Option(help="Draw so many more at random, for training.")
    ] = None,
    test: Annotated[
        int | None, typer.Option(help="Draw a random test set, kept apart for good.")
    ] = None,
    gold: Annotated[
        str | None,
        typer.Option(help="Fill in the known answers of this field of the pool; labels stay."),
    ] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="Label here, by typing.")] = False,
    port: Annotated[int, typer.Option(help="Of the page; 0 takes a free one.", min=0)] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the page's link and open nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Label examples on a local page, or draw, export and import them.

    With the run alone the page opens. Imported labels are matched by the content of the input
    fields, so order, extra columns and lost rows do no harm; what does not match is listed. For
    Label Studio and Argilla a second file beside the export holds how they show the examples.

    Example: labelcast label run
    Example: labelcast label run --terminal
    Example: labelcast label run --export to_label.csv
    Example: labelcast label run --import to_label.csv
    Example: labelcast label run --export tasks.json --format label-studio
    Example: labelcast label run --more 100 --test 200 --export more.csv
    """
    from labelcast.errors import InputError
    from labelcast.labels import exchange, store, transfer
    from labelcast.labels.gold import check_gold
    from labelcast.runs.run import PATIENCE, Run

    opened = Run.open(run)
    if only is not None and only not in store.SETS:
        raise InputError(f"--set {only}: choose {', '.join(store.SETS)}.")
    counts = {n: c for n, c in (("random", more), ("test", test)) if c is not None}
    if import_ is not None and (counts or gold is not None or export is not None):
        raise InputError("--import is a step of its own: give the other options afterwards.")
    if export is not None:
        form = exchange.form_of(export, form)
        transfer.check_replaceable(opened, export, form)
    elif form is not None and import_ is None:
        raise InputError("--format: goes with --export or --import.")
    asked = export or import_ or counts or gold is not None or as_json
    if terminal or not asked:
        if asked:
            raise InputError("--terminal is a step of its own: give the other options before it.")
        label_page.by_hand(opened, only, terminal=terminal, port=port, browser=not no_browser)
        return
    result: dict[str, Any] = {"run": str(run)}
    if counts:
        # What is damaged or wrong is found before anything is drawn.
        store.progress(opened)
        sets = [only] if only else store.SETS
        with opened.locked(wait=PATIENCE):
            if gold is None:
                store.draw_more(opened, counts)
            else:
                store.draw_more(opened, counts, lambda rows: check_gold(opened, gold, rows, sets))
        result |= {f"drawn_{name}": count for name, count in counts.items()}
    if import_ is not None:
        with opened.locked(wait=PATIENCE):
            result["imported"] = _import(opened, import_, form)
    if gold is not None:
        result["gold"] = label_page.fill_in(opened, gold, only)
    if export is not None:
        done = transfer.write_export(opened, export, str(form), [only] if only else store.SETS)
        result["exported"] = {"file": str(export), "format": form, "rows": done.rows}
        if done.config is not None:
            result["exported"]["config"] = str(done.config)
    state = store.progress(opened)
    result |= {"drawn": state.drawn, "labelled": state.labelled, "left": state.left}
    if as_json:
        print_json(result)
    else:
        _tell(opened, result, export)


def _import(run: Run, path: Path, form: str | None) -> dict[str, Any]:
    from labelcast.labels import store, transfer

    done = store.import_labels(run, transfer.read_file(run, path, form))
    return {
        "taken": done.taken,
        "changed": done.changed,
        "same": done.same,
        "blank": done.blank,
        "unmatched": list(done.unmatched),
    }


def _tell(run: Run, result: dict[str, Any], export: Path | None) -> None:
    from labelcast.tasks.prompts import answer_name

    for name in ("random", "test"):
        if f"drawn_{name}" in result:
            say(f"Drew {result[f'drawn_{name}']} examples for the {name} set.")
    if "imported" in result:
        done = result["imported"]
        say(
            f"Took over {done['taken']} answers ({done['changed']} of them changed), "
            f"{done['same']} were known, {done['blank']} are blank."
        )
        for place in done["unmatched"][:_SHOWN]:
            say(f"  no drawn example matches {place}")
        if len(done["unmatched"]) > _SHOWN:
            say(f"  ... and {len(done['unmatched']) - _SHOWN} more")
    if "gold" in result:
        done = result["gold"]
        say(
            f"Filled in {done['taken']} known answers; {done['kept']} had a label already, "
            f"{done['blank']} have none in the pool."
        )
    if "exported" in result:
        say(f"Wrote {result['exported']['rows']} examples to {export}.")
        if "config" in result["exported"]:
            say(f"Wrote how they are to be shown to {result['exported']['config']}.")
    for name, drawn in result["drawn"].items():
        say(f"{name}: {result['labelled'].get(name, 0)} of {drawn} labelled")
    if export is not None:
        say(f"Next: fill in {answer_name(run.task)!r}, then")
        say_command("label", run.path, "--import", export)
    elif result["labelled"].get("low", 0) < result["drawn"].get("low", 0):
        say("Next: label the rest of them,")
        say_command("label", run.path)
        say("or in a file,")
        say_command("label", run.path, "--export", "to_label.csv")
    elif "drawn_random" in result or "drawn_test" in result:
        say("Next: label them,")
        say_command("label", run.path)
        say("or in a file,")
        say_command("label", run.path, "--export", "more.csv")
    else:
        say("Next:")
        say_command("coslow", run.path)
