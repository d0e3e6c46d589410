"""The records of a sweep folder's JSON files, as they are written and read."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, PlainSerializer, model_validator

from labelcast.runs.records import Finite, Form, ModelPart, Natural, OpenForm, Share
from labelcast.tasks.task import Task

ScoreKey = tuple[str, int, int]
"""Task, budget and seed: what identifies a score within a sweep."""
ProbeKey = dict[str, int | str]
"""The settings that a row of `probes.jsonl` must have to be used again."""

_TaskPart = Annotated[
    Task,
    BeforeValidator(lambda value: value if isinstance(value, Task) else Task.build(value, "task")),
    PlainSerializer(lambda task: task.model_dump(mode="json")),
]


class SweepModel(ModelPart, OpenForm):
    """The model of a sweep."""


class RecipePart(OpenForm):
    """The recipe of a sweep."""

    name: str


class TaskEntry(OpenForm):
    """One task of a sweep."""

    task: _TaskPart
    data: str
    test_data: str | None = None
    test_digest: str


class SweepFile(OpenForm):
    """`sweep.json`; see `SweepSettings`."""

    model: SweepModel
    recipe: RecipePart
    recipe_digest: str
    test_size: Natural
    split_seed: Natural
    max_new_tokens: Natural
    tasks: dict[str, TaskEntry]
    budgets: list[Natural]
    seeds: list[Natural]


class ScoreRow(Form):
    """A row of `scores.jsonl`, in the order of its fields: what one job measured.

    Attributes:
        score: in [0, 1], in units of `metric`; None if the job failed.
        test_size: examples scored.
        seconds: of the complete job, in this process.
        error: why the job failed, on one line; empty if it did not.
        score_sd: standard error of the score.
        best_step: the step whose weights were scored.
        validation_loss: at the best step; `first_validation_loss` is before training.
        tuning_seconds: training time, including that of killed processes.
        peak_bytes: peak memory of training.
        dropped: labelled examples left out because they are too long.
        test_digest: identifies the test set; only scores on the same one can be compared.
        fingerprint: of the model before tuning.
        notes: warnings of the job.
    """

    task: str
    model: str
    budget: Natural
    seed: Natural
    metric: str
    score: Share | None = None
    test_size: Natural = 0
    seconds: Finite = 0.0
    error: str = ""
    recipe: str = ""
    score_sd: Finite | None = None
    steps: Natural = 0
    best_step: Natural = 0
    train_loss: Finite | None = None
    validation_loss: Finite | None = None
    first_validation_loss: Finite | None = None
    tuning_seconds: Finite = 0.0
    steps_per_second: Finite | None = None
    peak_bytes: Natural = 0
    device: str = ""
    dropped: Natural = 0
    test_digest: str = ""
    recipe_digest: str = ""
    fingerprint: str = ""
    notes: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _complete(self) -> ScoreRow:
        if self.score is None and not self.error:
            raise ValueError("neither a score nor an error")
        return self

    @property
    def key(self) -> ScoreKey:
        """What identifies the row within its sweep."""
        return self.task, self.budget, self.seed


class ProbeRow(OpenForm):
    """A row of `probes.jsonl`: the task, what was measured, and with which settings."""

    task: str
    probe: str

    def matches(self, key: ProbeKey) -> bool:
        """Whether the row has all values of a key."""
        return all(getattr(self, name, None) == value for name, value in key.items())


class ConfidenceRow(ProbeRow):
    """The confidences of a pool, None where a prompt was too long."""

    confidence: list[Share | None]
    mean_confidence: Finite


class CosLowRow(ProbeRow):
    """CoS-Low of a draw, with its sketches or exact."""

    coslow: Finite
    per_seed: list[Finite]
    seed_sd: Finite | None = None
    ids: list[str]

    @model_validator(mode="after")
    def _spread(self) -> CosLowRow:
        if len(self.per_seed) > 1 and self.seed_sd is None:
            raise ValueError("seed_sd is missing beside several per_seed")
        return self


class RandomRow(ProbeRow):
    """Median cosine and mean norm of the gradients of random examples."""

    median: Finite
    norm: Finite


PROBE_ROWS: dict[str, type[ProbeRow]] = {
    "confidence": ConfidenceRow,
    "coslow": CosLowRow,
    "exact": CosLowRow,
    "random": RandomRow,
}
"""The class of a row by its probe."""
