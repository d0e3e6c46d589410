"""The app: its commands and what it says about itself."""

from __future__ import annotations

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
    score,
    sweep,
    tune,
)
from labelcast.cli.console import run_app

app = typer.Typer(
    name="labelcast",
    help=(
        "How many labelled examples will this fine-tuning task need?\n\n"
        "The way: init, score, label, coslow, forecast. To see it whole: labelcast demo"
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"labelcast {version('labelcast')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the app itself."""


for command, name in (
    (demo.demo, "demo"),
    (init.init, "init"),
    (score.score, "score"),
    (label.label, "label"),
    (coslow.coslow, "coslow"),
    (forecast.forecast, "forecast"),
    (tune.tune, "tune"),
    (sweep.sweep, "sweep"),
    (calibrate.calibrate, "calibrate"),
    (lists.tasks, "tasks"),
    (lists.models, "models"),
    (lists.calibrations, "calibrations"),
):
    app.command(name)(command)


def main() -> None:
    """Entry point of `labelcast`."""
    run_app(app)
