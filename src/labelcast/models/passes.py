"""Forward and backward passes over labelled examples, handing each layer's two factors on.

The gradient of a linear layer's weight for one example is d^T h: h its inputs, d its outputs'
gradients. `layers` hands both to a `Contraction`.

Shapes: N examples of a batch, S tokens, U used positions, V words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from labelcast.models.encoding import Encoded, shared_prefix
from labelcast.models.last_layer import Used, trimmed
from labelcast.models.layers import Contraction, Layer, hooked
from labelcast.models.loading import LanguageModel
from labelcast.models.plan import Plan
from labelcast.models.recompute import offloaded, recomputed
from labelcast.models.side_by_side import side_by_side

# Below this many tokens a forward pass saved is worth less than the loop that it takes.
_WORTH_SHARING = 64


def run_batches(
    lm: LanguageModel,
    pairs: Sequence[Encoded],
    layers: Mapping[str, Layer],
    contraction: Contraction,
    *,
    plan: Plan,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Differentiate each example's mean answer loss and contract as the gradients come.

    The tokens that all prompts share are run forward once; their backward pass stays one an
    example. The model is left as it was found, after an error too.
    """
    with (
        _frozen(lm),
        recomputed(lm, plan.recomputed) as again,
        hooked(lm, layers, contraction, again) as under_way,
        trimmed(lm) as used,
    ):
        # An example's tokens must come whole where its gradient is dropped at once.
        prompts = [pair.tokens[: -pair.answer_length] for pair in pairs]
        length = 0 if plan.at_once else shared_length(lm, prompts)
        shared = forward_prefix(lm, pairs[0].tokens[:length]) if length else []
        begun = [states for states in shared if states.requires_grad]

        def run(batch: Sequence[int]) -> int:
            under_way.count, under_way.rows = len(batch), batch
            gradients = _run(lm, [pairs[i] for i in batch], shared, length, used)
            for position, row in enumerate(batch if begun else []):
                under_way.count, under_way.rows = 1, [row]
                torch.autograd.backward(
                    begun, [g[position : position + 1] for g in gradients], retain_graph=True
                )
            contraction.finish(batch)
            return len(batch)

        for _, done in side_by_side(run, plan.batches, plan.workers):
            progress(done)


def shared_length(lm: LanguageModel, sequences: Sequence[Sequence[int]]) -> int:
    """Return how many first tokens of all sequences to run forward once; 0 where nothing is gained.

    A GPU is quicker with whole batches. A model whose attention does not reach back over a whole
    example is run whole too, and one with offloaded weights, whose layers are run again for the
    backward pass: twice would fill a cache twice.
    """
    config = lm.model.config.get_text_config()
    longest = max(map(len, sequences))
    window = getattr(config, "sliding_window", None) or longest
    plain = set(getattr(config, "layer_types", None) or ["full_attention"]) <= {
        "full_attention",
        "sliding_attention",
    }
    stateful = getattr(lm.model, "_is_stateful", False)
    if (
        offloaded(lm.model)
        or lm.input_device.type != "cpu"
        or window < longest
        or stateful
        or not plain
    ):
        return 0
    length = shared_prefix(sequences)
    return length if len(sequences) > 1 and length >= _WORTH_SHARING else 0


def forward_prefix(lm: LanguageModel, tokens: Sequence[int]) -> list[Tensor]:
    """Keys and values of the shared tokens, two tensors [1,heads,S,features] a layer, in turn."""
    cache = DynamicCache()
    ids = torch.tensor([list(tokens)], device=lm.input_device)
    lm.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return [states for layer in cache.layers for states in (layer.keys, layer.values)]


def cache_of(shared: Sequence[Tensor]) -> DynamicCache:
    """The cache of a model that has seen the tokens of keys and values, in turn."""
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
    """One forward and backward pass of the sum over examples of each one's mean answer loss.

    Padding stands on the right, where a causal model's earlier tokens cannot see it: no mask is
    needed, and its gradient is zero. Logits are made where an answer token is predicted alone.

    Args:
        lm: the model.
        pairs: the batch, each beginning with the tokens that `shared` was made from.
        shared: keys and values of the first `start` tokens, or nothing.
        start: where the batch's own tokens begin.
        used_of: told which positions are needed of the last layer.

    Returns:
        Each example's gradient with respect to those of `shared` that have one,
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
    with torch.enable_grad():  # of this thread
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
    """Weights need no gradient."""
    trainable = [weight for weight in lm.model.parameters() if weight.requires_grad]
    for weight in trainable:
        weight.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for weight in trainable:
            weight.requires_grad_(True)
