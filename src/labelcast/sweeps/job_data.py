"""What a job is made of: its examples and their splits."""

from __future__ import annotations

from collections.abc import Callable

from labelcast.models.loading import LanguageModel
from labelcast.sweeps.job import Job
from labelcast.tasks.prompts import Example, examples
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task
from labelcast.training.splits import Splits


def split(job: Job, read: Callable[[str], list[Example]]) -> Splits:
    """Return the test set and the training order of a job.

    Args:
        job: the job.
        read: gives the examples of a source.

    Raises:
        InputError: too few examples; says how many are missing.
    """
    test = None if job.test_data is None else read(job.test_data)
    return Splits.of(read(job.data), test, job.test_size, seed=job.seed, split_seed=job.split_seed)


def read_examples(job: Job, spec: str, lm: LanguageModel) -> list[Example]:
    """The labelled examples of a source, rendered for a model."""
    task = None if job.task is None else Task.model_validate(job.task)
    return list(examples(open_source(spec), task, lm.render, need_answer=True))
