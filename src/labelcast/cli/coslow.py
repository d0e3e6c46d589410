"""`labelcast coslow`: CoS-Low of labelled examples."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from labelcast.cli.console import bar, print_json, say, suggest, waiting
from labelcast.cli.options import BatchSize, Device, Dtype, Json, OwnModelOrFile, TaskFile
from labelcast.errors import InputError


def coslow(
    examples: Annotated[str, Argument(help="A run folder, or a file of labelled examples.")],
    model: OwnModelOrFile = None,
    task: TaskFile = None,
    method: Annotated[
        str, Option(help="sketch (as in the paper), or exact (what it estimates).")
    ] = "sketch",
    rank: Annotated[int, Option(help="Rank of the sketch.")] = 64,
    seed: Annotated[int, Option(help="Seed of the first sketch.")] = 0,
    seeds: Annotated[int, Option(help="Number of sketches to average.")] = 1,
    device: Device = "auto",
    dtype: Dtype = "auto",
    batch_size: BatchSize = None,
    as_json: Json = False,
) -> None:
    """Measure CoS-Low, the gradient similarity of labelled low-confidence examples.

    Example: labelcast coslow run
    Example: labelcast coslow labelled.jsonl --task task.yaml --model smollm2
    """
    from labelcast.models.choices import choose_batch
    from labelcast.models.coslow import check_options, cos_low
    from labelcast.models.loading import load_model
    from labelcast.runs.coslow import file_examples, run_examples, save
    from labelcast.runs.run import Run

    check_options(method, rank, seed, seeds)
    run = Run.open(examples) if Path(examples).is_dir() else None
    name = model or (run.model.name if run else "smollm2")
    if run and task is not None:
        raise InputError("--task: not with a run, which has a task of its own.")
    with waiting(f"Loading {name}"):
        lm = load_model(name, device=device, dtype=dtype)
    digest = run.labels_digest("low") if run else None
    labelled = run_examples(run, lm) if run else file_examples(examples, task, lm)
    batch = choose_batch(batch_size, lm.device.value, "gradients")
    say(f"model {lm.name} on {lm.device}, {lm.dtype}, batches of {batch}")
    with bar("Gradients", None if method == "exact" else len(labelled)) as progress:
        result = cos_low(
            lm,
            labelled,
            method=method,  # type: ignore[arg-type]
            rank=rank,
            seed=seed,
            seeds=seeds,
            batch_size=batch_size,
            progress=progress,
        )
    if run:
        save(run, result, labels=digest)
    if as_json:
        print_json(result.to_dict())
        return
    print(f"CoS-Low {result.coslow:.4f}")
    interval = f"{result.low:.3f} to {result.high:.3f}"
    counts = f"{result.examples} examples, {result.pairs} pairs"
    say(f"  90% interval over examples {interval}; {counts}")
    if result.seed_sd is not None:
        say(f"  another seed of the sketch would change it by about {result.seed_sd:.4f}")
    say(f"  mean cosine {result.mean:.4f}; {result.seconds:.0f} s")
    given: tuple[object, ...] = (
        (run.path,) if run else ("--coslow", f"{result.coslow:.4f}", "--calibration", "NAME")
    )
    suggest("Next:", "forecast", *given, "--target", 0.9)
