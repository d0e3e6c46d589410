"""What must hold of a model's parts: they are whole, belong together and fit into memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from labelcast.errors import InputError
from labelcast.models.memory import check_room, known_free

if TYPE_CHECKING:
    import torch

_MOST_LAYERS = 10_000
_FROM_ELSEWHERE = ("_attn_implementation", "_experts_implementation")


def check_config(spec: str, config: Any) -> None:
    """Refuse a config that asks for code of the hub, or for layers without end.

    Raises:
        InputError: it does.
    """
    layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
    if isinstance(layers, int) and layers > _MOST_LAYERS:
        raise InputError(f"model {spec}: its config claims {layers:,} layers, which none has.")
    parts = [config, *(getattr(config, name, None) for name in getattr(config, "sub_configs", {}))]
    for part in parts:
        for name in _FROM_ELSEWHERE:
            # The library would load and run what a hub id names here.
            if "/" in str(getattr(part, name, "")):
                raise InputError(
                    f"model {spec}: it needs code of its own to run ({name[1:]} in its config), "
                    "and labelcast runs none."
                )


def check_tokens(spec: str, config: Any, tokenizer: Any, generation: Any) -> None:
    """Refuse a tokenizer, or ends of an answer, that are not the model's.

    Raises:
        InputError: more tokens than the weights know, or ends that are no tokens.
    """
    known = int(config.get_text_config().vocab_size)
    # Tokens that were added may lie above: no text of ours holds one.
    if tokenizer.vocab_size > known:
        raise InputError(
            f"model {spec}: its tokenizer has {tokenizer.vocab_size:,} tokens, and its weights "
            f"know {known:,}. Do both belong together?"
        )
    ends = generation.eos_token_id
    if not all(isinstance(end, int) for end in (ends if isinstance(ends, list) else [ends or 0])):
        raise InputError(
            f"model {spec}: 'eos_token_id' in generation_config.json is {str(ends)[:80]!r}, and "
            "must be a token's number, or a list of them."
        )


def check_whole(spec: str, found: Mapping[str, Any]) -> None:
    """Refuse weights that are not all the model's: transformers would draw the others at random.

    Raises:
        InputError: some are missing or of another shape; names the first.
    """
    missing, other = sorted(found["missing_keys"]), sorted(found["mismatched_keys"])
    if missing:
        raise InputError(
            f"model {spec}: its files lack {len(missing)} of its weights ({missing[0]} first). "
            "Is it a causal language model, and was it copied or downloaded whole?"
        )
    if other:
        name, there, wanted = other[0]
        raise InputError(
            f"model {spec}: {len(other)} of its weights are not as its config says ({name} is "
            f"{list(there)} and should be {list(wanted)}). Do both belong together?"
        )


def check_weights_fit(spec: str, config: Any, dtype: torch.dtype) -> None:
    """Refuse weights that the memory of the CPU cannot hold.

    Raises:
        RunError: they are too large.
    """
    free, needed = known_free(swap=True), dtype.itemsize * _roughly(config)
    # Counting them takes half a second, and is of use only where it may decide.
    if free is None or 4 * needed < free:
        return
    check_room(
        f"model {spec}: its weights in {str(dtype).removeprefix('torch.')}",
        dtype.itemsize * count_weights(config) if needed < 4 * free else needed,
        "Close other programs, or choose a smaller model or --dtype bfloat16.",
        swap=True,
    )


def _roughly(config: Any) -> int:
    """About how many weights a model has, by sizes in its config; 0 where it has none of them."""
    text = config.get_text_config()
    names = ("hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size")
    found = (getattr(text, name, 0) for name in names)
    width, layers, words, block = (one if isinstance(one, int) else 0 for one in found)
    experts = getattr(text, "num_local_experts", 1) or 1
    return width * (2 * words + layers * (4 * width + 3 * (block or 4 * width) * experts))


def count_weights(config: Any) -> int:
    """The number of weights, from the config alone."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(weight.numel() for weight in model.parameters())
