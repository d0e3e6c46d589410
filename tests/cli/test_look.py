"""How the command line looks: help, completion, drawing, and data that looks like code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import SOURCE, in_process, labelcast

from labelcast.cli.app import GROUPS, build
from labelcast.cli.drawing import draw_curve
from labelcast.forecast import forecast
from labelcast.forecast.cards import by_name

COMMANDS = sorted(str(command.name) for command in build().registered_commands)
HEAVY = ("torch", "transformers", "pyarrow", "numpy", "scipy", "pydantic", "datasets", "yaml")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_that_can_be_copied(command: str) -> None:
    """Each example stands whole on a line of its own and names its command."""
    done = labelcast(command, "--help")
    assert done.status == 0
    assert done.err == ""
    examples = re.findall(r"^ *Example: (labelcast .*)$", done.out, re.MULTILINE)
    assert examples
    assert any(example.split()[1] == command for example in examples)
    assert "Usage: labelcast" in done.out
    for text in examples:
        for option in re.findall(r"--[a-z-]+", text):
            words = text.split()
            if words[1] == command:
                assert option in done.out


def test_the_overview_cuts_no_sentence() -> None:
    """Each command has a line that is whole."""
    out = labelcast("--help").out
    assert all(re.search(rf"^  {command} ", out, re.MULTILINE) for command in COMMANDS)
    assert "..." not in out.split("Options:")[1]
    assert all(f"\n{heading}:\n" in out for heading in GROUPS)
    assert "Example: labelcast" in out


@pytest.mark.parametrize("args", [["--help"], ["score", "--help"], ["forecast", "--help"], ["-h"]])
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    """Help must come at once."""
    # The options of a command are read by typer through pydantic, not by us.
    heavy = [name for name in HEAVY if name != "pydantic" or len(args) == 1]
    code = (
        "import sys\nfrom labelcast.cli.app import main\n"
        "try:\n main()\nfinally:\n"
        f" print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("args", "names"),
    [
        (["forecast", "--coslow", "0.4", "--calibration", "pooled"], ("torch", "pyarrow")),
        (["calibrations"], ("torch", "pyarrow")),
        (["label", "nowhere"], ("torch",)),
    ],
)
def test_light_commands_do_without_torch(args: list[str], names: tuple[str, ...]) -> None:
    """What needs no model does not load one's library."""
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print([n for n in {names!r} if n in sys.modules]))"
    )
    done = in_process(args, code=code)
    assert done.out.splitlines()[-1] == "[]"


def test_version() -> None:
    """One line with the name and the version, installed or not."""
    done = labelcast("--version")
    assert done.status == 0
    assert re.fullmatch(r"labelcast \S+( \S+)*\n", done.out)


def test_shell_completion() -> None:
    """The script can be printed, and it completes a command's name."""
    done = in_process(["--show-completion", "bash"])
    assert "complete" in done.out
    done = in_process(
        [],
        code="import sys\nsys.argv = ['labelcast']",
        _LABELCAST_COMPLETE="complete_bash",
        COMP_WORDS="labelcast fore",
        COMP_CWORD="1",
    )
    assert done.out.split() == ["forecast"]


def test_no_arguments_show_the_help() -> None:
    """And are a usage error."""
    done = labelcast()
    assert done.status == 2
    assert "Start here:" in done.err + done.out


def test_ctrl_c_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped by hand: status 130 and a line that says what to do."""

    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("labelcast.forecast.cards.shipped", stop)
    done = labelcast("calibrations")
    assert done.status == 130
    assert "Run the same command to resume" in done.err


@pytest.mark.parametrize("command", ["tasks", "models", "calibrations"])
def test_lists(command: str) -> None:
    """A table for people, the same as JSON."""
    rows = labelcast(command, "--json").json
    table = labelcast(command)
    assert table.status == 0
    for row in rows:
        assert str(row.get("name") or row["model"]) in table.out
    assert len(table.out.splitlines()) == len(rows) + 1


def test_a_card_whole() -> None:
    """A card by its name is one JSON object."""
    assert labelcast("calibrations", "pooled", "--json").json["name"] == "pooled"


def test_data_is_never_markup(place: Path) -> None:
    """Brackets in names and texts are shown as they stand."""
    (place / "[bold]x.csv").write_text("text,label\nnothing,[red]\n")
    done = labelcast("label", place / "run", "--import", place / "[bold]x.csv")
    assert done.status == 0
    assert "no drawn example matches [bold]x.csv line 2" in done.err
    done = labelcast("score", place / "[/no].csv", "--out", place / "[i]")
    assert done.err.startswith(f"labelcast: {place / '[/no].csv'}: no such file")


KNOWN = ("forecast", "--coslow", "0.4", "--calibration", "llama-3.1-8b-instruct")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_forecast_on_any_terminal(encoding: str) -> None:
    """The sentence first, then table and curve, in characters that the output takes."""
    done = labelcast(*KNOWN, "--target", "0.9", "--budget", "500", encoding=encoding)
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert "labels" in lines[0]
    assert lines[1].startswith("With 500 labels")
    assert sum("│" in line or "|" in line for line in lines) == 12
    assert ("●" in done.out) == (encoding == "utf-8")
    assert "5,000" in done.out
    assert max(map(len, lines[2:])) <= 80


def test_json_on_a_terminal_without_unicode(place: Path) -> None:
    """The object is the same, with escapes."""
    name = place / "caf\u00e9.yaml"
    args = ("init", place / "pool.jsonl", "--input", "text", "--json", "--force", "--out", name)
    done = labelcast(*args, encoding="ascii")
    assert done.json == labelcast(*args).json
    assert done.json["file"] == str(name)


@pytest.mark.parametrize("options", [{}, {"zero_shot": 0.2, "ceiling": 0.9}])
@pytest.mark.parametrize("coslow", [-0.2, 0.1, 0.5, 0.9])
def test_a_curve_is_drawn_whatever_its_form(coslow: float, options: dict[str, Any]) -> None:
    """Twelve rows and an axis, the mean in every column, the target marked."""
    answer = forecast(coslow, by_name("llama-3.1-8b-instruct"), target=0.9, **options)
    for unicode, dot in ((True, "●"), (False, "o")):
        drawn = draw_curve(answer, unicode=unicode).splitlines()
        assert len(drawn) == 14
        body = [line[8:69].ljust(61) for line in drawn[:12]]
        assert all(any(line[column] == dot for line in body) for column in range(61))
        assert sum(line.endswith(" target") for line in drawn) == 1
        assert all(line.isascii() for line in drawn) != unicode


def test_a_met_target_is_said() -> None:
    """Where an observed score meets the target, the command says to stop."""
    target = ("--target-score", 0.75, "--zero-shot", 0.5, "--ceiling", 0.95)
    done = labelcast("forecast", *target, "--observe", "200=0.8")
    assert "Next: stop. An observed score meets the target already." in done.out
    done = labelcast("forecast", *target, "--observe", "200=0.7")
    assert "Next: label up to" in done.out


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    """It goes the whole way; a second time nothing is scored again; --json is one object."""
    done = labelcast("demo", "--out", tmp_path / "demo")
    assert done.status == 0, done.err
    assert "labels" in done.out.splitlines()[0]
    for step in ("1. score", "2. label", "3. coslow", "4. forecast"):
        assert step in done.err
    table = (tmp_path / "demo/confidence.parquet").stat().st_mtime_ns
    again = labelcast("demo", "--out", tmp_path / "demo", "--json")
    assert again.json["labels_needed"] is not None
    assert (tmp_path / "demo/confidence.parquet").stat().st_mtime_ns == table
    assert json.loads((tmp_path / "demo/forecast.json").read_text()) == again.json
