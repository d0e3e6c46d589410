"""Measure learning curves with one call, on this machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from labelcast.execution.local import LocalWorkers, cores, gpu_groups, visible_gpus
from labelcast.sweeps.job import BUDGETS, SweepSettings, SweepTask
from labelcast.sweeps.records import ScoreRow
from labelcast.sweeps.scores import MeasuredCurve
from labelcast.sweeps.sweep import Sweep, sweep_task
from labelcast.training.recipe import Recipe


def sweep(
    tasks: Sequence[str | SweepTask],
    out: str | Path,
    *,
    model: str = "smollm2",
    recipe: str | Path | Recipe = "full",
    budgets: Sequence[int] = BUDGETS,
    seeds: Sequence[int] = (1,),
    test_size: int = 500,
    device: str = "auto",
    dtype: str = "auto",
    batch_size: int | None = None,
    max_new_tokens: int = 30,
    jobs: int | None = None,
    retries: int = 1,
    on_result: Callable[[int, ScoreRow], None] = lambda number, row: None,
) -> dict[str, MeasuredCurve]:
    """Measure learning curves: fine-tune and score each task at each budget with each seed.

    After an interruption, the same call runs only the missing jobs. More tasks, budgets or seeds
    extend the sweep. Jobs run in their own processes, so call it under
    ``if __name__ == "__main__":``.

    Args:
        tasks: task files or catalogue names that have their own data, or results of `sweep_task`,
            which takes other data.
        out: the sweep's folder.
        model: as `load_model` takes it.
        recipe: ``full``, ``lora``, a YAML file, or a `Recipe`.
        budgets: labels, validation included; 0 is zero-shot.
        seeds: of the draw of training examples and of training.
        test_size: test examples per task.
        device: as `load_model` takes it.
        dtype: as `load_model` takes it.
        batch_size: prompts at once when scoring; None chooses for the device.
        max_new_tokens: where an answer is cut off.
        jobs: how many run at once; None runs one per GPU, or one.
        retries: how often a failed job is tried again before its error is kept.
        on_result: called after each job with its number and its row of `scores.jsonl`.

    Returns:
        By task: ``budgets`` [K], ``scores`` [K] in [0, 1] (means over seeds), ``auc`` in [0, 1]
        and the other fields of `curve.json`.

    Raises:
        InputError: broken or too little data, or a folder with another sweep.
        RunError: the folder cannot be written, or another process is using it.

    Examples:
        >>> curves = sweep(["hyperbaton"], "sweep", budgets=(0, 50, 100))  # doctest: +SKIP
        >>> curves["hyperbaton"].scores  # doctest: +SKIP
        [0.52, 0.71, 0.78]
    """
    groups, room = gpu_groups(visible_gpus(device), 1.0)
    size = jobs or room
    settings = SweepSettings(
        model=model,
        recipe=recipe if isinstance(recipe, Recipe) else Recipe.load(recipe),
        budgets=tuple(budgets),
        seeds=tuple(seeds),
        test_size=test_size,
        device=device,
        dtype=dtype,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        threads=max(1, cores() // size),
    )
    chosen = [one if isinstance(one, SweepTask) else sweep_task(one, settings) for one in tasks]
    found = Sweep(out)
    missing = found.missing(found.begin(chosen, settings))
    if missing:
        workers: LocalWorkers[ScoreRow] = LocalWorkers(size, logs=Path(out) / "logs", gpus=groups)
        found.run(missing, workers, retries=retries, on_result=on_result)
    curves = found.write_curves()
    return {one.task.name: curves[one.task.name] for one in chosen}
