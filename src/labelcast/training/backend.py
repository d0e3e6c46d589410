"""Backends, which fine-tune and score one kind of model each; the recipe chooses one.

`labelcast tune` and every job of a sweep use the same backend, so that their scores compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pydantic import TypeAdapter

from labelcast.errors import InputError
from labelcast.files.json_files import read_json, write_json
from labelcast.tasks.prompts import Example
from labelcast.training.recipe import FULL, FULL_ENCODER, METHODS, Recipe
from labelcast.training.reporting import Reports
from labelcast.training.splits import Budget

if TYPE_CHECKING:
    from labelcast.training.evaluate import Evaluation, Scoring

TRAINED = "trained weights keep small steps"
"""Why trained weights are in float32."""

OnStep = Callable[[int, int, float | None], None]
"""Called after each step with steps taken, the maximum, and the last validation loss."""


@dataclass(frozen=True)
class Placement:
    """Where and in which precision a model is trained and scored."""

    device: str = "auto"
    dtype: str = "auto"  # of frozen weights and computing; ``auto`` lets the backend choose
    processes: int = 1  # that train, one per GPU
    cache: str | None = None  # folder for vectors of texts that do not change in training
    # Not compared: a model that is loaded for one training also serves the next one.
    reports: Reports = field(default_factory=Reports, compare=False)

    @property
    def in_bf16(self) -> bool:
        """Whether training computes in bfloat16."""
        from labelcast.models.choices import choose_device, trains_in_bf16

        auto = self.dtype == "auto" and trains_in_bf16(choose_device(self.device).value)
        return auto or self.dtype == "bfloat16"


@dataclass
class TrainingLog:
    """What is measured while a model trains."""

    losses: list[tuple[int, float]] = field(default_factory=list)  # by step; 0 is before training
    train_loss: float | None = None  # mean over the last steps between two measurements
    best_step: int = 0  # the step of the lowest validation loss after step 0
    waited: int = 0  # measurements after `best_step`
    seconds: float = 0.0  # with checkpoints and validation, in earlier processes too
    stopped_early: bool = False
    peak_bytes: int = 0  # most memory used on the device, or by the process on a CPU
    dropped: int = 0  # examples that are too long
    rows: int = 0  # most sequences at once, if memory ran out with more of them

    @property
    def steps(self) -> int:
        """Steps taken."""
        return self.losses[-1][0] if self.losses else 0

    @property
    def best_loss(self) -> float:
        """The lowest validation loss after step 0; infinite if there is none."""
        return dict(self.losses).get(self.best_step, math.inf) if self.best_step else math.inf

    def facts(self) -> dict[str, Any]:
        """The part of a row of scores that describes the training."""
        return {
            "steps": self.steps,
            "best_step": self.best_step,
            "train_loss": _finite(self.train_loss),
            "validation_loss": _finite(dict(self.losses).get(self.best_step)),
            "first_validation_loss": _finite(dict(self.losses).get(0)),
            "tuning_seconds": self.seconds,
            "steps_per_second": self.steps / max(self.seconds, 1e-9),
            "peak_bytes": self.peak_bytes,
            "dropped": self.dropped,
        }

    def write(self, file: Path) -> None:
        """Write the log as `read` takes it; JSON has no number for a loss that diverged."""
        losses = [(step, loss if math.isfinite(loss) else str(loss)) for step, loss in self.losses]
        kept = {"losses": losses, "train_loss": _finite(self.train_loss)}
        write_json(file, asdict(self) | kept)

    @classmethod
    def read(cls, file: Path) -> TrainingLog:
        """The log in a JSON file; unknown keys are ignored."""
        return TypeAdapter(cls).validate_python(read_json(file))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model, in evaluation mode with the weights of the best step, and its log."""

    lm: Any  # what the backend's `score` and `save` take
    log: TrainingLog


@dataclass(frozen=True)
class Fit:
    """One training.

    Attributes:
        labels: labels of its budget.
        seed: decides the order of examples, the adapters' initial weights and the dropout.
        folder: for checkpoints, from which the same training resumes; without one there are none.
        progress: called after each step.
    """

    labels: Budget
    recipe: Recipe
    seed: int
    placement: Placement
    folder: Path | None = None
    progress: OnStep = lambda step, steps, loss: None

    @property
    def examples(self) -> tuple[Example, ...]:
        """All labels, also those for validation."""
        return (*self.labels.train, *self.labels.validation)


class Backend(Protocol):
    """Fine-tunes and scores one kind of model, and decides on precision and checkpoints."""

    def load(self, model: str, recipe: Recipe, placement: Placement, *, train: bool = True) -> Any:
        """Load a model as `fit` needs it, or without `train` as `score` does.

        Raises:
            InputError: no such model, or its weights cannot be trained by the recipe.
            RunError: the memory cannot hold it, or its training; says what would fit.
        """

    def fit(self, lm: Any, fit: Fit) -> FineTuned:
        """Fine-tune a model from `load` on the labels of a budget; its weights are changed.

        Raises:
            InputError: no example is left to train or validate on, or the recipe does not fit.
            RunError: training failed.
        """

    def score(self, lm: Any, test: Sequence[Example], scoring: Scoring) -> Evaluation:
        """Score a model, tuned or not, on a labelled test set; this may change its dtype."""

    def save(self, lm: Any, folder: Path) -> None:
        """Save a model into a folder, each file atomically; other files there are kept."""


def backend_of(recipe: Recipe, model: str) -> Backend:
    """The backend of a recipe's method for a model; raises InputError if there is none."""
    module, _, name = check_recipe(recipe, model).partition(":")
    made: Backend = getattr(import_module(module), name)()
    return made


def check_recipe(recipe: Recipe, model: str) -> str:
    """``module:class`` of the backend; raises InputError if the recipe does not train the model."""
    method, encoder = METHODS[recipe.method], _is_encoder(model)
    place = method.encoder if encoder else method.causal
    if place is None:
        kinds = ("language models", "an encoder") if encoder else ("encoders", "a language model")
        raise InputError(
            f"model {model}: recipe {recipe.name!r} trains {kinds[0]}, and this is {kinds[1]}. "
            "Use --recipe full or linear."
        )
    return place


def trained_dtype(recipe: Recipe, dtype: str) -> str:
    """The dtype of weights that are trained where `dtype` is asked for.

    Raises InputError for float16.
    """
    if dtype == "float16":
        raise InputError(
            f"--dtype float16: recipe {recipe.name!r} trains all weights, and in float16 they lose "
            "small steps. Use --dtype bfloat16, which keeps the weights in float32, or float32."
        )
    return "float32" if dtype in ("auto", "bfloat16") else dtype


def recipe_for(spec: str | Path | Recipe, model: str) -> Recipe:
    """A recipe by name, file or itself; ``full`` is another recipe for encoders."""
    recipe = spec if isinstance(spec, Recipe) else Recipe.load(spec)
    return FULL_ENCODER if recipe == FULL and _is_encoder(model) else recipe


@lru_cache(maxsize=16)
def _is_encoder(model: str) -> bool:
    from labelcast.models.loading import is_encoder, read_config

    return is_encoder(read_config(model))
