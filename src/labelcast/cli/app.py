"""The app: its commands and what it says about itself."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated

import typer

from labelcast.cli.console import run_app

COMMANDS = (
    *("demo", "init", "score", "label", "coslow", "forecast", "report", "tune", "sweep"),
    *("calibrate", "tasks", "models", "calibrations"),
)
_MODULES = dict.fromkeys(("tasks", "models", "calibrations"), "lists")


def build(names: Sequence[str] = COMMANDS) -> typer.Typer:
    """The app with some of its commands, whose modules alone are imported."""
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
        # Click suggests one itself.
        suggest_commands=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    for name in names:
        command = getattr(import_module(f"labelcast.cli.{_MODULES.get(name, name)}"), name)
        app.command(name, help=command_help(command), short_help=_summary(command))(command)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        from labelcast.runs.run import versions

        typer.echo(f"labelcast {versions()['labelcast']}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the app itself."""


def command_help(command: Callable[..., None]) -> str:
    """A command's docstring, with each example on a line of its own."""
    blocks = _docstring(command).split("\n\n")
    # The mark keeps the help from running the lines of a block together.
    return "\n\n".join(f"\b\n{b}" if b.startswith("Example:") else b for b in blocks)


def _summary(command: Callable[..., None]) -> str:
    """The first sentence of a command's docstring."""
    return _docstring(command).split("\n")[0].rstrip(".")


def _docstring(command: Callable[..., None]) -> str:
    """It, or nothing where Python was told to drop them (-OO)."""
    return inspect.getdoc(command) or ""


def main() -> None:
    """Entry point of `labelcast`."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    # A command by itself is there sooner than all of them.
    run_app(build((word,) if word in COMMANDS else COMMANDS))
