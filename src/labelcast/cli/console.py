"""Output of the commands: results, messages, progress bars, errors and exit statuses."""

from __future__ import annotations

import errno
import json
import logging
import os
import shlex
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NoReturn

import click
import typer

from labelcast.errors import NO_PATH, InputError, LabelcastError, LabelcastWarning, is_out_of_memory
from labelcast.files.untrusted import escaped, escaped_json, one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_PROGRAM = "labelcast"
_UNITS = ((3600, "hours"), (60, "minutes"), (1, "seconds"))
_TRACEBACK = "LABELCAST_TRACEBACK"
# For a path that is read; where a file is written, ENOTDIR has exit status 1.
_BAD_PATH = NO_PATH | {errno.ENOTDIR: "a part of the path is a file, not a folder"}


def stderr() -> Console:
    """The console for progress."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def stdout() -> Console:
    """The console for results."""
    from rich.console import Console

    return Console(highlight=False)


def suggest(text: str, *words: object) -> None:
    """Print a message and a command to run on stderr, quoted for the shell."""
    say(f"{text}\n  labelcast {shlex.join(map(str, words))}")


def say(text: str) -> None:
    """Print a message on stderr, as plain text."""
    typer.echo(escaped(text), err=True)


def warn(text: str) -> None:
    """Print a warning on stderr, on one line."""
    say(f"warning: {one_line(text)}")


def tell(text: str = "") -> None:
    """Print a part of the result on stdout, as plain text."""
    typer.echo(escaped(text))


def cell(text: object) -> Text:
    """A table cell with untrusted text: no markup, no escape sequences."""
    from rich.text import Text

    return Text(one_line(str(text)))


def print_table(heads: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a table without lines on stdout; its cells may be untrusted text."""
    from rich.table import Table

    table = Table(*heads, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(cell, row))
    stdout().print(table)


def takes_unicode() -> bool:
    """Whether stdout can show any character."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")


def print_json(value: Any) -> None:
    """Print the one JSON object of a command."""
    text = json.dumps(value, ensure_ascii=not takes_unicode(), indent=2, allow_nan=False)
    typer.echo(escaped_json(text))


def span(low: float, high: float) -> str:
    """A duration from `low` to `high` seconds, in words.

    >>> span(65, 700), span(7200, 7200)
    ('1 to 12 minutes', '2 hours')
    """
    size, unit = next((s, u) for s, u in _UNITS if high >= 2 * s or s == 1)
    digits = 1 if unit == "hours" and high < 10 * size else 0
    ends = (f"{seconds / size:.{digits}f}".removesuffix(".0") for seconds in (low, high))
    return f"{' to '.join(dict.fromkeys(ends))} {unit}"


@contextmanager
def bar(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on stderr, or lines if that is a file; yields a function to advance."""
    from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    console = stderr()
    if not console.is_terminal:
        yield counted(label, total)
        return
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.advance(task, done)


def counted(label: str, total: int | None) -> Callable[[int], None]:
    """A function that counts progress and prints lines: after 10 seconds, 20, 40, ..."""
    begin, following, done = time.monotonic(), 10.0, 0

    def advance(more: int) -> None:
        nonlocal following, done
        done += more
        spent = time.monotonic() - begin
        if spent < following or not done:
            return
        following = 2 * spent
        if not total or done >= total:
            say(f"{label}: {done:,} done")
        else:
            left = spent * (total - done) / done
            say(f"{label}: {done:,} of {total:,}, {span(left, left)} left")

    return advance


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """Show on a terminal what the command is waiting for."""
    console = stderr()
    with console.status(cell(label)) if console.is_terminal else nullcontext():
        yield


def _shows_warnings() -> Callable[..., None]:
    """Prints our own warnings on stderr, each once; those of libraries are not for users."""
    shown = set()

    def show(message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any) -> None:
        if issubclass(category, LabelcastWarning) and str(message) not in shown:
            shown.add(str(message))
            warn(str(message))

    return show


@contextmanager
def _escaped_logs() -> Iterator[None]:
    """Escape what libraries log, which may quote a model's or a data set's files."""
    make = logging.getLogRecordFactory()

    def escaping(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        record.msg, record.args = one_line(record.getMessage()), ()
        return record

    logging.setLogRecordFactory(escaping)
    try:
        yield
    finally:
        logging.setLogRecordFactory(make)


def run_app(app: typer.Typer, program: str = _PROGRAM) -> NoReturn:
    """Run an app: an error becomes one line on stderr and an exit status.

    `program` is how the app is started, for usage messages.
    """
    before = signal.signal(signal.SIGTERM, _stop)
    with _escaped_logs(), warnings.catch_warnings():
        warnings.showwarning = _shows_warnings()
        warnings.simplefilter("always", LabelcastWarning)
        status = _run(app, program)
    signal.signal(signal.SIGTERM, before)
    if status > 128:
        say("labelcast: stopped. Run the same command to resume.")
    raise SystemExit(status)


def _stop(number: int, frame: object) -> NoReturn:
    """Stop as on Ctrl-C, so that temporary files are deleted; a second signal is ignored."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)


def _run(app: typer.Typer, program: str) -> int:
    """Run the app and print its error, if any; the exit status."""
    try:
        _check_arguments()
        return int(app(prog_name=program, standalone_mode=False) or 0)
    except SystemExit as stop:
        return int(stop.code or 0)
    except LabelcastError as error:
        say(f"labelcast: {one_line(str(error))}")
        return error.status
    except click.UsageError as error:
        _print_usage_error(error, program)
        return error.exit_code
    except Exception as error:
        if is_out_of_memory(error):
            device = "the device is " if "cuda" in str(error).lower() else ""
            say(f"labelcast: {device}out of memory. Try a smaller --batch-size.")
        elif isinstance(error, OSError):
            return _print_os_error(error)
        else:
            _print_bug(error)
        return 1


def _check_arguments() -> None:
    """Refuse an argument that is not UTF-8, which a run folder cannot record."""
    for number, word in enumerate(sys.argv[1:], 1):
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"argument {number}, {word[:80]}: not UTF-8. Rename the file or folder."
            ) from None


def _print_usage_error(error: click.UsageError, program: str) -> None:
    """Print a wrong option or argument as one line; without any arguments, show the help."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    # Some errors of click's parser come without a context.
    words = sys.argv[1:2] if program == _PROGRAM and not sys.argv[1].startswith("-") else []
    command = error.ctx.command_path if error.ctx else " ".join([program, *words])
    message = one_line(error.format_message().rstrip("."))
    end = "" if message.endswith("?") else "."
    say(f"labelcast: {message}{end} See `{command} --help`.")


def _print_os_error(error: OSError) -> int:
    """Print what the operating system refused; the exit status."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        # Otherwise the interpreter tries again at exit and prints a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    bad_path = _BAD_PATH.get(error.errno or 0)
    where = error.filename or "reading or writing failed"
    say(f"labelcast: {one_line(f'{where}: {bad_path or error.strerror or error}')}.")
    return 2 if bad_path else 1


def _print_bug(error: Exception) -> None:
    """Print that labelcast has a bug; the traceback only on request."""
    shown = os.environ.get(_TRACEBACK)
    hint = "" if shown else f"run again with {_TRACEBACK}=1 to see where, and "
    if shown:
        say("".join(traceback.format_exception(error)).rstrip())
    fault = f"{type(error).__name__}: {one_line(str(error)[:300])}".rstrip(": .")
    say(f"labelcast: unexpected {fault}. This is a bug in labelcast; {hint}please report it.")
