"""The published procedure for CoS-Low and confidence, one example at a time, for comparison."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median
from typing import Any

import torch
from torch import Tensor
from transformers.pytorch_utils import Conv1D

from labelcast.models.encoding import Encoded
from labelcast.models.generation import end_tokens
from labelcast.models.gradients import sketch_matrix
from labelcast.models.layers import LAYERS, linear_layers
from labelcast.models.loading import LanguageModel

Gradients = dict[str, Tensor]


def with_adapters(lm: LanguageModel, rank: int = 64, seed: int = 0, *, copied: bool = True) -> Any:
    """The model with fresh peft LoRA adapters (B = 0) that have labelcast's A; by default a copy.

    Without a copy, the model itself gets the adapters.
    """
    from peft import LoraConfig, get_peft_model

    names = linear_layers(lm)
    config = LoraConfig(
        r=rank,
        lora_alpha=32,
        lora_dropout=0.0,
        target_modules=sorted({name.rpartition(".")[2] for name in names} | set(LAYERS)),
        task_type="CAUSAL_LM",
        fan_in_fan_out=any(isinstance(layer.module, Conv1D) for layer in names.values()),
    )
    adapted = get_peft_model(copy.deepcopy(lm.model) if copied else lm.model, config)
    for name, module in adapted.get_base_model().named_modules():
        if hasattr(module, "lora_A") and name in names:
            matrix = sketch_matrix(name, module.in_features, rank, seed)
            module.lora_A["default"].weight.data.copy_(matrix)
    return adapted.eval()


def answer_loss(model: Any, pair: Encoded) -> Tensor:
    """The mean loss over the answer's tokens of one example, from the model's own loss."""
    ids = torch.tensor([pair.tokens], device=model.device)
    labels = ids.clone()
    labels[:, : -pair.answer_length] = -100
    loss: Tensor = model(input_ids=ids, labels=labels, use_cache=False).loss
    return loss


def gradients(adapted: Any, pair: Encoded) -> Gradients:
    """Every adapter's gradient for one example, including the zero gradients of A."""
    adapted.zero_grad(set_to_none=True)
    answer_loss(adapted, pair).backward()
    return {
        name: weight.grad.detach().clone()
        for name, weight in adapted.named_parameters()
        if weight.requires_grad
    }


def norm(one: Gradients) -> Tensor:
    """The norm of all gradients of one example as one vector."""
    return torch.stack([g.pow(2).sum() for g in one.values()]).sum().sqrt()


def pair_cosines(kept: Sequence[Gradients]) -> list[float]:
    """The cosine of every pair i < j, accumulated module by module."""
    norms = [norm(one) for one in kept]
    cosines = []
    for i, j in combinations(range(len(kept)), 2):
        dots = [torch.dot(kept[i][name].flatten(), kept[j][name].flatten()) for name in kept[i]]
        cosines.append(float(torch.stack(dots).sum() / norms[i] / norms[j]))
    return cosines


def cos_low(adapted: Any, pairs: Sequence[Encoded]) -> tuple[float, int]:
    """CoS-Low, and the bytes of its gradients."""
    kept = [gradients(adapted, pair) for pair in pairs]
    held = sum(g.numel() * g.element_size() for one in kept for g in one.values())
    return median(pair_cosines(kept)), held


@dataclass(frozen=True)
class Answer:
    """A greedy answer, the mean probability of its counted tokens, and its smallest margin."""

    tokens: list[int]
    confidence: float
    margin: float


@torch.inference_mode()  # type: ignore[untyped-decorator]
def confidence(lm: LanguageModel, prompt: Sequence[int], max_new_tokens: int = 30) -> Answer:
    """Greedy decoding of one prompt, then a second forward pass for the probabilities."""
    ids = torch.tensor([list(prompt)], device=lm.model.device)
    full = lm.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        pad_token_id=lm.tokenizer.pad_token_id,
    )
    logits = lm.model(input_ids=full, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
    top = logits.softmax(-1).topk(2, dim=-1).values
    tokens = full[0, len(prompt) :].tolist()
    counted = [p for token, p in zip(tokens, top[:, 0].tolist(), strict=True) if counts(lm, token)]
    return Answer(
        tokens,
        sum(counted) / len(counted) if counted else float(top[0, 0]),
        float((top[:, 0] - top[:, 1]).min()),
    )


def counts(lm: LanguageModel, token: int) -> bool:
    """Whether a generated token counts: not end-of-sequence, padding or a newline."""
    if token in end_tokens(lm) or token == lm.tokenizer.pad_token_id:
        return False
    text = lm.tokenizer.decode([token])
    return not text or bool(text.strip("\n\r"))
