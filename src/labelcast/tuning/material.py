"""What a job is made of: its examples, their splits, and the dtype that it trains in."""

from __future__ import annotations

from collections.abc import Callable

import torch

from labelcast.models.loading import LanguageModel
from labelcast.tasks.prompts import Example, examples
from labelcast.tasks.sources import open_source
from labelcast.tasks.task import Task
from labelcast.tuning.job import Job
from labelcast.tuning.splits import Splits


def split(job: Job, found: list[Example], read: Callable[[str], list[Example]]) -> Splits:
    """The test set and the training order of a job.

    Args:
        job: the job.
        found: the examples of its `data`.
        read: gives the examples of its `test_data`, where it has one.

    Raises:
        InputError: too few examples; says how many are missing.
    """
    if job.test_data is None:
        return Splits.make(found, job.test_size, seed=job.seed, split_seed=job.split_seed)
    return Splits.fixed(
        found,
        read(job.test_data),
        seed=job.seed,
        test_size=job.test_size,
        split_seed=job.split_seed,
    )


def read_examples(job: Job, spec: str, lm: LanguageModel) -> list[Example]:
    """The labelled examples of a source, rendered for a model."""
    task = None if job.task is None else Task.model_validate(job.task)
    return list(examples(open_source(spec), task, lm.render, need_answer=True))


def training_dtype(job: Job, device: str) -> str:
    """The dtype that the weights of a job are loaded in.

    Weights that are trained are kept in float32, where small steps are not lost; weights that only
    carry adapters take half of that.
    """
    if job.dtype != "auto":
        return job.dtype
    return "bfloat16" if job.recipe.method == "lora" and has_bf16(device) else "float32"


def has_bf16(device: str) -> bool:
    """Whether a device computes in bfloat16 by itself."""
    return device.startswith("cuda") and torch.cuda.is_bf16_supported()
