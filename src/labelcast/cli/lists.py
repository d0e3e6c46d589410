"""`labelcast tasks`, `models` and `calibrations`: what is available."""

from __future__ import annotations

from typing import Annotated, Any

from typer import Argument

from labelcast.cli.console import print_json, say, tell
from labelcast.cli.options import Json


def tasks(as_json: Json = False) -> None:
    """List the tasks in the catalogue.

    `generated` tasks need no data; `hub` tasks are downloaded as the pool task:NAME; `local` tasks
    read your own file. `verified` is no if the task was not checked against the hub's data.

    Example: labelcast tasks
    Example: labelcast score task:sst2 --task sst2 --out run
    """
    from labelcast.tasks.task import Task, catalogue

    rows = [
        {
            "name": name,
            "kind": task.kind,
            "hub": task.hub.id if task.hub else None,
            "config": task.hub.config if task.hub else None,
            "splits": task.hub.splits if task.hub else None,
            "inputs": [item.field for item in task.inputs],
            "answer": task.answer,
            "answers": len(task.answers) or None,
            "metric": task.metric,
            "ceiling": task.ceiling.score if task.ceiling else None,
            "ceiling_source": task.ceiling.source if task.ceiling else None,
            "verified": task.verified,
            "data": task.data,
            "note": task.note,
        }
        for name, task in ((name, Task.load(name)) for name in catalogue())
    ]
    hidden = ("config", "splits", "inputs", "answer", "ceiling_source", "data", "note")
    _show(rows, as_json, hidden)


def models(as_json: Json = False) -> None:
    """List the models with a short name or a calibration card.

    Example: labelcast models
    Example: labelcast score pool.jsonl --model Qwen/Qwen2.5-14B-Instruct --out run
    """
    from labelcast.forecast.calibration import shipped
    from labelcast.models import embedded

    own = (embedded.NAME, "SmolLM2-135M-Instruct, embedded", None)
    encoder = (embedded.ENCODER, "all-MiniLM-L6-v2, an encoder, embedded", None)
    hub = ((hub_id, "from the hub", card.name) for card in shipped() for hub_id in card.hub_ids)
    found = [
        {"model": name, "what": what, "calibration": card}
        for name, what, card in (own, encoder, *hub)
    ]
    _show(found, as_json)
    if not as_json:
        say(
            "--model also takes any causal language model (a hub id, a folder, or a .gguf file), "
            "and any encoder such as BERT (a hub id or a folder)."
        )


def calibrations(
    name: Annotated[str | None, Argument(help="Print one card in full.")] = None,
    as_json: Json = False,
) -> None:
    """List the cards that turn CoS-Low into data efficiency.

    Example: labelcast calibrations
    Example: labelcast calibrations llama-3.1-8b-instruct
    """
    from labelcast.forecast.calibration import by_name, shipped

    if name is not None:
        from dataclasses import asdict

        print_json(asdict(by_name(name)))
        return
    fields = (
        *("name", "model", "recipe", "slope", "intercept", "residual_sd"),
        *("tasks", "loto_mae", "source"),
    )
    rows = [
        {field: getattr(card, field) for field in fields}
        | {"uses": "the mean of its tasks" if card.leans_on_prior else "CoS-Low"}
        for card in shipped()
    ]
    _show(rows, as_json, ("source",))


def _show(rows: list[dict[str, Any]], as_json: bool, hidden: tuple[str, ...] = ()) -> None:
    if as_json:
        print_json(rows)
        return
    names = [name for name in rows[0] if name not in hidden]
    lines = [names, *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        tell("  ".join(cells).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    return ", ".join(value) if isinstance(value, list) else str(value)
