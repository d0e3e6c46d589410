"""What every command shares: errors and warnings on stderr, JSON on stdout, progress bars."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from labelcast.errors import (
    NO_PATH,
    InputError,
    LabelcastError,
    LabelcastWarning,
    is_out_of_memory,
)
from labelcast.files.untrusted import escaped, escaped_json, one_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_INTERRUPTED = 130
_PROGRAM = "labelcast"
_TRACEBACK = "LABELCAST_TRACEBACK"
# Typer exports only this kind of its usage errors.
_UsageError: type[Any] = typer.BadParameter.__mro__[1]

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", help="smollm2 (embedded), a hub id OWNER/NAME, a folder, or a .gguf file."
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="auto, cpu, cuda, cuda:1, ...; for score and coslow also spread: over all GPUs, and "
        "the CPU's memory where they are full."
    ),
]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
BatchSize = Annotated[
    int | None, typer.Option(help="Examples that run at once; by default one for the device.")
]
TaskFile = Annotated[
    str | None,
    typer.Option("--task", "-t", help="A task file, or a task of the catalogue by its name."),
]


def stderr() -> Console:
    """The console for everything that is no answer."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def stdout() -> Console:
    """The console for answers."""
    from rich.console import Console

    return Console(highlight=False)


def say_command(*words: object) -> None:
    """A command to be run next, quoted for the shell."""
    say(f"  labelcast {shlex.join(map(str, words))}")


def say(text: str) -> None:
    """A line for the user on stderr, as plain text."""
    sys.stderr.write(f"{escaped(text)}\n")


def tell(text: str = "") -> None:
    """A part of the answer on stdout, as plain text."""
    sys.stdout.write(f"{escaped(text)}\n")


def cell(text: object) -> Text:
    """A cell of a table with text that others wrote: no markup, and nothing that steers."""
    from rich.text import Text

    return Text(one_line(str(text)))


def print_json(value: Any) -> None:
    """The one JSON object of a command."""
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    text = json.dumps(value, ensure_ascii=plain, indent=2, allow_nan=False)
    sys.stdout.write(escaped_json(text) + "\n")


@contextmanager
def bar(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr; yields a function to call with how much more is done."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr(), transient=not sys.stderr.isatty()) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.advance(task, done)


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """Tells on stderr what is being waited for."""
    console = stderr()
    if not console.is_terminal:
        yield
        return
    with console.status(cell(label)):
        yield


def show_warning(
    message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any
) -> None:
    """Our own warnings as a line on stderr; those of libraries are not for users."""
    if issubclass(category, LabelcastWarning):
        say(f"warning: {one_line(str(message))}")


def run_app(app: typer.Typer, program: str = _PROGRAM) -> NoReturn:
    """Run the command line: errors become one line on stderr and an exit status.

    Args:
        app: of `labelcast`, or another that has no subcommands.
        program: how the app is started, for usage messages.
    """
    _open_streams()
    with warnings.catch_warnings(), _stoppable() as asked:
        warnings.showwarning = show_warning
        warnings.simplefilter("always", LabelcastWarning)
        status = _told(app, program)
    raise SystemExit(128 + asked[0] if asked and status == _INTERRUPTED else status)


def _told(app: typer.Typer, program: str) -> int:
    """Run the app and write out all that it says; the exit status."""
    status = 1
    try:
        status = _status(app, program)
        if status == _INTERRUPTED:
            say("labelcast: stopped. The same command goes on where it was.")
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        # Whoever read our output has gone; what is left to write has no reader.
        status = status or 1
        _forget_output()
    except OSError as error:
        status = status or 1
        _forget_output()
        with suppress(OSError):
            say(f"labelcast: the output could not be written: {error.strerror or error}.")
    return status


def _open_streams() -> None:
    """Give a stream to write to and read from to a process that was started without."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # Else the next file that is opened would take the place of the output.
            os.open(os.devnull, os.O_RDWR)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _forget_output() -> None:
    """Let what cannot be written go, so that the interpreter does not try again at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """Lets SIGTERM and a closed terminal stop the work as Ctrl-C does; yields which of them did."""
    asked: list[int] = []

    def stop(number: int, frame: object) -> None:
        asked.append(number)
        # Once: what is tidied up now is not to be stopped.
        for other in ours:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    ours = []
    if threading.current_thread() is threading.main_thread():
        # One that is ignored already, as under nohup, stays so.
        numbers = (signal.SIGTERM, signal.SIGHUP)
        ours = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, stop)
    try:
        yield asked
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _status(app: typer.Typer, program: str) -> int:
    """Run the app; the exit status, after saying what went wrong."""
    try:
        _check_words(sys.argv[1:])
        return int(app(prog_name=program, standalone_mode=False) or 0)
    except LabelcastError as error:
        say(f"labelcast: {one_line(str(error))}")
        return error.status
    except _UsageError as error:
        return _usage(error, program)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        return _unforeseen(error)


# A path that is to be read; where it is to be written, a folder could not be made (status 1).
_NO_PATH = NO_PATH | {errno.ENOTDIR: "a part of the path is a file, not a folder"}


def _unforeseen(error: Exception) -> int:
    """Say what the machine lacked, or that the fault is ours; the exit status."""
    if is_out_of_memory(error):
        if "cuda" in str(error).lower():
            say("labelcast: the device is out of memory. Try a smaller --batch-size.")
        else:
            say("labelcast: out of memory. Try a smaller --batch-size, or close other programs.")
    elif type(error).__name__ == "ShellDetectionFailure":
        say("labelcast: no shell was found around this; run it in bash, zsh, fish or PowerShell.")
    elif isinstance(error, OSError):
        found = _NO_PATH.get(error.errno or 0)
        fault = f"{error.filename or 'a file or the output'}: {found or error.strerror or error}"
        say(f"labelcast: {one_line(fault)}.")
        return 2 if found else 1
    elif isinstance(error, UnicodeEncodeError):
        text = error.object[max(error.start - 40, 0) : error.end + 40]
        say(f"labelcast: {one_line(text)}: not UTF-8. Rename the file or folder.")
    else:
        _tell_fault(error)
    return 1


def _tell_fault(error: Exception) -> None:
    """What nobody foresaw: where it was is shown only to those who ask."""
    fault = f"{type(error).__name__}: {one_line(str(error)[:300])}".rstrip(": .")
    way_out = ""
    if os.environ.get(_TRACEBACK):
        say("".join(traceback.format_exception(error)).rstrip())
    else:
        way_out = f"run again with {_TRACEBACK}=1 for where, and "
    say(f"labelcast: unexpected {fault}. This is a fault of labelcast; {way_out}please report it.")


def _check_words(words: Sequence[str]) -> None:
    """Refuse words that no run folder can keep.

    Raises:
        InputError: a word is not UTF-8, or holds a null character.
    """
    for number, word in enumerate(words, 1):
        try:
            word.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"argument {number}, {word[:80]}: not UTF-8. Rename the file or folder."
            ) from None
        if "\0" in word:
            raise InputError(f"argument {number}, {word[:80]}: holds a null character.")


def _usage(error: Any, program: str) -> int:
    """A wrong option or argument in one line; no arguments at all show the help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        # What the parser finds comes without a context; the command is the first word.
        has_words = program == _PROGRAM and not sys.argv[1].startswith("-")
        words = sys.argv[1:2] if has_words else []
        command = error.ctx.command_path if error.ctx else " ".join([program, *words])
        message = one_line(error.format_message().rstrip("."))
        end = "" if message.endswith("?") else "."
        say(f"labelcast: {message}{end} See `{command} --help`.")
    return int(error.exit_code)
