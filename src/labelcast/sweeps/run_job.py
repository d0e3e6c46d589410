"""Running one job of a sweep: a task, a model, a budget and a seed come in, one row goes out.

torch is imported when a job runs, not before.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from labelcast.sweeps.job import Job, JobResult, Progress


def run_job(job: Job, progress: Callable[[Progress], None] = lambda state: None) -> JobResult:
    """Measure one score. A job that fails gives a row with its error.

    What the jobs of a process share, the model and the rendered examples, is read once. With a
    `folder` a job that was killed goes on from its last checkpoint.

    Args:
        job: what to measure.
        progress: called as the job goes on, in this process.
    """
    started = time.monotonic()
    try:
        from labelcast.sweeps.job_steps import measure

        values = measure(job, progress)
    except Exception as error:  # whatever it was, the other jobs of a sweep go on
        values = {"error": _one_line(error)}
    return JobResult(
        *job.key,
        metric=job.metric,
        recipe_digest=job.recipe.digest,
        seconds=time.monotonic() - started,
        **values,
    )


def _one_line(error: Exception) -> str:
    from labelcast.errors import LabelcastError, brief, is_out_of_memory

    text = brief(error, 500)
    if isinstance(error, LabelcastError):
        return text or type(error).__name__
    if is_out_of_memory(error):
        return (
            f"out of memory ({text[:160]}). Run fewer jobs side by side, or give a recipe with a "
            "smaller micro_batch, or with gradient_checkpointing: true."
        )
    return f"{type(error).__name__}: {text}"
