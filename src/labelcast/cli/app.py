"""The app: its commands and what it says about itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated

import typer

from labelcast.cli import (
    calibrate,
    coslow,
    demo,
    forecast,
    init,
    label,
    lists,
    report,
    reproduce,
    score,
    sweep,
    tune,
)
from labelcast.cli.console import run_app

app = typer.Typer(
    name="labelcast",
    help=(
        "How many labelled examples will this fine-tuning task need?\n\n"
        "The way: init, score, label, coslow, forecast. To see it whole: labelcast demo\n\n"
        "\b\nExample: labelcast init tickets.csv"
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from labelcast.runs.run import versions

        typer.echo(f"labelcast {versions()['labelcast']}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the app itself."""


def _help(command: Callable[..., None]) -> str:
    """A command's docstring, with each example on a line of its own."""
    blocks = inspect.getdoc(command).split("\n\n")  # type: ignore[union-attr]
    # The mark keeps the help from running the lines of a block together.
    return "\n\n".join(f"\b\n{b}" if b.startswith("Example:") else b for b in blocks)


def _summary(command: Callable[..., None]) -> str:
    """The first sentence of a command's docstring."""
    return inspect.getdoc(command).split("\n")[0].rstrip(".")  # type: ignore[union-attr]


for command, name in (
    (demo.demo, "demo"),
    (init.init, "init"),
    (score.score, "score"),
    (label.label, "label"),
    (coslow.coslow, "coslow"),
    (forecast.forecast, "forecast"),
    (report.report, "report"),
    (tune.tune, "tune"),
    (sweep.sweep, "sweep"),
    (calibrate.calibrate, "calibrate"),
    (lists.tasks, "tasks"),
    (lists.models, "models"),
    (lists.calibrations, "calibrations"),
    (reproduce.reproduce, "reproduce"),
):
    app.command(name, help=_help(command), short_help=_summary(command))(command)


def main() -> None:
    """Entry point of `labelcast`."""
    run_app(app)
