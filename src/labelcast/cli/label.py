"""`labelcast label`: label the examples of a run, draw more, export and import them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from labelcast.cli.console import print_json, say, suggest
from labelcast.cli.options import Json, RunFolder
from labelcast.cli.signal_bars import SignalBars
from labelcast.errors import InputError

if TYPE_CHECKING:
    from labelcast.forecast import Forecast
    from labelcast.labels.transfer import Imported
    from labelcast.runs.label_store import LabelCounts
    from labelcast.runs.run import Run

_SHOWN = 10
_FORMAT = "jsonl, csv, label-studio, prodigy or argilla. An import recognises it."


def label(
    run: RunFolder,
    export: Annotated[Path | None, Option(help="Write the drawn examples to a file.")] = None,
    import_: Annotated[
        Path | None, Option("--import", help="Import the answers in a file.")
    ] = None,
    file_format: Annotated[str | None, Option("--format", help=_FORMAT)] = None,
    only: Annotated[
        str | None,
        Option(
            "--set", help="Only one set: low, random, test, or the name of a method that chose one."
        ),
    ] = None,
    more: Annotated[
        int | None, Option(help="Draw more for training, at random or as --select says.")
    ] = None,
    select: Annotated[
        str, Option(help="What chooses the examples of --more: a method of `labelcast select`.")
    ] = "random",
    group_by: Annotated[
        str | None, Option(help="For --select: the field of the records that tells tasks apart.")
    ] = None,
    target: Annotated[
        str | None, Option(help="For --select: labelled examples of the target task.")
    ] = None,
    test: Annotated[int | None, Option(help="Draw a test set at random.")] = None,
    gold: Annotated[
        str | None, Option(help="Take labels from this field of the pool. Existing labels stay.")
    ] = None,
    terminal: Annotated[bool, Option("--terminal", help="Label in the terminal.")] = False,
    port: Annotated[int, Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 0,
    no_browser: Annotated[
        bool, Option("--no-browser", help="Print the page's link, but do not open it.")
    ] = False,
    force: Annotated[
        bool, Option("--force", help="Let --export replace a file that it did not write.")
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
    Example: labelcast label run --more 100 --test 200 --select random
    """
    from labelcast.labels import exchange, transfer
    from labelcast.runs import label_store as store
    from labelcast.runs.run import PATIENCE, Run

    opened = Run.open(run)
    known = [one.name for one in store.SETS]
    if only is not None and only not in known and only not in store.count_labels(opened).drawn:
        raise InputError(f"--set {only}: choose {', '.join(known)}.")
    sets = [only] if only else None
    # A test set is drawn before a method chooses, so that it is random.
    asked = [("test", test), (select, more)]
    if select == "random":
        asked.reverse()
    counts = {name: count for name, count in asked if count is not None}
    if select != "random" and more is None:
        raise InputError(f"--select {select}: needs --more N, how many it chooses.")
    if select != "random" and store.ExampleSet.named(select) in store.SETS:
        raise InputError(f"--select {select}: the name of another set. Choose a method.")
    if counts and only not in (None, *counts):
        raise InputError(
            f"--set {only}: --more and --test draw for other sets here ({', '.join(counts)}). To "
            "draw for a method's set, give --select METHOD."
        )
    for option, value in (("--group-by", group_by), ("--target", target)):
        if select == "random" and value is not None:
            raise InputError(f"{option}: needs --select METHOD, which uses it.")
    if force and export is None:
        raise InputError("--force: needs --export.")
    if import_ is not None and only is not None:
        raise InputError("--set: not with --import, which takes the answers of every set.")
    if import_ is not None and (counts or gold is not None or export is not None):
        raise InputError("--import cannot be combined with other steps: run those afterwards.")
    if export is not None:
        file_format = exchange.format_of(export, file_format)
        transfer.check_replaceable(opened, export, file_format, force=force)
    elif file_format is not None and import_ is None:
        raise InputError("--format: needs --export or --import.")
    changes = counts or import_ is not None or gold is not None
    if terminal and (changes or export or as_json):
        raise InputError("--terminal cannot be combined with other steps: run those before it.")
    if not (changes or export or as_json):
        _label_by_hand(opened, only, terminal=terminal, port=port, browser=not no_browser)
        return
    # Only here: they load torch, which the page does without.
    from labelcast.labels.draw import draw_more, take_gold
    from labelcast.runs.select import Inputs

    # Damaged files are found before anything is drawn.
    store.count_labels(opened)
    done: dict[str, object] = {}
    lines: list[str] = []
    with opened.locked(wait=PATIENCE) if changes else nullcontext():
        if counts:
            with SignalBars() as bars:
                inputs = Inputs(group_by=group_by, target=target, on_signal=bars.show)
                draw_more(opened, counts, gold=gold, only=sets, inputs=inputs)
            done |= {f"drawn_{name}": count for name, count in counts.items()}
            lines += [f"Drew {count} examples for the {n} set." for n, count in counts.items()]
        if import_ is not None:
            found = transfer.import_labels(opened, transfer.read_file(opened, import_, file_format))
            if (
                found.unmatched
                and not (found.taken or found.same)
                and (found.lost or not found.blank)
            ):
                raise InputError(
                    f"{import_}: none of its {found.lost or len(found.unmatched)} records "
                    f"{'with an answer ' if found.blank else ''}matches an example of this run, "
                    f"by its input fields or id (first: {found.unmatched[0]})."
                )
            done["imported"] = {k: v for k, v in asdict(found).items() if k != "lost"}
            lines += _imported(found)
        if gold is not None:
            took = take_gold(opened, gold, sets)
            done["gold"] = asdict(took)
            lines.append(
                f"Took {took.taken} labels from the pool; {took.kept} examples had a label already "
                f"and {took.blank} have none in the pool."
            )
    if export is not None:
        rows = transfer.write_export(opened, export, str(file_format), sets, force=force)
        exported = {"file": str(export), "format": file_format, "rows": rows}
        lines.append(f"Wrote {rows} examples to {export}.")
        if config := exchange.config_path(export, str(file_format)):
            exported["config"] = str(config)
            lines.append(f"Wrote the configuration of the project to {config}.")
        done["exported"] = exported
    now = store.count_labels(opened)
    if as_json:
        print_json({"run": str(run), **done, **asdict(now), "left": now.left})
        return
    for line in lines:
        say(line)
    again: list[object] = []
    if export is not None:
        again = ["--import", export, *exchange.format_option(export, str(file_format))]
    _say_next(opened, now, again, drew=bool(counts))


def _label_by_hand(run: Run, only: str | None, *, terminal: bool, port: int, browser: bool) -> None:
    """Label on the page or in the terminal, then say how far it is and what to do next."""
    from labelcast.runs.label_store import count_labels

    sets = [only] if only else None
    if terminal:
        from labelcast.labels.terminal import label_in_terminal

        label_in_terminal(run, sets)
    else:
        from labelcast.labels.page.app import Views
        from labelcast.labels.page.server import serve

        views = Views(_charts, _report)
        serve(run, only=sets, port=port, browser=browser, views=views, on_link=_say_link)
    now = count_labels(run)
    counts = [f"{name} {now.labelled.get(name, 0)} of {n}" for name, n in now.drawn.items()]
    say(f"Stopped. All labels are saved ({', '.join(counts)}).")
    if now.left:
        options = ["--terminal"] * terminal + (["--set", only] if only else [])
        suggest("To continue:", "label", run.path, *options)
    else:
        _suggest_measuring(run, now)


def _charts(answer: Forecast) -> dict[str, str]:
    from labelcast.report.page_charts import charts

    return charts(answer, None)


def _report(run: Run) -> str:
    from labelcast.report.content import gather
    from labelcast.report.page import render

    return render(gather(run))


def _say_link(link: str) -> None:
    say("Open the label page at this link; it works for you only (Ctrl-C stops the page):")
    # On stdout, so that a script can read it.
    sys.stdout.write(f"{link}\n")
    sys.stdout.flush()


def _imported(found: Imported) -> list[str]:
    lines = [
        f"Imported {found.taken} answers ({found.changed} of them changed), {found.same} were "
        f"known, {found.blank} are blank."
    ]
    lines += [f"  no drawn example matches {place}" for place in found.unmatched[:_SHOWN]]
    more = len(found.unmatched) - _SHOWN
    return lines + ([f"  ... and {more} more"] if more > 0 else [])


def _say_next(run: Run, now: LabelCounts, import_: Sequence[object], *, drew: bool) -> None:
    """Say what is labelled and what to do next; `import_` are the options that import an export."""
    from labelcast.tasks.prompts import answer_name

    low_left = now.labelled.get("low", 0) < now.drawn.get("low", 0)
    for name, drawn in now.drawn.items():
        say(f"{name}: {now.labelled.get(name, 0)} of {drawn} labelled")
    if import_ and now.left:
        suggest(f"Next: fill in {answer_name(run.task)!r}, then", "label", run.path, *import_)
    elif low_left or (drew and now.left):
        suggest("Next: label them,", "label", run.path)
        suggest("or in a file,", "label", run.path, "--export", "to_label.csv")
    else:
        _suggest_measuring(run, now)


def _suggest_measuring(run: Run, now: LabelCounts) -> None:
    """Suggest CoS-Low, and once it is current and the test set is labelled, training."""
    from labelcast.labels.draw import left_to_draw
    from labelcast.report.commands import TEST_SIZE
    from labelcast.runs.forecast import coslow_is_stale
    from labelcast.runs.label_store import ExampleSet

    tests = now.drawn.get("test", 0)
    known = now.labelled.get("random", 0)
    others = [n for name, n in now.labelled.items() if ExampleSet.named(name).role == "train"]
    trained = known if known > 1 else max(others, default=0)
    encoder, size = run.model.is_encoder, min(TEST_SIZE, left_to_draw(run))
    if not encoder and (not run.is_done("coslow") or coslow_is_stale(run)):
        suggest("Next:", "coslow", run.path)
    elif not encoder and trained < 2:
        suggest("Next:", "forecast", run.path)
    elif now.labelled.get("test", 0) < tests:
        suggest("Next: label the test set,", "label", run.path, "--set", "test")
    elif tests < 2 and size > 1:
        suggest("Next: draw a test set,", "label", run.path, "--test", size)
    elif trained < 2 and size > 1:
        suggest("Next: draw examples to train on,", "label", run.path, "--more", min(50, size))
    else:
        suggest("Next:", "tune", run.path, "--budget", trained)
