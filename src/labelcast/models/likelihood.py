"""The likelihood of given answers, and one vector per text, without gradients.

Shapes: N texts, F features of a token.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from labelcast.errors import InputError, LabelcastWarning
from labelcast.models.choices import choose_batch
from labelcast.models.encoding import Encoded, by_length, encode_pair, encode_prompt
from labelcast.models.memory import Halving
from labelcast.models.passes import (
    answer_weights,
    cached,
    forward_prefix,
    head_reads,
    padded,
    rows_at_once,
    shared_length,
)
from labelcast.models.protocols import Embedder, Progress, TorchModel

# In a forward pass over complete texts, each token that is not run again saves time.
_WORTH_SHARING = 16


@torch.inference_mode()
def answer_log_likelihoods(
    lm: TorchModel,
    prompts: Sequence[str],
    answers: Sequence[str],
    *,
    batch_size: int | None = None,
    progress: Progress = lambda done: None,
) -> NDArray[np.float64]:
    """Return the log probability of each answer after its prompt.

    Args:
        lm: the model.
        prompts: rendered for it, N of them.
        answers: one per prompt; only the text counts, not the token that ends a turn.
        batch_size: texts at once; None chooses a number for the device.
        progress: called with the number of texts done.

    Returns:
        Natural logarithms, summed over the tokens of each answer, [N].

    Raises:
        InputError: a prompt or an answer is empty, or a text is longer than the model's context.
    """
    pairs = [encode_pair(lm.tokenizer, p, a) for p, a in zip(prompts, answers, strict=True)]
    for number, pair in enumerate(pairs, 1):
        if not 0 < pair.answer_length < len(pair.tokens):
            raise InputError(
                f"text {number}: its prompt or its answer is empty, so it has no likelihood."
            )
    for number, pair in enumerate(pairs, 1):
        if len(pair.tokens) > lm.context:
            raise InputError(
                f"text {number}: {len(pair.tokens):,} tokens long, but {lm.name} reads "
                f"{lm.context:,} at most."
            )
    found = np.zeros(len(pairs))
    for batch, losses, _ in _losses(lm, pairs, batch_size):
        found[batch] = -losses.sum(dim=1).double().cpu().numpy()
        progress(len(batch))
    return found


@torch.inference_mode()
def token_losses(
    lm: TorchModel, pairs: Sequence[Encoded], *, batch_size: int | None, progress: Progress
) -> list[NDArray[np.float64]]:
    """The negative log probability of each token of each answer, in order.

    Args:
        lm: the model.
        pairs: encoded prompts with answers, none empty or longer than the context.
        batch_size: texts at once; None chooses a number for the device.
        progress: called with the number of texts done.
    """
    found: dict[int, NDArray[np.float64]] = {}
    for batch, losses, read in _losses(lm, pairs, batch_size):
        for row, values, counts in zip(batch, losses, read, strict=True):
            found[row] = values[counts].double().cpu().numpy()
        progress(len(batch))
    return [found[row] for row in range(len(pairs))]


def _losses(
    lm: TorchModel, pairs: Sequence[Encoded], batch_size: int | None
) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """Batches of rows, with the losses [N,U] at the positions that some row reads, and which."""
    start = shared_length(lm, [pair.prompt for pair in pairs], _WORTH_SHARING) if pairs else 0
    shared = forward_prefix(lm, pairs[0].tokens[:start]) if start else []

    def run(batch: list[int]) -> tuple[Tensor, Tensor]:
        ids = padded(lm, [pairs[row].tokens[start:] for row in batch])
        predicts = answer_weights([pairs[row] for row in batch], ids, start) > 0
        used = predicts.any(dim=0).nonzero().flatten()
        past = cached([states.expand(len(batch), -1, -1, -1) for states in shared])
        with head_reads(lm, lambda states: states.index_select(1, used.to(states.device))):
            logits = lm.model(input_ids=ids, **past).logits.float()  # [N,U,V]
        read = predicts[:, used].to(logits.device)
        wanted = ids[:, used + 1].to(logits.device)
        losses = nn.functional.cross_entropy(logits[read], wanted[read], reduction="none")
        rows = torch.zeros(read.shape, device=logits.device, dtype=losses.dtype)
        rows[read] = losses
        return rows, read

    batches = _batches(lm, [pair.tokens for pair in pairs], start, batch_size)
    for batch, (losses, read) in Halving().run(batches, run):
        yield batch, losses, read


def mean_hidden_states(
    lm: Embedder,
    texts: Sequence[str],
    *,
    batch_size: int | None = None,
    progress: Progress = lambda done: None,
) -> NDArray[np.float32]:
    """Return the mean over tokens of the last hidden states of each text.

    A text longer than the model's context is cut: a language model keeps its last tokens, with a
    `LabelcastWarning`, an encoder its first.

    Args:
        lm: the model.
        texts: rendered for it, N of them, none empty.
        batch_size: texts at once; None chooses a number for the device.
        progress: called with the number of texts done.

    Returns:
        One vector per text, [N,F], after the model's last norm.

    Raises:
        InputError: a text is empty.
    """
    return lm.embed(texts, batch_size=batch_size, progress=progress)


@torch.inference_mode()
def embed(
    lm: TorchModel, texts: Sequence[str], batch_size: int | None, progress: Progress
) -> NDArray[np.float32]:
    """`mean_hidden_states` of a causal model."""
    tokens = [encode_prompt(lm.tokenizer, text) for text in texts]
    for number, sequence in enumerate(tokens, 1):
        if not sequence:
            raise InputError(f"text {number}: it is empty, so it has no tokens to average.")
    if any(len(sequence) > lm.context for sequence in tokens):
        warnings.warn(
            f"model {lm.name}: texts are cut to their last {lm.context:,} tokens, the most that "
            "it reads.",
            LabelcastWarning,
            stacklevel=3,
        )
        tokens = [sequence[-lm.context :] for sequence in tokens]
    found = np.zeros((len(tokens), lm.model.config.get_text_config().hidden_size), np.float32)
    decoder = lm.model.get_decoder()
    start = shared_length(lm, tokens, _WORTH_SHARING) if tokens else 0
    shared: list[Tensor] = []
    total: Tensor | float = 0.0
    if start:
        shared = forward_prefix(lm, tokens[0][:start])
        ids = torch.tensor([tokens[0][:start]], device=lm.input_device)
        total = decoder(input_ids=ids, use_cache=False).last_hidden_state.float().sum(dim=1)

    def run(batch: list[int]) -> NDArray[np.float32]:
        tails = [tokens[row][start:] for row in batch]
        ids = padded(lm, tails)
        past = cached([states.expand(len(batch), -1, -1, -1) for states in shared])
        states = decoder(input_ids=ids, **past).last_hidden_state.float()
        lengths = torch.tensor([len(tail) for tail in tails], device=states.device)
        inside = torch.arange(ids.shape[1], device=states.device) < lengths[:, None]
        sums = (states * inside[:, :, None]).sum(dim=1) + total
        means: NDArray[np.float32] = (sums / (lengths[:, None] + start)).cpu().numpy()
        return means

    for batch, means in Halving().run(_batches(lm, tokens, start, batch_size), run):
        found[batch] = means
        progress(len(batch))
    return found


def _batches(
    lm: TorchModel, sequences: Sequence[Sequence[int]], start: int, batch_size: int | None
) -> list[list[int]]:
    """Positions grouped by length, where the first `start` tokens of each have run already."""
    size = choose_batch(batch_size, lm.device.value, "confidence").value

    def fits(rows: int, longest: int) -> bool:
        return batch_size is not None or rows == rows_at_once(lm, rows, longest - start)

    return by_length(sequences, size, fits=fits)
