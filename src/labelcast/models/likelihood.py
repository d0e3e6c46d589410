"""The likelihood of given answers, and one vector per text, without gradients.

Both run in batches of similar length. On a CPU the tokens that all prompts share run once.

Shapes: N texts, F features of a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from labelcast.errors import InputError
from labelcast.models.causal import LanguageModel
from labelcast.models.choices import choose_batch
from labelcast.models.encoding import by_length, encode_pair, encode_prompt
from labelcast.models.passes import cache_of, forward_prefix, shared_length
from labelcast.models.protocols import Embedder, Progress


@torch.inference_mode()
def answer_log_likelihoods(
    lm: LanguageModel,
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
        answers: one per prompt; only its text counts, not the token that ends a turn.
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
    _check_lengths(lm, [pair.tokens for pair in pairs])
    found = np.zeros(len(pairs))
    start = shared_length(lm, [pair.prompt for pair in pairs]) if pairs else 0
    shared = forward_prefix(lm, pairs[0].tokens[:start]) if start else []
    for batch in _batches(lm, [pair.tokens for pair in pairs], batch_size):
        ids = _padded(lm, [pairs[row].tokens[start:] for row in batch])
        predicts = torch.zeros(ids.shape, dtype=torch.bool, device=ids.device)
        for place, row in enumerate(batch):
            end = len(pairs[row].tokens) - start
            predicts[place, end - pairs[row].answer_length - 1 : end - 1] = True
        used = predicts.any(dim=0).nonzero().flatten()
        logits = lm.model(
            input_ids=ids, logits_to_keep=used, **_cached(shared, len(batch))
        ).logits.float()
        read = predicts[:, used].to(logits.device)
        wanted = ids[:, used + 1].to(logits.device)
        losses = nn.functional.cross_entropy(logits[read], wanted[read], reduction="none")
        sums = torch.zeros(read.shape, device=logits.device, dtype=losses.dtype)
        sums[read] = losses
        found[batch] = -sums.sum(dim=1).double().cpu().numpy()
        progress(len(batch))
    return found


def mean_hidden_states(
    lm: Embedder,
    texts: Sequence[str],
    *,
    batch_size: int | None = None,
    progress: Progress = lambda done: None,
) -> NDArray[np.float32]:
    """Return the mean over tokens of the last hidden states of each text.

    Args:
        lm: the model.
        texts: rendered for it, N of them, none empty.
        batch_size: texts at once; None chooses a number for the device.
        progress: called with the number of texts done.

    Returns:
        One vector per text, [N,F], after the model's last norm.

    Raises:
        InputError: a text is empty, or longer than the model's context.
    """
    return lm.embed(texts, batch_size=batch_size, progress=progress)


@torch.inference_mode()
def embed(
    lm: LanguageModel, texts: Sequence[str], batch_size: int | None, progress: Progress
) -> NDArray[np.float32]:
    """Mean hidden states of a causal model; see `mean_hidden_states`."""
    tokens = [encode_prompt(lm.tokenizer, text) for text in texts]
    for number, sequence in enumerate(tokens, 1):
        if not sequence:
            raise InputError(f"text {number}: it is empty, so it has no tokens to average.")
    _check_lengths(lm, tokens)
    found = np.zeros((len(tokens), lm.model.config.get_text_config().hidden_size), np.float32)
    decoder = lm.model.get_decoder()
    start = shared_length(lm, tokens) if tokens else 0
    shared: list[Tensor] = []
    total: Tensor | float = 0.0
    if start:
        shared = forward_prefix(lm, tokens[0][:start])
        ids = torch.tensor([tokens[0][:start]], device=lm.input_device)
        total = decoder(input_ids=ids, use_cache=False).last_hidden_state.float().sum(dim=1)
    for batch in _batches(lm, tokens, batch_size):
        tails = [tokens[row][start:] for row in batch]
        ids = _padded(lm, tails)
        states = decoder(input_ids=ids, **_cached(shared, len(batch))).last_hidden_state.float()
        lengths = torch.tensor([len(tail) for tail in tails], device=states.device)
        inside = torch.arange(ids.shape[1], device=states.device) < lengths[:, None]
        sums = (states * inside[:, :, None]).sum(dim=1) + total
        found[batch] = (sums / (lengths[:, None] + start)).cpu().numpy()
        progress(len(batch))
    return found


def _check_lengths(lm: LanguageModel, sequences: Sequence[Sequence[int]]) -> None:
    for number, sequence in enumerate(sequences, 1):
        if len(sequence) > lm.context:
            raise InputError(
                f"text {number}: {len(sequence):,} tokens long, but {lm.name} reads "
                f"{lm.context:,} at most."
            )


def _batches(
    lm: LanguageModel, sequences: Sequence[Sequence[int]], batch_size: int | None
) -> Iterator[list[int]]:
    size = choose_batch(batch_size, lm.device.value, "confidence").value
    yield from by_length(sequences, size) if sequences else []


def _padded(lm: LanguageModel, tails: Sequence[Sequence[int]]) -> Tensor:
    """Tokens [N,S], padded on the right, where a causal model's earlier tokens cannot see it."""
    ids = torch.zeros(len(tails), max(map(len, tails)), dtype=torch.long)
    for place, tail in enumerate(tails):
        ids[place, : len(tail)] = torch.tensor(tail)
    return ids.to(lm.input_device)


def _cached(shared: Sequence[Tensor], rows: int) -> dict[str, object]:
    """Arguments that give the model the keys and values of the shared tokens."""
    if not shared:
        return {"use_cache": False}
    copies = [states.expand(rows, -1, -1, -1) for states in shared]
    return {"past_key_values": cache_of(copies), "use_cache": True}
