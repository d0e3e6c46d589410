"""A small random model of every family that labelcast supports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import published
import torch
import transformers
from tiny_model import save, tokenizer
from torch import Tensor
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.pytorch_utils import Conv1D

from labelcast.models.coslow import cosine
from labelcast.models.encoding import Encoded
from labelcast.models.gradients import sketch_matrix, sketched_gram
from labelcast.models.layers import linear_layers
from labelcast.models.loading import LanguageModel, load_model

_EXPERTS = {"num_experts_per_tok": 2}
# By what is special about it: the name in transformers and its configuration.
DENSE: dict[str, tuple[str, dict[str, Any]]] = {
    "tied": ("Llama", {"tie_word_embeddings": True}),
    "one head of keys": ("Llama", {"num_key_value_heads": 1}),
    "biases": ("Qwen2", {}),
    "normed queries": ("Qwen3", {"head_dim": 12}),
    "sliding window": ("Mistral", {"sliding_window": 16}),
    "wide heads, softcaps": ("Gemma2", {"head_dim": 24, "sliding_window": 16}),
    "fused": ("Phi3", {"original_max_position_embeddings": 256}),
    "weights transposed": ("GPT2", {}),
}
MIXTURES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("Mixtral", {"num_local_experts": 4}),
    "shared expert": (
        "Qwen2Moe",
        {"num_experts": 4, "moe_intermediate_size": 24, "shared_expert_intermediate_size": 24},
    ),
    "many small experts": ("Qwen3Moe", {"num_experts": 16, "moe_intermediate_size": 8}),
    "normed, unscaled weights": ("Olmoe", {"num_experts": 4}),
    "transposed, biases, clamps": ("GptOss", {"num_local_experts": 4, "head_dim": 8}),
    "groups, first layer dense": (
        "DeepseekV3",
        {
            "n_routed_experts": 8,
            "n_group": 2,
            "topk_group": 1,
            "n_shared_experts": 1,
            "moe_intermediate_size": 16,
            "first_k_dense_replace": 1,
            "q_lora_rank": None,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "num_key_value_heads": 4,
        },
    ),
}
FAMILIES = DENSE | MIXTURES


def save_family(folder: Path, family: str, **more: Any) -> Path:
    """Save a random model of a family: 2 layers, width 32, 4 heads, 2 for keys and values."""
    name, special = FAMILIES[family]
    words = tokenizer()
    sizes: dict[str, Any] = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.2,
        "pad_token_id": words.pad_token_id,
        "eos_token_id": words.eos_token_id,
        "bos_token_id": None,
    }
    if family in MIXTURES:
        sizes |= _EXPERTS
    config = getattr(transformers, f"{name}Config")(**sizes | special | more)
    torch.manual_seed(0)
    return save(folder, MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config), words)


def load_family(folder: Path, family: str, **more: Any) -> LanguageModel:
    """The model of `save_family`, loaded on the CPU in float32."""
    return load_model(str(save_family(folder, family, **more)), device="cpu", dtype="float32")


def random_pairs(seed: int = 0, count: int = 5, shared: int = 0) -> list[Encoded]:
    """Random examples of different lengths whose prompts share their first `shared` tokens."""
    rng = np.random.default_rng(seed)
    start = rng.integers(3, 90, size=shared).tolist()
    pairs = []
    for _ in range(count):
        answer = int(rng.integers(1, 4))
        own = rng.integers(3, 90, size=int(rng.integers(2, 24)) + answer).tolist()
        pairs.append(Encoded(start + own, answer))
    return pairs


def sketched(lm: LanguageModel, pairs: Sequence[Encoded], batch: int = 3) -> Any:
    """Cosines [N,N] from one sketch of rank 16."""
    gram = sketched_gram(lm, pairs, rank=16, seeds=[0], batch_size=batch).values
    return cosine(gram.sum(1)[0].numpy())


def by_autograd(lm: LanguageModel, pairs: Sequence[Encoded], *, sketch: bool) -> Tensor:
    """The Gram matrix [N,N] of full weight gradients by autograd, one example at a time.

    With `sketch` each layer's gradient is multiplied by its A^T; otherwise its inner products are
    divided by d_in. Mixtures of experts run as transformers runs them.
    """
    layers = linear_layers(lm)
    weights = {name: _weight(name, layer.module) for name, layer in layers.items()}
    distinct = list({id(weight): weight for weight, _ in weights.values()}.values())
    rows = []
    for pair in pairs:
        for weight in distinct:
            weight.requires_grad_(True).grad = None
        published.answer_loss(lm.model, pair).backward()
        parts = []
        for name, layer in layers.items():
            weight, expert = weights[name]
            g = weight.grad if expert is None else weight.grad[expert]
            transposed = isinstance(layer.module, Conv1D)
            g = g.T if getattr(layer.module, "is_transposed", transposed) else g  # [O,I]
            if sketch:
                g = g @ sketch_matrix(name, layer.in_features, 16, 0).T
            else:
                g = g / layer.in_features**0.5
            parts.append(g.flatten().double())
        rows.append(torch.cat(parts))
    for weight in distinct:
        weight.requires_grad_(False).grad = None
    full = torch.stack(rows)
    return full @ full.T


def in_a_thread(work: Callable[..., None]) -> Callable[..., None]:
    """A function that runs in a thread of its own, as autograd's passes on a GPU do."""

    def run(*args: Any, **kwargs: Any) -> None:
        raised: list[BaseException] = []

        def caught() -> None:
            try:
                work(*args, **kwargs)
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=caught)
        thread.start()
        thread.join()
        for error in raised:
            raise error

    return run


def _weight(name: str, module: Any) -> tuple[Any, int | None]:
    if isinstance(module, torch.nn.Linear | Conv1D):
        return module.weight, None
    _, expert, projection = name.rsplit(".", 2)
    return getattr(module, projection), int(expert)
