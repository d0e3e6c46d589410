"""`labelcast tune`: fine-tune on a run's labels, and forecast again with the score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from labelcast.cli.console import bar, counted, print_json, say, span, tell, waiting
from labelcast.cli.options import (
    BatchSize,
    Device,
    DryRun,
    Dtype,
    Json,
    OwnModel,
    Recipe,
    ReportTo,
    RunFolder,
)
from labelcast.errors import InputError
from labelcast.forecast.options import RunOptions


def tune(
    run: RunFolder,
    budget: Annotated[int, Option(help="Labels to use, validation included; 0 scores zero-shot.")],
    train_set: Annotated[
        str | None,
        Option("--set", help="The training set.  [default: random, else the only one with enough]"),
    ] = None,
    recipe: Recipe = "full",
    seed: Annotated[int, Option(help="Training seed.", min=0)] = 1,
    model: OwnModel = None,
    keep: Annotated[
        Path | None,
        Option(
            "--keep-model",
            "--keep",
            help="Folder for the tuned model, which --model takes.  [default: discard it]",
        ),
    ] = None,
    force: Annotated[
        bool, Option("--force", help="Let --keep-model replace files that it did not save.")
    ] = False,
    target: Annotated[
        float | None, Option(help="Target of the new forecast.  [default: the last forecast's]")
    ] = None,
    ceiling: Annotated[
        float | None,
        Option(help="Best possible score.  [default: the last forecast's, or the task's]"),
    ] = None,
    calibration: Annotated[
        str | None,
        Option(help="A shipped card or a card's file.  [default: the last forecast's]"),
    ] = None,
    dry_run: DryRun = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: BatchSize = None,
    report_to: ReportTo = None,
    as_json: Json = False,
) -> None:
    """Fine-tune on a run's labels, score on its test set, forecast again.

    The new forecast asks what the run's last one asked, such as its target score and prices.

    It uses the first labels of a training set (labelcast label RUN --more N), and the test set
    (labelcast label RUN --test N). If it is interrupted, run the same command to resume.

    Example: labelcast tune run --budget 100
    Example: labelcast tune run --budget 100 --dry-run
    """
    from labelcast.cli.forecast import show
    from labelcast.models.choices import refuse_spread
    from labelcast.runs.forecast import asked_again, check_asked, forecast_run, repeated
    from labelcast.runs.label_store import labelled_examples
    from labelcast.runs.run import Run
    from labelcast.runs.tune import check_keep, check_labels, load_run_model
    from labelcast.runs.tune import tune as tune_run
    from labelcast.sweeps.estimate import rough_speed, steps, tuning_seconds
    from labelcast.training.backend import recipe_for
    from labelcast.training.reporting import trackers

    refuse_spread(device)
    reports = trackers(report_to)
    opened = Run.open(run)
    chosen = recipe_for(recipe, model or opened.model.name)
    train_set = check_labels(opened, budget, train_set)
    if keep is not None:
        check_keep(keep, force=force)
    given: RunOptions = {"target": target, "ceiling": ceiling, "calibration": calibration}
    asked = asked_again(opened, budget, given)
    try:
        check_asked(**asked)
    except InputError as error:
        raise InputError(repeated(opened, error, given)) from None
    with waiting(f"Loading {model or opened.model.name}"):
        train = bool(budget)
        lm = load_run_model(opened, chosen, model, device=device, dtype=dtype, train=train)
    say(f"model {lm.name} on {lm.device}, {lm.dtype}; {chosen.name}")
    test = labelled_examples(opened, "test", lm.render)
    speed = rough_speed(lm, test, opened.question.max_new_tokens)
    low, high = tuning_seconds(chosen, budget, len(test), speed)
    few, most = steps(chosen) if budget else (0, 0)
    about = f"roughly {span(low, high)}: {few} to {most} training steps, {len(test)} test examples"
    if dry_run:
        if as_json:
            ends = {"seconds_low": low, "seconds_high": high, "steps_low": few, "steps_high": most}
            print_json(ends | {"test_size": len(test)})
        else:
            tell(about)
        return
    say(about)
    with bar("Training", chosen.most_steps if budget else 0) as advance:
        score = tune_run(
            opened,
            budget,
            train_set=train_set,
            model=lm,
            recipe=chosen,
            seed=seed,
            dtype=dtype,
            batch_size=batch_size,
            keep=keep,
            force=force,
            report_to=reports,
            on_step=lambda step, steps, loss: advance(1),
            on_test=counted("Scoring", len(test)),
        )
    found: tuple[str, ...] = ()
    fault, answer = None, None
    try:
        answer, found = forecast_run(opened, **asked)
    except InputError as error:
        fault = repeated(opened, error, given)
    if as_json:
        forecast = answer and answer.to_dict() | {"warnings": [*found, *answer.warnings]}
        print_json({"observation": score.to_dict(), "forecast": forecast, "no_forecast": fault})
        return
    tell(
        f"With {budget:,} labels: {score.metric} {score.score:.3f} "
        f"(standard error {score.score_sd:.3f}, {score.test_size} test examples, "
        f"{score.seconds:.0f} s)\n"
    )
    if answer is not None:
        show(answer, found)
    else:
        say(f"The score is saved. No forecast yet: {fault}")
