"""The `labelcast` app: its commands, their help and their order."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Annotated

import typer
from click import Context, HelpFormatter
from typer.core import TyperGroup

from labelcast.cli.console import run_app

GROUPS = {
    "Start here": ("demo", "init"),
    "Measure": ("score", "select", "label", "coslow"),
    "Forecast": ("forecast", "report"),
    "Train": ("tune", "sweep", "compare", "calibrate"),
    "Look up": ("tasks", "models", "calibrations"),
}
"""Headings of `labelcast --help`, each with its commands."""

COMMANDS = tuple(name for names in GROUPS.values() for name in names)
_MODULES = dict.fromkeys(GROUPS["Look up"], "lists")
_HELP = """How many labelled examples will this fine-tuning task need?

With scores: forecast is all you need. With data and no scores, in this order: init, score, label,
coslow, forecast. To see every step on an example: demo.

\b
Example: labelcast forecast --observe 50=0.71 --target-score 0.85
Example: labelcast init tickets.csv"""


class GroupedCommands(TyperGroup):
    """Lists the commands under headings."""

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        """Write one section per heading."""
        width = max(map(len, COMMANDS))
        limit = formatter.width - width - 6
        for heading, names in GROUPS.items():
            shown = {name: self.commands[name].get_short_help_str(limit) for name in names}
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), text) for name, text in shown.items()])


def build(names: Sequence[str] = COMMANDS) -> typer.Typer:
    """The app with the named commands; only their modules are imported."""
    app = typer.Typer(
        name="labelcast",
        cls=GroupedCommands,
        help=_HELP,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        # Click makes the suggestions.
        suggest_commands=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    for name in names:
        command = getattr(import_module(f"labelcast.cli.{_MODULES.get(name, name)}"), name)
        text = command_help(command)
        app.command(name, help=text, short_help=text.split("\n")[0].rstrip("."))(command)
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
    """Options before the command."""


def command_help(command: Callable[..., None]) -> str:
    """A command's docstring, with each example on its own line; empty under `python -OO`."""
    blocks = (inspect.getdoc(command) or "").split("\n\n")
    # \b: click does not rewrap this block.
    return "\n\n".join(f"\b\n{b}" if b.startswith("Example:") else b for b in blocks)


def main() -> None:
    """Entry point of `labelcast`."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    # Importing one command is faster than importing all of them.
    run_app(build((word,) if word in COMMANDS else COMMANDS))
