"""Forward and backward passes over labelled examples, with the two factors of each gradient.

For one example, the gradient of a linear layer's weight is d^T h, with the layer's inputs h and the
gradients d of its outputs.

Shapes: N examples of a batch, S tokens, U used positions, F features, V words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers.cache_utils import DynamicCache

from labelcast.models.encoding import Encoded, shared_prefix
from labelcast.models.layers import Contraction, Layer, hooked
from labelcast.models.memory import Halving
from labelcast.models.plan import Plan
from labelcast.models.protocols import Progress, TorchModel
from labelcast.models.recompute import Pass, offloaded, recomputed

# With fewer shared tokens, running them forward once is not worth the overhead.
_WORTH_SHARING = 64
# Tokens that a CPU runs forward at once: with more, what a layer of a small model computes leaves
# the processor's cache.
_TOKENS_AT_ONCE = 512


def run_batches(
    lm: TorchModel,
    pairs: Sequence[Encoded],
    layers: Mapping[str, Layer],
    contraction: Contraction,
    *,
    plan: Plan,
    halving: Halving | None = None,
    progress: Progress = lambda done: None,
) -> int:
    """Differentiate each example's mean answer loss and contract the gradients on the way.

    The tokens that all prompts share run forward once; their backward pass runs per example. A
    batch that fills a GPU's memory runs again in halves, unless all examples are to run at once.

    Returns:
        How many examples ran at once.
    """
    halving = halving or Halving()
    with (
        _frozen(lm),
        recomputed(lm, plan.recomputed) as state,
        hooked(layers, contraction, state),
        _trimmed(lm, state),
    ):
        # If gradients are dropped at once, an example's tokens must all run in one pass.
        length = 0 if plan.at_once else shared_length(lm, [pair.prompt for pair in pairs])
        shared = forward_prefix(lm, pairs[0].tokens[:length]) if length else []
        differentiable = [states for states in shared if states.requires_grad]

        def run(batch: Sequence[int]) -> int:
            contraction.begin(batch)
            state.count, state.rows = len(batch), batch
            gradients = _run(lm, [pairs[i] for i in batch], shared, length, state)
            for position, row in enumerate(batch if differentiable else []):
                state.count, state.rows = 1, [row]
                own = [g[position : position + 1] for g in gradients]
                torch.autograd.backward(differentiable, own, retain_graph=True)
            contraction.finish(batch)
            return len(batch)

        if plan.at_once:
            done: Iterable[int] = map(run, plan.batches)
        elif plan.workers == 1:
            done = (count for _, count in halving.run(plan.batches, run))
        else:
            done = _in_parallel(run, plan.batches, plan.workers)
        for count in done:
            progress(count)
    return halving.most or plan.batch_size


def _in_parallel(
    run: Callable[[list[int]], int], batches: Sequence[list[int]], workers: int
) -> Iterator[int]:
    """Run batches on threads, and yield what `run` returns as they finish.

    Matrix products are small: a thread per batch is faster than many threads per product, and gives
    the same bits whatever runs in parallel.
    """
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


def shared_length(
    lm: TorchModel, sequences: Sequence[Sequence[int]], least: int = _WORTH_SHARING
) -> int:
    """How many first tokens of all sequences to run once; 0 if they are fewer than `least`.

    A GPU is faster with complete batches. Sharing is impossible if attention does not span a
    complete example, if offloaded layers run again in the backward pass and fill a cache twice, or
    if positions are encoded by the length of what runs.
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
        or positions_depend_on_length(config, longest)
        or not kinds <= {"full_attention", "sliding_attention"}
    ):
        return 0
    length = shared_prefix(sequences)
    return length if len(sequences) > 1 and length >= least else 0


def positions_depend_on_length(config: Any, longest: int) -> bool:
    """Whether a text of that many tokens gets other rotary frequencies than its beginning alone."""
    rope = getattr(config, "rope_parameters", None) or {}
    kind = str(rope.get("rope_type"))
    usual = rope.get("original_max_position_embeddings") or config.max_position_embeddings
    return (kind == "longrope" or "dynamic" in kind) and longest > usual


def rows_at_once(lm: TorchModel, rows: int, length: int) -> int:
    """How many of the rows to run forward at once, each `length` tokens long; at least one.

    All of them on a GPU, or where each pass reads weights from a disk.
    """
    if lm.input_device.type != "cpu" or offloaded(lm.model):
        return rows
    return max(1, min(rows, _TOKENS_AT_ONCE // length))


def forward_prefix(lm: TorchModel, tokens: Sequence[int]) -> list[Tensor]:
    """Keys and values of the shared tokens, two tensors [1,heads,S,features] per layer."""
    ids = torch.tensor([list(tokens)], device=lm.input_device)
    return keys_and_values(lm.model, ids, logits_to_keep=1)


def keys_and_values(model: nn.Module, ids: Tensor, **more: Any) -> list[Tensor]:
    """Keys and values of a forward pass over tokens [N,S], two [N,heads,S,features] per layer."""
    cache = DynamicCache()
    model(input_ids=ids, past_key_values=cache, use_cache=True, **more)
    return [states for layer in cache.layers for states in (layer.keys, layer.values)]


def cached(states: Sequence[Tensor]) -> dict[str, object]:
    """Arguments that give a model the keys and values of shared tokens, if there are any."""
    if not states:
        return {"use_cache": False}
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(zip(states[::2], states[1::2], strict=True)):
        cache.update(keys, values, layer)
    return {"past_key_values": cache, "use_cache": True}


def padded(lm: TorchModel, sequences: Sequence[Sequence[int]]) -> Tensor:
    """Tokens [N,S], padded on the right, where a causal model's earlier tokens cannot see it."""
    ids = [torch.tensor(tokens) for tokens in sequences]
    return pad_sequence(ids, batch_first=True).to(lm.input_device)


def answer_weights(pairs: Sequence[Encoded], tails: Tensor, start: int) -> Tensor:
    """1 / (length of the answer) where an answer token is predicted, else 0, like `tails` [N,S]."""
    weights = torch.zeros(tails.shape)
    for row, pair in enumerate(pairs):
        end = len(pair.tokens) - start - 1
        weights[row, end - pair.answer_length : end] = 1 / pair.answer_length
    return weights.to(tails.device)


def _run(
    lm: TorchModel, pairs: Sequence[Encoded], shared: Sequence[Tensor], start: int, state: Pass
) -> list[Tensor]:
    """Run forward and backward on the sum over examples of each one's mean answer loss.

    Padding needs no mask, and its gradient is zero. Logits are computed only where an answer token
    is predicted. `shared` are keys and values of the first `start` tokens, or nothing.

    Returns:
        Each example's gradient with respect to the `shared` tensors that have one,
        [N,heads,S,features] each.
    """
    ids = padded(lm, [pair.tokens[start:] for pair in pairs])
    weights = answer_weights(pairs, ids, start)
    read = weights > 0  # [N,S]
    used = read.any(dim=0).nonzero().flatten()
    copies = [
        states.detach().expand(len(pairs), -1, -1, -1).requires_grad_(states.requires_grad)
        for states in shared
    ]
    state.positions, state.read = used if 2 * len(used) <= ids.shape[1] else None, read
    with torch.enable_grad():  # the mode belongs to the thread
        logits = lm.model(input_ids=ids, **cached(copies)).logits.float()  # [M,V]
        wanted = ids[:, 1:][read[:, :-1]].to(logits.device)
        losses = nn.functional.cross_entropy(logits, wanted, reduction="none")
        loss = (losses * weights[read].to(logits.device)).sum()
        if loss.requires_grad:  # not if only experts count that see none of these tokens
            loss.backward()
    state.positions = state.read = None
    return [copy.grad for copy in copies if copy.requires_grad]


@contextmanager
def _frozen(lm: TorchModel) -> Iterator[None]:
    """Context manager: no weight requires a gradient."""
    trainable = [weight for weight in lm.model.parameters() if weight.requires_grad]
    for weight in trainable:
        weight.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        for weight in trainable:
            weight.requires_grad_(True)


@contextmanager
def _trimmed(lm: TorchModel, state: Pass) -> Iterator[None]:
    """Run the end of a model only at the positions that a loss reads, if its structure is known.

    After its attention, a transformer's last layer mixes no positions. Hooks drop the positions
    that predict no answer token before the attention's output projection and the feed-forward
    block, and put zeros in their place after each. The output embeddings get only the positions
    that are read, M of the N S, so the logits are [M,V].
    """

    def cut(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if state.positions is None:
            return None
        kept = args[0].index_select(1, state.positions.to(args[0].device))  # [N,S,F] -> [N,U,F]
        return (kept, *args[1:])

    def fill(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if state.positions is None or state.read is None:
            return None
        filled = output.new_zeros(*state.read.shape, output.shape[-1])
        return filled.index_copy(1, state.positions.to(output.device), output)  # -> [N,S,F]

    def read(states: Tensor) -> Tensor:
        return states if state.read is None else states[state.read.to(states.device)]

    with ExitStack() as hooks:
        for module in _per_position(lm):
            hooks.callback(module.register_forward_pre_hook(cut).remove)
            hooks.callback(module.register_forward_hook(fill).remove)
        hooks.enter_context(head_reads(lm, read))
        yield


@contextmanager
def head_reads(lm: TorchModel, choose: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Give the output embeddings a part of the last hidden states [N,S,F].

    In place of `logits_to_keep`, whose index accelerate moves to the first GPU of a spread model,
    while the hidden states are on the last one.
    """

    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (choose(args[0]), *args[1:])

    with lm.model.get_output_embeddings().register_forward_pre_hook(hook):
        yield


def _per_position(lm: TorchModel) -> list[nn.Module]:
    """The parts of the last layer that mix no positions; none if its structure is unknown."""
    layers = getattr(lm.model.get_decoder(), "layers", None)
    last = layers[-1] if isinstance(layers, nn.ModuleList) and len(layers) else None
    projection = getattr(getattr(last, "self_attn", None), "o_proj", None)
    block = getattr(last, "mlp", None)
    # Experts get all positions: their router counts tokens.
    plain = block is not None and all(
        isinstance(part, nn.Linear)
        for part in block.children()
        if next(part.parameters(), None) is not None
    )
    if not isinstance(projection, nn.Linear) or block is None or not plain:
        return []
    return [projection, block]
