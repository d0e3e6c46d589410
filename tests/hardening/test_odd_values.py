"""Commands with odd values in options and arguments work, or one line says why not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import click
import pytest
import typer
from fault_harness import COMMANDS, Command, Harness, state, words

from labelcast.cli.app import build

ODD = (
    *(
        "",
        " ",
        "-",
        "--",
        "x",
        "None",
        "true",
        "日本",
        "\x1b[2J",
        "\n",
        "=",
        "a=b",
        "0",
        "-1",
        "1.5",
    ),
    *(
        "1e400",
        "nan",
        "-inf",
        "1_000",
        "9" * 19,
        "1,,2",
        "1,1",
        ":",
        "100:0.7",
        "0:0.5",
        "[]",
        "null",
    ),
    *("~", "../..", "/", ".", "x" * 300, "/dev/null", "missing/there", "hub:a", "generated:x"),
)
STARTS = (
    *COMMANDS.values(),
    Command("forecast (alone)", words("forecast --coslow 0.3 --zero-shot 0.4"), "empty"),
)


def options(command: str) -> Iterator[str]:
    """The options of a command that take a value."""
    app = typer.main.get_command(build((command,)))
    assert isinstance(app, click.Group)
    for parameter in app.commands[command].params:
        if isinstance(parameter, click.Option) and not parameter.is_flag:
            yield max(parameter.opts, key=len)


def odd(start: Command) -> Iterator[Command]:
    """A command with one option or argument replaced by each odd value."""
    for option in options(start.argv[0]):
        for value in ODD:
            yield replace(start, argv=(*start.argv, option, value))
    for place in range(1, len(start.argv)):
        for value in ODD:
            yield replace(start, argv=(*start.argv[:place], value, *start.argv[place + 1 :]))


def check(harness: Harness, case: Command) -> None:
    """Run a case: no traceback, one line on failure, and bad input changes no file."""
    folder = harness.copy(case.start)
    before = state(folder)
    done = harness.run(case, folder)
    assert done.status in (0, 1, 2), (case.argv, done.status, done.err)
    for sign in ("Traceback", "bug in labelcast"):
        assert sign not in done.err, (case.argv, done.err)
    if done.status:
        messages = [line for line in done.err.splitlines() if line.startswith("labelcast: ")]
        assert len(messages) == 1, (case.argv, done.err)
        assert done.out == "" and len(messages[0]) < 1200, (case.argv, done.out, done.err)
    if done.status == 2:
        assert state(folder) == before, case.argv
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "start", [start for start in STARTS if not start.slow], ids=lambda start: start.name
)
def test_some_values(harness: Harness, start: Command) -> None:
    """Three random cases of each command, the same in every run."""
    for case in Random(start.name).sample(list(odd(start)), 3):
        check(harness, case)


@pytest.mark.slow
@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.name)
def test_many_values(harness: Harness, start: Command) -> None:
    """A hundred random cases of each command."""
    for case in Random(start.name).sample(list(odd(start)), 100):
        check(harness, case)
