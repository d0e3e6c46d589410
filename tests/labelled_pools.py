"""Small labelled pools for the methods that choose before training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labelcast.models.loading import AnyModel
from labelcast.selection.pool import Pool
from labelcast.selection.signals import SignalStore
from labelcast.tasks.prompts import Example

WORDS = ["ab", "the cat", "cdcd ef", "x", "a longer text here", "the the", "ee", "b a c", "zz top"]
ANSWERS = ["yes", "no"]


def labelled(texts: Sequence[str], answers: Sequence[str] | None = None) -> list[Example]:
    """Examples whose prompts are the texts; the answers alternate."""
    given = answers or [ANSWERS[i % 2] for i in range(len(texts))]
    return [
        Example(f"{i}", i, f"line {i + 1}", {"text": text}, f"{text}:", answer, text)
        for i, (text, answer) in enumerate(zip(texts, given, strict=True))
    ]


def pool_of(
    lm: AnyModel, examples: Sequence[Example], folder: Path | None = None, **given: Any
) -> Pool:
    """A pool of a loaded model and labelled examples."""
    return Pool(examples, model=lambda: lm, store=SignalStore(folder), **given)


def gradients(trained: Any, rows: Sequence[int], weights: Sequence[Tensor]) -> list[list[Tensor]]:
    """Of each example's own loss, by autograd."""
    found = []
    for row in rows:
        for weight in weights:
            weight.requires_grad_(True)
        with torch.enable_grad():
            found.append(list(torch.autograd.grad(trained.loss([row]), weights)))
        for weight in weights:
            weight.requires_grad_(False)
    return found
