"""Logistic regression on the frozen vectors of a model's texts.

Shapes: N texts, F features, K allowed answers.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from labelcast.errors import InputError
from labelcast.models.confidence import Confidence
from labelcast.models.encoder import Encoder, choose, head_probabilities
from labelcast.models.identity import weights_digest
from labelcast.models.loading import AnyModel, load_any
from labelcast.models.memory import peak_memory, reset_peak
from labelcast.models.protocols import Predict, Progress
from labelcast.models.vectors import Vectors, VectorStore
from labelcast.tasks.prompts import Example
from labelcast.training.backend import FineTuned, Fit, Placement, TrainingLog
from labelcast.training.encoder import EncoderBackend, save_head
from labelcast.training.evaluate import Evaluation, Scoring, evaluate
from labelcast.training.finetune import save_files
from labelcast.training.recipe import Linear, Recipe

_ITERATIONS = 1000
# The logit of an answer that no label has.
_NEVER = -1e4


@dataclass(frozen=True)
class Probe:
    """A model with a linear head on its frozen vectors."""

    store: VectorStore
    answers: tuple[str, ...]
    head: nn.Linear

    def for_answers(self, answers: Sequence[str]) -> Probe:
        """The same model: its head has the answers that it was fitted to."""
        return self

    def predictor(self, batch_size: int | None) -> Predict:
        """Gives the most probable allowed answer to each prompt, with its probability."""
        return self._predict

    def _predict(
        self,
        prompts: Iterable[str],
        max_new_tokens: int,
        progress: Progress = lambda done: None,
        allowed: Sequence[str] = (),
    ) -> list[Confidence]:
        vectors = self.store.embed(list(prompts), progress)
        return choose(self.answers, head_probabilities(self.head, vectors))


class LinearBackend:
    """Any model with frozen weights and a linear head; see `training.backend.Backend`."""

    def load(
        self, model: str, recipe: Recipe, placement: Placement, *, train: bool = True
    ) -> AnyModel:
        """Load a model; see `Backend`."""
        if placement.processes > 1:
            raise InputError(f"recipe {recipe.name!r}: runs on one GPU. Use --gpus-per-job 1.")
        return load_any(model, device=placement.device, dtype=placement.dtype)

    def fit(self, lm: AnyModel, fit: Fit) -> FineTuned:
        """Fit the head to all labels of a budget, also those for validation; see `Backend`.

        The vectors are kept in the placement's `cache`. The result does not depend on the seed.
        """
        begin, device = time.perf_counter(), lm.device.value
        examples = fit.examples
        answers = _answers(lm, examples)
        store = vector_store(lm, fit.placement)
        reset_peak(device)
        vectors = store.embed([example.prompt for example in examples])
        gold = np.array([answers.index(str(example.answer)) for example in examples])
        head = fitted_head(vectors, gold, len(answers), (fit.recipe.linear or Linear()).c)
        fit.progress(1, 1, None)
        log = TrainingLog(seconds=time.perf_counter() - begin, peak_bytes=peak_memory(device))
        return FineTuned(Probe(store, answers, head), log)

    def score(self, lm: AnyModel | Probe, test: Sequence[Example], scoring: Scoring) -> Evaluation:
        """Score a model with or without a head; see `Backend`."""
        if isinstance(lm, Encoder) and lm.pooling.sentence:
            lm = Probe(vector_store(lm, scoring.placement), lm.answers, lm.named_head())
        if isinstance(lm, Encoder):
            return EncoderBackend().score(lm, test, scoring)
        return evaluate(lm, test, scoring)

    def save(self, lm: AnyModel | Probe, folder: Path) -> None:
        """Save the head; see `Backend`. The model itself has not changed."""
        if isinstance(lm, Probe):
            probe = lm
            save_files(folder, lambda work: save_head(probe.head, probe.answers, work))


def fitted_head(vectors: Vectors, gold: np.ndarray, count: int, c: float) -> nn.Linear:
    """A head for `count` answers, by logistic regression.

    Args:
        vectors: [N,F]; centred, and scaled by their root mean square, so that one `c` suits any
            model.
        gold: the position of each text's answer, [N].
        count: how many answers are allowed; those without a label are never given.
        c: the inverse strength of the L2 penalty.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    centre = vectors.mean(axis=0, dtype=np.float64)
    scaled = vectors - centre
    size = float(np.sqrt(np.mean(scaled**2))) or 1.0
    weight, bias = np.zeros((count, vectors.shape[1])), np.full(count, _NEVER)
    seen = np.unique(gold)
    if len(seen) == 1:
        bias[seen] = 0.0
    else:
        model = LogisticRegression(C=c, max_iter=_ITERATIONS)
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            model.fit(scaled / size, gold)
        two = len(seen) == 2  # then it has the second one's weights only
        rows = np.vstack([np.zeros_like(model.coef_), model.coef_]) if two else model.coef_
        offsets = np.append(0.0, model.intercept_) if two else model.intercept_
        weight[seen] = rows / size
        bias[seen] = offsets - weight[seen] @ centre
    head = nn.Linear(vectors.shape[1], count)
    with torch.no_grad():
        head.weight.copy_(torch.as_tensor(weight))
        head.bias.copy_(torch.as_tensor(bias))
    return head.requires_grad_(False)


def _answers(lm: AnyModel, examples: Sequence[Example]) -> tuple[str, ...]:
    """The answers to choose among: the task's, or those of the labels for a language model."""
    if isinstance(lm, Encoder):
        return lm.for_answers(lm.answers).answers
    return tuple(sorted({str(example.answer) for example in examples}))


_STORES: dict[tuple[str, ...], VectorStore] = {}


def vector_store(lm: AnyModel, placement: Placement) -> VectorStore:
    """The vectors of a model's texts, kept in this process for its next training."""
    weights = weights_digest(lm.model)
    key = (lm.identity.fingerprint, weights, str(lm.dtype.value), str(placement.cache))
    if key not in _STORES:
        _STORES.clear()
        _STORES[key] = VectorStore(lm, None if placement.cache is None else Path(placement.cache))
    _STORES[key].lm = lm  # the one before may have been trained since
    return _STORES[key]
