"""The records of a sweep folder's JSON files, as they are written and read."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from labelcast.runs.records import (
    FREE,
    RANDOM,
    Finite,
    Form,
    ModelPart,
    Natural,
    OpenForm,
    Share,
    TaskPart,
)

NO_STAGES = "none"
"""No stages: training starts from the sweep's own model."""


class ScoreKey(NamedTuple):
    """What identifies a score within a sweep."""

    task: str
    budget: int
    seed: int
    selector: str = RANDOM
    stages: str = NO_STAGES

    @property
    def file_name(self) -> str:
        """A part of the names of its files.

        >>> ScoreKey("sst2", 50, 1).file_name, ScoreKey("sst2", 50, 1, "k-centre").file_name
        ('sst2-50-1', 'sst2-50-1-k-centre')
        """
        return "-".join([self.task, str(self.budget), str(self.seed), *self.setting])

    def __str__(self) -> str:
        """The key in messages."""
        return " ".join([f"{self.task} budget {self.budget} seed {self.seed}", *self.setting])

    @property
    def setting(self) -> list[str]:
        """The selector, and the stages before, in words; neither if they are the usual ones."""
        selector = [] if self.selector == RANDOM else [self.selector]
        return selector if self.stages == NO_STAGES else [*selector, "after", self.stages]


class SweepModel(ModelPart, OpenForm):
    """The model of a sweep."""


class RecipePart(OpenForm):
    """The recipe of a sweep."""

    name: str
    method: str | None = None


class TaskEntry(OpenForm):
    """One task of a sweep."""

    task: TaskPart
    data: str
    test_data: str | None = None
    target: str | None = None
    group_by: str | None = None
    target_digest: str | None = None
    test_digest: str
    train_digest: str | None = None  # sweeps of earlier versions have none


class StageEntry(OpenForm):
    """One task of the stages before training; see `stages.Stages`."""

    task: TaskPart
    data: str
    labels: Natural
    labels_digest: str


class SweepFile(OpenForm):
    """`sweep.json`; see `SweepSettings`."""

    model: SweepModel
    recipe: RecipePart
    recipe_digest: str
    test_size: Natural
    split_seed: Literal[0]  # seed of the test sets
    max_new_tokens: Natural
    tasks: dict[str, TaskEntry]
    budgets: list[Natural]
    seeds: list[Natural]
    selectors: list[str] = Field(default_factory=lambda: [RANDOM])
    # The selectors that choose among labelled examples.
    after_labelling: list[str] = Field(default_factory=list)
    stages: list[str] = Field(default_factory=lambda: [NO_STAGES])
    stage_tasks: dict[str, StageEntry] = Field(default_factory=dict)


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
    selector: str = RANDOM  # what chose the labels; zero-shot counts for every selector
    selection_seconds: Finite = 0.0  # of choosing them, signals included
    stages: str = NO_STAGES  # what the model was trained on before

    @model_validator(mode="after")
    def _complete(self) -> ScoreRow:
        if self.score is None and not self.error:
            raise ValueError("neither a score nor an error")
        return self

    @property
    def key(self) -> ScoreKey:
        """What identifies the row within its sweep."""
        return ScoreKey(self.task, self.budget, self.seed, self.selector, self.stages)

    def belongs_to(self, selector: str, stages: str) -> bool:
        """Whether it is on the curve of a selector after stages; zero-shot is on all of these."""
        return self.stages == stages and (self.selector == selector or not self.budget)


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
