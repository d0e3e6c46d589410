"""What a model can do. A function that takes a model asks for the smallest of these it needs.

`causal.LanguageModel` has all of them. `encoder.Encoder` predicts and embeds, but it has no
gradients that CoS-Low could compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from labelcast.models.choices import Choice
    from labelcast.models.confidence import Confidence
    from labelcast.models.encoding import Encoded
    from labelcast.models.gradients import Gram, Method

Progress = Callable[[int], None]
"""Called with the number of examples done since the last call."""


class Reader(Protocol):
    """A causal model that reads tokens."""

    @property
    def name(self) -> str:
        """What the user called the model."""

    @property
    def tokenizer(self) -> Any:
        """Its transformers tokenizer."""

    @property
    def context(self) -> int:
        """The longest input in tokens."""

    @property
    def device(self) -> Choice[str]:
        """Where it runs."""


class TorchModel(Reader, Protocol):
    """A transformers model that runs in this process; see `causal.LanguageModel`."""

    @property
    def model(self) -> Any:
        """The transformers model."""

    @property
    def dtype(self) -> Choice[torch.dtype]:
        """The dtype of its weights."""

    @property
    def input_device(self) -> torch.device:
        """Where token ids go."""


class Predict(Protocol):
    """Answers prompts, with the probability of each answer."""

    def __call__(
        self,
        prompts: Iterable[str],
        max_new_tokens: int,
        progress: Progress,
        allowed: Sequence[str] = (),
    ) -> list[Confidence]:
        """Answer each prompt, in order; see `confidence.score_confidence`."""


class Predictor(Protocol):
    """A model that answers prompts."""

    def for_answers(self, answers: Sequence[str]) -> Predictor:
        """The model for a task with these allowed answers; none if any text is one."""

    def predictor(self, batch_size: int | None) -> Predict:
        """What answers one list of prompts after another; it may keep what they share."""


class Differentiable(Reader, Protocol):
    """Has a loss on given answers whose gradients can be compared."""

    def gram(
        self,
        pairs: Sequence[Encoded],
        *,
        method: Method,
        rank: int,
        seeds: Sequence[int],
        batch_size: int | None,
        progress: Progress,
    ) -> Gram:
        """Inner products of the examples' gradients; see `gradients.gram`."""


class Embedder(Protocol):
    """Turns a text into a vector."""

    def embed(
        self, texts: Sequence[str], *, batch_size: int | None, progress: Progress
    ) -> NDArray[np.float32]:
        """One vector per text, [N,F]; see `likelihood.mean_hidden_states`."""
