"""Forward and backward passes over labelled examples, with the two factors of each gradient.

The gradient of a linear layer's weight for one example is d^T h, with its inputs h and the
gradients d of its outputs. `layers` passes both to a `Contraction`.

Shapes: N examples of a batch, S tokens, U used positions, V words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from labelcast.models.causal import LanguageModel
from labelcast.models.encoding import Encoded, shared_prefix
from labelcast.models.last_layer import Used, trimmed
from labelcast.models.layers import Contraction, Layer, hooked
from labelcast.models.plan import Plan
from labelcast.models.protocols import Progress
from labelcast.models.recompute import offloaded, recomputed

# With fewer shared tokens, saving their forward pass is not worth its overhead.
_WORTH_SHARING = 64


def run_batches(
    lm: LanguageModel,
    pairs: Sequence[Encoded],
    layers: Mapping[str, Layer],
    contraction: Contraction,
    *,
    plan: Plan,
    progress: Progress = lambda done: None,
) -> None:
    """Differentiate each example's mean answer loss and contract the gradients on the way.

    The tokens that all prompts share run forward once; their backward pass runs per example. The
    model is restored at the end, after an error too.
    """
    with (
        _frozen(lm),
        recomputed(lm, plan.recomputed) as again,
        hooked(lm, layers, contraction, again) as running,
        trimmed(lm) as used,
    ):
        # If gradients are dropped at once, all tokens of an example must come together.
        length = 0 if plan.at_once else shared_length(lm, [pair.prompt for pair in pairs])
        shared = forward_prefix(lm, pairs[0].tokens[:length]) if length else []
        differentiable = [states for states in shared if states.requires_grad]

        def run(batch: Sequence[int]) -> int:
            running.count, running.rows = len(batch), batch
            gradients = _run(lm, [pairs[i] for i in batch], shared, length, used)
            for position, row in enumerate(batch if differentiable else []):
                running.count, running.rows = 1, [row]
                own = [g[position : position + 1] for g in gradients]
                torch.autograd.backward(differentiable, own, retain_graph=True)
            contraction.finish(batch)
            return len(batch)

        for done in _in_parallel(run, plan.batches, plan.workers):
            progress(done)


def _in_parallel(
    run: Callable[[list[int]], int], batches: Sequence[list[int]], workers: int
) -> Iterator[int]:
    """Run batches on threads, and yield what `run` returns as they finish.

    Small matrix products fill one core, and several cores share one badly: a thread per batch is
    faster than many threads per product, and gives the same bits whatever runs in parallel.
    """
    if workers == 1:
        yield from map(run, batches)
        return
    threads = torch.get_num_threads()
    executor = ThreadPoolExecutor(
        workers, "labelcast", initializer=torch.set_num_threads, initargs=(threads // workers,)
    )
    try:
        for future in as_completed([executor.submit(run, batch) for batch in batches]):
            yield future.result()
    finally:
        executor.shutdown(cancel_futures=True)
        # The number set in a thread also applies to threads made later.
        torch.set_num_threads(threads)


def shared_length(lm: LanguageModel, sequences: Sequence[Sequence[int]]) -> int:
    """How many first tokens of all sequences to run forward once; 0 if nothing is gained.

    A GPU is faster with complete batches. Sharing is impossible if attention does not reach back
    over a whole example, or if offloaded layers run again in the backward pass, which would fill a
    cache twice.
    """
    config = lm.model.config.get_text_config()
    longest = max(map(len, sequences))
    window = getattr(config, "sliding_window", None) or longest
    kinds = set(getattr(config, "layer_types", None) or [])
    if (
        offloaded(lm.model)
        or lm.input_device.type != "cpu"
        or window < longest
        or getattr(lm.model, "_is_stateful", False)
        or not kinds <= {"full_attention", "sliding_attention"}
    ):
        return 0
    length = shared_prefix(sequences)
    return length if len(sequences) > 1 and length >= _WORTH_SHARING else 0


def forward_prefix(lm: LanguageModel, tokens: Sequence[int]) -> list[Tensor]:
    """Keys and values of the shared tokens in turn, two tensors [1,heads,S,features] per layer."""
    cache = DynamicCache()
    ids = torch.tensor([list(tokens)], device=lm.input_device)
    lm.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return [states for layer in cache.layers for states in (layer.keys, layer.values)]


def cache_of(shared: Sequence[Tensor]) -> DynamicCache:
    """A cache with the given keys and values, in the order of `forward_prefix`."""
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(zip(shared[::2], shared[1::2], strict=True)):
        cache.update(keys, values, layer)
    return cache


def _run(
    lm: LanguageModel,
    pairs: Sequence[Encoded],
    shared: Sequence[Tensor],
    start: int,
    used_of: Used,
) -> list[Tensor]:
    """Run forward and backward on the sum over examples of each one's mean answer loss.

    Padding goes on the right, where a causal model's earlier tokens cannot see it: no mask is
    needed, and its gradient is zero. Logits are computed only where an answer token is predicted.
    `shared` are keys and values of the first `start` tokens, or nothing.

    Returns:
        Each example's gradient with respect to the `shared` tensors that have one,
        [N,heads,S,features] each.
    """
    device = lm.input_device
    tails = [pair.tokens[start:] for pair in pairs]
    width = max(map(len, tails))
    ids = torch.zeros(len(pairs), width, dtype=torch.long, device=device)
    weights = torch.zeros(len(pairs), width, device=device)
    for row, (pair, tail) in enumerate(zip(pairs, tails, strict=True)):
        ids[row, : len(tail)] = torch.tensor(tail)
        weights[row, len(tail) - pair.answer_length - 1 : len(tail) - 1] = 1 / pair.answer_length
    used = weights.any(dim=0).nonzero().flatten()
    copies = [
        states.detach().expand(len(pairs), -1, -1, -1).requires_grad_(states.requires_grad)
        for states in shared
    ]
    read = weights[:, used] > 0  # [N,U]
    used_of.positions, used_of.read = used if 2 * len(used) <= width else None, read
    with torch.enable_grad():  # the mode belongs to the thread
        logits = lm.model(
            input_ids=ids,
            past_key_values=cache_of(copies) if copies else None,
            use_cache=bool(copies),
            logits_to_keep=used,
        ).logits.float()
        if logits.dim() == 3:
            logits = logits[read.to(logits.device)]
        device = logits.device
        losses = nn.functional.cross_entropy(
            logits, ids[:, used + 1][read].to(device), reduction="none"
        )
        (losses * weights[:, used][read].to(device)).sum().backward()
    used_of.positions = used_of.read = None
    return [copy.grad for copy in copies if copy.requires_grad]


@contextmanager
def _frozen(lm: LanguageModel) -> Iterator[None]:
    """No weight requires a gradient for a while."""
    trainable = [weight for weight in lm.model.parameters() if weight.requires_grad]
    for weight in trainable:
        weight.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for weight in trainable:
            weight.requires_grad_(True)
