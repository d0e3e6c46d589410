"""`labelcast score`: the model's confidence on a pool, and which examples to label."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from labelcast.cli.console import bar, print_json, say, suggest, waiting, warn
from labelcast.cli.options import DATA_FORMATS, BatchSize, Device, Dtype, Json, Model, TaskFile
from labelcast.errors import InputError


def score(
    pool: Annotated[
        str,
        Argument(
            help=f"{DATA_FORMATS}, hub:OWNER/NAME[:CONFIG][:SPLIT], task:NAME, or "
            "generated:NAME:SIZE[:SEED]."
        ),
    ],
    out: Annotated[Path, Option("--out", "-o", help="The run folder.")],
    task: TaskFile = None,
    model: Model = "smollm2",
    n_label: Annotated[int, Option(help="How many examples to pick for labelling.")] = 32,
    seed: Annotated[int, Option(help="Seed for the draw of examples to label.", min=0)] = 0,
    engine: Annotated[
        str, Option(help="local, ray (a cluster), or vllm (experimental).")
    ] = "local",
    workers: Annotated[
        int | None, Option(help="With ray: copies of the model.  [default: as many as fit]")
    ] = None,
    gpus_per_worker: Annotated[
        float | None, Option(help="With ray: 1, or a fraction of a GPU such as 0.5.  [default: 1]")
    ] = None,
    address: Annotated[
        str | None, Option(help="With ray: the cluster.  [default: start a local one]")
    ] = None,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: BatchSize = None,
    max_new_tokens: Annotated[int, Option(help="Most tokens of an answer.")] = 30,
    as_json: Json = False,
) -> None:
    """Score the model's confidence on a pool, and pick examples to label.

    If it is interrupted, run the same command to resume. Records with an input_text field are
    already rendered and need no task.

    Example: labelcast score tickets.csv --task task.yaml --model smollm2 --out run
    """
    from labelcast.execution.pool_engines import Spread, check_options, open_engine
    from labelcast.models.choices import check_dtype, choose_batch
    from labelcast.runs.forecast import FEW_ALLOWED
    from labelcast.runs.run import Run
    from labelcast.runs.score import check_pool, score_run
    from labelcast.tasks.sources import open_source
    from labelcast.tasks.task import Task

    spread = Spread(workers, gpus_per_worker, address)
    check_options(engine, spread)
    # Wrong options are refused before the model is loaded.
    check_dtype(dtype)
    choose_batch(batch_size, device, "confidence")
    if max_new_tokens < 1:
        raise InputError(f"--max-new-tokens {max_new_tokens}: must be at least 1.")
    Run(out).check_place()
    resolved = None if task is None else Task.load(task)
    source = open_source(pool)
    with waiting("Reading the pool"):
        found = check_pool(source, resolved, n_label)
    with waiting(f"Loading {model}"):
        opened = open_engine(engine, model, device=device, dtype=dtype, spread=spread)
    lm = opened.lm
    batch = choose_batch(batch_size or opened.batch_size, lm.device.value, "confidence")
    if engine != "local":
        say(f"engine {engine}: {opened.where}")
    say(f"model {lm.name} on {lm.device}, {lm.dtype}, batches of {batch}")
    try:
        with bar("Confidence", found.size) as progress:
            scored = score_run(
                source,
                lm,
                out,
                task=resolved,
                found=found,
                engine=opened,
                n_label=n_label,
                seed=seed,
                batch_size=batch_size,
                max_new_tokens=max_new_tokens,
                progress=progress,
            )
    finally:
        opened.close()
    if as_json:
        print_json(
            {
                "run": str(out),
                "examples": scored.size,
                "duplicates": scored.duplicates,
                "skipped": scored.skipped,
                "mean_confidence": scored.mean_confidence,
                "allowed": scored.allowed,
                "picked": list(scored.picked),
                "confidence": str(scored.run.file("confidence.parquet")),
                "to_label": str(scored.run.file("to_label.jsonl")),
            }
        )
        return
    done = "Already scored" if scored.reused else "Scored"
    say(f"{done}: {scored.size:,} examples, mean confidence {scored.mean_confidence:.3f}.")
    if scored.run.model.is_encoder:
        say("CoS-Low is not defined for an encoder, so the forecast starts from a measured score.")
        suggest(
            "Next: draw examples to train and test on,", "label", out, "--more", 50, "--test", 200
        )
        suggest("label them,", "label", out)
        suggest("and fine-tune:", "tune", out, "--budget", 50)
        return
    if scored.allowed is not None:
        say(f"The model answers with an allowed answer on {scored.allowed:.0%} of them.")
    if scored.allowed is not None and scored.allowed < FEW_ALLOWED:
        warn(
            "mostly it answers in another form. Say the form in the instruction, or set "
            "`constrain: true` in the task file, which lets it give allowed answers only."
        )
    say(f"{len(scored.picked)} examples to label are in {scored.run.file('to_label.jsonl')}.")
    suggest("Next: label them,", "label", out)
    suggest("or label them in a file,", "label", out, "--export", "to_label.csv")
    suggest(
        "and import it once the last column is filled in:", "label", out, "--import", "to_label.csv"
    )
