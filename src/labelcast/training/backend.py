"""What fine-tunes and scores a model: one backend per kind of model, chosen by the recipe.

`labelcast tune` and every job of a sweep use the same backend, so that their scores compare.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from labelcast.tasks.prompts import Example
from labelcast.training.recipe import METHODS, Recipe
from labelcast.training.splits import Budget

if TYPE_CHECKING:
    from labelcast.models.loading import LanguageModel
    from labelcast.training.evaluate import Evaluation, Scoring

OnStep = Callable[[int, int, float | None], None]
"""Called after each step with steps taken, most steps, and the last validation loss."""


@dataclass(frozen=True)
class Placement:
    """Where and in which precision a model is trained and scored.

    Attributes:
        device: as `choose_device` takes it.
        dtype: of all weights and all computing, or ``auto``.
        processes: above 1 trains in so many processes, one per GPU.
    """

    device: str = "auto"
    dtype: str = "auto"
    processes: int = 1


@dataclass
class TrainingLog:
    """What is measured while a model trains.

    Attributes:
        losses: validation loss by step; step 0 is before training.
        train_loss: mean over the last steps between two measurements.
        best_step: the step of the lowest validation loss after step 0.
        waited: measurements since then.
        seconds: spent training, with checkpoints and validation, in earlier processes too.
        stopped_early: whether the validation loss had stopped falling.
        peak_bytes: most memory used on the device, or by the process on a CPU.
        dropped: examples left out because they are too long.
    """

    losses: list[tuple[int, float]] = field(default_factory=list)
    train_loss: float | None = None
    best_step: int = 0
    waited: int = 0
    seconds: float = 0.0
    stopped_early: bool = False
    peak_bytes: int = 0
    dropped: int = 0

    @property
    def steps(self) -> int:
        """Steps taken."""
        return self.losses[-1][0] if self.losses else 0

    @property
    def best_loss(self) -> float:
        """The lowest validation loss after step 0; infinite if there is none."""
        return dict(self.losses).get(self.best_step, math.inf) if self.best_step else math.inf

    def facts(self) -> dict[str, Any]:
        """What a row of scores says about the training, as JSON values."""
        return {
            "steps": self.steps,
            "best_step": self.best_step,
            "train_loss": self.train_loss,
            "validation_loss": dict(self.losses).get(self.best_step),
            "first_validation_loss": dict(self.losses).get(0),
            "tuning_seconds": self.seconds,
            "steps_per_second": self.steps / max(self.seconds, 1e-9),
            "peak_bytes": self.peak_bytes,
            "dropped": self.dropped,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrainingLog:
        """The log of a JSON object; unknown keys are ignored."""
        known = {item.name: values[item.name] for item in fields(cls) if item.name in values}
        losses = [(int(step), float(loss)) for step, loss in values["losses"]]
        return cls(**known | {"losses": losses})


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned model, in evaluation mode with the weights of the best step, and its log."""

    lm: LanguageModel
    log: TrainingLog


class Backend(Protocol):
    """Fine-tunes and scores one kind of model. Precision, processes and checkpoints are its own."""

    def load(self, model: str, recipe: Recipe, placement: Placement) -> LanguageModel:
        """Load a model as `fit` needs it.

        Raises:
            InputError: no such model or device.
        """

    def fit(
        self,
        lm: LanguageModel,
        labels: Budget,
        recipe: Recipe,
        *,
        seed: int,
        placement: Placement,
        folder: Path | None = None,
        progress: OnStep = lambda step, steps, loss: None,
    ) -> FineTuned:
        """Fine-tune a model on the labels of a budget; its own weights are changed.

        Args:
            lm: from `load`.
            labels: to train on, and to stop by.
            recipe: how to train.
            seed: training seed: order of examples, adapters, dropout.
            placement: where to train.
            folder: for checkpoints, from which the same call resumes; None keeps none.
            progress: called after each step.

        Raises:
            InputError: no example is left to train or validate on, or the recipe does not fit.
            RunError: training failed.
        """

    def score(
        self,
        lm: LanguageModel,
        test: Sequence[Example],
        scoring: Scoring,
        *,
        placement: Placement,
        progress: Callable[[int], None] = lambda done: None,
    ) -> Evaluation:
        """Score a model, tuned or not, on a labelled test set; its own weights may be changed.

        `progress` is called with the number of examples done.
        """

    def save(self, lm: LanguageModel, folder: Path) -> None:
        """Save a model into a folder, each file atomically; other files there are kept.

        Raises:
            RunError: the folder cannot be written.
        """


def backend_of(recipe: Recipe) -> Backend:
    """The backend of a recipe's method."""
    module, _, name = METHODS[recipe.method].backend.partition(":")
    made: Backend = getattr(import_module(module), name)()
    return made
