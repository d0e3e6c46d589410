"""`labelcast init`: write a task file for a data file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from labelcast.cli.console import print_json, say, suggest
from labelcast.cli.options import DATA_FORMATS, Json
from labelcast.errors import InputError


def init(
    data: Annotated[str, Argument(help=f"{DATA_FORMATS} or hub:OWNER/NAME.")],
    out: Annotated[Path, Option("--out", "-o", help="The task file to write.")] = Path("task.yaml"),
    name: Annotated[
        str | None, Option(help="Name of the task. Default: the name of the file.")
    ] = None,
    inputs: Annotated[
        list[str] | None, Option("--input", help="An input field; repeatable.")
    ] = None,
    answer: Annotated[str | None, Option(help="The field that holds the answer.")] = None,
    instruction: Annotated[str | None, Option(help="The instruction in the prompt.")] = None,
    force: Annotated[bool, Option("--force", help="Overwrite an existing file.")] = False,
    as_json: Json = False,
) -> None:
    """Write a task file from the columns of a data file.

    Example: labelcast init tickets.csv --input text --answer intent --out task.yaml
    """
    from labelcast.files.json_files import write_text
    from labelcast.files.untrusted import refuse_run_file
    from labelcast.models.confidence import MAX_NEW_TOKENS
    from labelcast.tasks.guess import guess_task, task_file
    from labelcast.tasks.sources import open_source
    from labelcast.tasks.values import has_field

    if not force:
        if out.exists():
            raise InputError(f"{out}: exists already. Choose another --out, or give --force.")
        refuse_run_file(out)
    guess = guess_task(
        open_source(data),
        name or _name(data),
        inputs=inputs or (),
        answer=answer,
        instruction=instruction,
    )
    task = guess.task
    if answer is not None and not has_field(next(open_source(data).records()).values, answer):
        say(f"note: {data} has no field {answer!r} yet; its answers are taken to be any text.")
    write_text(out, task_file(task))
    if as_json:
        notes = {"notes": list(guess.notes)}
        print_json({"task": task.model_dump(mode="json"), "file": str(out)} | notes)
        return
    shown = ", ".join(item.field for item in task.inputs)
    say(f"Wrote {out}: input {shown}, answer {task.answer!r}.")
    for note in guess.notes:
        say(f"  {note}")
    words = ["score", data, "--task", out, "--out", "run"]
    if guess.answer_tokens > MAX_NEW_TOKENS:
        words += ["--max-new-tokens", guess.answer_tokens]
    suggest("Next: check it, improve the instruction, then run", *words)


def _name(data: str) -> str:
    kind, *rest = data.split(":")
    return Path(rest[0]).name if rest and kind in ("hub", "generated") else Path(data).stem
