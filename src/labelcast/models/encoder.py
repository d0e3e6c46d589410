"""An encoder such as BERT or MiniLM: text embeddings, and a classifier over a task's answers.

Shapes: N texts, S tokens, F features of a text, K allowed answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from labelcast.errors import InputError, brief
from labelcast.files.json_files import read_json
from labelcast.models.checks import check_answers
from labelcast.models.choices import Choice, choose_batch
from labelcast.models.confidence import Confidence
from labelcast.models.encoding import by_length
from labelcast.models.identity import ModelIdentity
from labelcast.models.memory import Halving
from labelcast.models.protocols import Predict, Progress
from labelcast.tasks.conversations import Turn

# Scale of the cosine between a text and an answer's name, as in sentence-transformers' losses.
_SCALE = 20.0
# Some tokenizers say 10^30 if nobody set their longest input.
_UNLIMITED = 2**20


@dataclass(frozen=True)
class Pooling:
    """How the states of a text's tokens become one vector.

    Attributes:
        mode: their mean, the first token's, or the largest value of each feature.
        unit: whether the vector is scaled to length 1.
        sentence: whether the model was trained so that the cosine of two texts means something.
        max_length: tokens after which a text is cut off; None leaves it to the tokenizer.
    """

    mode: Literal["mean", "cls", "max"] = "mean"
    unit: bool = False
    sentence: bool = False
    max_length: int | None = None

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """[N,F] from states [N,S,F], where `mask` [N,S] is 1 for tokens and 0 for padding."""
        inside = mask[..., None].to(states.dtype)
        if self.mode == "cls":
            pooled = states[:, 0]
        elif self.mode == "max":
            pooled = states.masked_fill(inside == 0, -torch.inf).amax(1)
        else:
            pooled = (states * inside).sum(1) / inside.sum(1)
        return nn.functional.normalize(pooled, dim=-1) if self.unit else pooled


class Classifier(nn.Module):
    """An encoder with a linear head; its logits are [N,K]."""

    def __init__(self, body: nn.Module, pooling: Pooling, head: nn.Linear) -> None:
        super().__init__()
        self.body, self.pooling, self.head = body, pooling, head

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        """Logits of the allowed answers, as transformers' trainer expects them."""
        states = self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return {"logits": self.classify(states, attention_mask)}

    def classify(self, states: Tensor, mask: Tensor) -> Tensor:
        """Logits [N,K] from states [N,S,F], which may have another dtype than the head."""
        logits: Tensor = self.head(self.pooling(states, mask).to(self.head.weight.dtype))
        return logits


@dataclass(frozen=True)
class Encoder:
    """An encoder with its tokenizer, and with a head once it is tuned.

    It predicts (`protocols.Predictor`) and embeds (`protocols.Embedder`). It has no gradients that
    CoS-Low could compare: a classifier's gradients of two classes oppose each other.

    Attributes:
        model: the transformers model without a head, in evaluation mode.
        tokenizer: its tokenizer.
        identity: which model it is.
        device: where it runs, with the reason.
        dtype: the dtype of its weights, with the reason.
        pooling: from tokens to a text.
        answers: the allowed answers, from `for_answers`.
        head: logits of `answers` from a text's vector; None before it is tuned.
    """

    model: Any
    tokenizer: Any
    identity: ModelIdentity
    device: Choice[str]
    dtype: Choice[torch.dtype]
    pooling: Pooling
    answers: tuple[str, ...] = ()
    head: nn.Linear | None = None

    @property
    def name(self) -> str:
        """What the user called the model."""
        return self.identity.name

    @cached_property
    def context(self) -> int:
        """The longest text, in tokens; more is cut off."""
        given = (self.pooling.max_length, self.tokenizer.model_max_length, self._positions)
        return min(length for length in given if length and length < _UNLIMITED)

    @property
    def _positions(self) -> int:
        config = self.model.config
        most = int(getattr(config, "max_position_embeddings", 0) or 512)
        # RoBERTa and its relatives count positions from after the padding token.
        offset = config.model_type in ("roberta", "xlm-roberta", "camembert", "mpnet")
        return most - 2 * offset

    @property
    def guesses(self) -> bool:
        """Whether it has answers before it is tuned, from the cosine with their names."""
        return self.head is not None or self.pooling.sentence

    def render(self, instruction: str, user: str | Sequence[Turn]) -> str:
        """The text that is embedded: the input fields or turns, without the instruction."""
        return user if isinstance(user, str) else "\n".join(turn["content"] for turn in user)

    def for_answers(self, answers: Sequence[str]) -> Encoder:
        """The same model for a task with these allowed answers.

        Raises:
            InputError: there are none.
        """
        check_answers(self.name, answers)
        return self if tuple(answers) == self.answers else replace(self, answers=tuple(answers))

    def tokens(self, texts: Iterable[str]) -> list[list[int]]:
        """The tokens of each text with the special ones, cut off at `context`."""
        found = []
        for text in texts:
            try:
                ids = self.tokenizer.encode(text, truncation=True, max_length=self.context)
            except Exception as error:  # the library raises bare exceptions
                where = f"model {self.name}: its tokenizer cannot read"
                raise InputError(f"{where} {text[:40]!r}... ({brief(error)}).") from None
            found.append(ids)
        return found

    @torch.inference_mode()
    def embed(
        self,
        texts: Sequence[str],
        *,
        batch_size: int | None = None,
        progress: Progress = lambda done: None,
    ) -> NDArray[np.float32]:
        """One vector per text, [N,F]."""
        tokens = self.tokens(texts)
        found = np.zeros((len(tokens), self.model.config.hidden_size), np.float32)
        size = choose_batch(batch_size, self.device.value, "embedding").value

        def run(rows: list[int]) -> NDArray[np.float32]:
            padding = self.tokenizer.pad_token_id or 0
            batch = padded([tokens[row] for row in rows], padding, self.device.value)
            states = self.model(**batch).last_hidden_state
            vectors: NDArray[np.float32] = (
                self.pooling(states, batch["attention_mask"]).float().cpu().numpy()
            )
            return vectors

        for rows, vectors in Halving().run(by_length(tokens, size), run):
            found[rows] = vectors
            progress(len(rows))
        return found

    def probabilities(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """The probability of each allowed answer, [N,K] from texts' vectors [N,F].

        From the head; without one the softmax of 20 times the cosine with the answers' names. An
        encoder that was not trained on sentences then gives all answers the same.
        """
        if not self.guesses:
            return np.full((len(vectors), len(self.answers)), 1 / len(self.answers))
        found: NDArray[np.float64] = head_probabilities(self.head or self.named_head(), vectors)
        return found

    def named_head(self) -> nn.Linear:
        """A head whose logits are 20 times the cosine of a text with each answer's name.

        If vectors do not have length 1, the names' vectors are scaled by the names' mean length.
        """
        names = torch.as_tensor(self.embed(self.answers)).double()
        unit = nn.functional.normalize(names, dim=-1)
        length = 1.0 if self.pooling.unit else float(names.norm(dim=-1).mean())
        head = nn.Linear(names.shape[1], len(names))
        with torch.no_grad():
            head.weight.copy_(_SCALE / length * unit)
            head.bias.zero_()
        return head.to(self.device.value).requires_grad_(False)

    def first_head(self, generator: torch.Generator | None = None) -> nn.Linear:
        """`named_head`, or a random one if the answers' names mean nothing to the model."""
        if self.pooling.sentence:
            return self.named_head()
        head = nn.Linear(self.model.config.hidden_size, len(self.answers))
        nn.init.normal_(head.weight, std=0.02, generator=generator)
        nn.init.zeros_(head.bias)
        return head.to(self.device.value).requires_grad_(False)

    def predictor(self, batch_size: int | None) -> Predict:
        """Gives the most probable allowed answer to each prompt, with its probability."""
        return partial(self._predict, batch_size)

    def _predict(
        self,
        batch_size: int | None,
        prompts: Iterable[str],
        max_new_tokens: int,
        progress: Progress = lambda done: None,
        allowed: Sequence[str] = (),
    ) -> list[Confidence]:
        vectors = self.embed(list(prompts), batch_size=batch_size, progress=progress)
        return choose(self.for_answers(self.answers).answers, self.probabilities(vectors))


@torch.inference_mode()
def head_probabilities(head: nn.Linear, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The probability of each answer, [N,K], from vectors [N,F]."""
    place = head.weight
    logits = head(torch.as_tensor(vectors).to(place.device, place.dtype))
    found: NDArray[np.float64] = logits.double().softmax(-1).cpu().numpy()
    return found


def choose(answers: Sequence[str], probabilities: NDArray[np.float64]) -> list[Confidence]:
    """The most probable answers, from [N,K]."""
    found = []
    for row in probabilities:
        first, *rest = np.sort(row)[::-1]
        best = float(min(first, 1.0))
        margin = float(first - (rest[0] if rest else 0.0))
        answer = answers[int(row.argmax())]
        found.append(Confidence(best, 1 / best, answer, 1, (best,), margin))
    return found


def padded(
    sequences: Sequence[Sequence[int]], padding: int, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Tokens and mask of a batch, [N,S] each."""
    ids = [torch.tensor(tokens, dtype=torch.long) for tokens in sequences]
    masks = [torch.ones_like(i) for i in ids]
    return {
        "input_ids": pad_sequence(ids, batch_first=True, padding_value=padding).to(device),
        "attention_mask": pad_sequence(masks, batch_first=True).to(device),
    }


def read_pooling(spec: str, folder: str) -> Pooling:
    """How a sentence-transformers folder or hub id pools; the mean for any other encoder.

    Raises InputError for modules other than a transformer, pooling and normalisation.
    """
    modules = _read_beside(folder, "modules.json")
    if modules is None:
        return Pooling()
    kinds = {str(module["type"]).rpartition(".")[2]: str(module["path"]) for module in modules}
    unknown = kinds.keys() - {"Transformer", "Pooling", "Normalize"}
    if unknown:
        raise InputError(
            f"model {spec}: its modules.json has {', '.join(sorted(unknown))}, and labelcast knows "
            "a transformer, pooling and normalisation only."
        )
    given = _read_beside(folder, f"{kinds.get('Pooling', '1_Pooling')}/config.json") or {}
    mode = given.get("pooling_mode")
    for name, key in (("cls", "pooling_mode_cls_token"), ("max", "pooling_mode_max_tokens")):
        mode = name if given.get(key) else mode
    length = (_read_beside(folder, "sentence_bert_config.json") or {}).get("max_seq_length")
    return Pooling(
        mode if mode in ("cls", "max") else "mean",
        unit="Normalize" in kinds,
        sentence=True,
        max_length=length,
    )


def _read_beside(folder: str, name: str) -> Any:
    """A JSON file of a folder or of a hub repository; None if there is none."""
    from transformers.utils import cached_file

    path = cached_file(
        folder,
        name,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=False,
        _raise_exceptions_for_gated_repo=False,
    )
    return None if path is None else read_json(Path(path))
