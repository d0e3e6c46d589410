"""Data Whisperer: examples that a model attends to when it answers other questions rightly.

Shapes: N examples, B batches, J demonstrations of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from labelcast.errors import InputError
from labelcast.models.confidence import MAX_NEW_TOKENS
from labelcast.models.encoding import encode_pair, encoded
from labelcast.selection.labelled import contents, language_model
from labelcast.selection.pool import Need, Pool
from labelcast.selection.selector import Selection
from labelcast.tasks.metrics import METRICS, score_answers

if TYPE_CHECKING:
    from labelcast.models.causal import LanguageModel
    from labelcast.models.encoding import Encoded
    from labelcast.models.generation import Generated
    from labelcast.models.protocols import Progress
    from labelcast.selection.signals import Arrays

PART = 4


@dataclass(frozen=True)
class Batch:
    """Positions of demonstrations, and of the questions that are answered after them."""

    demonstrations: list[int]
    questions: list[int]


class DataWhisperer:
    """Take the examples that are attended to in right answers.

    The pool is divided into two folds at random, and each example demonstrates once: five examples
    of a fold, prompt, answer and end of turn, come before each of three questions of the other
    fold, and the questions of a fold take turns. The model answers greedily, and its answers are
    scored by a metric. A demonstration's weight is the attention that the tokens of the answers
    give it in one middle layer, a mean over these tokens and a sum over heads and questions,
    divided by its own tokens. Its value is its share of the batch's weights, times the scores'
    mean. A batch that does not fit the model's context has the value 0.

    The published code asks the three questions in one prompt, in a format for each data set, and
    reads the attention of the questions' tokens. Published layers are 13 of 32 (Llama 3 8B), 16 of
    28 (Qwen 2.5 7B) and 10 of 32 (Mistral 7B); the default is 13/32 of the model's.

    Source: Wang et al. 2025 (ACL), section 3; repository gszfwsb/Data-Whisperer.
    """

    name = "data-whisperer"
    needs: frozenset[Need] = frozenset({Need.ANSWERS, Need.LANGUAGE_MODEL})

    def __init__(
        self,
        *,
        demonstrations: int = 5,
        questions: int = 3,
        metric: str | None = None,
        layer: int | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
    ) -> None:
        """Settings.

        Args:
            demonstrations: examples of a batch.
            questions: questions of a batch.
            metric: one of `tasks.metrics.METRICS`; None takes that of the pool.
            layer: whose attention counts, from 0.
            max_new_tokens: the most tokens of an answer, if any text is one.

        Raises:
            InputError: no such metric, or a number below 1.
        """
        if metric is not None and metric not in METRICS:
            raise InputError(f"data-whisperer: metric {metric}: not one of {', '.join(METRICS)}.")
        if min(demonstrations, questions, max_new_tokens) < 1:
            raise InputError("data-whisperer: at least 1 demonstration, question and token.")
        self.demonstrations, self.questions = demonstrations, questions
        self.metric, self.layer, self.max_new_tokens = metric, layer, max_new_tokens

    def select(self, pool: Pool, n: int, seed: int) -> Selection:
        """Choose n examples; see `Selector`. `seed` divides the pool."""
        values = self.values(pool, seed)
        # Many values are 0, and these are taken at random.
        order = np.random.default_rng(seed).permutation(pool.size)
        chosen = order[np.argsort(-values[order], kind="stable")][:n]
        return Selection(chosen.astype(np.int64), values[chosen])

    def values(self, pool: Pool, seed: int) -> NDArray[np.float64]:
        """The value of each example, [N] in [0, 1].

        Raises:
            InputError: the model is an encoder, or an example alone is too long.
        """
        from labelcast.training.sequences import end_of_turn

        lm = language_model(pool, self.name)
        pairs = encoded(lm, pool.examples, end=end_of_turn(lm))
        batches = self.batches(pool.size, seed)

        def compute(rows: Sequence[int], progress: Progress) -> Arrays:
            found = np.zeros((len(rows), self.demonstrations))
            for place, row in enumerate(rows):
                own = self._batch_values(pool, lm, pairs, batches[row])
                found[place, : len(own)] = own
                progress(1)
            return {"values": found}

        metric = self.metric or pool.metric
        settings = (self.demonstrations, self.questions, metric, self.layer)
        about = pool.about(
            *contents(pool.examples), *pool.allowed, f"{settings} {self.max_new_tokens} {seed}"
        )
        found = pool.store.rows(self.name, about, len(batches), compute, part=PART)["values"]
        values = np.zeros(pool.size)
        for batch, own in zip(batches, found, strict=True):
            values[batch.demonstrations] = own[: len(batch.demonstrations)]
        return values

    def batches(self, size: int, seed: int) -> list[Batch]:
        """The batches of a pool of this size; each position demonstrates in one of them."""
        order = np.random.default_rng(seed).permutation(size).tolist()
        half = -(-size // 2)
        found = []
        for own, other in ((order[:half], order[half:]), (order[half:], order[:half])):
            asked = [other[i : i + self.questions] for i in range(0, len(other), self.questions)]
            for turn, start in enumerate(range(0, len(own), self.demonstrations)):
                questions = asked[turn % len(asked)] if asked else []
                found.append(Batch(own[start : start + self.demonstrations], questions))
        return found

    def _batch_values(
        self, pool: Pool, lm: LanguageModel, pairs: Sequence[Encoded], batch: Batch
    ) -> NDArray[np.float64]:
        """The values of a batch's demonstrations, [J]."""
        from labelcast.models.attention import attention_given

        zeros = np.zeros(len(batch.demonstrations))
        shown = [pairs[row].tokens for row in batch.demonstrations]
        before = [token for tokens in shown for token in tokens]
        prompts = [before + pairs[row].prompt for row in batch.questions]
        if not prompts or max(map(len, prompts)) + self.max_new_tokens > lm.context:
            return zeros
        asked = [pool.examples[row] for row in batch.questions]
        generated = self._answers(pool, lm, asked[0].prompt, prompts)
        texts = [
            one.allowed or lm.tokenizer.decode(one.tokens, skip_special_tokens=True).strip()
            for one in generated
        ]
        metric = self.metric or pool.metric
        gold = [str(example.answer) for example in asked]
        scores = score_answers(metric, texts, gold, pool.allowed).values
        if not any(scores):
            return zeros  # whatever the weights are
        ends = np.cumsum([len(tokens) for tokens in shown])
        count = lm.model.config.get_text_config().num_hidden_layers
        layer = 13 * count // 32 if self.layer is None else self.layer
        weights = zeros.copy()
        for prompt, question, one in zip(prompts, asked, generated, strict=True):
            tokens = one.tokens
            if one.allowed is not None:
                pair = encode_pair(lm.tokenizer, question.prompt, one.allowed)
                tokens = pair.tokens[len(pair.prompt) :]
            given = attention_given(lm, prompt + tokens, len(tokens), layer).mean(0).numpy()
            for place, (end, own) in enumerate(zip(ends, shown, strict=True)):
                weights[place] += given[end - len(own) : end].sum() / len(own)
        total = float(weights.sum())
        shares = weights / total if total > 0 else zeros
        found: NDArray[np.float64] = shares * sum(scores) / len(scores)
        return found

    def _answers(
        self, pool: Pool, lm: LanguageModel, prompt: str, prompts: Sequence[list[int]]
    ) -> list[Generated]:
        """Greedy answers, along the allowed ones if there are any."""
        from labelcast.models.constrained import AnswerTrie
        from labelcast.models.generation import LocalAnswers, end_tokens

        local = LocalAnswers(lm, len(prompts))
        if not pool.allowed:
            return local.answer(prompts, self.max_new_tokens)
        trie = AnswerTrie.of(lm, prompt, pool.allowed, end_tokens(lm))
        return local.answer(prompts, trie.steps, trie=trie)
