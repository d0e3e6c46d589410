"""Greedy generation in batches, with the largest probability at each token.

The tokens that all prompts share run once, and their keys and values are copied into every batch.

Shapes: B rows, H heads, S slots of the cache, D features of a head, V words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers.cache_utils import Cache, DynamicLayer

from labelcast.errors import InputError
from labelcast.models.confidence import MAX_NEW_TOKENS
from labelcast.models.constrained import AnswerTrie, Walk
from labelcast.models.encoding import by_length, shared_prefix
from labelcast.models.memory import Halving
from labelcast.models.passes import positions_depend_on_length, rows_at_once
from labelcast.models.plan import answers_fit, gpu_rooms
from labelcast.models.protocols import Progress, TorchModel

Prompts = Sequence[Sequence[int]]
_WORTH_SHARING = 8
# Tokens that an answer may have when the attention window is compared with the prompts.
_ANSWER_ROOM = 512
_ALL = slice(None)


@dataclass(frozen=True)
class Generated:
    """A model's answer to one prompt.

    Attributes:
        tokens: the generated tokens, with the end-of-sequence token if there was one.
        probabilities: the largest softmax probability at each token, in [0, 1].
        margin: the smallest difference between the two largest probabilities at any step.
        allowed: the allowed answer that was taken. Then `tokens` are those at which another answer
            was possible, and the probabilities are among the tokens of allowed answers.
    """

    tokens: list[int]
    probabilities: list[float]
    margin: float
    allowed: str | None = None


class Answers(Protocol):
    """Generates greedy answers to prompts of tokens: transformers here, or vLLM."""

    def answer(
        self,
        prompts: Prompts,
        max_new_tokens: int,
        progress: Progress = lambda done: None,
        trie: AnswerTrie | None = None,
    ) -> list[Generated]:
        """Greedy answers to prompts, in order; with a trie, along its answers only.

        No prompt is empty, and each leaves room in the context for `max_new_tokens`.
        """


class LocalAnswers:
    """A model in this process, in batches of similar length.

    The tokens that all prompts of a call share run once; the next call reuses them if it shares the
    same ones. An answer depends only on the prompts of its own call.
    """

    def __init__(self, lm: TorchModel, batch_size: int):
        self.lm, self.batch_size = lm, batch_size
        self._prefix = Prefix([], [])
        self._rooms, self._halving = gpu_rooms(lm), Halving()

    def answer(
        self,
        prompts: Prompts,
        max_new_tokens: int,
        progress: Progress = lambda done: None,
        trie: AnswerTrie | None = None,
    ) -> list[Generated]:
        """Greedy answers to prompts, in order; see `Answers`."""
        found: dict[int, Generated] = {}
        known = self._prefix.tokens
        same = len(prompts) > 1 and list(prompts[0][: len(known)]) == known
        if not (known and same and shared_prefix(prompts) == len(known)):
            for _, prefix in self._halving.run([[0]], lambda _: read_prefix(self.lm, prompts)):
                self._prefix = prefix
        config, size = self.lm.model.config.get_text_config(), self.lm.dtype.value.itemsize

        def fits(rows: int, longest: int) -> bool:
            return answers_fit(config, self._rooms, size, rows, longest, max_new_tokens)

        def run(batch: list[int]) -> list[Generated]:
            chosen = [prompts[i] for i in batch]
            walk = None if trie is None else Walk(trie, len(chosen))
            answers: list[Generated] = generate(self.lm, chosen, self._prefix, max_new_tokens, walk)
            return answers

        planned = batches(self.lm, prompts, self.batch_size, fits)
        for batch, answers in self._halving.run(planned, run):
            found |= zip(batch, answers, strict=True)
            progress(len(batch))
        return [found[i] for i in range(len(prompts))]


class _Slots(DynamicLayer):
    """A cache layer allocated in advance, so that a step copies only one token.

    The rows may be filled in parts: `narrow` begins one, `widen` goes on with all rows.
    """

    def __init__(self, rows: int, capacity: int, prefix: tuple[torch.Tensor, torch.Tensor] | None):
        super().__init__()
        self.rows, self.capacity, self.length = rows, capacity, 0
        self.room: list[torch.Tensor] = []
        self.part = _ALL
        if prefix is not None:
            self.lazy_initialization(*prefix)
            self.length = prefix[0].shape[2]
            for room, states in zip(self.room, prefix, strict=True):
                room[:, :, : self.length] = states
            self._show()
        self.shared = self.length

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        self.room = [
            states.new_empty(self.rows, states.shape[1], self.capacity, states.shape[3])
            for states in (key_states, value_states)
        ]

    def _show(self) -> None:
        if self.room:
            self.keys, self.values = (room[self.part, :, : self.length] for room in self.room)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        for room, states in zip(self.room, (key_states, value_states), strict=True):
            room[self.part, :, self.length : end] = states
        self.length = end
        self._show()
        return self.keys, self.values

    def narrow(self, part: slice) -> None:
        """The next update continues the shared tokens, in these rows only."""
        self.part, self.length = part, self.shared
        self._show()

    def widen(self) -> None:
        """The next update is of all rows, which have as many slots in use."""
        self.part = _ALL
        self._show()

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.room = [room[indices.to(room.device)] for room in self.room]
        self._show()


@dataclass(frozen=True)
class Prefix:
    """First tokens that all prompts share, with keys and values [1,H,S,D] of each layer, if any."""

    tokens: list[int]
    layers: list[tuple[torch.Tensor, torch.Tensor]]


@torch.inference_mode()
def read_prefix(lm: TorchModel, prompts: Prompts) -> Prefix:
    """Run the tokens that all prompts share, unless they are too few to gain anything."""
    if getattr(lm.model, "_is_stateful", False):
        raise InputError(
            f"model {lm.name}: it is recurrent, and labelcast needs a model of attention only."
        )
    length, config = shared_prefix(prompts), lm.model.config.get_text_config()
    longest = max(map(len, prompts), default=0) + _ANSWER_ROOM
    too_few = len(prompts) < 2 or length < _WORTH_SHARING
    if too_few or positions_depend_on_length(config, longest):
        return Prefix([], [])
    tokens = list(prompts[0][:length])
    cache = _empty_cache(lm, 1, length)
    ids = torch.tensor([tokens], device=lm.input_device)
    lm.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return Prefix(tokens, [(layer.keys, layer.values) for layer in cache.layers])


def batches(
    lm: TorchModel,
    prompts: Prompts,
    batch_size: int,
    fits: Callable[[int, int], bool] = lambda rows, longest: True,
) -> list[list[int]]:
    """Positions of prompts grouped into batches, as `by_length` does.

    If a prompt may be longer than the model's attention window, only prompts of equal length share
    a batch: padding would push tokens out of the window.
    """
    config = lm.model.config.get_text_config()
    window = getattr(config, "sliding_window", None) or 2**31
    longest = max(map(len, prompts), default=0)
    return by_length(prompts, batch_size, equal=longest + _ANSWER_ROOM > window, fits=fits)


@torch.inference_mode()
def generate(
    lm: TorchModel,
    prompts: Prompts,
    prefix: Prefix,
    max_new_tokens: int = MAX_NEW_TOKENS,
    walk: Walk | None = None,
) -> list[Generated]:
    """Greedy answers to one batch of prompts, each beginning with the prefix's tokens.

    With a `walk`, only along its allowed answers.
    """
    device, start = lm.input_device, len(prefix.tokens)
    ends = end_tokens(lm)
    tails = [list(prompt[start:]) for prompt in prompts]
    width, rows = max(map(len, tails)), len(prompts)
    # Padding goes between the prefix and the tail, so that every row ends in the same slot.
    pads = torch.tensor([width - len(tail) for tail in tails], device=device)
    ids = torch.tensor([[0] * (width - len(tail)) + tail for tail in tails], device=device)
    slots = torch.arange(width, device=device)
    mask = torch.ones(rows, start + width + max_new_tokens, dtype=torch.bool, device=device)
    mask[:, start : start + width] = slots >= pads[:, None]
    positions = start + (slots - pads[:, None]).clamp(min=0)
    cache = _empty_cache(lm, rows, mask.shape[1], prefix)
    size = rows_at_once(lm, rows, width)
    answers: list[list[tuple[int, float, float]]] = [[] for _ in prompts]
    alive = list(range(rows))

    def is_done(row: int) -> bool:
        ended = bool(answers[row]) and answers[row][-1][0] in ends
        return ended if walk is None else walk.is_done(row)

    def next_logits(length: int, part: slice = _ALL) -> torch.Tensor:
        """Logits [B,V] of the token after the first `length` slots."""
        seen = mask[part, :length]
        # Without padding no mask is needed, and attention takes its fastest path.
        logits: torch.Tensor = lm.model(
            input_ids=ids[part],
            attention_mask=None if bool(seen.all()) else seen,
            position_ids=positions[part],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        return logits

    def first_logits(length: int) -> torch.Tensor:
        """The same, where a CPU reads the tails of a few rows at once."""
        found = []
        for begin in range(0, rows, size):
            part = slice(begin, begin + size)
            for layer in cache.layers:
                layer.narrow(part)
            found.append(next_logits(length, part))
        for layer in cache.layers:
            layer.widen()
        return torch.cat(found)

    for step in range(max_new_tokens):
        length = start + width + step
        logits = next_logits(length) if step else first_logits(length)
        best, tokens = _largest(logits if walk is None else walk.only_allowed(logits, alive))
        for row, token, (first, second) in zip(alive, tokens.tolist(), best.tolist(), strict=True):
            if not is_done(row):
                answers[row].append((token, first, first - second))
                if walk is not None:
                    walk.take(row, token)
        keep = [i for i, row in enumerate(alive) if not is_done(row)]
        if not keep:
            break
        # Finished rows are dropped many at a time, since dropping copies the cache.
        if len(keep) <= 0.75 * len(alive):
            chosen = torch.tensor(keep, device=device)
            alive = [alive[i] for i in keep]
            cache.batch_select_indices(chosen)
            mask, tokens, positions = mask[chosen], tokens[chosen], positions[chosen]
        ids, positions = tokens[:, None], positions[:, -1:] + 1
    allowed = [None] * rows if walk is None else walk.answers
    if walk is not None:  # without a choice, the first token, which is certain
        answers = [
            [one for one, is_choice in zip(*pair, strict=True) if is_choice] or pair[0][:1]
            for pair in zip(answers, walk.choices, strict=True)
        ]
    columns = [tuple(zip(*answer, strict=True)) for answer in answers]
    return [
        Generated(list(t), list(p), min(margins), answer)
        for (t, p, margins), answer in zip(columns, allowed, strict=True)
    ]


def _largest(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The two largest probabilities [B,2] and the most probable token [B], from logits [B,V]."""
    logits = logits.float()
    top = logits.topk(2, dim=-1)
    return (top.values - logits.logsumexp(-1, keepdim=True)).exp(), top.indices[:, 0]


def end_tokens(lm: TorchModel) -> frozenset[int]:
    """The tokens that end an answer, from the model's generation config and its tokenizer."""
    ends = lm.model.generation_config.eos_token_id
    own = lm.tokenizer.eos_token_id
    # Training adds the tokenizer's to the config, so without it a model would end differently
    # before and after.
    return frozenset([ends] if isinstance(ends, int) else ends or ()) | ({own} - {None})


def _empty_cache(lm: TorchModel, rows: int, capacity: int, prefix: Prefix | None = None) -> Cache:
    count = lm.model.config.get_text_config().num_hidden_layers
    layers = prefix.layers if prefix and prefix.layers else [None] * count
    return Cache(layers=[_Slots(rows, capacity, states) for states in layers])
