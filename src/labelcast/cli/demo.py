"""`labelcast demo`: every step on the embedded model and a generated task."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from typer import Option

from labelcast.cli.console import bar, say, waiting
from labelcast.cli.options import Json
from labelcast.errors import InputError

TASK, SIZE = "boolean_expressions", 400
CHECKED, FEW, MANY = "post_room", 50, 500
"""The task on which a forecast is checked, from scores at the first budget for the second."""
SEEDS = (1, 2, 3)


def demo(
    out: Annotated[Path, Option("--out", "-o", help="The run folder.")] = Path("demo-run"),
    target: Annotated[float, Option(help="Fraction of the gain.")] = 0.9,
    as_json: Json = False,
) -> None:
    """Run every step on smollm2 and a generated task, then check a forecast on minilm.

    Example: labelcast demo --out demo-run
    """
    from labelcast.cli.forecast import show
    from labelcast.labels.draw import take_gold
    from labelcast.models.coslow import cos_low
    from labelcast.models.loading import load_model
    from labelcast.runs.coslow import run_examples, save
    from labelcast.runs.forecast import check_asked, forecast_run
    from labelcast.runs.run import Run
    from labelcast.runs.score import check_pool, score_run
    from labelcast.tasks.sources import open_source
    from labelcast.tasks.task import Task

    check_asked(target=target, calibration=None)
    Run(out).check_place()
    task = Task.load(TASK)
    source = open_source(f"generated:{TASK}:{SIZE}")
    found = check_pool(source, task)
    with waiting("Loading smollm2 (its weights are unpacked the first time)"):
        lm = load_model()
    say(f"1. score: {SIZE} examples of {TASK} with smollm2 on {lm.device}")
    with bar("Confidence", found.size) as progress:
        scored = score_run(source, lm, out, task=task, found=found, progress=progress)
    run = scored.run
    say(f"   mean confidence {scored.mean_confidence:.3f}; 32 of the lowest tenth were drawn")
    say("2. label: the known answers are used in place of a person's")
    with run.locked():
        take_gold(run, task.answer)
    say("3. coslow: how alike are the gradients of the 32?")
    labelled = run_examples(run, lm)
    with bar("Gradients", len(labelled)) as progress:
        result = cos_low(lm, labelled, progress=progress)
    save(run, result)
    say(f"   CoS-Low {result.coslow:.3f} (90% interval {result.low:.3f} to {result.high:.3f})")
    say("4. forecast\n")
    answer, warnings = forecast_run(run, target=target)
    show(answer, warnings, as_json=as_json)
    _check(out / "check")
    say(f"\nEverything is in {run.path}. For your own data, start with: labelcast init DATA")


def _check(folder: Path) -> None:
    """Forecast a score of minilm at a larger budget, then measure it."""
    from labelcast.forecast.forecasting import forecast
    from labelcast.models import embedded
    from labelcast.sweeps.sweep import Sweep, sweep

    try:
        embedded.encoder_folder()
    except InputError as error:
        say(f"\n5. check: left out ({error})")
        return
    say(f"\n5. check: does a forecast come true? minilm on {CHECKED}, recipe linear")
    train = partial(sweep, [CHECKED], folder, model=embedded.ENCODER, recipe="linear")
    with waiting(f"Training on {FEW} labels, {len(SEEDS)} times"):
        few = train(budgets=(0, FEW), seeds=SEEDS)[CHECKED]
    rows = [row for row in Sweep(folder).scores.rows() if row.budget < MANY]
    known = [(row.budget, row.score, None, row.test_size) for row in rows if row.score is not None]
    found = forecast(observations=known, recipe="linear", target_score=0.9, budget=MANY).at_budget
    assert found is not None
    say(f"   accuracy with 0 and {FEW} labels: {' and '.join(f'{s:.3f}' for s in few.scores)}")
    band = f"{found.low:.3f} to {found.high:.3f}"
    say(f"   forecast for {MANY}: {found.mean:.3f}, with a chance of 90% within {band}")
    with waiting(f"Training on {MANY} labels"):
        train(budgets=(MANY,), seeds=SEEDS[:1])
    [score] = [row.score for row in Sweep(folder).scores.rows() if row.budget == MANY]
    if score is not None:
        where = "inside" if found.low <= score <= found.high else "outside"
        say(f"   measured with {MANY}: {score:.3f}, {where} that interval")
