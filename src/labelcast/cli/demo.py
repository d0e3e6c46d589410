"""`labelcast demo`: every step on the embedded model and a generated task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Option

from labelcast.cli.console import bar, say, waiting
from labelcast.cli.options import Json

TASK, SIZE = "boolean_expressions", 400


def demo(
    out: Annotated[Path, Option("--out", "-o", help="The run folder.")] = Path("demo-run"),
    target: Annotated[float, Option(help="Fraction of the gain.")] = 0.9,
    as_json: Json = False,
) -> None:
    """Run every step on smollm2 and a generated task.

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
    say(f"\nEverything is in {run.path}. For your own data, start with: labelcast init DATA")
