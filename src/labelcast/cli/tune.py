"""`labelcast tune`: act on a forecast, and sharpen it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from labelcast.cli.console import (
    BatchSize,
    Device,
    Dtype,
    Json,
    bar,
    print_json,
    say,
    tell,
    waiting,
)


def tune(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    budget: Annotated[
        int, typer.Option(help="Labels to use, validation among them; 0 measures zero-shot.")
    ],
    recipe: Annotated[str, typer.Option(help="full, LoRA, or a recipe's YAML file.")] = "full",
    seed: Annotated[int, typer.Option(help="Of training.", min=0)] = 1,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The run's own by default.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="A folder for the tuned model; it is dropped otherwise.")
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="Of the forecast that follows.  [default: 0.9]")
    ] = None,
    ceiling: Annotated[
        float | None, typer.Option(help="Best score to be hoped for; the task's by default.")
    ] = None,
    calibration: Annotated[
        str | None, typer.Option(help="A shipped card or a card's file.")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: BatchSize = None,
    as_json: Json = False,
) -> None:
    """Fine-tune on a run's labels, score on its test set, forecast again.

    The labels are the first of those drawn at random (labelcast label RUN --more N), the test set
    is the one kept apart (--test N).

    Example: labelcast tune run --budget 100
    """
    from labelcast.models.choices import refuse_spread
    from labelcast.runs.coslow import run_model
    from labelcast.runs.forecast import check_asked
    from labelcast.runs.run import Run
    from labelcast.runs.tune import check_run, tune_run
    from labelcast.training.recipe import Recipe

    refuse_spread(device)
    opened = Run.open(run)
    chosen = Recipe.load(recipe)
    check_run(opened, budget)
    check_asked(target=target, ceiling=ceiling, calibration=calibration)
    name = model or run_model(opened)
    with waiting(f"Loading {name}"):
        from labelcast.training.backend import Placement, backend_of

        lm = backend_of(chosen).load(name, chosen, Placement(device, dtype))
    say(f"model {lm.name} on {lm.device}, {lm.dtype}; {chosen.name}")
    with bar("Training", chosen.max_steps if budget else 0) as moved:
        row = tune_run(
            opened,
            lm,
            budget,
            recipe=chosen,
            seed=seed,
            batch_size=batch_size,
            dtype=dtype,
            keep=keep,
            on_step=lambda step, steps, loss: moved(1),
        )
    _forecast(opened, row, target=target, ceiling=ceiling, card=calibration, as_json=as_json)


def _forecast(
    run: Any,
    row: dict[str, Any],
    *,
    target: float | None,
    ceiling: float | None,
    card: str | None,
    as_json: bool,
) -> None:
    """Tell the score, then the forecast; the score stands where no forecast can be made yet."""
    from labelcast.cli.forecast import show
    from labelcast.errors import InputError
    from labelcast.runs.forecast import forecast_run

    found: tuple[str, ...] = ()
    fault, answer = None, None
    try:
        answer, found = forecast_run(run, calibration=card, target=target, ceiling=ceiling)
    except InputError as error:
        fault = str(error)
    if as_json:
        told = None if answer is None else answer.to_dict()
        if told is not None and answer is not None:
            told["warnings"] = [*found, *answer.warnings]
        print_json({"observation": row, "forecast": told, "no_forecast": fault})
        return
    tell(
        f"With {row['budget']:,} labels: {row['metric']} {row['score']:.3f} "
        f"(standard error {row['score_sd']:.3f}, {row['test_size']} test examples, "
        f"{row['seconds']:.0f} s)\n"
    )
    if answer is not None:
        show(answer, found)
    else:
        say(f"The score is kept. No forecast yet: {fault}")
