"""The records of a sweep folder's JSON files, as they are written and read."""

from __future__ import annotations

from pydantic import Field, model_validator

from labelcast.runs.records import FREE, Finite, Form, ModelPart, Natural, OpenForm, Share, TaskPart

ScoreKey = tuple[str, int, int]
"""Task, budget and seed: what identifies a score within a sweep."""


class SweepModel(ModelPart, OpenForm):
    """The model of a sweep."""


class RecipePart(OpenForm):
    """The recipe of a sweep."""

    name: str


class TaskEntry(OpenForm):
    """One task of a sweep."""

    task: TaskPart
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
    """A row of `scores.jsonl`, in the order of its fields: what one job measured."""

    task: str
    model: str
    budget: Natural
    seed: Natural
    metric: str
    score: Share | None = None  # in units of `metric`; None if the job failed
    test_size: Natural = 0
    seconds: Finite = 0.0  # of the complete job, in this process
    error: str = ""  # why the job failed, on one line
    recipe: str = ""
    score_sd: Finite | None = None  # standard error of the score
    steps: Natural = 0
    best_step: Natural = 0  # its weights were scored
    train_loss: Finite | None = None
    validation_loss: Finite | None = None  # at the best step
    first_validation_loss: Finite | None = None  # before training
    tuning_seconds: Finite = 0.0  # of training, also in processes that were killed
    steps_per_second: Finite | None = None
    peak_bytes: Natural = 0  # of memory, in training
    device: str = ""
    dropped: Natural = 0  # labelled examples that are too long
    test_digest: str = ""  # only scores on the same test set can be compared
    recipe_digest: str = ""
    fingerprint: str = ""  # of the model before tuning
    notes: list[str] = Field(default_factory=list)  # warnings of the job
    decoding: str = FREE  # of the answers; or constrained to the allowed ones

    @model_validator(mode="after")
    def _complete(self) -> ScoreRow:
        if self.score is None and not self.error:
            raise ValueError("neither a score nor an error")
        return self

    @property
    def key(self) -> ScoreKey:
        """What identifies the row within its sweep."""
        return self.task, self.budget, self.seed


class ConfidenceRow(Form):
    """The confidences of a pool, None where a prompt was too long."""

    confidence: list[Share | None]
    mean_confidence: Finite


class CosLowRow(Form):
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


class RandomRow(Form):
    """Median cosine and mean norm of the gradients of random examples."""

    median: Finite
    norm: Finite
