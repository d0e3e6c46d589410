"""Unexpected errors are one line too; a traceback is printed only on request."""

from __future__ import annotations

import errno
import io
import logging
import os
import subprocess
import sys
import warnings
from contextlib import redirect_stderr

import pytest
import typer
from command_line import SOURCE, check_message, labelcast

from labelcast.cli.console import counted, run_app
from labelcast.errors import NO_PATH, LabelcastWarning, RunError
from labelcast.models.embedded import cache_folder


def outcome(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> tuple[object, str]:
    """Exit status and stderr of an app that is run without arguments."""
    monkeypatch.setattr(sys, "argv", ["labelcast"])
    err = io.StringIO()
    with redirect_stderr(err), pytest.raises(SystemExit) as end:
        run_app(app)
    return end.value.code, err.getvalue()


def test_a_warning_that_comes_again_is_shown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for each part of a large pool; another run of a command shows it again."""
    app = typer.Typer()

    @app.command()
    def command() -> None:
        for number in (1, 2, 1, 1):
            warnings.warn(f"warning {number}", LabelcastWarning, stacklevel=1)

    for _ in range(2):
        _, err = outcome(app, monkeypatch)
        assert (err.count("warning 1"), err.count("warning 2")) == (1, 1)


def faulty(error: Exception) -> typer.Typer:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def command() -> None:
        raise error

    return app


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError("a\nlabelcast: all is well \x1b[2J"), "ValueError: a\\nlabelcast: all is well"),
        (KeyError("index"), "KeyError: 'index'"),
        (RuntimeError("no kernel"), "RuntimeError: no kernel."),
        (RecursionError(), "RecursionError."),
        (AssertionError("x" * 10_000), "AssertionError: xxx"),
    ],
)
def test_an_unexpected_error_is_one_line(
    error: Exception, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 1, what happened, and what to do; no traceback and no escape sequence."""
    monkeypatch.delenv("LABELCAST_TRACEBACK", raising=False)
    status, err = outcome(faulty(error), monkeypatch)
    assert status == 1
    assert err.count("\n") == 1 and "\x1b" not in err and len(err) < 700
    assert err.startswith(f"labelcast: unexpected {name}")
    assert "This is a bug in labelcast; run again with LABELCAST_TRACEBACK=1 to see where" in err


def test_what_a_library_logs_cannot_control_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may quote a model's files."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    def command() -> None:
        logging.getLogger("transformers").error("kind %s", "\x1b[31mevil\nlabelcast: done")

    shown: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: shown.append(record.getMessage()))
    logging.getLogger("transformers").addHandler(handler)
    try:
        assert outcome(app, monkeypatch)[0] == 0
    finally:
        logging.getLogger("transformers").removeHandler(handler)
    assert shown == [r"kind \x1b[31mevil\nlabelcast: done"]


def test_a_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The traceback is printed first, the line last."""
    monkeypatch.setenv("LABELCAST_TRACEBACK", "1")
    status, err = outcome(faulty(ValueError("odd")), monkeypatch)
    assert status == 1
    assert "Traceback (most recent call last)" in err
    assert "test_messages.py" in err
    last = err.splitlines()[-1]
    assert last == (
        "labelcast: unexpected ValueError: odd. This is a bug in labelcast; please report it."
    )


def test_a_device_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library's error about memory becomes advice."""
    status, err = outcome(faulty(RuntimeError("CUDA out of memory")), monkeypatch)
    assert status == 1
    assert err == "labelcast: the device is out of memory. Try a smaller --batch-size.\n"


@pytest.mark.parametrize("number", [errno.ENAMETOOLONG, errno.EISDIR])
def test_a_path_that_no_disk_could_hold_is_bad_input(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 2 and what to do, as for any other wrong path."""
    status, err = outcome(faulty(OSError(number, os.strerror(number), "some/path")), monkeypatch)
    assert status == 2
    assert err == f"labelcast: some/path: {NO_PATH[number]}.\n"
    assert "; give " in err


@pytest.mark.parametrize("word", ["init LONG", "coslow LONG", "report LONG"])
def test_a_path_that_is_too_long(word: str) -> None:
    """The same from the command line."""
    check_message(labelcast(*word.replace("LONG", "x" * 300).split()), 2, ("too long", "shorter"))


def test_an_argument_with_a_newline() -> None:
    """A usage error is one line, whatever it quotes."""
    check_message(labelcast("init", "a.jsonl", "b\nc"), 2, ("unexpected extra", r"b\nc", "--help"))


def test_a_misspelled_command() -> None:
    """The message suggests the likely command once."""
    done = labelcast("scor")
    check_message(
        done, 2, ("No such command 'scor'. Did you mean 'score'? See", "labelcast --help")
    )
    assert done.err.count("Did you mean") == 1


@pytest.mark.parametrize("words", ["label RUN --gold", "score pool.jsonl --out", "report --out"])
def test_an_option_without_its_value(words: str) -> None:
    """One line as for every other usage error, with the command's own help."""
    command, option = words.split()[0], words.split()[-1]
    expected = (f"'{option}' requires an argument", f"labelcast {command} --help")
    check_message(labelcast(*words.split()), 2, expected)


@pytest.mark.parametrize(
    ("output", "says"), [("--json | head -c 0", ""), ("> /dev/full", "No space left")]
)
def test_output_that_cannot_be_written(output: str, says: str) -> None:
    """A closed pipe or a full disk behind it gives status 1 and no traceback."""
    command = f"{sys.executable} -m labelcast forecast --coslow 0.42 --calibration pooled {output}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCE)},
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert says in done.stderr


def test_no_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a home folder, as in some containers, the message says what to set."""
    for name in ("LABELCAST_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(user: int) -> None:
        raise KeyError(user)

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(RunError, match="LABELCAST_CACHE"):
        cache_folder()


def test_progress_in_a_file_says_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first line after ten seconds, each later one after twice the time."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    advance = counted("Training", 100)
    for second in range(1, 101):
        now[0] = float(second)
        advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "Training: 10 of 100, 90 seconds left"
    assert lines[1] == "Training: 20 of 100, 80 seconds left"
    assert len(lines) == 4
