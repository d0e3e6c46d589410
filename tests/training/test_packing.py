"""Training an encoder without padding."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from small_encoders import save_encoder
from torch import Tensor, nn

from labelcast.models.encoder import Classifier, Pooling, padded
from labelcast.models.loading import load_encoder
from labelcast.training.packing import PackedClassifier, classifier


@pytest.mark.parametrize("mode", ["mean", "cls", "max"])
def test_it_computes_what_padding_does(tmp_path: Path, mode: Literal["mean", "cls", "max"]) -> None:
    """Logits and gradients are those of the padded batch, in one pack or in several."""
    body = load_encoder(str(save_encoder(tmp_path / "model")), device="cpu").model
    head = nn.Linear(32, 3)
    lengths = [4, 90, 1, 30, 120, 120, 17]  # three packs
    torch.manual_seed(0)
    rows = [torch.randint(5, 90, (length,)).tolist() for length in lengths]
    batch = padded(rows, 0)

    def computed(model: nn.Module) -> tuple[Tensor, list[Tensor]]:
        model.eval().requires_grad_(True).zero_grad()
        logits = model(**batch)["logits"]
        nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0, 1, 2, 0])).backward()
        return logits, [w.grad.clone() for w in model.parameters() if w.grad is not None]

    pooling = Pooling(mode)
    logits, gradients = computed(Classifier(body, pooling, head))
    packed, others = computed(PackedClassifier(body, pooling, head))
    torch.testing.assert_close(packed, logits, rtol=1e-4, atol=1e-5)
    assert len(others) == len(gradients) > 30
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", [Classifier, PackedClassifier])
def test_the_head_may_have_another_dtype(tmp_path: Path, kind: type[Classifier]) -> None:
    """A head in float32 on an encoder in 16 bits, and both under autocast."""
    body = load_encoder(str(save_encoder(tmp_path / "model")), device="cpu").model
    batch = padded([[5, 6, 7], [8, 9]], 0)
    exact = kind(body, Pooling(), nn.Linear(32, 3))
    with torch.autocast("cpu", torch.bfloat16):
        near = exact(**batch)["logits"].float()
    torch.testing.assert_close(near, exact(**batch)["logits"], rtol=0.1, atol=0.1)
    half = kind(body.to(torch.bfloat16), Pooling(), exact.head)(**batch)["logits"]
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, near, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(("family", "packs"), [("Bert", True), ("Roberta", False)])
def test_only_bert_packs(tmp_path: Path, family: str, packs: bool) -> None:
    body = load_encoder(str(save_encoder(tmp_path / family, family)), device="cpu").model
    made = classifier(body, Pooling(), nn.Linear(32, 2))
    assert isinstance(made, PackedClassifier) == packs
