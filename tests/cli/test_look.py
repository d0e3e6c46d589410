"""How the command line looks: help, completion, drawings, and data that looks like markup."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import SOURCE, labelcast

from labelcast.cli.app import GROUPS, build
from labelcast.cli.forecast import draw_curve
from labelcast.forecast import forecast
from labelcast.forecast.calibration import by_name

COMMANDS = sorted(str(command.name) for command in build().registered_commands)
SCIENCE = ("pydantic", "torch", "scipy", "pandas", "pyarrow", "yaml", "altair")
HEAVY = (*SCIENCE, "transformers", "numpy", "datasets")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_examples_that_can_be_copied(command: str) -> None:
    """Each example is complete on its own line and names its command."""
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


def test_the_overview_lists_every_command() -> None:
    """Each command has a complete summary under a heading; -h prints the same."""
    out = labelcast("--help").out
    assert all(re.search(rf"^  {command} ", out, re.MULTILINE) for command in COMMANDS)
    assert "..." not in out.split("Options:")[1]
    assert all(f"\n{heading}:\n" in out for heading in GROUPS)
    assert "Example: labelcast" in out
    assert labelcast("-h").out == out


LIGHT = (
    (("--help",), HEAVY),
    (("score", "--help"), HEAVY),
    (("forecast", "--help"), HEAVY),
    (("forecast", "--scores", "s.csv", "--target-score", "0.8"), SCIENCE),
    (("forecast", "--coslow", "0.4", "--calibration", "pooled"), ("torch", "pyarrow")),
    (("calibrations",), ("torch", "pyarrow")),
    (("label", "nowhere"), ("torch",)),
)
"""Commands in this order, each with the modules that must not be loaded after it."""


def test_light_commands_load_nothing_heavy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Help and forecasts start fast: in a new process they do not import what they do not use."""
    monkeypatch.chdir(tmp_path)
    Path("s.csv").write_text("n,score\n50,0.7\n")
    code = f"""
import sys
from labelcast.cli.app import main
for args, names in {LIGHT!r}:
    sys.argv = ["labelcast", *args]
    try:
        main()
    except SystemExit as end:
        print("after", *args, end.code, [n for n in names if n in sys.modules], file=sys.stderr)
"""
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    after = [line for line in done.stderr.splitlines() if line.startswith("after ")]
    status = {"label": 2}
    assert after == [f"after {' '.join(args)} {status.get(args[0], 0)} []" for args, _ in LIGHT], (
        done.stderr
    )


def test_version() -> None:
    """One line with the name and the version, installed or not."""
    done = labelcast("--version")
    assert done.status == 0
    assert re.fullmatch(r"labelcast \S+( \S+)*\n", done.out)


def test_shell_completion(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script can be printed, and it completes a command's name."""
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: "bash")
    assert "complete" in labelcast("--show-completion").out
    monkeypatch.setenv("_LABELCAST_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "labelcast fore")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert labelcast().out.split() == ["forecast"]


def test_no_arguments_show_the_help() -> None:
    """The help is printed, with the exit status of a usage error."""
    done = labelcast()
    assert done.status == 2
    assert "Start here:" in done.err + done.out


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 130, and a line that says what to do."""

    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("labelcast.forecast.calibration.shipped", stop)
    done = labelcast("calibrations")
    assert done.status == 130
    assert "Run the same command to resume" in done.err


@pytest.mark.parametrize("command", ["tasks", "models", "calibrations"])
def test_lists(command: str) -> None:
    """The table and the JSON list the same rows."""
    rows = labelcast(command, "--json").json
    table = labelcast(command)
    assert table.status == 0
    for row in rows:
        assert str(row.get("name") or row["model"]) in table.out
    assert len(table.out.splitlines()) == len(rows) + 1


def test_one_card() -> None:
    """A card by its name is one JSON object."""
    assert labelcast("calibrations", "pooled", "--json").json["name"] == "pooled"


def test_data_is_never_markup(place: Path) -> None:
    """Brackets in names and texts are printed unchanged."""
    (place / "[bold]x.csv").write_text("text,label\nnothing,[red]\n")
    done = labelcast("label", place / "run", "--import", place / "[bold]x.csv")
    assert done.status == 2
    assert "none of its 1 records matches" in done.err and "[bold]x.csv line 2" in done.err
    done = labelcast("score", place / "[/no].csv", "--out", place / "[i]")
    assert done.err.startswith(f"labelcast: {place / '[/no].csv'}: no such file")


KNOWN = ("forecast", "--coslow", "0.4", "--calibration", "llama-3.1-8b-instruct")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_forecast_on_any_terminal(encoding: str) -> None:
    """The sentence first, then table and curve, in characters that the output can encode."""
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
    """The object is the same, with escaped characters."""
    name = place / "caf\u00e9.yaml"
    args = ("init", place / "pool.jsonl", "--input", "text", "--json", "--force", "--out", name)
    done = labelcast(*args, encoding="ascii")
    assert done.json == labelcast(*args).json
    assert done.json["file"] == str(name)


@pytest.mark.parametrize("options", [{}, {"zero_shot": 0.2, "ceiling": 0.9}])
@pytest.mark.parametrize("coslow", [-0.2, 0.1, 0.5, 0.9])
def test_curves_of_any_shape_can_be_drawn(coslow: float, options: dict[str, Any]) -> None:
    """Twelve rows and an axis, the mean in every column, and the target."""
    answer = forecast(coslow, by_name("llama-3.1-8b-instruct"), target=0.9, **options)
    for unicode, dot in ((True, "●"), (False, "o")):
        drawn = draw_curve(answer, unicode=unicode).splitlines()
        assert len(drawn) == 14
        body = [line[8:69].ljust(61) for line in drawn[:12]]
        assert all(any(line[column] == dot for line in body) for column in range(61))
        assert sum(line.endswith(" target") for line in drawn) == 1
        assert all(line.isascii() for line in drawn) != unicode


def test_a_met_target() -> None:
    """If an observed score meets the target, the advice is to stop."""
    target = ("--target-score", 0.75, "--zero-shot", 0.5, "--ceiling", 0.95)
    done = labelcast("forecast", *target, "--observe", "200=0.8")
    assert "Next: stop. An observed score meets the target already." in done.out
    done = labelcast("forecast", *target, "--observe", "200=0.7")
    assert "Next: label up to" in done.out


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    """It runs every step; a second run scores nothing again; --json is one object."""
    done = labelcast("demo", "--out", tmp_path / "demo")
    assert done.status == 0, done.err
    assert "labels" in done.out.splitlines()[0]
    for step in (
        "1. score",
        "2. label",
        "3. coslow",
        "4. forecast",
        "5. check",
        "measured with 500",
    ):
        assert step in done.err
    table = (tmp_path / "demo/confidence.parquet").stat().st_mtime_ns
    again = labelcast("demo", "--out", tmp_path / "demo", "--json")
    assert again.json["labels_needed"] is not None
    assert (tmp_path / "demo/confidence.parquet").stat().st_mtime_ns == table
    assert json.loads((tmp_path / "demo/forecast.json").read_text()) == again.json
