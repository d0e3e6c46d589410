"""Every option of every command with values that nobody would give."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import click
import pytest
import typer
from command_line import Outcome
from fault_bench import COMMANDS, Bench, Command, state, words

from labelcast.cli.app import build

WILD = (
    *("", " ", "-", "--", "x", "None", "true", "é", "日本", "\u202e", "\x1b[2J", "\n", "=", "a=b"),
    *("0", "-1", "-0", "1", "1.5", "1e3", "1e400", "-1e400", "nan", "inf", "-inf", "0x10", "1_000"),
    *("9" * 19, "9" * 400, "0.0000000001", "1,2", ",", "1,,2", "2,1", "1,1", ":", "1:", ":1"),
    *("100:0.7", "100:0.7:", "100:nan", "nan:0.5", "0:0.5", "0.2:0.1", "%s", "{}", "[]", "null"),
    *('"', "'", "\\", "*", "?", "~", "$HOME", "`id`", ";id", "../..", "/", ".", "x" * 300),
    *("/dev/null", "/dev/full", "missing/there", "/" + "x/" * 2100, "http://localhost:1/x"),
    *("hub:", "hub:a", "generated:", "generated:x", "file:///etc/passwd", "s3:x"),
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


def wild(start: Command) -> Iterator[Command]:
    """A command with one option, or one of its words, replaced by each wild value."""
    for option in options(start.argv[0]):
        for value in WILD:
            yield replace(start, argv=(*start.argv, option, value))
    for place in range(1, len(start.argv)):
        for value in WILD:
            yield replace(start, argv=(*start.argv[:place], value, *start.argv[place + 1 :]))


CASES = [case for start in STARTS for case in wild(start)]


def check(done: Outcome, case: Command, before: object, folder: Path) -> None:
    """It worked, or one line says why not; nothing is touched by what was refused."""
    assert done.status in (0, 1, 2), (case.argv, done.status, done.err)
    for sign in ("Traceback", "bug in labelcast"):
        assert sign not in done.err, (case.argv, done.err)
    if done.status:
        told = [line for line in done.err.splitlines() if line.startswith("labelcast: ")]
        assert len(told) == 1, (case.argv, done.err)
        assert done.out == "" and len(told[0]) < 1200, (case.argv, done.out, done.err)
    if done.status == 2:
        assert state(folder) == before, case.argv


def attempt(bench: Bench, case: Command) -> None:
    folder = bench.copy(case.start)
    try:
        before = state(folder)
        check(bench.run(case, folder), case, before, folder)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", [start.name for start in STARTS if not start.slow])
def test_some_values(bench: Bench, name: str) -> None:
    """A few of a command's options and words, drawn once for all times."""
    own = [case for case in CASES if case.name == name]
    for case in Random(name).sample(own, 5):
        attempt(bench, case)


@pytest.mark.slow
@pytest.mark.parametrize("name", [start.name for start in STARTS])
def test_many_values(bench: Bench, name: str) -> None:
    """Two hundred of them."""
    own = [case for case in CASES if case.name == name]
    for case in Random(name).sample(own, min(len(own), 200)):
        attempt(bench, case)
