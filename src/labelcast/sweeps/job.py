"""What one job of a sweep is, and the row of scores that it gives.

A job is plain values, so that it can be sent to another process or machine.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from labelcast.training.recipe import FULL, Recipe


@dataclass(frozen=True)
class Job:
    """What to measure.

    Attributes:
        task: the task, as ``Task.model_dump(mode="json")``; None where records are rendered.
        data: source of labelled examples, as `sources.open_source` takes it.
        model: as `load_model` takes it.
        budget: labels to tune on; 0 measures zero-shot.
        seed: of the training order and of the training.
        recipe: how to tune.
        test_size: examples to test on.
        test_data: a source of its own for the test set; None draws it from `data`.
        split_seed: of the test set.
        task_name: for the row; the task's own name, or the file's, where it is empty.
        device: ``auto``, ``cpu``, ``cuda``, ...
        dtype: ``auto``, or that of all weights and all computing.
        batch_size: prompts scored at once; None chooses.
        max_new_tokens: where an answer is cut off.
        threads: of torch on a CPU; None leaves them.
        folder: for checkpoints, so that the job can go on after a kill; None keeps none.
        keep_model: leave the tuned model in ``FOLDER/model``.
        processes: above 1 the tuning runs in so many, one a GPU, under ``accelerate launch``.
    """

    task: dict[str, Any] | None
    data: str
    model: str
    budget: int
    seed: int
    recipe: Recipe = FULL
    test_size: int = 500
    test_data: str | None = None
    split_seed: int = 0
    task_name: str = ""
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    max_new_tokens: int = 30
    threads: int | None = None
    folder: str | None = None
    keep_model: bool = False
    processes: int = 1

    @property
    def name(self) -> str:
        """The name of the task."""
        own = (self.task or {}).get("name", "")
        return self.task_name or own or Path(self.data).stem

    @property
    def metric(self) -> str:
        """How the task is scored; accuracy where there is no task."""
        return str((self.task or {}).get("metric", "accuracy"))

    @property
    def key(self) -> tuple[str, str, int, int, str]:
        """What names the row of this job among others."""
        return self.name, self.model, self.budget, self.seed, self.recipe.name

    def to_dict(self) -> dict[str, Any]:
        """The job as plain JSON values."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return values | {"recipe": self.recipe.model_dump(mode="json")}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Job:
        """The job of `to_dict`."""
        return cls(**(values | {"recipe": Recipe.model_validate(values["recipe"])}))


@dataclass(frozen=True)
class JobResult:
    """What a job came to. Where `error` is not empty the job failed and there is no score.

    Attributes:
        task: name of the task; `model`, `budget`, `seed` and `recipe` name the rest of the job.
        score: in [0, 1], in units of `metric`.
        score_sd: its standard error.
        test_size: examples scored.
        seconds: of the whole job, in this process.
        error: one line, empty where all went well.
        steps: taken; `best_step` is the one whose weights were scored.
        first_validation_loss: before training; `validation_loss` is that of the best step.
        tuning_seconds: of the training alone, those of killed processes included.
        peak_bytes: most memory that the training held.
        dropped: labelled examples left out as too long.
        test_digest: names the test set; scores compare only where it is the same.
        fingerprint: of the model before tuning.
        notes: what the user should know.
    """

    task: str
    model: str
    budget: int
    seed: int
    recipe: str
    metric: str
    score: float | None = None
    score_sd: float | None = None
    test_size: int = 0
    seconds: float = 0.0
    error: str = ""
    steps: int = 0
    best_step: int = 0
    train_loss: float | None = None
    validation_loss: float | None = None
    first_validation_loss: float | None = None
    tuning_seconds: float = 0.0
    steps_per_second: float | None = None
    peak_bytes: int = 0
    device: str = ""
    dropped: int = 0
    test_digest: str = ""
    recipe_digest: str = ""
    fingerprint: str = ""
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether there is no score."""
        return bool(self.error)

    def row(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        return asdict(self) | {"notes": list(self.notes)}

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> JobResult:
        """The result of a row; keys that are not known are left out."""
        known = {item.name for item in fields(cls)}
        values = {key: value for key, value in row.items() if key in known}
        return cls(**(values | {"notes": tuple(values.get("notes", ()))}))


@dataclass(frozen=True)
class Progress:
    """How far a job is: steps or examples done, and the last validation loss."""

    stage: Literal["reading", "tuning", "scoring"]
    done: int
    total: int
    loss: float | None = None
