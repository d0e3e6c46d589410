"""The protocols of models: what uses one needs nothing else, and a causal model has all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import torch
from tiny_model import tokenizer

from labelcast.models.choices import Choice
from labelcast.models.confidence import Confidence, score_confidence
from labelcast.models.coslow import cos_low
from labelcast.models.encoding import Encoded
from labelcast.models.gradients import Gram
from labelcast.models.likelihood import mean_hidden_states
from labelcast.models.loading import LanguageModel
from labelcast.models.protocols import Differentiable, Embedder, Predict, Predictor, Progress
from labelcast.tasks.prompts import rendered_example
from labelcast.training.evaluate import Scoring, evaluate


class Classifier:
    """A model of another kind: it answers `yes` to prompts with an `a`, else `no`."""

    name = "classifier"
    device = Choice("cpu", "test")
    tokenizer = tokenizer()
    context = 100

    def for_answers(self, answers: Sequence[str]) -> Classifier:
        return self

    def predictor(self, batch_size: int | None) -> Predict:
        return self.answer

    def answer(
        self,
        prompts: Iterable[str],
        max_new_tokens: int,
        progress: Progress,
        allowed: Sequence[str] = (),
    ) -> list[Confidence]:
        answers = ["yes" if "a" in prompt else "no" for prompt in prompts]
        return [Confidence(0.9, 1 / 0.9, answer, 1, (0.9,), 0.8) for answer in answers]

    def gram(
        self,
        pairs: Sequence[Encoded],
        *,
        method: Any,
        rank: int,
        seeds: Sequence[int],
        batch_size: int | None,
        progress: Progress,
    ) -> Gram:
        values = torch.tensor([[4.0, 2.0], [2.0, 4.0]], dtype=torch.float64)
        return Gram(values[None, None], 0, ("head",), values[None, None], len(pairs))


def test_a_predictor_can_be_scored_and_evaluated() -> None:
    """Confidence and evaluation do not need a causal model."""
    assert [c.answer for c in score_confidence(Classifier(), ["a", "b"])] == ["yes", "no"]
    rows = [{"input_text": text, "ground_truth": "yes"} for text in ("a", "b", "ab", "ba")]
    examples = [rendered_example(row, number) for number, row in enumerate(rows)]
    assert evaluate(Classifier(), examples, Scoring("accuracy")).value == 0.75


def test_cos_low_needs_only_inner_products() -> None:
    """Its value is the median cosine of the model's Gram matrix."""
    rows = [{"input_text": text, "ground_truth": "1"} for text in ("ab", "cd")]
    found = cos_low(Classifier(), rows)
    assert found.coslow == pytest.approx(0.5)
    assert (found.batch_size, found.layers) == (2, ("head",))


def test_a_causal_model_has_every_protocol(tiny: LanguageModel) -> None:
    """mypy checks the types; the methods give what the functions give."""
    predictor: Predictor = tiny
    differentiable: Differentiable = tiny
    embedder: Embedder = tiny
    assert score_confidence(predictor, ["ab"], max_new_tokens=2)[0].answer_tokens <= 2
    assert differentiable.context == tiny.model.config.max_position_embeddings
    assert mean_hidden_states(embedder, ["ab"]).shape == (1, tiny.model.config.hidden_size)
